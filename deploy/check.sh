#!/bin/sh
# Build the image and start the compose file with a real container engine, and see that they do what they say:
#     sudo sh deploy/check.sh
# No Docker is needed: Debian's podman and buildah, PyPI's podman-compose, and a base image made on the spot stand in.
# Everything is kept in a folder of its own and removed at the end. Some minutes, the first time (KEEP=1 keeps the
# folder, and WORK=… uses it again).
set -eu
cd "$(dirname "$0")/.."
WORK=${WORK:-$(mktemp -d /var/tmp/soup-gateway-check.XXXXXX)}
PORT=${PORT:-18765}
VENV=${VENV:-.venv}
mkdir -p "$WORK/bin"
export COMPOSE_PROJECT_NAME=soup-gateway-check

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
missing=""
for tool in podman buildah runc debootstrap; do
    command -v $tool >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || fail "missing:$missing; apt-get install --no-install-recommends$missing netavark aardvark-dns"
[ "$(id -u)" = 0 ] || fail "debootstrap and the engine without user namespaces need root"

# A root that holds nothing of anybody else's, a driver and limits that work inside of other containers, too.
cat >"$WORK/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$WORK/networks"
CONF
cat >"$WORK/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$WORK/storage"
runroot = "$WORK/run"
CONF
export CONTAINERS_CONF="$WORK/containers.conf" CONTAINERS_STORAGE_CONF="$WORK/storage.conf"
export BUILDAH_ISOLATION=chroot
[ -x "$WORK/tools/bin/podman-compose" ] || {
    python3 -m venv "$WORK/tools"
    "$WORK/tools/bin/pip" install --quiet --disable-pip-version-check podman-compose
}
compose() { "$WORK/tools/bin/podman-compose" -f "$WORK/compose/deploy/compose.yaml" "$@"; }

tidy() {
    status=$?
    [ $status = 0 ] || {
        say "what the containers said last"
        for each in gateway simulator; do
            podman logs --tail 15 "$(name $each)" 2>&1 || true
        done
    }
    [ -d "$WORK/compose" ] && compose down --volumes --timeout 1 >/dev/null 2>&1
    [ -n "${KEEP:-}" ] && echo "kept: WORK=$WORK" || rm -rf "$WORK"
    exit $status
}
name() { echo "${COMPOSE_PROJECT_NAME}_$1_1"; }
trap tidy EXIT
trap 'exit 1' INT TERM

say "a base image in place of the Python base: Debian with its python3"
if ! podman image exists localhost/base:run; then
    debootstrap --variant=minbase --include=python3 bookworm "$WORK/rootfs" >"$WORK/debootstrap.log"
    tar -C "$WORK/rootfs" -c . | podman import -q - localhost/base:run >/dev/null
    cp /etc/resolv.conf "$WORK/rootfs/etc/resolv.conf"
    chroot "$WORK/rootfs" sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        python3-venv python3-pip ca-certificates >/dev/null 2>&1'
    # Whom this machine trusts, if it stands behind a proxy of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$WORK/rootfs/etc/ssl/certs/ca-certificates.crt"
    tar -C "$WORK/rootfs" -c . | podman import -q \
        --change ENV=PIP_CERT=/etc/ssl/certs/ca-certificates.crt - localhost/base:build >/dev/null
    rm -rf "$WORK/rootfs"
fi

say "build"
buildah build --quiet --format docker --build-arg BASE=localhost/base:run --build-arg BUILD_BASE=localhost/base:build \
    --build-arg REVISION="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
    -f deploy/Dockerfile -t localhost/soup-gateway:check . >/dev/null
podman image inspect localhost/soup-gateway:check --format 'built {{.Id}}, user {{.User}}, {{.Size}} bytes with the base'
podman run --rm --network none --read-only --entrypoint sh localhost/soup-gateway:check -c '
    for tool in gcc cc make pip pip3; do ! command -v $tool || exit 1; done
    ! python3 -m pip --version 2>/dev/null || exit 1
    test "$(id -u)" = 10001
    ! touch /anything 2>/dev/null' || fail "the image holds build tools, runs as root, or can write its root"
echo "no build tools, an unprivileged user, a root that can't be written"

say "up"
rm -rf "$WORK/compose"
mkdir -p "$WORK/compose"
cp -r deploy "$WORK/compose/"
rm -rf "$WORK/compose/deploy/secrets"
sh "$WORK/compose/deploy/secrets.sh"
# Limits that fit into this machine's own.
sed -i 's/nofile: {soft: 16384, hard: 16384}/nofile: {soft: 4096, hard: 4096}\n      nproc: 4096/' \
    "$WORK/compose/deploy/compose.yaml"
cat >"$WORK/compose/deploy/.env" <<ENV
GATEWAY_IMAGE=localhost/soup-gateway:check
GATEWAY_PORT=$PORT
ENV
compose up --detach --no-build >"$WORK/up.log" 2>&1 || { cat "$WORK/up.log"; fail "compose up"; }
secret() { cat "$WORK/compose/deploy/secrets/$1"; }
status() { "$VENV/bin/gateway" status "http://127.0.0.1:$PORT/" --key "$(secret monitoring_key)"; }
until_ready() {
    for _ in $(seq 60); do
        status >"$WORK/status" 2>&1 && return
        sleep 1
    done
    cat "$WORK/status"
    fail "not ready after a minute"
}
until_ready
cat "$WORK/status"
podman healthcheck run "$(name gateway)" >/dev/null || fail "the health check of the image"

say "subscribe from outside"
subscribe() {
    "$VENV/bin/gateway" subscribe "ws://127.0.0.1:$PORT/mlink/jsonf" \
        --key-file "$WORK/compose/deploy/secrets/subscriber_key" --json --give-up-after 30 "$@"
}
subscribe --count 2000 2>/dev/null >"$WORK/first" || fail "no stream"
"$VENV/bin/gateway" subscribe "ws://127.0.0.1:$PORT/mlink/jsonf" --count 1 --give-up-after 3 >/dev/null 2>&1 \
    && fail "let in without a key"
field() { sed -n "$1s/.*\"$2\":\"\{0,1\}\([0-9]*\).*/\1/p" "$3"; }
session=$(field 1 ses "$WORK/first") before=$(field '$' seqN "$WORK/first")
echo "2000 messages of session $session up to number $before; without a key none"

say "kill -9 the gateway's container, and start it again"
podman kill --signal KILL "$(name gateway)" >/dev/null
podman start "$(name gateway)" >/dev/null 2>&1 || true
until_ready
subscribe --resume "itch/$session/1" --count $((before + 2000)) 2>/dev/null >"$WORK/again" || fail "no replay"
"$VENV/bin/python" - "$WORK/again" <<'PY' || fail "its volume did not bring every number back, once, in order"
import json, sys
numbers = [json.loads(line)["header"]["seqN"] for line in open(sys.argv[1])]
sys.exit(numbers != list(range(1, len(numbers) + 1)))
PY
echo "numbers 1 to $((before + 2000)), each once, in order: what came before the kill is from the volume"

say "reload inside of the container"
podman exec "$(name gateway)" gateway reload || fail "gateway reload"

say "stop, with somebody connected"
subscribe >/dev/null 2>"$WORK/goodnight" &
listener=$!
sleep 3
began=$(date +%s)
podman stop --time 20 "$(name gateway)" >/dev/null
took=$(($(date +%s) - began))
code=$(podman inspect "$(name gateway)" --format '{{.State.ExitCode}}')
kill $listener 2>/dev/null || true
wait $listener 2>/dev/null || true
[ "$code" = 0 ] || fail "exit code $code"
[ $took -lt 20 ] || fail "it took $took s"
echo "exit code 0 after $took s, of 20 allowed"
compose down --timeout 20 >/dev/null 2>&1 || fail "compose down"

say "all of this works"
cat <<'NOT'
Not checked here: Docker itself (podman stood in), the Python base image (Debian's Python stood in), the images of
Prometheus, Grafana and Caddy (not pulled; the profiles' files are checked by tests/deploy), certificates from a
public authority, the restart policy after a reboot, and whether memory and CPU limits hold.
NOT

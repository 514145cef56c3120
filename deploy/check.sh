#!/bin/sh
# Build the image and start the compose file with a real container engine, and see that they do what they say:
#     sudo sh deploy/check.sh
# No Docker is needed: Debian's podman and buildah, PyPI's podman-compose, and images made on the spot stand in: for the
# Python base Debian's Python, for Prometheus and Caddy Debian's packages of them.
# Everything is kept in a folder of its own and removed at the end. Some minutes, the first time (KEEP=1 keeps the
# folder, and WORK=… uses it again).
set -eu
cd "$(dirname "$0")/.."
WORK=${WORK:-$(mktemp -d /var/tmp/soup-gateway-check.XXXXXX)}
# Ports of this machine that nobody listens on.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
PORT=$(free_port) HTTP_PORT=$(free_port) HTTPS_PORT=$(free_port)
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
compose() {
    PATH="$WORK/tools/bin:$PATH" podman-compose -f "$WORK/compose/deploy/compose.yaml" "$@"
}

tidy() {
    status=$?
    [ $status = 0 ] || {
        say "what the containers said last"
        for each in gateway simulator prometheus caddy; do
            podman logs --tail 15 "$(name $each)" 2>&1 || true
        done
    }
    [ ! -d "$WORK/compose" ] \
        || compose --profile observability --profile tls down --volumes --timeout 1 >/dev/null 2>&1 || true
    if [ -n "${KEEP:-}" ]; then echo "kept: WORK=$WORK"; else rm -rf "$WORK"; fi
    exit $status
}
name() { echo "${COMPOSE_PROJECT_NAME}_$1_1"; }
trap tidy EXIT
trap 'exit 1' INT TERM

install() { # install PACKAGE...: into the root file system that is being made; no service starts there
    chroot "$WORK/rootfs" sh -c 'RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$@" >/tmp/install.log 2>&1 || { cat /tmp/install.log >&2; exit 1; }' install "$@"
}
image() { # image NAME CHANGE...: what is there so far, as an image
    name=$1
    shift
    tar -C "$WORK/rootfs" -c . | podman import -q "$@" - "$name" >/dev/null
}
# The images that compose.yaml names, so that nothing in it has to be changed.
named() { sed -n "s|.*image: \${$1:-\(.*\)}|\1|p" deploy/compose.yaml; }
prometheus_image=$(named PROMETHEUS_IMAGE) caddy_image=$(named CADDY_IMAGE)

say "images in place of those on the Internet: Debian with its python3, prometheus and caddy"
if ! podman image exists "$caddy_image"; then
    [ -d "$WORK/rootfs/etc" ] || debootstrap --variant=minbase --include=python3 bookworm "$WORK/rootfs" \
        >"$WORK/debootstrap.log"
    image localhost/base:run
    cp /etc/resolv.conf "$WORK/rootfs/etc/resolv.conf"
    install python3-venv python3-pip ca-certificates
    # Whom this machine trusts, if it stands behind a proxy of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$WORK/rootfs/etc/ssl/certs/ca-certificates.crt"
    image localhost/base:build --change ENV=PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    # As the images of their makers: who runs it, what is run, and who owns its volume.
    install prometheus caddy
    mkdir -p "$WORK/rootfs/prometheus" "$WORK/rootfs/data" "$WORK/rootfs/config" "$WORK/rootfs/srv"
    chown 65534:65534 "$WORK/rootfs/prometheus"
    image "$prometheus_image" --change USER=65534:65534 --change WORKDIR=/prometheus \
        --change VOLUME=/prometheus --change 'ENTRYPOINT=["/usr/bin/prometheus"]'
    image "$caddy_image" --change ENV=XDG_CONFIG_HOME=/config --change ENV=XDG_DATA_HOME=/data --change WORKDIR=/srv \
        --change 'CMD=["caddy","run","--config","/etc/caddy/Caddyfile","--adapter","caddyfile"]'
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
    test -z "$(find / -xdev -type f -perm /6000 2>/dev/null)"
    ! touch /anything 2>/dev/null' || fail "the image holds build tools or setuid programs, runs as root, or can write its root"
echo "no build tools, no setuid programs, an unprivileged user, a root that can't be written"

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
HTTP_PORT=$HTTP_PORT
HTTPS_PORT=$HTTPS_PORT
ENV
compose up --detach --no-build >"$WORK/up.log" 2>&1 || { cat "$WORK/up.log"; fail "compose up"; }
secret() { cat "$WORK/compose/deploy/secrets/$1"; }
inside() { # inside SCRIPT ARGUMENT...: Python in the gateway's container, in its networks
    script=$1
    shift
    podman exec -i "$(name gateway)" python3 -c "$(cat "deploy/$script")" "$@"
}
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

say "keys, while it runs"
keys() { "$VENV/bin/gateway" keys "$@" --file "$WORK/compose/deploy/secrets/gateway/keys.toml"; }
knows_key() { # knows_key KEY: within what [keys] reload_s allows
    for _ in $(seq 15); do
        "$VENV/bin/gateway" subscribe "ws://127.0.0.1:$PORT/mlink/jsonf" --key "$1" --count 1 --give-up-after 2 \
            >/dev/null 2>&1 && return
        sleep 1
    done
    return 1
}
second=$(keys add "second subscriber" 2>"$WORK/added") || { cat "$WORK/added"; fail "keys add"; }
sh "$WORK/compose/deploy/secrets.sh" >/dev/null
knows_key "$second" || fail "a key that was added does not open"
podman exec "$(name gateway)" gateway reload || fail "gateway reload"
keys revoke "$(sed -n 's/^Key \([0-9a-f]*\) .*/\1/p' "$WORK/added")" >/dev/null 2>&1 || fail "keys revoke"
sh "$WORK/compose/deploy/secrets.sh" >/dev/null
sleep 6
"$VENV/bin/gateway" subscribe "ws://127.0.0.1:$PORT/mlink/jsonf" --key "$second" --count 1 --give-up-after 2 \
    >/dev/null 2>&1 && fail "a revoked key opens"
echo "a key that is added opens, reload works, a key that is revoked does not open any more"

say "back the journal up while it is written"
rm -rf "$WORK/backup"
volume=$(podman volume inspect "${COMPOSE_PROJECT_NAME}_journal" --format '{{.Mountpoint}}')
python3 deploy/backup.py "$volume" "$WORK/backup" || fail "backup"
"$VENV/bin/gateway" journal verify "$WORK/backup" >"$WORK/verified" || fail "the copy is not whole"
sed 's/.*"messages":\([0-9]*\).*/the copy is whole: \1 messages/' "$WORK/verified"

say "profiles observability and tls"
# Older than the version that compose.yaml names: it lacks one setting, that only counts when it reloads.
if podman run --rm --entrypoint caddy "$caddy_image" version | grep -q '^v\{0,1\}2\.[0-6]\.'; then
    sed -i '/stream_close_delay/d' "$WORK/compose/deploy/caddy/Caddyfile"
    echo "left out for this Caddy: stream_close_delay"
fi
profiles() { compose --profile observability --profile tls "$@"; }
# Everything but Grafana, which Debian does not have.
profiles up --detach --no-build prometheus caddy >"$WORK/profiles.log" 2>&1 \
    || { cat "$WORK/profiles.log"; fail "the profiles do not start"; }
# As the kernel has it, of whatever runs first in each: no way to more rights, a root that can't be written, few rights.
for each in gateway simulator prometheus caddy; do
    podman exec "$(name $each)" sh -c '
        set -e
        shut() { grep -q "^$1:[[:space:]]*$2\$" /proc/1/status || { echo "$1 is not $2"; exit 1; }; }
        shut NoNewPrivs 1
        shut Seccomp 2
        shut CapBnd "$1"
        ! touch /anything 2>/dev/null || { echo "the root can be written"; exit 1; }' shut \
        "$([ $each = caddy ] && echo 0000000000000400 || echo 0000000000000000)" || fail "$each is not shut"
    limits=$(podman inspect "$(name $each)" --format '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}')
    case " $limits " in *" 0 "*) fail "$each has no limit of one of memory, processor, processes: $limits" ;; esac
    echo "$each: memory, processor, processes: $limits; no new privileges, seccomp, $([ $each = caddy ] \
        && echo "one capability" || echo "no capability"), a root that can't be written"
done
subscribe --resume "itch/$session/1" --count 1000 >/dev/null 2>&1 || fail "no stream"
inside check_watch.py http://prometheus:9090 <deploy/grafana/dashboards/soup-gateway.json || fail "Prometheus"
for _ in $(seq 30); do
    podman exec "$(name caddy)" cat /data/caddy/pki/authorities/local/root.crt >"$WORK/authority.pem" 2>/dev/null \
        && break
    sleep 1
done
"$VENV/bin/python" deploy/check_tls.py localhost "$HTTPS_PORT" "$HTTP_PORT" "$WORK/authority.pem" \
    "$WORK/compose/deploy/secrets/subscriber_key" || fail "Caddy"
SSL_CERT_FILE="$WORK/authority.pem" "$VENV/bin/gateway" subscribe "wss://localhost:$HTTPS_PORT/mlink/jsonf" --json \
    --key-file "$WORK/compose/deploy/secrets/subscriber_key" --count 1000 --give-up-after 30 2>"$WORK/tls" \
    >/dev/null || { cat "$WORK/tls"; fail "no stream over TLS"; }
echo "gateway subscribe wss://: 1000 messages"
peer=$(podman logs "$(name gateway)" 2>&1 | grep '"connected"' | tail -n 1 | sed 's/.*"peer":"\([^"]*\)".*/\1/')
caddy=$(podman inspect "$(name caddy)" --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
[ "$peer" != "$caddy" ] || fail "subscribers behind Caddy all have its address, $caddy"
echo "the gateway knows them apart: Caddy is $caddy, the subscriber $peer"

say "an alert, when the exchange is gone, and none when it is back"
podman stop --time 5 "$(name simulator)" >/dev/null
inside check_watch.py http://prometheus:9090 FeedNotStreaming || fail "no alert"
podman start "$(name simulator)" >/dev/null
until_ready
inside check_watch.py http://prometheus:9090 <deploy/grafana/dashboards/soup-gateway.json || fail "Prometheus"

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
profiles down --timeout 20 >/dev/null 2>&1 || fail "compose down"

say "all of this works"
cat <<'NOT'
Not checked here: Docker itself (podman stood in), the images that compose.yaml names (Debian's Python, Prometheus
and Caddy stood in, which are older), Grafana (Debian has none: its dashboard's queries were asked of Prometheus, its
files are checked by tests/deploy), certificates from a public authority, the restart policy after a reboot, and
whether memory and CPU limits hold.
NOT

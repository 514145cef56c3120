#!/bin/sh
# Install what Debian has and pip has not, when running as root; otherwise name what is missing and fail.
#   system-packages.sh python [PYTHON]   what the virtual environment needs
#   system-packages.sh test              what the tests use
set -eu

need() { # need COMMAND-THAT-PROVES-IT PACKAGE...
    proof=$1
    shift
    if sh -c "$proof" >/dev/null 2>&1; then return; fi
    missing="${missing:-} $*"
}

missing=""
case "${1:-}" in
python) need "${2:-python3} -c 'import ensurepip, venv'" python3-venv ;;
test)
    need "node --version && npm --version" nodejs npm
    need "test -x /usr/bin/chromium" chromium
    need "command -v promtool" prometheus
    need "command -v caddy" caddy
    need "command -v systemd-analyze" systemd
    need "command -v cc && test -e /usr/include/stdio.h" gcc libc6-dev
    ;;
*)
    echo "usage: $0 python [PYTHON] | test" >&2
    exit 2
    ;;
esac

if [ -z "$missing" ]; then
    :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    # In single-user mode as far as packages can tell: a test wants the tools, not a service that starts.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "missing Debian packages:$missing" >&2
    echo "install them with: sudo apt-get install$missing" >&2
    exit 1
fi

if [ "$1" = test ] && ! node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'; then
    echo "node $(node --version) is too old for the tests of the JavaScript client, expected 20 or newer" >&2
    exit 1
fi

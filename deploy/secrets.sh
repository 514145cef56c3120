#!/bin/sh
# Make the secrets that compose.yaml mounts, each in a file of deploy/secrets/; what is there already stays.
# The folder is for its owner alone. What is in it is readable by others only so that the containers, which run as
# users of their own, can read what they are given. Run it again after `gateway keys`, which closes the file.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets/gateway
chmod 700 secrets

text() { # text LENGTH: letters and digits by chance
    LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c "$1"
}
once() { # once FILE TEXT
    [ -e "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"
}
entry() { # entry ID NAME KEY LINES: what keys.toml keeps of a key
    printf '[[keys]]\nid = "%s"\nname = "%s"\nsha256 = "%s"\ncreated = %s\n%s\n' "$1" "$2" \
        "$(printf '%s' "$3" | sha256sum | cut -d' ' -f1)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$4"
}

# SoupBinTCP knows passwords of at most ten characters.
once gateway/feed_password "$(text 10)"
once grafana_password "$(text 24)"
# As `gateway keys` makes them: 62 ** 43 is more than 2 ** 256.
once monitoring_key "sgw_$(text 43)"
once subscriber_key "sgw_$(text 43)"
[ -e secrets/gateway/keys.toml ] || {
    entry subscriber "first subscriber" "$(cat secrets/subscriber_key)" ""
    # May see how the gateway is, and no message.
    entry monitoring "Prometheus" "$(cat secrets/monitoring_key)" 'feeds = []
connections_max = 1'
} >secrets/gateway/keys.toml
chmod -R u=rwX,go=rX secrets/*
# The other files that are mounted: a clone made under a strict umask keeps them from the containers, too.
for each in caddy grafana prometheus; do
    [ ! -d $each ] || chmod -R go+rX $each
done
echo "secrets are in $(pwd)/secrets; a subscriber's key is in subscriber_key"

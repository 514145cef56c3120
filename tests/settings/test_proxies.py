"""Which proxies are trusted: addresses and networks, and nothing that would believe everybody."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings import load_settings

OPEN = {"GATEWAY_SERVER__OPEN_ACCESS": "true"}


def test_proxies_are_addresses_and_networks_of_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[server]\ntrusted_proxies = ["10.1.2.3", "10.1.0.0/16", "fd00:1::/64", "::1"]\n')

    loaded = load_settings(path, OPEN)

    assert loaded.server.trusted_proxies == ("10.1.2.3", "10.1.0.0/16", "fd00:1::/64", "::1")


def test_by_the_environment_they_are_a_list_with_commas_and_may_be_none() -> None:
    named = load_settings(None, OPEN | {"GATEWAY_SERVER__TRUSTED_PROXIES": "10.1.2.3, fd00:1::/64"})
    none = load_settings(None, OPEN | {"GATEWAY_SERVER__TRUSTED_PROXIES": ""})

    assert named.server.trusted_proxies == ("10.1.2.3", "fd00:1::/64")
    assert none.server.trusted_proxies == ()


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ('["0.0.0.0/0"]', "would believe everybody; name your proxies"),
        ('["::/0"]', "would believe everybody; name your proxies"),
        ('["10.1.2.3/16"]', 'has bits behind its length; write "10.1.0.0/16" for the network'),
        ('["::ffff:10.1.2.3"]', "write IPv4 addresses as such, without ::ffff:"),
        ('["caddy"]', "names are not looked up"),
        ('["10.1.2.3:80"]', 'as in "10.1.2.3" or "fd00:1::/64"'),
        ('["10.1.2.3/33"]', 'as in "10.1.2.3" or "fd00:1::/64"'),
        ('[""]', 'as in "10.1.2.3" or "fd00:1::/64"'),
        ("[167838211]", "server.trusted_proxies"),
        ('"10.1.2.3"', "write a list"),
    ],
)
def test_what_names_no_proxy_stops_the_start(tmp_path: Path, written: str, remedy: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f"[server]\ntrusted_proxies = {written}\n")

    with pytest.raises(ConfigError) as caught:
        load_settings(path, OPEN)

    assert remedy in str(caught.value)

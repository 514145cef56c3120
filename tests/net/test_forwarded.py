"""Whom a request is from: what a trusted proxy says of it, and nothing of what anybody else says."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from websockets.datastructures import Headers

from gateway.net.forwarded import HOPS_MAX, TrustedProxies, address_in, canonical, is_forwarded

PROXIES = TrustedProxies(["10.0.0.1", "192.168.0.0/16", "fd00:1::/64"])
CLIENT = "198.51.100.7"
# What may stand in a header at all.
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)


def said(*values: str) -> Headers:
    return Headers([("X-Forwarded-For", value) for value in values])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # One proxy, and a row of them.
        ("10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, 192.168.3.4"], CLIENT),
        ("fd00:1::9", [CLIENT], CLIENT),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        # Whoever is no trusted proxy is itself, whatever it says.
        (CLIENT, ["127.0.0.1"], CLIENT),
        ("10.0.0.2", [CLIENT], "10.0.0.2"),
        ("127.0.0.1", [CLIENT], "127.0.0.1"),
        ("fd00:2::9", [CLIENT], "fd00:2::9"),
        # What a client wrote itself stands in front of what the proxy adds.
        ("10.0.0.1", [f"127.0.0.1, 10.0.0.1, {CLIENT}"], CLIENT),
        ("10.0.0.1", [f"192.168.0.1, 8.8.8.8, {CLIENT}, 192.168.3.4"], CLIENT),
        ("10.0.0.1", [f"garbage, {CLIENT}"], CLIENT),
        # The header again and again is one list.
        ("10.0.0.1", ["127.0.0.1", CLIENT], CLIENT),
        ("10.0.0.1", [CLIENT, "192.168.3.4"], CLIENT),
        ("10.0.0.1", [f"8.8.8.8, {CLIENT}", "192.168.3.4, 192.168.3.5"], CLIENT),
        # Nothing said, or nothing that can be read: the last that is known.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT},"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, 999.1.1.1"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, client.example"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, unknown, 192.168.3.4"], "192.168.3.4"),
        # All of them proxies: one of them asks for itself.
        ("10.0.0.1", ["192.168.7.7, 192.168.3.4"], "192.168.7.7"),
        # As proxies write addresses.
        ("10.0.0.1", [f"{CLIENT}:54321"], CLIENT),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:DB8:0::7]:443"], "2001:db8::7"),
        ("10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("10.0.0.1", [f"\t {CLIENT} "], CLIENT),
        ("10.0.0.1", ["[fd00:1::2]:80, [::ffff:192.168.3.4]:1"], "fd00:1::2"),
        ("10.0.0.1", [f"[{CLIENT}]:80"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}:port"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::7]:443"], "10.0.0.1"),
        ("10.0.0.1", [f'"{CLIENT}"'], "10.0.0.1"),
        ("10.0.0.1", [f"for={CLIENT}"], "10.0.0.1"),
        # What would look strange in a log stays out of it.
        ("10.0.0.1", ["fe80::1%eth0 event=connected"], "fe80::1"),
        ("fe80::1%eth0", [CLIENT], "fe80::1"),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client_of(peer, said(*forwarded)) == client


def test_the_headers_name_is_that_in_any_case_and_no_other() -> None:
    assert PROXIES.client_of("10.0.0.1", Headers([("x-FORWARDED-for", CLIENT)])) == CLIENT
    others = Headers([("X-Real-IP", CLIENT), ("Forwarded", f"for={CLIENT}"), ("X-Forwarded", CLIENT)])
    assert PROXIES.client_of("10.0.0.1", others) == "10.0.0.1"


def test_without_proxies_nobody_is_believed() -> None:
    nobody = TrustedProxies([])

    assert nobody.client_of("127.0.0.1", said(CLIENT)) == "127.0.0.1"
    assert not nobody.trusts("127.0.0.1")


def test_a_peer_that_has_no_address_is_trusted_by_nobody() -> None:
    everybody = TrustedProxies(["0.0.0.0/0", "::/0"])

    assert not everybody.trusts("?")
    assert everybody.client_of("?", said(CLIENT)) == "?"


def test_so_many_proxies_are_looked_through_and_no_more() -> None:
    row = ["192.168.0.1"] * (HOPS_MAX - 1)

    assert PROXIES.client_of("10.0.0.1", said(", ".join([CLIENT, *row]))) == CLIENT
    assert PROXIES.client_of("10.0.0.1", said(", ".join([CLIENT, "192.168.9.9", *row]))) == "192.168.9.9"


@given(st.lists(VALUES, max_size=6), st.sampled_from(["10.0.0.1", "fd00:1::1", CLIENT, "?", ""]))
@hypothesis_settings(max_examples=300, deadline=None)
def test_whatever_is_said_the_answer_is_an_address_in_its_one_form(values: list[str], peer: str) -> None:
    client = PROXIES.client_of(peer, said(*values))

    assert client == peer or canonical(client) == client == str(address_in(client))
    if not PROXIES.trusts(peer):
        assert client == canonical(peer)


@given(st.lists(VALUES, max_size=4))
@hypothesis_settings(max_examples=200, deadline=None)
def test_nothing_that_a_client_says_in_front_changes_who_it_is(prefix: list[str]) -> None:
    assert PROXIES.client_of("10.0.0.1", said(*prefix, CLIENT)) == CLIENT
    assert PROXIES.client_of("10.0.0.1", said(",".join([*prefix, CLIENT]))) == CLIENT


@pytest.mark.parametrize(
    ("name", "passed_on"),
    [
        ("X-Forwarded-For", True),
        ("x-forwarded-proto", True),
        ("X-Forwarded-Host", True),
        ("Forwarded", True),
        ("Via", True),
        ("X-Real-IP", True),
        ("Host", False),
        ("User-Agent", False),
    ],
)
def test_what_a_proxy_adds_tells_of_it(name: str, passed_on: bool) -> None:
    assert is_forwarded(Headers([(name, "")])) is passed_on

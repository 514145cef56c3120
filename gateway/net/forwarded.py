"""Whom a request is from: whoever is connected, or whom a trusted proxy says that it speaks for.

Knows addresses and the headers that proxies add; only X-Forwarded-For is believed, and only from proxies that
are trusted. Anybody else may write there what it likes, and stays who it is.
"""

import ipaddress
import re
from collections.abc import Iterable

from websockets.datastructures import Headers

FORWARDED_FOR = "X-Forwarded-For"
# Headers that tell of a proxy, beside all that begin with X-Forwarded.
TELLTALES = ("forwarded", "via", "x-real-ip")
# Trusted proxies in a row that are looked through; whom the last of them speaks for is not asked any more.
HOPS_MAX = 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class TrustedProxies:
    """Addresses and networks, as in `[server] trusted_proxies`."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(each) for each in networks)

    def trusts(self, peer: str) -> bool:
        """Whether this is a proxy that is believed whom it speaks for."""
        return self._has(address_in(peer))

    def client_of(self, peer: str, headers: Headers) -> str:
        """The address that a request counts for: `peer` itself, unless it is a trusted proxy.

        Each proxy adds whom it was asked by at the header's end. So it is read from there: the first that is
        no trusted proxy is the client, and what stands in front of it is only what the client says.
        """
        client = address_in(peer)
        if client is None:
            return peer
        hops = ",".join(headers.get_all(FORWARDED_FOR)).split(",")
        for hop in reversed(hops[-HOPS_MAX:]):
            if not self._has(client):
                break
            address = address_in(hop)
            if address is None:
                # The proxy that passed on what can't be read is as far as anything is known.
                break
            client = address
        return str(client)

    def _has(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def canonical(peer: str) -> str:
    """An address in the one form that is counted and logged; what is none, as it is."""
    address = address_in(peer)
    return peer if address is None else str(address)


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy, trusted or not, has passed a request on. Whoever makes one may say so, too."""
    names = [name.lower() for name in headers]
    return any(name in TELLTALES or name.startswith("x-forwarded") for name in names)


def address_in(text: str) -> Address | None:
    """An address as proxies write it: alone, with a port, IPv6 also in brackets. None for anything else."""
    text = text.strip(" \t")
    if (match := _WITH_PORT.fullmatch(text)) is not None:
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # One machine has one name: neither the form of IPv4 within IPv6, nor which way a line came.
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))

"""Which pages may connect: the Origin of a browser's handshake, compared as a whole.

Knows nothing of keys: what sends no Origin is no browser, and its key decides.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit


def origin_allowed(origin: str | None, allowed: Iterable[str], host: str) -> bool:
    """May a page of `origin` connect? `host` is the request's Host, `allowed` as in the settings.

    A browser always sends an Origin, and can't be made to lie about it.
    Compared as a whole, never by prefix or suffix: `https://desk.example.evil.example` is somebody else.
    """
    if origin is None:
        return True
    theirs = _origin_parts(origin)
    if theirs is None:
        return False
    if theirs in (_origin_parts(each) for each in allowed):
        return True
    # Our own page. A proxy in front may have taken the TLS off, so the scheme can't be compared with ours.
    return theirs == _origin_parts(f"{theirs[0]}://{host}")


def _origin_parts(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what is not plainly an origin."""
    if re.fullmatch(r"https?://[a-z0-9_.\-\[\]:]+", text, re.IGNORECASE | re.ASCII) is None:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.netloc.endswith(":"):
        return None
    return (
        parts.scheme,
        parts.hostname,
        port if port is not None else {"http": 80, "https": 443}[parts.scheme],
    )

"""What a connection to a gateway is made of: its address, its key, and every limit with its default.

Knows URLs; opens nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext, create_default_context
from urllib.parse import urlsplit, urlunsplit

from gateway.errors import BadRequest

DEFAULT_PATH = "/mlink/jsonf"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

# A frame holds 999,999 bytes and a header; a larger WebSocket message is no gateway's.
MESSAGE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How the line is made, kept and given up."""

    url: str
    key: str = field(default="", repr=False)
    #: Whom to trust at a `wss://` address. None: those whom this machine trusts.
    ssl: SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: permessage-deflate: for slow lines; it costs time per message on both sides.
    compression: bool = False
    #: True: as the environment says (HTTPS_PROXY …); a URL; None: never.
    proxy: str | bool | None = True
    #: The handshake takes longer: tried again.
    open_timeout_s: float = 10.0
    #: Nothing heard for so long (the gateway has a heartbeat each 5 s): dialled again.
    silence_s: float = 20.0
    #: Saying goodbye takes longer: cut.
    close_timeout_s: float = 1.0
    #: The first wait between two tries; grows to `retry_longest_s`.
    retry_first_s: float = 0.25
    retry_longest_s: float = 30.0
    #: No line for so long: `Unreachable`. None: never.
    give_up_after_s: float | None = None
    #: Messages received and not taken. Full: the socket is not read until half of it is.
    buffer_messages: int = 10_000
    #: Streams that share a socket; one more opens a further one. 1: each has its own.
    streams_per_socket: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", websocket_url(self.url))
        if self.url.startswith("wss:"):
            # The library would make one itself only where nothing is said, and takes None for "no TLS".
            object.__setattr__(self, "ssl", self.ssl or create_default_context())
        elif self.ssl is not None:
            raise BadRequest(f"ssl is for wss://, and the address is {self.url.partition('?')[0]}")
        for name in ("open_timeout_s", "silence_s", "close_timeout_s", "retry_first_s", "retry_longest_s"):
            if not getattr(self, name) > 0:
                raise BadRequest(f"{name} {getattr(self, name)!r}: expected more than 0")
        for name in ("buffer_messages", "streams_per_socket"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name)!r}: expected 1 or more")


def websocket_url(url: str) -> str:
    """The address as the socket needs it: `localhost:8765` and `https://host` are enough."""
    text = url if "://" in url else f"ws://{url}"
    try:
        parts = urlsplit(text)
        scheme = _SCHEMES[parts.scheme]
        if not parts.hostname or (parts.port is not None and not parts.port):
            raise ValueError("no host")
    except (KeyError, ValueError) as error:
        raise BadRequest(f"gateway address {url!r}: expected ws://HOST:PORT or wss://HOST:PORT") from error
    return urlunsplit(
        (scheme, parts.netloc, DEFAULT_PATH if parts.path in ("", "/") else parts.path, parts.query, "")
    )

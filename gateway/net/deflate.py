"""permessage-deflate (RFC 7692) of finished WebSocket messages, once for all who get the same bytes.

Knows the frames that the hub makes: whole, unmasked, uncompressed binary messages, one after another.
What makes sharing sound is `server_no_context_takeover`, which the server insists on: no message
needs the one before it.
"""

import zlib
from collections.abc import Sequence

from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

from gateway.hub.wire import binary_message

# Below this a message does not get smaller by enough to be worth the receiver's work.
WORTH_BYTES = 256
# The fastest: the loop waits for it. JSON of this kind shrinks to a fifth all the same.
LEVEL = 1
# The window that every client has unless it says otherwise; one that asked for less gets plain messages.
WINDOW_BITS = 15
# What ends a flushed block, and is left out on the wire.
_TAIL = b"\x00\x00\xff\xff"
_COMPRESSED = 0xC2


def offered() -> list[ServerPerMessageDeflateFactory]:
    """What the server agrees to. Without context in either direction no window is kept in memory."""
    return [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]


def is_agreed(extensions: Sequence[Extension]) -> bool:
    """Whether shared messages may go to a connection that agreed on these."""
    return any(
        isinstance(each, PerMessageDeflate) and each.local_max_window_bits == WINDOW_BITS
        for each in extensions
    )


class Deflater:
    """Remembers the last bytes it was given, as one write after the other of a group is of the same ones."""

    def __init__(self) -> None:
        self._plain = b""
        self._deflated = b""

    def of(self, messages: bytes) -> bytes:
        """The same messages, those compressed that get smaller by it."""
        if messages is not self._plain:
            self._deflated = deflated(messages)
            self._plain = messages
        return self._deflated


def deflated(messages: bytes) -> bytes:
    """Whole WebSocket messages as the hub makes them, each in compressed form where that is shorter."""
    out: list[bytes | memoryview] = []
    view, at = memoryview(messages), 0
    while at < len(messages):
        size, start = messages[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(messages[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(messages[at + 2 : at + 10], "big"), at + 10
        end = start + size
        small = compressed(view[start:end]) if size >= WORTH_BYTES else None
        out.append(view[at:end] if small is None or len(small) >= size else _marked(small))
        at = end
    return b"".join(out)


def compressed(payload: memoryview) -> bytes:
    """One message's payload, by itself."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def _marked(payload: bytes) -> bytes:
    """A whole binary message with the bit that says it is compressed."""
    return bytes((_COMPRESSED,)) + binary_message(payload)[1:]

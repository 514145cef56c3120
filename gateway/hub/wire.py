"""Joins frames into WebSocket messages and writes their WebSocket frames.

Knows RFC 6455 section 5.2 for one case only: an unmasked, unfragmented, uncompressed binary
message from a server. Handshake, control frames and close belong to the websockets library.
"""

from collections.abc import Sequence

# Clients in the field read into buffers of this size; a single larger frame travels alone.
MESSAGE_BYTES_MAX = 65_535
_FIN_BINARY = 0x82


def binary_message(payload: bytes) -> bytes:
    """One whole binary WebSocket message, as a server sends it."""
    return _header(len(payload)) + payload


def _header(size: int) -> bytes:
    if size < 126:
        return bytes((_FIN_BINARY, size))
    if size <= 0xFFFF:
        return b"\x82\x7e" + size.to_bytes(2, "big")
    return b"\x82\x7f" + size.to_bytes(8, "big")


def joined_messages(frames: Sequence[str]) -> bytes:
    """`J` frames (ASCII) in as few WebSocket messages as fit MESSAGE_BYTES_MAX; none straddles two."""
    parts: list[bytes] = []
    first = size = 0
    for at, frame in enumerate(frames):
        size += len(frame)
        if size > MESSAGE_BYTES_MAX and at > first:
            # Joined piece by piece: what fits the processor's cache is copied several times faster.
            payload = "".join(frames[first:at]).encode("ascii")
            parts += (_header(len(payload)), payload)
            first, size = at, len(frame)
    payload = "".join(frames[first:]).encode("ascii")
    parts += (_header(len(payload)), payload)
    return b"".join(parts)


def single_messages(objects: Sequence[str]) -> bytes:
    """Unframed JSON objects, one per WebSocket message, all in one run of bytes."""
    return b"".join([binary_message(text.encode("ascii")) for text in objects])

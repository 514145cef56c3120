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
    size = len(payload)
    if size < 126:
        return bytes((_FIN_BINARY, size)) + payload
    if size <= 0xFFFF:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload


def joined_messages(frames: Sequence[str]) -> bytes:
    """`J` frames (ASCII) in as few WebSocket messages as fit MESSAGE_BYTES_MAX; none straddles two."""
    whole = "".join(frames)
    if len(whole) <= MESSAGE_BYTES_MAX:
        return binary_message(whole.encode("ascii"))
    messages: list[bytes] = []
    first = size = 0
    for at, frame in enumerate(frames):
        size += len(frame)
        if size > MESSAGE_BYTES_MAX and at > first:
            messages.append(binary_message("".join(frames[first:at]).encode("ascii")))
            first, size = at, len(frame)
    messages.append(binary_message("".join(frames[first:]).encode("ascii")))
    return b"".join(messages)


def single_messages(objects: Sequence[str]) -> bytes:
    """Unframed JSON objects, one per WebSocket message, all in one run of bytes."""
    return b"".join([binary_message(text.encode("ascii")) for text in objects])

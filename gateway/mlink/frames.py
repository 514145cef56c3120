"""Frames: `\r\n`, `J`, a 5-digit number, a 6-digit payload length, and JSON.

Output writes frames. Input takes one WebSocket message and gives the JSON objects in it, framed or
not, text or binary; nothing is kept between two messages, because a frame never straddles them.
What the objects mean is not known here (see `control`).
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.errors import BadRequest, GatewayError, LocalProtocolError

HEADER = b"\r\nJ"
HEADER_SIZE = 14
# Five and six digits are all the room the header has.
NUMBER_MAX = 99_999
PAYLOAD_BYTES_MAX = 999_999
# The C# and C++ clients' buffers end here; a single larger frame travels alone.
WS_MESSAGE_BYTES_MAX = 65_535

# What a subscriber may send at once. Larger: refused, and the connection ends with a named close code.
MESSAGE_BYTES_MAX = 131_072
# Our deepest message has five levels (envelope, message, Subscribe, item, key). Deeper: refused.
DEPTH_MAX = 16


class FrameTooLong(GatewayError):
    """A payload of more than 999,999 bytes does not fit a frame; it is counted and left out."""


class BadFrame(BadRequest):
    """A subscriber's bytes are not the frame they claim to be."""


class MessageTooBig(BadFrame):
    """A subscriber's WebSocket message is larger than allowed."""


class BadJson(BadRequest):
    """A subscriber's payload is not a JSON object that we take."""


def frame(payload: bytes, number: int = 0) -> bytes:
    size = len(payload)
    if size > PAYLOAD_BYTES_MAX:
        raise FrameTooLong(f"payload of {size} bytes, a frame holds at most {PAYLOAD_BYTES_MAX}")
    if not 0 <= number <= NUMBER_MAX:
        raise LocalProtocolError(f"message number {number}, expected 0 to {NUMBER_MAX}")
    return b"\r\nJ%05d%06d%b" % (number, size, payload)


def frame_text(payload: str) -> str:
    """The same with number 00000 for ASCII text, where a character is a byte: many of these are
    joined and encoded once."""
    size = len(payload)
    if size > PAYLOAD_BYTES_MAX:
        raise FrameTooLong(f"payload of {size} bytes, a frame holds at most {PAYLOAD_BYTES_MAX}")
    if not payload.isascii():
        raise LocalProtocolError("only ASCII has as many bytes as characters; escape the rest as \\uXXXX")
    return f"\r\nJ00000{size:06d}{payload}"


# A message that starts so claims to be framed. Clients in C write `J` and 11 digits, with or without
# the line break; the digits are the same bytes as number 00000 and a length.
_CLAIMS_FRAME = re.compile(rb"\r\n[A-Za-z]|J")
_FRAME = re.compile(rb"(?:\r\n)?J([0-9]{5})([0-9]{6})")


class InputReader:
    """One WebSocket message in, its JSON objects out, in order.

    Raises BadFrame, MessageTooBig or BadJson, each with the position in the message and what was
    expected there, and no other error, whatever comes in. Good frames in front of a broken one are
    yielded first.
    """

    def __init__(self, *, message_bytes_max: int = MESSAGE_BYTES_MAX, depth_max: int = DEPTH_MAX) -> None:
        self._message_bytes_max = message_bytes_max
        self._depth_max = depth_max

    def feed(self, message: bytes | str) -> Iterator[dict[str, Any]]:
        data = self._bytes_of(message)
        if not data:
            raise BadFrame("the message is empty, expected a frame or one JSON object")
        if not _CLAIMS_FRAME.match(data):
            yield self._object(data, 0)
            return
        at = 0
        while at < len(data):
            start, end = _payload_range(data, at)
            yield self._object(data[start:end], start)
            at = end

    def _bytes_of(self, message: bytes | str) -> bytes:
        size = len(message)
        if size <= self._message_bytes_max:
            if isinstance(message, bytes):
                return message
            try:
                data = message.encode()
            except UnicodeEncodeError as error:
                raise BadJson(
                    f"position {error.start}: half of a surrogate pair, expected Unicode text"
                ) from error
            size = len(data)
            if size <= self._message_bytes_max:
                return data
        raise MessageTooBig(f"message of {size} bytes, at most {self._message_bytes_max} are taken")

    def _object(self, payload: bytes, start: int) -> dict[str, Any]:
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            mended = _mend_lists(payload)
            if mended is None:
                raise _bad_json(payload, start, error) from error
            try:
                value = orjson.loads(mended)
            except orjson.JSONDecodeError:
                # Told of what was sent, not of what we made of it.
                raise _bad_json(payload, start, error) from error
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "a plain value"
            raise BadJson(f"position {start}: {kind}, expected a JSON object with header and message")
        self._check_depth(value, start)
        return value

    def _check_depth(self, root: dict[str, Any], start: int) -> None:
        """Level by level, not by recursion: what is too deep must not end in a RecursionError."""
        level: list[Any] = [root]
        for _ in range(self._depth_max):
            level = [
                child
                for node in level
                for child in (node.values() if isinstance(node, dict) else node)
                if isinstance(child, dict | list)
            ]
            if not level:
                return
        raise BadJson(f"position {start}: nested deeper than the {self._depth_max} levels that are taken")


def _payload_range(data: bytes, at: int) -> tuple[int, int]:
    header = _FRAME.match(data, at)
    if header is None:
        found = data[at : at + HEADER_SIZE].decode("ascii", "backslashreplace")
        if found.startswith("\r\n") and found[2:3] not in ("", "J"):
            raise BadFrame(f"position {at + 2}: protocol {found[2]!r}, expected 'J' (JSON)")
        raise BadFrame(f"position {at}: {found!r}, expected a frame header: \\r\\n, J, 11 digits")
    size = int(header[2])
    start, end = header.end(), header.end() + size
    if end > len(data):
        raise BadFrame(
            f"position {at}: the header says {size} bytes of payload (UTF-8), {len(data) - start} follow"
        )
    return start, end


def _bad_json(payload: bytes, start: int, error: orjson.JSONDecodeError) -> BadJson:
    if not payload:
        return BadJson(f"position {start}: nothing, expected a JSON object")
    try:
        text = payload.decode()
    except UnicodeDecodeError as broken:
        return BadJson(f"position {start + broken.start}: byte {payload[broken.start]:#04x}, expected UTF-8")
    # The parser counts characters, positions here are bytes.
    return BadJson(f"position {start + len(text[: error.pos].encode())}: {error.msg}")


# One pass whatever is sent: each alternative is possessive, and a string without an end runs to the end.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}:,]|\s++|[^\s"\[\]{}:,]++', re.DOTALL)
# Three times what the largest list we take is made of. Past it nothing is mended: this is the one thing
# in reading that costs more than the parser does, and strangers choose how much of it there is.
MENDED_TOKENS_MAX = 32_768
_MISSING_COMMA = re.compile(rb"\}\s*+\{")
_MENDED_LISTS = frozenset((b'"Subscribe"', b'"Unsubscribe"', b'"View"'))


def _mend_lists(payload: bytes) -> bytes | None:
    """Put the commas back that the C++ SDK forgets between the objects of a Subscribe list.

    None when there is none to put back. Only there: elsewhere `}{` is an error like any other.
    """
    if not _MISSING_COMMA.search(payload):
        return None
    pieces: list[bytes] = []
    copied = 0
    mendable: list[bool] = []  # for each open bracket or brace: is it one of those lists
    before, before_that = b"", b""
    for count, match in enumerate(_TOKEN.finditer(payload)):
        if count == MENDED_TOKENS_MAX:
            return None
        token = match[0]
        if token.isspace():
            continue
        if token == b"{" and before == b"}" and mendable and mendable[-1]:
            pieces += (payload[copied : match.start()], b",")
            copied = match.start()
        if token in (b"[", b"{"):
            mendable.append(token == b"[" and before == b":" and before_that in _MENDED_LISTS)
        elif token in (b"]", b"}") and mendable:
            mendable.pop()
        before, before_that = token, before
    if not pieces:
        return None
    return b"".join((*pieces, payload[copied:]))

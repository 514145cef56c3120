"""Where one packet ends and the next begins.

Knows the length prefix and, for speed, the look of a sequenced packet; knows nothing of what packets mean.
"""

from typing import NamedTuple

from gateway.errors import RemoteProtocolError
from gateway.soup.packets import HEADER, LENGTH_SIZE, SEQUENCED

_HEADER_SIZE = HEADER.size
_unpack_header = HEADER.unpack_from


class Packet(NamedTuple):
    """One packet: its type byte and what follows it."""

    kind: int
    payload: bytes


class Framer:
    """Feed it bytes as they come, take whole packets out until it says None.

    Packets come out one by one, or as a run of sequenced ones, not as a list, so that the good packets
    in front of a broken one still reach the journal. Never holds more than one packet plus one read.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        # Reads that don't complete a packet wait here unjoined, so that a packet
        # that comes a byte at a time is not copied once per byte.
        self._parts: list[bytes] = []
        self._missing = 0

    @property
    def pending(self) -> int:
        """Bytes that were fed and not yet taken."""
        return len(self._buffer) - self._start + sum(map(len, self._parts))

    def feed(self, data: bytes) -> None:
        if self._missing > 0:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        if self._start < len(self._buffer):
            data = self._buffer[self._start :] + data
        self._buffer = data
        self._start = 0

    def take_run(self) -> tuple[int, bytes] | None:
        """Take all whole sequenced packets that come next, as (count, their bytes in one slice)."""
        data, size_all = self._buffer, len(self._buffer)
        at, last_header = self._start, size_all - _HEADER_SIZE
        count = 0
        while at <= last_header:
            size, kind = _unpack_header(data, at)
            # Length 0 is left for next_packet to name; its third byte is not its type.
            if kind != SEQUENCED or size == 0:
                break
            end = at + LENGTH_SIZE + size
            if end > size_all:
                break
            at = end
            count += 1
        if count == 0:
            return None
        raw = data[self._start : at]
        self._start = at
        return count, raw

    def next_packet(self) -> Packet | None:
        if self._missing > 0:
            return None
        have = len(self._buffer) - self._start
        if have == 0:
            # An idle connection does not hold on to its last read.
            self._buffer, self._start = b"", 0
            return None
        if have < LENGTH_SIZE:
            self._missing = LENGTH_SIZE - have
            return None
        kind_at = self._start + LENGTH_SIZE
        size = int.from_bytes(self._buffer[self._start : kind_at], "big")
        if size == 0:
            raise RemoteProtocolError("packet of length 0 has no type byte")
        end = kind_at + size
        if len(self._buffer) < end:
            self._missing = end - len(self._buffer)
            return None
        self._start = end
        return Packet(self._buffer[kind_at], self._buffer[kind_at + 1 : end])

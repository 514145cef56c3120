"""The values that travel between rooms: frozen, slotted, without behaviour that needs I/O.

Knows the shape of a SoupBinTCP sequenced packet (uint16 length, `S`, payload), because a block
carries packets as they were received; knows nothing of sockets, files or definitions.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands: in `session`, and `next_seq` is the first number it does not have yet.

    An empty session name means the one that is current upstream.
    """

    session: str
    next_seq: int


@dataclass(frozen=True, slots=True)
class Block:
    """A run of sequenced messages of one session, as received. The unit between rooms.

    `raw` holds `count` whole sequenced packets one after the other, each a big-endian uint16
    length (1 + payload), the type byte `S` and the payload; so a block costs one slice of
    what was read, not an object per message. `received_ns` is wall clock, ns since the epoch.
    """

    session: str
    first_seq: int
    count: int
    received_ns: int
    raw: bytes

    @property
    def next_seq(self) -> int:
        """One past the last number in the block."""
        return self.first_seq + self.count

    def payloads(self) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence number, payload) message by message; for tools and tests, not for the hot path."""
        raw, at = self.raw, 0
        for seq in range(self.first_seq, self.first_seq + self.count):
            end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
            yield seq, raw[at + 3 : end]
            at = end

    def tail(self, from_seq: int) -> "Block":
        """The part of the block from `from_seq` on: itself when that is not above its first number."""
        skip = from_seq - self.first_seq
        if skip <= 0:
            return self
        if skip >= self.count:
            raise ValueError(f"block holds {self.first_seq}..{self.next_seq - 1}, nothing from {from_seq}")
        at = 0
        for _ in range(skip):
            at += 2 + int.from_bytes(self.raw[at : at + 2], "big")
        return Block(self.session, from_seq, self.count - skip, self.received_ns, self.raw[at:])

    def head(self, bytes_max: int) -> "Block":
        """The first messages of the block that fit `bytes_max` of raw, at least one; itself when all fit."""
        if len(self.raw) <= bytes_max:
            return self
        at = count = 0
        while count == 0 or at + 2 + int.from_bytes(self.raw[at : at + 2], "big") <= bytes_max:
            at += 2 + int.from_bytes(self.raw[at : at + 2], "big")
            count += 1
        return Block(self.session, self.first_seq, count, self.received_ns, self.raw[:at])

    def until(self, seq: int) -> "Block":
        """The part of the block in front of `seq`, maybe of no messages; itself when that is past its end."""
        if seq >= self.next_seq:
            return self
        count = max(0, seq - self.first_seq)
        at = 0
        for _ in range(count):
            at += 2 + int.from_bytes(self.raw[at : at + 2], "big")
        return Block(self.session, self.first_seq, count, self.received_ns, self.raw[:at])


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers `from_seq` … `to_seq` (both in the gap) of `session` that can't be had any more."""

    session: str
    from_seq: int
    to_seq: int

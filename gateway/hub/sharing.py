"""Pieces of the journal as they were written for one stream, for others of its group that come by there.

After a restart all subscribers come back at once and read the same part of the journal. Encoded for each of
them apart, a hundred would never catch up with a busy feed.
"""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.hub.group import Group
from gateway.values import Position

# What a piece costs beside its bytes; one of a strict filter may have none.
PIECE_BYTES = 512
# Pieces end at multiples of this number, so that streams that began anywhere soon stand at the same places.
EVERY = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands between two positions of one session, as WebSocket messages of a group."""

    data: bytes
    messages: int
    end: Position
    received_ns: int


class Sharing:
    """The pieces last used, of all groups together at most `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._pieces: OrderedDict[tuple[int, str, Position], Piece] = OrderedDict()

    def find(self, group: Group, feed: str, position: Position) -> Piece | None:
        """What follows this place, if somebody was given it lately."""
        piece = self._pieces.get((group.number, feed, position))
        if piece is not None:
            self._pieces.move_to_end((group.number, feed, position))
        return piece

    def keep(self, group: Group, feed: str, position: Position, piece: Piece) -> None:
        """Keep it for others; the one that was used longest ago goes when it is too much."""
        key = (group.number, feed, position)
        if (old := self._pieces.pop(key, None)) is not None:
            self._bytes -= len(old.data) + PIECE_BYTES
        self._pieces[key] = piece
        self._bytes += len(piece.data) + PIECE_BYTES
        while self._bytes > self._bytes_max:
            _, oldest = self._pieces.popitem(last=False)
            self._bytes -= len(oldest.data) + PIECE_BYTES

    def forget(self) -> None:
        """What was encoded is not what would be encoded now."""
        self._pieces.clear()
        self._bytes = 0

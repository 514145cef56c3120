"""BookDepth: the best levels of a ticker's book with their number of orders, told when one of them changes.

Knows levels as numbers. The checksum lets a reader who keeps a book of its own see whether it is the same.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from struct import Struct, pack
from zlib import crc32

from gateway.views.book import Books
from gateway.views.layouts import ASSET_TYPE, DEPTH_FORMAT, TICKER_SOURCE
from gateway.views.packing import Packed, Unpacked

Levels = Sequence[tuple[int, int, int]]
# Sequence number, received, time.
Entry = tuple[int, int, int]

CHECKSUM_LEVELS = 10

_pack = Struct(DEPTH_FORMAT).pack


class DepthView:
    """When each ticker's best levels changed last, by locate code; the levels themselves are the book's."""

    def __init__(self, name: str, id_byte: int, levels: int) -> None:
        self.name = name
        self.id_byte = id_byte
        self.levels = levels
        self.wanted = 0
        self.entries: dict[int, Entry] = {}
        # Each side as bytes, of the message and of the checksum, until it changes.
        self._sides: dict[int, tuple[bytes, bytes]] = {}

    def change(self, side: int, seq: int, received_ns: int, time_ns: int) -> Entry:
        """One of the best levels of a side has changed."""
        self._sides.pop(side, None)
        entry = self.entries[side >> 1] = (seq, received_ns, time_ns)
        return entry

    def payload(self, ticker: bytes, locate: int, entry: Entry, books: Books) -> bytes:
        """The levels as a message."""
        _, received_ns, time_ns = entry
        bids, asks = self._side(locate << 1, books), self._side(locate << 1 | 1, books)
        check = crc32(asks[1], crc32(bids[1]))
        head = _pack(self.id_byte, ASSET_TYPE, TICKER_SOURCE, ticker, check, time_ns, received_ns)
        return head + bids[0] + asks[0]

    def _side(self, side: int, books: Books) -> tuple[bytes, bytes]:
        found = self._sides.get(side)
        if found is None:
            levels = books.levels(side, self.levels)
            found = self._sides[side] = (_packed(levels), _checked(levels))
        return found

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(*chain.from_iterable((locate, *entry) for locate, entry in self.entries.items()))

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece."""
        yield
        values = unpacked.array("q").tolist()
        rows = zip(*[iter(values)] * 4, strict=True)
        self._sides = {}
        self.entries = {locate: (seq, received_ns, time_ns) for locate, seq, received_ns, time_ns in rows}


def _checked(levels: Levels) -> bytes:
    """What the checksum is made of: of the ten best, price in 1/10,000 (4 bytes), size (8), big-endian."""
    best = levels[:CHECKSUM_LEVELS]
    return pack(">" + "IQ" * len(best), *chain.from_iterable(level[:2] for level in best))


def _packed(levels: Levels) -> bytes:
    return pack(">B" + "IQI" * len(levels), len(levels), *chain.from_iterable(levels))

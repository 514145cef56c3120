"""BookDepth: the best levels of a ticker's book with their number of orders, told when one of them changes.

Knows levels as numbers. The checksum lets a reader who keeps a book of its own see whether it is the same.
"""

from collections.abc import Sequence
from itertools import chain
from struct import Struct, pack
from zlib import crc32

from gateway.views.layouts import ASSET_TYPE, DEPTH_FORMAT, TICKER_SOURCE
from gateway.views.packing import Packed, Unpacked

Levels = Sequence[tuple[int, int, int]]
# Sequence number, received, time.
Entry = tuple[int, int, int]

CHECKSUM_LEVELS = 10

_pack = Struct(DEPTH_FORMAT).pack


def checksum(bids: Levels, asks: Levels) -> int:
    """CRC32 of the ten best levels, bids first: price in 1/10,000 (4 bytes), size (8 bytes), big-endian."""
    both = [*bids[:CHECKSUM_LEVELS], *asks[:CHECKSUM_LEVELS]]
    return crc32(pack(">" + "IQ" * len(both), *chain.from_iterable(level[:2] for level in both)))


class DepthView:
    """When each ticker's best levels changed last, by locate code; the levels themselves are the book's."""

    def __init__(self, name: str, id_byte: int, levels: int) -> None:
        self.name = name
        self.id_byte = id_byte
        self.levels = levels
        self.wanted = 0
        self.entries: dict[int, Entry] = {}

    def payload(self, ticker: bytes, entry: Entry, bids: Levels, asks: Levels) -> bytes:
        """The levels as a message."""
        _, received_ns, time_ns = entry
        head = _pack(
            self.id_byte, ASSET_TYPE, TICKER_SOURCE, ticker, checksum(bids, asks), time_ns, received_ns
        )
        return head + _packed(bids) + _packed(asks)

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(*chain.from_iterable((locate, *entry) for locate, entry in self.entries.items()))

    def load(self, unpacked: Unpacked) -> None:
        """Know exactly what `dump` gave."""
        values = unpacked.array("q").tolist()
        rows = zip(*[iter(values)] * 4, strict=True)
        self.entries = {locate: (seq, received_ns, time_ns) for locate, seq, received_ns, time_ns in rows}


def _packed(levels: Levels) -> bytes:
    return pack(">B" + "IQI" * len(levels), len(levels), *chain.from_iterable(levels))

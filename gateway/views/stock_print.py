"""StockPrint: each trade of a ticker, with what its day comes to.

Knows a day's figures; how trades are read is the engine's affair.
"""

from collections.abc import Iterator
from struct import Struct

from gateway.views.layouts import ASSET_TYPE, PRINT_FORMAT, TICKER_SOURCE
from gateway.views.packing import LOADED_AT_ONCE, Packed, Unpacked
from gateway.views.tape import Day

# Sequence number, received, time, kind, number, price, size, match, volume, high, low, last, VWAP.
Entry = tuple[int, int, int, bytes, int, int, int, int, int, int, int, int, int]

CONTINUOUS, BROKEN = b"Continuous  ", b"Broken      "
KIND_OF_CROSS = {
    ord("O"): b"OpeningCross",
    ord("C"): b"ClosingCross",
    ord("H"): b"HaltCross   ",
    ord("I"): b"Intraday    ",
    ord("A"): b"Extended    ",
}
OTHER_CROSS = b"Cross       "
_KINDS = (CONTINUOUS, BROKEN, *KIND_OF_CROSS.values(), OTHER_CROSS)

_pack = Struct(PRINT_FORMAT).pack


class PrintView:
    """The newest print of each ticker, by locate code. `wanted` counts those who want each one's bytes."""

    def __init__(self, name: str, id_byte: int) -> None:
        self.name = name
        self.id_byte = id_byte
        self.wanted = 0
        self.entries: dict[int, Entry] = {}

    def change(
        self, locate: int, seq: int, received_ns: int, time_ns: int, kind: bytes, at: int, size: int, day: Day
    ) -> Entry:
        """The print at a place of the day was made or broken."""
        match, price = day.matches[at], day.prices[at]
        figures = (day.volume, day.high, day.low, day.last, day.vwap)
        entry = (seq, received_ns, time_ns, kind, at + 1, price, size, match, *figures)
        self.entries[locate] = entry
        return entry

    def payload(self, ticker: bytes, entry: Entry) -> bytes:
        """The print as a message."""
        return _pack(self.id_byte, ASSET_TYPE, TICKER_SOURCE, ticker, *entry[3:], entry[2], entry[1])

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(len(self.entries))
        for locate, entry in self.entries.items():
            # A match number may have all of its 64 bits.
            packed.numbers(locate, *entry[:3], _KINDS.index(entry[3]), *entry[4:7], *entry[8:])
            packed.text(entry[7].to_bytes(8, "little"))

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece."""
        (count,) = unpacked.numbers(1)
        self.entries = {}
        for at in range(count):
            if at % LOADED_AT_ONCE == 0:
                yield
            locate, seq, received_ns, time_ns, kind, number, price, size, *figures = unpacked.numbers(13)
            match = int.from_bytes(unpacked.text(), "little")
            volume, high, low, last, average = figures
            self.entries[locate] = (
                seq,
                received_ns,
                time_ns,
                _KINDS[kind],
                number,
                price,
                size,
                match,
                volume,
                high,
                low,
                last,
                average,
            )

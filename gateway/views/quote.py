"""StockBookQuote: the two best levels of a ticker's book, told when one of them has changed.

Knows levels as numbers and MLink's words for what a market does; where they come from is the book's affair.
"""

from collections.abc import Iterator
from struct import Struct

from gateway.views.layouts import ASSET_TYPE, QUOTE_FORMAT, TICKER_SOURCE
from gateway.views.packing import LOADED_AT_ONCE, Packed, Unpacked

Top = tuple[int, int, int, int]
# Sequence number, received (ns since the epoch), time (ns since midnight), status, what changed, bids, asks.
Entry = tuple[int, int, int, bytes, bytes, Top, Top]

NO_LEVELS: Top = (0, 0, 0, 0)
LEVELS = 2
PRICE_CHANGE, SIZE_CHANGE = b"PrcChange   ", b"SizeOnly    "
_CHANGES = (PRICE_CHANGE, SIZE_CHANGE)
NO_STATUS, PRE_OPEN, PRE_CROSS, OPEN, AFTER_HOURS, CLOSED, HALTED = _STATUSES = (
    b"None        ",
    b"PreOpen     ",
    b"PreCross    ",
    b"Open        ",
    b"AfterHours  ",
    b"Closed      ",
    b"Halted      ",
)
# What the day's events say of all tickers, and a trading state of one; T says what the day says.
STATUS_OF_EVENT = {
    ord("O"): CLOSED,
    ord("S"): PRE_OPEN,
    ord("Q"): OPEN,
    ord("M"): AFTER_HOURS,
    ord("E"): CLOSED,
    ord("C"): CLOSED,
}
STATUS_OF_STATE = {ord("H"): HALTED, ord("P"): HALTED, ord("Q"): PRE_CROSS}

_pack = Struct(QUOTE_FORMAT).pack


class QuoteView:
    """The newest quote of each ticker, by locate code. `wanted` counts those who want each one's bytes."""

    def __init__(self, name: str, id_byte: int) -> None:
        self.name = name
        self.id_byte = id_byte
        self.wanted = 0
        self.entries: dict[int, Entry] = {}
        # The same levels by side.
        self.tops: dict[int, Top] = {}

    def change(self, side: int, top: Top, seq: int, received_ns: int, time_ns: int, status: bytes) -> Entry:
        """The best levels of a side are others than `tops` has."""
        tops = self.tops
        before, tops[side] = tops.get(side, NO_LEVELS), top
        other = tops.get(side ^ 1, NO_LEVELS)
        bids, asks = (other, top) if side & 1 else (top, other)
        same_prices = before[0] == top[0] and before[2] == top[2]
        changed = SIZE_CHANGE if same_prices else PRICE_CHANGE
        entry = self.entries[side >> 1] = (seq, received_ns, time_ns, status, changed, bids, asks)
        return entry

    def payload(self, ticker: bytes, entry: Entry) -> bytes:
        """The quote as a message."""
        _, received_ns, time_ns, status, changed, bids, asks = entry
        return _pack(
            self.id_byte,
            ASSET_TYPE,
            TICKER_SOURCE,
            ticker,
            changed,
            status,
            bids[0],
            bids[1],
            asks[0],
            asks[1],
            bids[2],
            bids[3],
            asks[2],
            asks[3],
            time_ns,
            received_ns,
        )

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(len(self.entries))
        for locate, (seq, received_ns, time_ns, status, changed, bids, asks) in self.entries.items():
            words = _STATUSES.index(status), _CHANGES.index(changed)
            packed.numbers(locate, seq, received_ns, time_ns, *words, *bids, *asks)

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece."""
        (count,) = unpacked.numbers(1)
        self.entries, self.tops = {}, {}
        for at in range(count):
            if at % LOADED_AT_ONCE == 0:
                yield
            locate, seq, received_ns, time_ns, status, changed, *levels = unpacked.numbers(14)
            bids, asks = tuple(levels[:4]), tuple(levels[4:])
            self.tops[locate << 1], self.tops[locate << 1 | 1] = bids, asks  # type: ignore[assignment]
            words = _STATUSES[status], _CHANGES[changed]
            self.entries[locate] = (seq, received_ns, time_ns, *words, bids, asks)  # type: ignore[assignment]

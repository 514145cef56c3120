"""Bar: open, high, low, close and volume of a ticker's prints in one interval, told with each print.

Knows a day's prints by their places. A bar has no timer: it is over when a print of a later one comes, and
an interval without a print has no bar.
"""

from collections.abc import Iterator
from struct import Struct

from gateway.views.layouts import ASSET_TYPE, BAR_FORMAT, TICKER_SOURCE
from gateway.views.packing import LOADED_AT_ONCE, Packed, Unpacked
from gateway.views.tape import Day, vwap

# Sequence number, received, time, begin, place of the first print, open, high, low, close, volume, what was
# paid, prints.
Entry = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
_FIELDS = 12

_pack = Struct(BAR_FORMAT).pack


class BarView:
    """The newest bar of each ticker, by locate code. `wanted` counts those who want each one's bytes."""

    def __init__(self, name: str, id_byte: int, interval_ns: int) -> None:
        self.name = name
        self.id_byte = id_byte
        self.interval_ns = interval_ns
        self.wanted = 0
        self.entries: dict[int, Entry] = {}

    def add(self, locate: int, seq: int, received_ns: int, time_ns: int, day: Day) -> Entry:
        """The day has one more print."""
        at = len(day.prices) - 1
        price, size = day.prices[at], day.sizes[at]
        begin = time_ns - time_ns % self.interval_ns
        old = self.entries.get(locate)
        if old is None or old[3] != begin or not old[11]:
            first = at if old is None or old[3] != begin else old[4]
            figures = (price, price, price, price, size, size * price, 1)
            entry = (seq, received_ns, time_ns, begin, first, *figures)
        else:
            _, _, _, _, first, open_, high, low, _, volume, notional, prints = old
            high, low = max(high, price), min(low, price)
            figures = (open_, high, low, price, volume + size, notional + size * price, prints + 1)
            entry = (seq, received_ns, time_ns, begin, first, *figures)
        self.entries[locate] = entry
        return entry

    def take_out(
        self, locate: int, seq: int, received_ns: int, time_ns: int, at: int, day: Day
    ) -> Entry | None:
        """The print at a place of the day was broken; None when the bar it was in is over."""
        old = self.entries.get(locate)
        if old is None or at < old[4]:
            return None
        left = [(p, s) for p, s in zip(day.prices[old[4] :], day.sizes[old[4] :], strict=True) if s]
        figures = (0, 0, 0, 0, 0, 0, 0)
        if left:
            prices = [price for price, _ in left]
            volume, notional = sum(size for _, size in left), sum(price * size for price, size in left)
            figures = (prices[0], max(prices), min(prices), prices[-1], volume, notional, len(left))
        entry = (seq, received_ns, time_ns, old[3], old[4], *figures)
        self.entries[locate] = entry
        return entry

    def payload(self, ticker: bytes, entry: Entry) -> bytes:
        """The bar as a message."""
        _, received_ns, time_ns, begin, _, open_, high, low, close, volume, notional, prints = entry
        return _pack(
            self.id_byte,
            ASSET_TYPE,
            TICKER_SOURCE,
            ticker,
            begin,
            open_,
            high,
            low,
            close,
            volume,
            vwap(notional, volume),
            prints,
            time_ns,
            received_ns,
        )

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(len(self.entries))
        for locate, entry in self.entries.items():
            # What was paid in a bar can be more than 64 bits hold.
            packed.numbers(locate, *entry[:10], entry[11])
            packed.text(entry[10].to_bytes(16, "little"))

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece."""
        (count,) = unpacked.numbers(1)
        self.entries = {}
        for at in range(count):
            if at % LOADED_AT_ONCE == 0:
                yield
            locate, *values, prints = unpacked.numbers(_FIELDS)
            notional = int.from_bytes(unpacked.text(), "little")
            self.entries[locate] = (*values, notional, prints)  # type: ignore[assignment]

"""The prints of each ticker, and what they come to: volume, high, low, last, VWAP, without the broken ones.

Knows prices, sizes and match numbers; knows nothing of messages. A print costs 20 bytes for the rest of the
session, because a broken trade may name any of them and the high without it is to be found.
"""

from array import array
from collections.abc import Iterator
from operator import mul

from gateway.views.packing import LOADED_AT_ONCE, Packed, Unpacked

# VWAP has two decimals more than a price.
VWAP_FACTOR = 100
# More shares than this in a day are no trades but garbage; the figures must fit their fields whatever comes.
VOLUME_MAX = 1 << 62


class Day:
    """The prints of one ticker in one session. All figures leave broken prints out."""

    __slots__ = ("high", "last", "low", "matches", "notional", "prices", "sizes", "volume")

    def __init__(self) -> None:
        self.matches = array("Q")
        self.prices = array("I")
        # 0 for a broken one.
        self.sizes = array("Q")
        self.volume = 0
        # Sum of price times shares.
        self.notional = 0
        self.high = self.low = self.last = 0

    def add(self, match: int, price: int, shares: int) -> None:
        """One more print."""
        self.matches.append(match)
        self.prices.append(price)
        self.sizes.append(shares)
        if price > self.high:
            self.high = price
        if price < self.low or not self.volume:
            self.low = price
        self.volume += shares
        self.notional += shares * price
        self.last = price

    def find(self, match: int) -> int:
        """The place of a print that is not broken, -1 if there is none of this match number."""
        try:
            at = self.matches.index(match)
            while not self.sizes[at]:
                at = self.matches.index(match, at + 1)
        except ValueError:
            return -1
        return at

    def take_out(self, at: int) -> None:
        """Break the print at a place."""
        self.sizes[at] = 0
        self.work_out()

    def work_out(self) -> None:
        """The figures, anew from all prints."""
        self.volume = sum(self.sizes)
        self.notional = sum(map(mul, self.prices, self.sizes))
        left = [price for price, size in zip(self.prices, self.sizes, strict=True) if size]
        self.high, self.low, self.last = (max(left), min(left), left[-1]) if left else (0, 0, 0)

    def copied(self) -> "Day":
        """The prints alone, without what they come to."""
        twin = Day()
        twin.matches, twin.prices, twin.sizes = self.matches[:], self.prices[:], self.sizes[:]
        return twin

    @property
    def vwap(self) -> int:
        """In a hundredth of the price's unit, rounded half up; 0 without a print."""
        return vwap(self.notional, self.volume)


def vwap(notional: int, volume: int) -> int:
    """What was paid per share, in a hundredth of the price's unit, rounded half up; 0 for no shares."""
    return (notional * VWAP_FACTOR + volume // 2) // volume if volume else 0


class Tape:
    """The days of all tickers by locate code."""

    def __init__(self) -> None:
        self.days: dict[int, Day] = {}
        # Broken trades whose print was not ours, and prints of more shares than there can be.
        self.unknown = self.absurd = 0

    def add(self, locate: int, match: int, price: int, shares: int) -> Day | None:
        """One more print of a ticker, of at least one share; None if it can't be."""
        day = self.days.get(locate)
        if day is None:
            day = self.days[locate] = Day()
        if day.volume + shares > VOLUME_MAX:
            self.absurd += 1
            return None
        day.add(match, price, shares)
        return day

    def copied(self) -> "Tape":
        """What `dump` needs, as it is now."""
        twin = Tape()
        twin.unknown, twin.absurd = self.unknown, self.absurd
        twin.days = {locate: day.copied() for locate, day in self.days.items()}
        return twin

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint."""
        packed.numbers(self.unknown, self.absurd, len(self.days))
        for locate, day in self.days.items():
            packed.numbers(locate)
            packed.array(day.matches)
            packed.array(day.prices)
            packed.array(day.sizes)

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece."""
        self.unknown, self.absurd, count = unpacked.numbers(3)
        self.days = {}
        for at in range(count):
            if at % LOADED_AT_ONCE == 0:
                yield
            (locate,) = unpacked.numbers(1)
            day = self.days[locate] = Day()
            day.matches, day.prices, day.sizes = unpacked.array("Q"), unpacked.array("I"), unpacked.array("Q")
            if not len(day.matches) == len(day.prices) == len(day.sizes):
                raise ValueError(f"tape: the prints of locate {locate} do not fit together")
            day.work_out()

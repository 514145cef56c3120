"""One ticker's order book: its next move, as the ITCH message that says so.

Pure arithmetic on the random bits and the time it is given. The books' numbers (order references, match
numbers) come from the day, which all books of a market share.

Both sides are held the same way: a list of (signed price, -reference, shares) in ascending order, where the
sign is + for bids and - for offers. So the best order is the last on either side, the older of two at the
same price stands nearer to the end, and "does not cross" reads `price + best of the other side < 0` for both.
"""

from bisect import insort
from collections.abc import Callable
from math import log

from gateway.simulator import itch
from gateway.simulator.itch import MPIDS, head_of
from gateway.simulator.symbols import Symbol

CENT = 100  # Prices are integers of a ten-thousandth of a dollar.
DEPTH_MIN = 3
DEPTH_MAX = 48  # Orders a side; at more, the next move takes one away.

# How many steps from the fair price an order is placed: mostly near, seldom far, never more than 60.
OFFSETS = tuple(min(60, 1 + int(-7 * log((number + 0.5) / 256))) for number in range(256))
# Round lots mostly, some odd ones, now and then a block: 64 sizes.
_ROUND = (
    [100] * 24 + [200] * 10 + [300] * 6 + [400, 400, 500, 500, 500, 600, 800, 1000, 1000, 1500, 2000, 5000]
)
_ODD = [1, 2, 3, 4, 5, 6, 7, 8, 25, 50, 75, 150]
SIZES = (*_ROUND, *_ODD)
MOVE_BITS = 62
_INTERESTS = (b"B", b"S", b"A", b"N")
_RESTRICTIONS = (b"0", b"1", b"2")
_MODES = (b"N", b"N", b"N", b"P")

# Of 256 moves: how many are of which kind. Taking away balances adding at a depth of a few dozen orders.
_ADDS = 106
_DELETES = _ADDS + 78
_REPLACES = _DELETES + 34
_EXECUTES = _REPLACES + 18
_CANCELS = _EXECUTES + 10
_TRADES = _CANCELS + 6
_PRICED = _TRADES + 2  # The rest of the 256 is rare news.

Order = tuple[int, int, int]


class Book:
    """The live orders of one ticker, never crossed, and a fair price that wanders around where it started."""

    __slots__ = (
        "_asks",
        "_bids",
        "_fair",
        "_fair_max",
        "_fair_min",
        "_halt",
        "_last_match",
        "_new_match",
        "_new_reference",
        "_step",
        "heads",
        "name",
        "symbol",
    )

    def __init__(
        self, symbol: Symbol, locate: int, new_reference: Callable[[], int], new_match: Callable[[], int]
    ) -> None:
        self.symbol = symbol
        self.name = symbol.ticker.encode().ljust(8)
        self.heads = {kind: head_of(kind.encode(), locate) for kind in "RHYLAFECXDUPQBINJ"}
        self._new_reference = new_reference
        self._new_match = new_match
        self._bids: list[Order] = []
        self._asks: list[Order] = []
        self._fair = round(symbol.dollars * 100) * CENT
        self._fair_min, self._fair_max = self._fair // 2, self._fair * 2
        # A price step of two hundredths of a percent, in whole cents: dear shares have wider books.
        self._step = max(1, round(symbol.dollars * 0.02)) * CENT
        self._last_match = 0
        # What must be said before the ticker trades again; empty while it trades. The last is said first.
        self._halt: list[Callable[[int, int], bytes]] = []

    @property
    def price(self) -> int:
        """Where the ticker trades, in ten-thousandths of a dollar: between the best bid and offer."""
        bid = self._bids[-1][0] if self._bids else self._fair - self._step
        ask = -self._asks[-1][0] if self._asks else self._fair + self._step
        return max((bid + ask) // (2 * CENT) * CENT, CENT)

    def move(self, bits: int, high: int, low: int) -> bytes:
        """The next message, decided by 62 random `bits`. `high` and `low` are the two parts of the time."""
        if self._halt and bits & 0x3000:
            return self._halt.pop()(high, low)
        kind = bits & 0xFF
        if bits & 0x100:
            sign, side, orders, others = 1, b"B", self._bids, self._asks
        else:
            sign, side, orders, others = -1, b"S", self._asks, self._bids
        if bits >> 57 == 0:
            self._drift(bits >> 50)
        depth = len(orders)
        if depth < DEPTH_MIN:
            kind = 0
        elif self._halt:
            kind = _ADDS - (kind & 1)
        elif orders[-1][0] > sign * self._fair:
            # The fair price has gone through the best order: somebody takes it.
            kind = _REPLACES
        elif depth > DEPTH_MAX and kind < _ADDS:
            kind = _ADDS
        if kind < _ADDS:
            return self._add(bits, high, low, sign, side, orders, others)
        if kind < _DELETES:
            order = orders.pop((bits >> 12) % depth)
            return itch.DELETE(self.heads["D"], high, low, -order[1])
        if kind < _REPLACES:
            return self._replace(bits, high, low, sign, orders, others)
        if kind < _EXECUTES:
            return self._execute(bits, high, low, orders)
        if kind < _CANCELS:
            return self._cancel(bits, high, low, orders)
        if kind < _TRADES:
            self._last_match = match = self._new_match()
            shares = SIZES[bits >> 12 & 63]
            return itch.TRADE(self.heads["P"], high, low, 0, b"B", shares, self.name, self.price, match)
        if kind < _PRICED:
            return self._execute_at_price(bits, high, low, sign, orders)
        return self._news(bits, high, low)

    def _drift(self, bits: int) -> None:
        """Move the fair price a step or a few, turned back at half and at twice where it started."""
        move = self._step * (1 + (bits >> 1 & 3)) >> 1
        fair = self._fair + (move if bits & 1 else -move)
        if self._fair_min < fair < self._fair_max:
            self._fair = fair

    def _place(self, bits: int, sign: int, others: list[Order]) -> int:
        """A signed price near the fair one that does not touch the other side."""
        price = (sign * self._fair - self._step * OFFSETS[bits >> 12 & 255]) // CENT * CENT
        if others and price + others[-1][0] >= 0:
            return -others[-1][0] - CENT
        return price

    def _add(
        self, bits: int, high: int, low: int, sign: int, side: bytes, orders: list[Order], others: list[Order]
    ) -> bytes:
        price = self._place(bits, sign, others)
        reference, shares = self._new_reference(), SIZES[bits >> 20 & 63]
        insort(orders, (price, -reference, shares))
        if bits >> 26 & 7:
            return itch.ADD(self.heads["A"], high, low, reference, side, shares, self.name, sign * price)
        mpid = MPIDS[bits >> 29 & 15]
        return itch.ADD_MPID(
            self.heads["F"], high, low, reference, side, shares, self.name, sign * price, mpid
        )

    def _replace(
        self, bits: int, high: int, low: int, sign: int, orders: list[Order], others: list[Order]
    ) -> bytes:
        old = orders.pop((bits >> 26) % len(orders))
        price = self._place(bits, sign, others)
        reference, shares = self._new_reference(), SIZES[bits >> 20 & 63]
        insort(orders, (price, -reference, shares))
        return itch.REPLACE(self.heads["U"], high, low, -old[1], reference, shares, sign * price)

    def _take(self, bits: int, orders: list[Order]) -> tuple[int, int, int]:
        """Take some of the best order: its signed price, its reference, how many shares."""
        price, negative, rest = orders[-1]
        wanted = SIZES[bits >> 20 & 63]
        if wanted >= rest:
            del orders[-1]
            return price, -negative, rest
        orders[-1] = (price, negative, rest - wanted)
        return price, -negative, wanted

    def _execute(self, bits: int, high: int, low: int, orders: list[Order]) -> bytes:
        _, reference, shares = self._take(bits, orders)
        return itch.EXECUTED(self.heads["E"], high, low, reference, shares, self._new_match())

    def _execute_at_price(self, bits: int, high: int, low: int, sign: int, orders: list[Order]) -> bytes:
        """Executed at another price than displayed: a cent better for whoever displayed it."""
        price, reference, shares = self._take(bits, orders)
        at = max(sign * price - sign * CENT, CENT)
        printable = b"N" if bits >> 26 & 3 == 0 else b"Y"
        match = self._new_match()
        return itch.EXECUTED_WITH_PRICE(self.heads["C"], high, low, reference, shares, match, printable, at)

    def _cancel(self, bits: int, high: int, low: int, orders: list[Order]) -> bytes:
        at = (bits >> 26) % len(orders)
        price, negative, rest = orders[at]
        if rest == 1:
            del orders[at]
            return itch.DELETE(self.heads["D"], high, low, -negative)
        gone = 1 + (bits >> 12 & 1023) % (rest - 1)
        orders[at] = (price, negative, rest - gone)
        return itch.CANCEL(self.heads["X"], high, low, -negative, gone)

    def _news(self, bits: int, high: int, low: int) -> bytes:
        number = bits >> 12 & 1023
        if number < 4:
            self._halt = self._paused() if bits >> 22 & 1 else self._halted()
            return self._halt.pop()(high, low)
        if number < 360:
            return itch.RETAIL_INTEREST(self.heads["N"], high, low, self.name, _INTERESTS[number % 4])
        if number < 370:
            return self.short_sale(high, low, _RESTRICTIONS[number % 3])
        if number < 520:
            return self.market_maker(high, low, MPIDS[bits >> 22 & 15], _MODES[number % 4])
        if number < 540 and self._last_match:
            match, self._last_match = self._last_match, 0
            return itch.BROKEN_TRADE(self.heads["B"], high, low, match)
        return self.imbalance(high, low, b"C", bits >> 22)

    def _paused(self) -> list[Callable[[int, int], bytes]]:
        """A pause for volatility: the collar of its auction, imbalances, a cross, and trading again."""
        price = self.price
        said: list[Callable[[int, int], bytes]] = [
            lambda high, low: self.action(high, low, b"P", b"LUDP"),
            lambda high, low: itch.AUCTION_COLLAR(
                self.heads["J"], high, low, self.name, price, price + price // 20, price - price // 20, 0
            ),
            lambda high, low: self.imbalance(high, low, b"H", price),
            lambda high, low: self.imbalance(high, low, b"H", price >> 3),
            lambda high, low: self.cross(high, low, b"H", 100 * (price % 997), self._new_match()),
            lambda high, low: self.action(high, low, b"T"),
        ]
        return said[::-1]

    def _halted(self) -> list[Callable[[int, int], bytes]]:
        """A halt for news: halted, quotations only, a cross, and trading again."""
        price = self.price
        said: list[Callable[[int, int], bytes]] = [
            lambda high, low: self.action(high, low, b"H", b"T1  "),
            lambda high, low: self.action(high, low, b"Q", b"T3  "),
            lambda high, low: self.imbalance(high, low, b"H", price),
            lambda high, low: self.cross(high, low, b"H", 100 * (price % 997), self._new_match()),
            lambda high, low: self.action(high, low, b"T"),
        ]
        return said[::-1]

    def directory(self, high: int, low: int) -> bytes:
        """The Stock Directory message: from here on the locate code means this ticker."""
        symbol = self.symbol
        listed_here = symbol.category == "Q"
        issue, sub_type = (b"Q", b"E ") if symbol.etp else (b"C", b"Z ")
        return itch.DIRECTORY(
            self.heads["R"],
            high,
            low,
            self.name,
            symbol.category.encode(),
            b"N" if listed_here else b" ",
            100,  # round lot
            b"N",  # round lots only
            issue,
            sub_type,
            b"P",  # live, not a test issue
            b"N" if listed_here else b" ",
            b"N",  # not an IPO
            b"1",
            b"Y" if symbol.etp else b"N",
            symbol.leverage,
            b"Y" if symbol.inverse else b"N",
        )

    def action(self, high: int, low: int, state: bytes, reason: bytes = b"    ") -> bytes:
        """Trading Action: T trading, H halted, P paused, Q quotations only."""
        return itch.TRADING_ACTION(self.heads["H"], high, low, self.name, state, b" ", reason)

    def short_sale(self, high: int, low: int, action: bytes = b"0") -> bytes:
        """Reg SHO restriction."""
        return itch.SHORT_SALE(self.heads["Y"], high, low, self.name, action)

    def market_maker(self, high: int, low: int, mpid: bytes, mode: bytes = b"N") -> bytes:
        """Market Participant Position of one market maker."""
        return itch.MARKET_MAKER(self.heads["L"], high, low, mpid, self.name, b"Y", mode, b"A")

    def imbalance(self, high: int, low: int, cross_type: bytes, bits: int) -> bytes:
        """NOII in front of a cross of that type."""
        price, paired, uneven = self.price, 100 * (bits % 4001), 100 * (bits >> 3 & 255)
        direction = b"N" if not uneven else b"B" if bits & 1 else b"S"
        far = price + (CENT if bits & 1 else -CENT)
        return itch.IMBALANCE(
            self.heads["I"],
            high,
            low,
            paired,
            uneven,
            direction,
            self.name,
            max(far, CENT),
            price,
            price,
            cross_type,
            b"L",
        )

    def cross(self, high: int, low: int, cross_type: bytes, shares: int, match: int) -> bytes:
        """The trade of an auction: O opening, C closing, H after a halt."""
        return itch.CROSS(self.heads["Q"], high, low, shares, self.name, self.price, match, cross_type)

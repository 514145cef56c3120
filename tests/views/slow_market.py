"""A slow, obvious second implementation of books, quotes and prints: lists, searched and added up each time.

It reads messages by slices of its own and shares no code with the gateway. What a day can't hold is left
out as docs/views.md says: orders of no shares, a reference added while it is live, more taken away than was.
"""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class Order:
    reference: int
    locate: int
    side: str
    price: int
    shares: int


@dataclass
class Print:
    locate: int
    match: int
    price: int
    shares: int
    broken: bool = False


@dataclass
class SlowMarket:
    # In order of time priority: who came first stands first.
    orders: list[Order] = field(default_factory=list)
    prints: list[Print] = field(default_factory=list)
    unknown: int = 0
    tickers: set[int] = field(default_factory=set)

    def take(self, message: bytes) -> None:
        kind = chr(message[0])
        locate = number(message, 1, 2)
        if kind in "RHAFPQ":
            self.tickers.add(locate)
        getattr(self, f"take_{kind}", lambda *_: None)(locate, message)

    def take_A(self, locate: int, message: bytes) -> None:
        side = "S" if message[19:20] == b"S" else "B"
        self.add(number(message, 11, 8), locate, side, number(message, 32, 4), number(message, 20, 4))

    take_F = take_A

    def take_E(self, locate: int, message: bytes) -> None:
        order = self.find(number(message, 11, 8))
        shares = number(message, 19, 4)
        if order is not None:
            self.trade(order.locate, number(message, 23, 8), order.price, shares)
        self.reduce(order, shares)

    def take_C(self, locate: int, message: bytes) -> None:
        shares = number(message, 19, 4)
        self.reduce(self.find(number(message, 11, 8)), shares)
        if message[31:32] == b"Y" and locate in self.tickers:
            self.trade(locate, number(message, 23, 8), number(message, 32, 4), shares)

    def take_X(self, locate: int, message: bytes) -> None:
        self.reduce(self.find(number(message, 11, 8)), number(message, 19, 4))

    def take_D(self, locate: int, message: bytes) -> None:
        self.remove(self.find(number(message, 11, 8)))

    def take_U(self, locate: int, message: bytes) -> None:
        old = self.find(number(message, 11, 8))
        self.remove(old)
        if old is not None:
            shares, price = number(message, 27, 4), number(message, 31, 4)
            self.add(number(message, 19, 8), old.locate, old.side, price, shares)

    def take_P(self, locate: int, message: bytes) -> None:
        self.trade(locate, number(message, 36, 8), number(message, 32, 4), number(message, 20, 4))

    def take_Q(self, locate: int, message: bytes) -> None:
        self.trade(locate, number(message, 31, 8), number(message, 27, 4), number(message, 11, 8))

    def take_B(self, locate: int, message: bytes) -> None:
        for each in self.prints:
            if (each.locate, each.match, each.broken) == (locate, number(message, 11, 8), False):
                each.broken = True
                return

    def add(self, reference: int, locate: int, side: str, price: int, shares: int) -> None:
        if shares and self.find(reference) is None:
            self.orders.append(Order(reference, locate, side, price, shares))

    def reduce(self, order: Order | None, shares: int) -> None:
        if order is not None and order.shares > shares:
            order.shares -= shares
        else:
            self.remove(order)

    def remove(self, order: Order | None) -> None:
        if order is None:
            self.unknown += 1
        else:
            self.orders = [each for each in self.orders if each is not order]

    def find(self, reference: int) -> Order | None:
        return next((each for each in self.orders if each.reference == reference), None)

    def trade(self, locate: int, match: int, price: int, shares: int) -> None:
        if shares:
            self.prints.append(Print(locate, match, price, shares))

    def levels(self, locate: int, side: str) -> list[tuple[int, int, int]]:
        """(price, shares, orders), the best first."""
        mine = [order for order in self.orders if (order.locate, order.side) == (locate, side)]
        return [
            (
                price,
                sum(order.shares for order in mine if order.price == price),
                sum(order.price == price for order in mine),
            )
            for price in sorted({order.price for order in mine}, reverse=side == "B")
        ]

    def two_levels(self, locate: int) -> list[tuple[int, int]]:
        """(price, shares) of the two best bids, then of the two best asks."""
        return [
            (price, shares)
            for side in "BS"
            for price, shares, _ in [*self.levels(locate, side), (0, 0, 0), (0, 0, 0)][:2]
        ]

    def queue(self, locate: int, side: str, price: int) -> list[tuple[int, int]]:
        return [
            (order.reference, order.shares)
            for order in self.orders
            if (order.locate, order.side, order.price) == (locate, side, price)
        ]

    def day(self, locate: int) -> tuple[int, int, int, int, float]:
        """Volume, high, low, last, VWAP in dollars."""
        good = [each for each in self.prints if each.locate == locate and not each.broken]
        if not good:
            return 0, 0, 0, 0, 0.0
        prices, volume = [each.price for each in good], sum(each.shares for each in good)
        paid = sum(each.price * each.shares for each in good)
        return volume, max(prices), min(prices), prices[-1], paid / volume / 10_000


def number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size], "big")


# What SystemEvent and StockTradingAction say of a market, in MLink's words.
DAY = {"O": "Closed", "S": "PreOpen", "Q": "Open", "M": "AfterHours", "E": "Closed", "C": "Closed"}
STATES = {"H": "Halted", "P": "Halted", "Q": "PreCross"}


@dataclass
class SlowQuotes:
    """What StockBookQuote tells of a generated market: all fields but the time of receipt.

    Each ticker has a market of its own, so that thousands of messages take seconds only: for messages whose
    locate code is that of their order.
    """

    markets: dict[int, SlowMarket] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    day: str = "None"
    newest: dict[str, tuple[int, dict[str, object]]] = field(default_factory=dict)

    def take(self, seq: int, message: bytes) -> dict[str, object] | None:
        """One message; the quote that it causes."""
        kind, locate = chr(message[0]), number(message, 1, 2)
        if kind == "S":
            self.day = DAY[chr(message[11])]
        if kind == "R":
            self.names[locate] = message[11:19].decode().rstrip()
        if kind == "H":
            self.states[locate] = chr(message[19])
        market = self.markets.setdefault(locate, SlowMarket())
        before = market.two_levels(locate)
        market.take(message)
        after = market.two_levels(locate)
        if before == after:
            return None
        same_prices = [price for price, _ in before] == [price for price, _ in after]
        (bid1, bid2, ask1, ask2) = after
        quote: dict[str, object] = {
            "pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": self.names[locate]}},
            "updateType": "SizeOnly" if same_prices else "PrcChange",
            "marketStatus": STATES.get(self.states.get(locate, ""), self.day),
            "srcTimestamp": number(message, 5, 6),
        }
        for name, (price, size) in (("bid", bid1), ("ask", ask1)):
            quote |= {f"{name}Price1": Decimal(price) / 10_000, f"{name}Size1": size}
        for name, (price, size) in (("bid", bid2), ("ask", ask2)):
            quote |= {f"{name}Price2": Decimal(price) / 10_000, f"{name}Size2": size}
        self.newest[self.names[locate]] = seq, quote
        return quote

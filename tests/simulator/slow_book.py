"""A slow, obvious order book that refuses every message a real day could not hold."""

from dataclasses import dataclass


@dataclass
class Order:
    locate: int
    side: str
    shares: int
    price: int


class SlowBook:
    """Knows every live order of every ticker; `take` asserts that the message makes sense."""

    def __init__(self) -> None:
        self.tickers: dict[int, bytes] = {}
        self.orders: dict[int, Order] = {}
        # Prices by (locate, side) and reference.
        self.sides: dict[tuple[int, str], dict[int, int]] = {}
        self.seen_references: set[int] = set()
        self.seen_matches: set[int] = set()
        self.halted: set[int] = set()
        self.states: set[str] = set()
        self.time_ns = 0
        self.kinds: dict[str, int] = {}
        self.prices: dict[int, list[int]] = {}

    def take(self, message: bytes) -> None:
        kind = chr(message[0])
        locate, time_ns = number(message, 1, 2), number(message, 5, 6)
        assert number(message, 3, 2) == 0
        assert time_ns >= self.time_ns, "time runs backwards"
        self.time_ns = time_ns
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind == "R":
            assert locate not in self.tickers
            self.tickers[locate] = message[11:19]
        elif kind not in "SV":
            assert locate in self.tickers, f"{kind} before the directory of locate {locate}"
        stock_at = {
            "H": 11,
            "Y": 11,
            "L": 15,
            "A": 24,
            "F": 24,
            "P": 24,
            "Q": 19,
            "I": 28,
            "N": 11,
            "J": 11,
        }.get(kind)
        if stock_at is not None:
            assert message[stock_at : stock_at + 8] == self.tickers[locate]
        getattr(self, f"take_{kind}", lambda *_: None)(locate, message)

    def take_A(self, locate: int, message: bytes) -> None:
        self.add(
            locate, number(message, 11, 8), chr(message[19]), number(message, 20, 4), number(message, 32, 4)
        )

    def take_F(self, locate: int, message: bytes) -> None:
        assert message[36:40].isalpha()
        self.take_A(locate, message)

    def take_E(self, locate: int, message: bytes) -> None:
        order = self.reduce(locate, number(message, 11, 8), number(message, 19, 4))
        self.match(locate, number(message, 23, 8), order.price)
        best = self.best(locate, order.side)
        assert best is None or (order.price >= best if order.side == "B" else order.price <= best)

    def take_C(self, locate: int, message: bytes) -> None:
        self.reduce(locate, number(message, 11, 8), number(message, 19, 4))
        assert message[31:32] in (b"Y", b"N")
        self.match(locate, number(message, 23, 8), number(message, 32, 4))

    def take_X(self, locate: int, message: bytes) -> None:
        reference, shares = number(message, 11, 8), number(message, 19, 4)
        assert shares < self.orders[reference].shares, "cancels more than the rest leaves"
        self.reduce(locate, reference, shares)

    def take_D(self, locate: int, message: bytes) -> None:
        reference = number(message, 11, 8)
        assert self.remove(reference).locate == locate

    def take_U(self, locate: int, message: bytes) -> None:
        old = self.remove(number(message, 11, 8))
        assert old.locate == locate
        self.add(locate, number(message, 19, 8), old.side, number(message, 27, 4), number(message, 31, 4))

    def take_P(self, locate: int, message: bytes) -> None:
        assert number(message, 11, 8) == 0
        assert message[19:20] == b"B"
        assert number(message, 20, 4) > 0
        self.match(locate, number(message, 36, 8), number(message, 32, 4))

    def take_Q(self, locate: int, message: bytes) -> None:
        assert message[39:40] in (b"O", b"C", b"H")
        match = number(message, 31, 8)
        assert match not in self.seen_matches
        self.seen_matches.add(match)
        assert number(message, 27, 4) > 0

    def take_B(self, locate: int, message: bytes) -> None:
        assert number(message, 11, 8) in self.seen_matches

    def take_H(self, locate: int, message: bytes) -> None:
        state = message[19:20]
        self.states.add(state.decode())
        if state in (b"H", b"P"):
            assert locate not in self.halted
            self.halted.add(locate)
        elif state == b"T":
            self.halted.discard(locate)
        else:
            assert state == b"Q"
            assert locate in self.halted

    def add(self, locate: int, reference: int, side: str, shares: int, price: int) -> None:
        assert reference not in self.seen_references, "a reference is unique in a day"
        self.seen_references.add(reference)
        assert side in "BS"
        assert shares > 0
        assert 0 < price <= 2_000_000_000
        other = self.best(locate, "S" if side == "B" else "B")
        assert other is None or (price < other if side == "B" else price > other), "the book is crossed"
        self.orders[reference] = Order(locate, side, shares, price)
        self.sides.setdefault((locate, side), {})[reference] = price

    def reduce(self, locate: int, reference: int, shares: int) -> Order:
        order = self.orders[reference]
        assert order.locate == locate
        assert 0 < shares <= order.shares
        order.shares -= shares
        if order.shares == 0:
            self.remove(reference)
        return order

    def match(self, locate: int, match: int, price: int) -> None:
        assert locate not in self.halted, "trades while halted"
        assert match not in self.seen_matches
        self.seen_matches.add(match)
        assert price > 0
        self.prices.setdefault(locate, []).append(price)

    def best(self, locate: int, side: str) -> int | None:
        prices = self.sides.get((locate, side), {}).values()
        if not prices:
            return None
        return max(prices) if side == "B" else min(prices)

    def remove(self, reference: int) -> Order:
        order = self.orders.pop(reference)
        del self.sides[order.locate, order.side][reference]
        return order


def number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size], "big")

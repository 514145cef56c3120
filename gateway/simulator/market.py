"""A lively, valid ITCH market: an endless stream of messages, the same for the same seed.

Pure: no I/O, and no clock but its own, which runs from the opening bell at the pace asked for. Knows which
tickers are busy; what one ticker does next is `book`'s, the names are `symbols`'.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, islice
from math import log

from gateway.errors import ConfigError
from gateway.simulator import itch
from gateway.simulator.book import MOVE_BITS, Book
from gateway.simulator.itch import MPIDS, head_of
from gateway.simulator.symbols import choose

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
DIRECTORY_NS = 3 * HOUR_NS + 300 * SECOND_NS
SYSTEM_OPEN_NS = 4 * HOUR_NS
OPEN_NS = 9 * HOUR_NS + 1800 * SECOND_NS
CLOSE_NS = 16 * HOUR_NS
SYSTEM_CLOSE_NS = 20 * HOUR_NS
DAY_NS = 24 * HOUR_NS

# As skewed as real tapes: of 200 tickers the first has 7 % of all messages, the last one in a thousand.
_SKEW = 0.85
_CHOSEN_AT_ONCE = 1024


class Market:
    """A day of `tickers`: `opening()`, then `messages()` without end, then `closing()`.

    `tickers` is how many (the busiest known names first) or which. `messages_per_s` is the pace of the
    market's own clock; who plays the messages decides how fast they really go. The clock never reaches
    midnight: after 14 hours at that pace it goes slower and slower, while messages go on.
    """

    def __init__(
        self, tickers: int | Sequence[str], seed: int = 0, *, messages_per_s: float = 20_000.0
    ) -> None:
        if not messages_per_s > 0:
            raise ConfigError(f"a market makes more than 0 messages per second, not {messages_per_s:g}")
        self.seed = seed
        symbols = choose(tickers)
        # The first match numbers are those of the opening crosses, so that the day does not depend on them.
        self._new_match = count(len(symbols) + 1).__next__
        new_reference = count(1).__next__
        self.books = tuple(
            Book(symbol, locate, new_reference, self._new_match)
            for locate, symbol in enumerate(symbols, start=1)
        )
        self.clock_ns = OPEN_NS + SECOND_NS
        self._messages_per_s = messages_per_s
        self._stream = self._run()

    @property
    def tickers(self) -> tuple[str, ...]:
        """The names, in the order of their locate codes, which start at 1."""
        return tuple(book.symbol.ticker for book in self.books)

    def messages(self) -> Iterator[bytes]:
        """The messages of the trading day, without end. Each call continues where the last one stands."""
        return self._stream

    def take(self, number: int) -> list[bytes]:
        """The next `number` messages of the trading day."""
        return list(islice(self._stream, number))

    def opening(self) -> list[bytes]:
        """What a day begins with: events, directory, states, market makers, the opening crosses."""
        # A generator of its own, so that the day is the same whether the opening was asked for or not.
        chance = random.Random(f"opening {self.seed}")
        time_ns = DIRECTORY_NS
        out = [_event(b"O", time_ns)]

        def tick() -> tuple[int, int]:
            nonlocal time_ns
            time_ns += chance.randrange(500, 15_000)
            return time_ns >> 32, time_ns & 0xFFFFFFFF

        for book in self.books:
            out += (book.directory(*tick()), book.action(*tick(), b"T"), book.short_sale(*tick()))
        for book in self.books:
            makers = chance.sample(MPIDS, chance.randrange(1, 5))
            out += (book.market_maker(*tick(), mpid) for mpid in makers)
        # The levels at which the whole market stops: 7, 13 and 20 % below the S&P 500.
        index = 5_700 * 10**8
        out.append(
            itch.DECLINE_LEVELS(head_of(b"V", 0), *tick(), *(index * part // 100 for part in (93, 87, 80)))
        )
        time_ns = max(time_ns, SYSTEM_OPEN_NS)
        out.append(_event(b"S", time_ns))
        time_ns = max(time_ns, OPEN_NS - 120 * SECOND_NS)
        out += (book.imbalance(*tick(), b"O", chance.getrandbits(20)) for book in self.books)
        time_ns = max(time_ns, OPEN_NS)
        out.append(_event(b"Q", time_ns))
        for match, book in enumerate(self.books, start=1):
            out.append(book.cross(*tick(), b"O", 100 * chance.randrange(10_000), match))
        return out

    def closing(self) -> list[bytes]:
        """What a day ends with: end of market, closing crosses, end of system hours, end of messages."""
        chance = random.Random(f"closing {self.seed}")
        time_ns = max(self.clock_ns, CLOSE_NS)
        out = [_event(b"M", time_ns)]
        for book in self.books:
            time_ns = min(time_ns + chance.randrange(500, 50_000), DAY_NS - 1)
            shares, match = 100 * chance.randrange(20_000), self._new_match()
            out.append(book.cross(time_ns >> 32, time_ns & 0xFFFFFFFF, b"C", shares, match))
        for code, hour_ns in ((b"E", SYSTEM_CLOSE_NS), (b"C", SYSTEM_CLOSE_NS + 300 * SECOND_NS)):
            time_ns = max(time_ns, hour_ns)
            out.append(_event(code, time_ns))
        return out

    def _run(self) -> Iterator[bytes]:
        chance = random.Random(self.seed)
        bits_of = chance.getrandbits
        books = self.books
        weights = list(accumulate(1 / (rank + 2) ** _SKEW for rank in range(len(books))))
        # Times between messages of a busy line: many short, few long, the asked one on average.
        mean_ns = SECOND_NS / self._messages_per_s
        gaps = [int(-mean_ns * log((number + 0.5) / 256)) for number in range(256)]
        while True:
            gap_max = (DAY_NS - SECOND_NS - self.clock_ns) // _CHOSEN_AT_ONCE
            if gap_max < gaps[0]:
                gaps = [min(gap, gap_max) for gap in gaps]
            for book in chance.choices(books, cum_weights=weights, k=_CHOSEN_AT_ONCE):
                bits = bits_of(MOVE_BITS)
                self.clock_ns = now_ns = self.clock_ns + gaps[bits >> 54]
                yield book.move(bits, now_ns >> 32, now_ns & 0xFFFFFFFF)


def _event(code: bytes, time_ns: int) -> bytes:
    return itch.SYSTEM_EVENT(head_of(b"S", 0), time_ns >> 32, time_ns & 0xFFFFFFFF, code)

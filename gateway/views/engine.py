"""From a block of ITCH messages to the messages of a feed's views: books and prints kept, changes told.

Knows the state of one session, which follows from its messages alone: fed the same messages from the same
beginning, or from a saved state, it gives the same bytes. Knows nothing of who wants them but how many.
"""

from collections.abc import Callable, Collection, Iterator
from copy import copy
from typing import Any

from gateway.values import Block
from gateway.views import itch
from gateway.views.bar import BarView
from gateway.views.book import NOTHING, Books
from gateway.views.depth import DepthView
from gateway.views.layouts import BAR, DEPTH, PRINT, QUOTE, ViewCodec, ViewedCodecs, depth_of, interval_of
from gateway.views.packing import Packed, Unpacked
from gateway.views.quote import LEVELS, NO_LEVELS, NO_STATUS, STATUS_OF_EVENT, STATUS_OF_STATE, QuoteView
from gateway.views.stock_print import BROKEN, CONTINUOUS, KIND_OF_CROSS, OTHER_CROSS, PrintView
from gateway.views.tape import Tape

View = QuoteView | PrintView | DepthView | BarView
# Sequence number of the message that caused it, the view's message.
Derived = tuple[int, bytes]
# Key, sequence number, received (ns since the epoch), the function that makes its message.
Found = tuple[str, int, int, Callable[[], bytes]]

PRINTABLE = ord("Y")
SELL = ord("S")
_NO_TICKER = b" " * itch.STOCK_SIZE


class Engine:
    """The views of one feed in one session."""

    def __init__(self, codecs: ViewedCodecs) -> None:
        self.codecs = codecs
        self.views: dict[str, View] = {codec.name: _view(codec) for codec in codecs.views}
        self._by_id = {view.id_byte: view for view in self.views.values()}
        views = self.views.values()
        self._quotes = next((view for view in views if isinstance(view, QuoteView)), None)
        self._prints = next((view for view in views if isinstance(view, PrintView)), None)
        self._depths = [view for view in views if isinstance(view, DepthView)]
        self._bars = [view for view in views if isinstance(view, BarView)]
        self._follows_trades = self._prints is not None or bool(self._bars)
        self.books = Books(max([LEVELS, *(view.levels for view in self._depths)]))
        self.tape = Tape()
        # By locate code: the ticker as its messages write it, and a status of its own.
        self.tickers: dict[int, bytes] = {}
        self._statuses: dict[int, bytes] = {}
        self._day_status = NO_STATUS
        self._received_ns = 0
        self._out: list[Derived] = []
        self._handlers: list[Callable[[bytes, int, int], None] | None] = [None] * 256
        self._sizes = [0] * 256
        for kind, handler in self._handled().items():
            self._handlers[ord(kind)] = handler
            self._sizes[ord(kind)] = itch.LAYOUTS[kind][1]

    def want(self, names: Collection[str], count: int = 1) -> None:
        """So many more (or fewer) want each message of these views; nobody's are not made."""
        for name in names:
            if name in self.views:
                self.views[name].wanted += count

    def take(self, block: Block) -> list[Derived]:
        """Take in a block of the session; the messages of wanted views that it caused, in order."""
        raw, end = block.raw, 0
        handlers, sizes = self._handlers, self._sizes
        self._received_ns = block.received_ns
        for seq in range(block.first_seq, block.first_seq + block.count):
            start = end + 3
            end += 2 + (raw[end] << 8 | raw[end + 1])
            if end > start:
                kind = raw[start]
                # A message of the wrong length is counted where it is routed.
                if end - start == sizes[kind]:
                    handlers[kind](raw, start, seq)  # type: ignore[misc]  # a size has its handler
        out, self._out = self._out, []
        return out

    def latest(self, name: str) -> Iterator[Found]:
        """The newest message of each ticker in a view as they are now, in order of number."""
        if name not in self.views:
            return iter(())
        view = self.views[name]
        entries = sorted(view.entries.items(), key=lambda each: each[1][0])
        # An entry is never changed, so that all but the books' own levels can be made when it is their turn.
        found = (self._found(view, locate, entry) for locate, entry in entries)
        return iter(list(found)) if isinstance(view, DepthView) else found

    def latest_of(self, name: str, keys: Collection[str]) -> Iterator[Found]:
        """The newest message of some tickers in a view."""
        view = self.views.get(name)
        if view is None:
            return
        # Made when asked for, so that the way of the data keeps no index for it.
        locates = {ticker: locate for locate, ticker in self.tickers.items()}
        for key in keys:
            locate = locates.get(key.encode("latin-1", "replace").ljust(itch.STOCK_SIZE), NOTHING)
            if locate in view.entries:
                yield self._found(view, locate, view.entries[locate])

    def copied(self) -> "Engine":
        """What `dump` needs, as it is now: so that another thread may take its time to write it down."""
        twin = copy(self)
        twin.tickers, twin._statuses = self.tickers.copy(), self._statuses.copy()
        twin.books, twin.tape = self.books.copied(), self.tape.copied()
        twin.views = {name: copy(view) for name, view in self.views.items()}
        for view in twin.views.values():
            view.entries = view.entries.copy()
        return twin

    def dump(self) -> bytes:
        """The state after the last block."""
        packed = Packed()
        packed.text(",".join(self.views).encode())
        packed.text(self._day_status)
        packed.numbers(len(self.tickers), len(self._statuses))
        for named in (self.tickers, self._statuses):
            packed.numbers(*named)
            packed.text(b"".join(named.values()))
        self.books.dump(packed)
        self.tape.dump(packed)
        for view in self.views.values():
            view.dump(packed)
        return bytes(packed)

    def load(self, saved: bytes) -> None:
        """Go on from what `dump` gave. ValueError for anything else, a state of other views among it."""
        for _ in self.loading(saved):
            pass

    def loading(self, saved: bytes) -> Iterator[None]:
        """The same in pieces of some milliseconds each. The engine is of no use before the last."""
        unpacked = Unpacked(saved)
        names = unpacked.text().decode()
        if names != ",".join(self.views):
            raise ValueError(f"views: the saved state is of {names}, expected {','.join(self.views)}")
        try:
            self._day_status = unpacked.text()
            counts = unpacked.numbers(2)
            self.tickers, self._statuses = (_named(unpacked, count) for count in counts)
            yield from self.books.load(unpacked)
            yield from self.tape.load(unpacked)
            for view in self.views.values():
                yield from view.load(unpacked)
        except (IndexError, OverflowError) as exc:
            raise ValueError(f"views: the saved state can't be read: {exc!r}") from exc
        unpacked.end()

    # One message each. All are called with their whole message in `raw` from `start` on.

    def _handled(self) -> dict[str, Callable[[bytes, int, int], None]]:
        return {
            "S": self._event,
            "R": self._directory,
            "H": self._action,
            "A": self._add,
            "F": self._add,
            "E": self._executed,
            "C": self._executed_with_price,
            "X": self._cancel,
            "D": self._delete,
            "U": self._replace,
            "P": self._trade,
            "Q": self._cross,
            "B": self._broken,
        }

    def _event(self, raw: bytes, start: int, seq: int) -> None:
        self._day_status = STATUS_OF_EVENT.get(raw[start + itch.CODE_AT["S"]], self._day_status)

    def _directory(self, raw: bytes, start: int, seq: int) -> None:
        stock_at = start + itch.STOCK_AT
        self.tickers[raw[start + 1] << 8 | raw[start + 2]] = raw[stock_at : stock_at + itch.STOCK_SIZE]

    def _action(self, raw: bytes, start: int, seq: int) -> None:
        locate = raw[start + 1] << 8 | raw[start + 2]
        if locate not in self.tickers:
            self._directory(raw, start, seq)
        status = STATUS_OF_STATE.get(raw[start + itch.CODE_AT["H"]])
        if status is None:
            self._statuses.pop(locate, None)
        else:
            self._statuses[locate] = status

    def _add(self, raw: bytes, start: int, seq: int) -> None:
        locate, reference, side, shares, stock, price = itch.ADD(raw, start + 1)
        if locate not in self.tickers:
            # Joined after the directory: the message itself says whose order it is.
            self.tickers[locate] = stock
        touched = self.books.add(reference, locate << 1 | (side == SELL), price, shares)
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)

    def _executed(self, raw: bytes, start: int, seq: int) -> None:
        reference, shares, match = itch.EXECUTED(raw, start + 11)
        books = self.books
        where = books.where(reference) if self._follows_trades else None
        touched = books.reduce(reference, shares)
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)
        if where is not None and shares:
            self._traded(where[0] >> 1, match, where[1], shares, CONTINUOUS, raw, start, seq)

    def _executed_with_price(self, raw: bytes, start: int, seq: int) -> None:
        locate, reference, shares, match, printable, price = itch.EXECUTED_WITH_PRICE(raw, start + 1)
        touched = self.books.reduce(reference, shares)
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)
        # What is not printable is reported in another print, of a cross: counted here it would count twice.
        if printable == PRINTABLE and shares and locate in self.tickers:
            self._traded(locate, match, price, shares, CONTINUOUS, raw, start, seq)

    def _cancel(self, raw: bytes, start: int, seq: int) -> None:
        touched = self.books.reduce(*itch.CANCEL(raw, start + 11))
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)

    def _delete(self, raw: bytes, start: int, seq: int) -> None:
        touched = self.books.delete(*itch.DELETE(raw, start + 11))
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)

    def _replace(self, raw: bytes, start: int, seq: int) -> None:
        reference, new_reference, shares, price = itch.REPLACE(raw, start + 11)
        touched = self.books.replace(reference, new_reference, price, shares)
        if touched != NOTHING:
            self._book_changed(touched, raw, start, seq)

    def _trade(self, raw: bytes, start: int, seq: int) -> None:
        locate, shares, stock, price, match = itch.TRADE(raw, start + 1)
        self.tickers.setdefault(locate, stock)
        if shares:
            self._traded(locate, match, price, shares, CONTINUOUS, raw, start, seq)

    def _cross(self, raw: bytes, start: int, seq: int) -> None:
        locate, shares, stock, price, match, kind = itch.CROSS(raw, start + 1)
        self.tickers.setdefault(locate, stock)
        # A cross in which nothing met is told too, with no shares.
        if shares:
            word = KIND_OF_CROSS.get(kind, OTHER_CROSS)
            self._traded(locate, match, price, shares, word, raw, start, seq)

    def _broken(self, raw: bytes, start: int, seq: int) -> None:
        if not self._follows_trades:
            return
        locate, match = itch.BROKEN(raw, start + 1)
        day = self.tape.days.get(locate)
        at = day.find(match) if day is not None else NOTHING
        if day is None or at == NOTHING:
            self.tape.unknown += 1
            return
        size = day.sizes[at]
        day.take_out(at)
        time_ns = int.from_bytes(raw[start + itch.TIME_AT : start + itch.TIME_END], "big")
        stamp = (locate, seq, self._received_ns, time_ns)
        if (prints := self._prints) is not None:
            told = prints.change(*stamp, BROKEN, at, size, day)
            if prints.wanted:
                self._out.append((seq, prints.payload(self.tickers[locate], told)))
        for bars in self._bars:
            bar = bars.take_out(*stamp, at, day)
            if bar is not None and bars.wanted:
                self._out.append((seq, bars.payload(self.tickers[locate], bar)))

    # What follows from them.

    def _book_changed(self, touched: int, raw: bytes, start: int, seq: int) -> None:
        side, depth = touched >> 8, touched & 255
        locate = side >> 1
        quotes = self._quotes
        if quotes is not None and depth < LEVELS:
            top = self.books.top(side)
            if top != quotes.tops.get(side, NO_LEVELS):
                time_ns = int.from_bytes(raw[start + itch.TIME_AT : start + itch.TIME_END], "big")
                status = self._statuses.get(locate, self._day_status)
                quote = quotes.change(side, top, seq, self._received_ns, time_ns, status)
                if quotes.wanted:
                    self._out.append((seq, quotes.payload(self.tickers.get(locate, _NO_TICKER), quote)))
        for view in self._depths:
            if depth < view.levels:
                time_ns = int.from_bytes(raw[start + itch.TIME_AT : start + itch.TIME_END], "big")
                depth_entry = view.change(side, seq, self._received_ns, time_ns)
                if view.wanted:
                    ticker = self.tickers.get(locate, _NO_TICKER)
                    self._out.append((seq, view.payload(ticker, locate, depth_entry, self.books)))

    def _traded(
        self, locate: int, match: int, price: int, shares: int, kind: bytes, raw: bytes, start: int, seq: int
    ) -> None:
        if not self._follows_trades:
            return
        day = self.tape.add(locate, match, price, shares)
        if day is None:
            return
        time_ns = int.from_bytes(raw[start + itch.TIME_AT : start + itch.TIME_END], "big")
        stamp = (locate, seq, self._received_ns, time_ns)
        if (prints := self._prints) is not None:
            told = prints.change(*stamp, kind, len(day.prices) - 1, shares, day)
            if prints.wanted:
                self._out.append((seq, prints.payload(self.tickers[locate], told)))
        for bars in self._bars:
            bar = bars.add(*stamp, day)
            if bars.wanted:
                self._out.append((seq, bars.payload(self.tickers[locate], bar)))

    def _found(self, view: View, locate: int, entry: Any) -> Found:
        ticker = self.tickers.get(locate, _NO_TICKER)
        key = ticker.decode("latin-1").rstrip(" ")
        if isinstance(view, DepthView):
            # Its levels are the book's and not kept apart, so it is made at once.
            payload = view.payload(ticker, locate, entry, self.books)
            return key, entry[0], entry[1], lambda: payload
        return key, entry[0], entry[1], lambda: view.payload(ticker, entry)


def _view(codec: ViewCodec) -> View:
    name = codec.name
    if name == QUOTE:
        return QuoteView(name, codec.id_byte)
    if name == PRINT:
        return PrintView(name, codec.id_byte)
    if name.startswith(DEPTH):
        return DepthView(name, codec.id_byte, depth_of(name))
    assert name.startswith(BAR)
    return BarView(name, codec.id_byte, interval_of(name))


def _named(unpacked: Unpacked, count: int) -> dict[int, bytes]:
    locates, text = unpacked.numbers(count), unpacked.text()
    size = len(text) // count if count else 0
    return {locate: text[at * size : (at + 1) * size] for at, locate in enumerate(locates)}

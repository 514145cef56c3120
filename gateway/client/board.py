"""What a live table shows: the newest values of each ticker, and the way of one value over time.

Pure: messages in, rows and points out; knows no stream, no widget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.client.columns import flat
from gateway.client.message import Batch

# Where a message says whose it is, as `where` calls it.
TICKER_FIELDS = ("stock", "ticker.tk", "ticker", "symbol")
# Which value is plotted when nobody says: the first of these that a message has.
PLOT_FIELDS = ("prtPrice", "lastPrice", "closePrice", "price", "bidPrice1")
# Fields that tell people nothing.
HIDDEN = frozenset(("stockLocate", "trackingNumber", "ticker.at", "ticker.ts"))
# Tickers kept; of more, those that have been silent longest go.
TICKERS_MAX = 2_000
# Points of one line; of more, every second one goes: it still shows all the time it has run.
POINTS_MAX = 600
# Lines in one plot: more can't be told apart.
LINES_MAX = 6


@dataclass(slots=True)
class Row:
    """The newest of one ticker; `moved` has 1 or -1 for a number that rose or fell."""

    sent_at: str
    values: dict[str, Any]
    moved: dict[str, int] = field(default_factory=dict)


class Line:
    """The way of one value: at most `POINTS_MAX` points, evenly thinned, with the first and the newest."""

    def __init__(self) -> None:
        self.points: list[tuple[str, float]] = []
        self._every = 1
        self._count = 0

    def add(self, sent_at: str, value: float) -> None:
        if self._count % self._every:
            self.points[-1] = (sent_at, value)
        else:
            if len(self.points) == POINTS_MAX:
                del self.points[1::2]
                self._every *= 2
            self.points.append((sent_at, value))
        self._count += 1


class Board:
    """Rows by ticker, and points of what is plotted. `plot` names the field; None: the first fitting one."""

    def __init__(self, tickers: Sequence[str] = (), plot: str | None = None) -> None:
        self.plot = plot
        self.messages = 0
        self.rows: dict[str, Row] = {}
        self.lines: dict[str, Line] = {}
        self._order = tuple(tickers)

    def add(self, batch: Batch) -> None:
        """Take in what came."""
        for value in batch.values:
            header, values = value["header"], flat(value["message"])
            ticker = next((values[name] for name in TICKER_FIELDS if name in values), header["mTyp"])
            self._row(str(ticker), header.get("sTim", ""), values)
        self.messages += len(batch)

    def table(self, rows_max: int) -> tuple[list[str], list[tuple[str, Row]]]:
        """Columns and rows to show: in the order of the tickers asked for, else of the alphabet."""
        names = [name for name in self._order if name in self.rows]
        names += sorted(name for name in list(self.rows) if name not in self._order)
        rows = [(name, self.rows[name]) for name in names[:rows_max]]
        columns: dict[str, None] = {}
        for _, row in rows:
            for name in row.values:
                if name not in HIDDEN and name not in TICKER_FIELDS:
                    columns[name] = None
        return list(columns), rows

    def plotted(self) -> list[tuple[int, str, list[tuple[str, float]]]]:
        """Place, name and points of each line; a ticker that was asked for has its place by that."""
        names = list(self.lines)
        places = [self._order.index(name) if name in self._order else at for at, name in enumerate(names)]
        return sorted(
            (place, name, list(self.lines[name].points)) for place, name in zip(places, names, strict=True)
        )

    def _row(self, ticker: str, sent_at: str, values: dict[str, Any]) -> None:
        had = self.rows.pop(ticker, None)
        moved: dict[str, int] = {}
        if had is not None:
            moved = {
                name: (value > old) - (value < old)
                for name, value in values.items()
                if isinstance(value, float) and isinstance(old := had.values.get(name), float)
            }
        elif len(self.rows) >= TICKERS_MAX:
            self.rows.pop(next(iter(self.rows)))
        # At the end, so that who has been silent longest stands first.
        self.rows[ticker] = Row(sent_at, values, moved)
        self._point(ticker, sent_at, values)

    def _point(self, ticker: str, sent_at: str, values: Mapping[str, Any]) -> None:
        if self.plot is None:
            self.plot = next((name for name in PLOT_FIELDS if name in values), None)
        y = values.get(self.plot) if self.plot is not None else None
        # A price of 0 is no price: a side of a book that is empty.
        if not isinstance(y, int | float) or isinstance(y, bool) or not y:
            return
        line = self.lines.get(ticker)
        if line is None:
            if len(self.lines) >= LINES_MAX or (self._order and ticker not in self._order[:LINES_MAX]):
                return
            line = self.lines[ticker] = Line()
        line.add(sent_at, float(y))

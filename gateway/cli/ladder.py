"""A book as a ladder: what a record of a view says of it, and how that is drawn.

Knows the fields of BookDepth and StockBookQuote, and tables; knows no stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from rich.table import Table
from rich.text import Text

BAR_WIDTH = 12
SIZE_WIDTH = 6
# Of a table of eight columns: a line between each two and at the ends, a space on both sides of each text.
BORDERS_WIDTH = 9 + 2 * 8


@dataclass(frozen=True, slots=True)
class Level:
    """One price of a side. `orders` is None where nobody tells."""

    price: Decimal
    size: int
    orders: int | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is shown: both sides, best first."""

    ticker: str
    bids: Sequence[Level]
    asks: Sequence[Level]
    time_ns: int
    status: str = ""

    @classmethod
    def of(cls, fields: dict[str, Any], levels: int) -> "Ladder":
        """From the fields of a BookDepth or a StockBookQuote."""
        ticker, time_ns = fields["pkey"]["ticker"]["tk"], fields["srcTimestamp"]
        if "bids" in fields:
            bids, asks = (
                [Level(each["price"], each["size"], each["orders"]) for each in fields[side][:levels]]
                for side in ("bids", "asks")
            )
            return cls(ticker, bids, asks, time_ns)
        bids, asks = (list(_quoted(fields, side))[:levels] for side in ("bid", "ask"))
        return cls(ticker, bids, asks, time_ns, fields["marketStatus"])


def _quoted(fields: dict[str, Any], side: str) -> Iterator[Level]:
    for at in (1, 2):
        if fields[f"{side}Size{at}"]:
            yield Level(fields[f"{side}Price{at}"], fields[f"{side}Size{at}"])


def drawing(ladder: Ladder, source: str = "", width: int = 100) -> Table:
    """The ladder as a table, bids on the left, with a bar for each size; `source` says whose it is.

    On a narrow screen the bars become shorter, for prices and sizes have to be read whole.
    """
    levels = (*ladder.bids, *ladder.asks)
    sizes, prices = (max(map(len, texts), default=0) for texts in _texts(levels))
    bar_width = (width - 2 * (len("orders") + max(sizes, SIZE_WIDTH) + prices) - BORDERS_WIDTH) // 2
    bar_width = max(1, min(BAR_WIDTH, bar_width))
    largest = max((level.size for level in levels), default=1)
    table = Table(title=_title(ladder, source), title_justify="left", title_style="bold")
    for column, justify, least in (
        ("orders", "right", 0),
        # As wide as the longest bar, so that the table stands still while sizes change.
        ("", "right", bar_width),
        ("size", "right", SIZE_WIDTH),
        ("bid", "right", prices),
        ("ask", "left", prices),
        ("size", "left", SIZE_WIDTH),
        ("", "left", bar_width),
        ("orders", "left", 0),
    ):
        table.add_column(column, justify=justify, min_width=least, no_wrap=True)  # type: ignore[arg-type]  # a literal
    for bid, ask in zip_longest(ladder.bids, ladder.asks):
        left, right = (
            _cells(level, largest, style, bar_width) for level, style in ((bid, "green"), (ask, "red"))
        )
        table.add_row(*reversed(left), *right)
    return table


def _texts(levels: Sequence[Level]) -> tuple[list[str], list[str]]:
    return [f"{level.size:,}" for level in levels], [f"{level.price}" for level in levels]


def _title(ladder: Ladder, source: str) -> str:
    seconds, rest_ns = divmod(ladder.time_ns, 10**9)
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest_ns // 10**6:03}"
    spread = f"spread {ladder.asks[0].price - ladder.bids[0].price}" if ladder.bids and ladder.asks else ""
    parts = (ladder.ticker, source, time, ladder.status, spread)
    # Square brackets mean something to rich, and a ticker is whatever the exchange wrote.
    return "  ".join(part for part in parts if part).replace("[", "\\[")


def _cells(level: Level | None, largest: int, style: str, bar_width: int) -> list[Text]:
    if level is None:
        return [Text("")] * 4
    bar = "█" * max(1, round(bar_width * level.size / largest))
    orders = "" if level.orders is None else f"{level.orders}"
    return [Text(f"{level.price}", style), Text(f"{level.size:,}"), Text(bar, style), Text(orders, "dim")]

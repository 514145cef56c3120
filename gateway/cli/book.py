"""`gateway book`: one ticker's book as a ladder that follows the market.

Knows the views that hold a book, and the terminal; the stream is the client library's.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.running import run_until_interrupted
from gateway.client import KeyRefused, RequestRefused, connect
from gateway.client.options import websocket_url
from gateway.client.request import where_of
from gateway.errors import BadRequest, GatewayError
from gateway.mlink.choices import StreamResult

LEVELS_DEFAULT, LEVELS_MAX = 10, 50
# Faster than this nobody reads.
REFRESH_PER_S = 10
LATENCY_MS = 50
BAR_WIDTH = 12


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


def book(
    ticker: Annotated[str, typer.Argument(metavar="TICKER", help="Whose book: AAPL.", show_default=False)],
    url: Annotated[
        str,
        typer.Option(metavar="URL", help="Where the gateway is: HOST:PORT, ws://HOST:PORT or wss://HOST."),
    ] = "ws://localhost:8765",
    levels: Annotated[
        int, typer.Option("--levels", "-n", metavar="N", help="Prices on each side.", min=1, max=LEVELS_MAX)
    ] = LEVELS_DEFAULT,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after the book was shown N times.", min=1, show_default=False),
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            envvar="GATEWAY_KEY",
            metavar="KEY",
            help="The API key. A file hides it better.",
            show_default=False,
        ),
    ] = "",
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the API key.", show_default=False)
    ] = None,
) -> None:
    """Show a ticker's order book as it changes.

    The gateway must derive a view that holds it: views = ["BookDepth"] at the feed, for ten prices with their
    orders, or "StockBookQuote", for two.

    In a pipe the book is written anew each time it changes. Ctrl-C ends it.

    Exit codes: 0 done, 1 failed, 2 your input.

    Examples:

        gateway book AAPL

        gateway book AAPL --url ws://gateway.example:8765 --levels 5

        gateway book AAPL --count 1 > book.txt
    """
    console = Console()
    try:
        websocket_url(url)
        password = key_file.read_text("utf-8").strip() if key_file is not None else key
        run_until_interrupted(_follow(ticker, url, levels, count, password, console))
    except (BadRequest, KeyRefused) as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(2) from error
    except (GatewayError, OSError) as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from error


def views_for(levels: int) -> list[str]:
    """What to ask for, the best first: exactly so many levels, more than enough, what there is."""
    enough = [f"BookDepth{levels}", "BookDepth"] if levels != LEVELS_DEFAULT else ["BookDepth", "BookDepth10"]
    return [*enough, "StockBookQuote"]


async def _follow(ticker: str, url: str, levels: int, count: int | None, key: str, console: Console) -> None:
    refused: RequestRefused | None = None
    for name in views_for(levels):
        try:
            await _show(name, ticker, url, levels, count, key, console)
        except RequestRefused as exc:
            if exc.result is not StreamResult.UNKWN_MSG_TYPE:
                raise
            refused = refused or exc
        else:
            return
    assert refused is not None
    raise BadRequest(
        f'the gateway has no books; expected views = ["BookDepth"] at one of its feeds ({refused.detail})'
    )


async def _show(
    name: str, ticker: str, url: str, levels: int, count: int | None, key: str, console: Console
) -> None:
    where, shown = where_of([ticker], ""), 0
    feed = connect(url, key)
    async with feed, feed.stream(name, where=where, delivery="latest", latency_ms=LATENCY_MS) as stream:
        waiting = Text(f"{ticker}: no book yet", style="dim")
        live = None
        if console.is_terminal:
            live = Live(waiting, console=console, refresh_per_second=REFRESH_PER_S)
        with live or nullcontext():
            async for message in stream:
                drawn = drawing(Ladder.of(message.exact_fields(), levels))
                if live is not None:
                    live.update(drawn)
                else:
                    console.print(drawn)
                shown += 1
                if shown == count:
                    break


def drawing(ladder: Ladder) -> RenderableType:
    """The ladder as a table, bids on the left, with a bar for each size."""
    largest = max((level.size for level in (*ladder.bids, *ladder.asks)), default=1)
    table = Table(title=_title(ladder), title_justify="left", title_style="bold")
    for column, justify in (
        ("orders", "right"),
        ("", "right"),
        ("size", "right"),
        ("bid", "right"),
        ("ask", "left"),
        ("size", "left"),
        ("", "left"),
        ("orders", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # a literal of rich's own
    for bid, ask in zip_longest(ladder.bids, ladder.asks):
        table.add_row(*reversed(_cells(bid, largest, "green")), *_cells(ask, largest, "red"))
    return Group(table)


def _title(ladder: Ladder) -> str:
    seconds, rest_ns = divmod(ladder.time_ns, 10**9)
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest_ns // 10**6:03}"
    spread = f"spread {ladder.asks[0].price - ladder.bids[0].price}" if ladder.bids and ladder.asks else ""
    return "  ".join(part for part in (ladder.ticker, time, ladder.status, spread) if part)


def _cells(level: Level | None, largest: int, style: str) -> list[Text]:
    if level is None:
        return [Text("")] * 4
    bar = "█" * max(1, round(BAR_WIDTH * level.size / largest))
    orders = "" if level.orders is None else f"{level.orders}"
    return [Text(f"{level.price}", style), Text(f"{level.size:,}"), Text(bar, style), Text(orders, "dim")]

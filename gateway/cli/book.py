"""`gateway book`: one ticker's book as a ladder that follows the market.

Knows the views that hold a book, and the terminal; the stream is the client library's, a ladder's drawing
`ladder`'s.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gateway.cli.credentials import KeyFileOption, KeyOption, the_key
from gateway.cli.ladder import Ladder, drawing
from gateway.cli.running import quiet_client_log, run_until_interrupted
from gateway.client import KeyRefused, Message, Notice, RequestRefused, connect
from gateway.client.notices import (
    FeedDown,
    FeedUp,
    GoodNight,
    Reconnected,
    Reconnecting,
    SessionChange,
    SnapshotComplete,
    Stale,
)
from gateway.client.options import websocket_url
from gateway.client.request import where_of
from gateway.errors import BadRequest, GatewayError
from gateway.mlink.choices import StreamResult

LEVELS_DEFAULT, LEVELS_MAX = 10, 50
# Faster than this nobody reads.
REFRESH_PER_S = 10
LATENCY_MS = 50
_DEPTH = re.compile(r"\bBookDepth(\d*)\b")


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
    key: KeyOption = "",
    key_file: KeyFileOption = None,
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
    try:
        websocket_url(url)
        if not ticker.strip():
            raise BadRequest("TICKER: is empty, expected a name such as AAPL")
        password = the_key(key, key_file)
        shown = Shown(ticker.strip(), levels, count, Console(), Console(stderr=True))
        with quiet_client_log(), shown.drawn():
            run_until_interrupted(_follow(shown, url, password))
    except (BadRequest, KeyRefused) as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(2) from error
    except (GatewayError, OSError) as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from error


class Shown:
    """What is on the screen: the ladder of each feed that has the ticker, and what is wrong at the moment.

    In a pipe each ladder is written out, and what is wrong goes to `err`.
    """

    def __init__(self, ticker: str, levels: int, count: int | None, out: Console, err: Console) -> None:
        self.ticker = ticker
        self.levels = levels
        self._count = count
        self._out = out
        self._err = err
        self._live: Live | None = None
        self._ladders: dict[str, Ladder] = {}
        # By what they are about; each stands until it is over.
        self._troubles: dict[str, str] = {}
        self._shown = 0

    @property
    def enough(self) -> bool:
        """Whether it was shown as often as was asked for."""
        return self._shown == self._count

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw in place while this lasts, on a terminal."""
        if not self._out.is_terminal:
            yield
            return
        with Live(self._drawing(), console=self._out, refresh_per_second=REFRESH_PER_S) as self._live:
            yield

    def message(self, message: Message) -> None:
        """One more state of the book."""
        ladder = self._ladders[message.src] = Ladder.of(message.exact_fields(), self.levels)
        for trouble in ("line", "book", f"stale {message.src}"):
            self._troubles.pop(trouble, None)
        self._shown += 1
        if self._live is None:
            source = message.src if len(self._ladders) > 1 else ""
            self._out.print(drawing(ladder, source, self._out.width))
        else:
            self._live.update(self._drawing())

    def notice(self, notice: Notice) -> None:
        """The stream has something to tell."""
        match notice:
            case Reconnecting():
                self._trouble("line", f"no connection: {notice.detail}")
            case Reconnected():
                # The ladders stay: a book that has not changed meanwhile does not come again.
                self._troubles.pop("line", None)
            case GoodNight():
                self._trouble("line", f"the gateway shuts down: {notice.detail or 'dialled again by itself'}")
            case FeedDown():
                self._trouble(f"feed {notice.src}", f"feed {notice.src} is down: {notice.detail}")
            case FeedUp():
                self._troubles.pop(f"feed {notice.src}", None)
            case Stale():
                self._trouble(f"stale {notice.src}", f"feed {notice.src} is silent: {notice.detail}")
            case SessionChange():
                # Its orders are gone with it.
                self._ladders.pop(notice.src, None)
                self._trouble("book", f"session {notice.session} has begun, and no book of it yet")
            case SnapshotComplete():
                self._troubles.pop("line", None)
                if not self._ladders:
                    hint = "" if self.ticker == self.ticker.upper() else "; tickers are written in capitals"
                    text = f"no book of {self.ticker}: no such ticker, or no order of it yet{hint}"
                    self._trouble("book", text)
        if self._live is not None:
            self._live.update(self._drawing())

    def _trouble(self, about: str, text: str) -> None:
        if self._live is None and self._troubles.get(about) != text:
            self._err.print(f"gateway: {text}", markup=False, highlight=False, soft_wrap=True)
        self._troubles[about] = text

    def _drawing(self) -> RenderableType:
        many = len(self._ladders) > 1
        parts: list[RenderableType] = [
            drawing(ladder, src if many else "", self._out.width)
            for src, ladder in sorted(self._ladders.items())
        ]
        if not parts and not self._troubles:
            parts.append(Text(f"{self.ticker}: no book yet", style="dim"))
        return Group(*parts, *(Text(text, style="yellow") for text in self._troubles.values()))


def nearest_depth(levels: int, refusal: str) -> str | None:
    """The BookDepth of those that a refusal names that shows so many levels, or the most there are."""
    depths = {int(found[1] or LEVELS_DEFAULT): found[0] for found in _DEPTH.finditer(refusal)}
    enough = [depth for depth in depths if depth >= levels]
    return depths[min(enough) if enough else max(depths)] if depths else None


async def _follow(shown: Shown, url: str, key: str) -> None:
    try:
        await _show(f"BookDepth{shown.levels}", shown, url, key)
        return
    except RequestRefused as exc:
        if exc.result is not StreamResult.UNKWN_MSG_TYPE:
            raise
        refused = exc
    # Of those it names, the first is the one that was asked for.
    there_are = refused.detail.partition(";")[2]
    try:
        await _show(nearest_depth(shown.levels, there_are) or "StockBookQuote", shown, url, key)
    except RequestRefused as exc:
        if exc.result is not StreamResult.UNKWN_MSG_TYPE:
            raise
        expected = 'expected views = ["BookDepth"] at one of its feeds'
        raise BadRequest(f"the gateway has no books; {expected} ({refused.detail})") from exc


async def _show(name: str, shown: Shown, url: str, key: str) -> None:
    where = where_of([shown.ticker], "")
    feed = connect(url, key)
    async with feed, feed.stream(name, where=where, delivery="latest", latency_ms=LATENCY_MS) as stream:
        async for item in stream.with_notices():
            if isinstance(item, Notice):
                shown.notice(item)
            else:
                shown.message(item)
                if shown.enough:
                    return

"""A gateway, and the streams that are read from it.

Knows which stream runs on which socket; what a line does is the line's.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from gateway.client.arguments import (
    BoardOptions,
    CollectOptions,
    ConnectOptions,
    LiveOptions,
    StreamOptions,
    TableOptions,
)
from gateway.client.buffer import Buffer
from gateway.client.extras import new_collection, new_live_table
from gateway.client.line import Line
from gateway.client.merging import StripeMerge
from gateway.client.notices import OnNotice
from gateway.client.options import Options
from gateway.client.positions import read_resume
from gateway.client.request import Request, where_of
from gateway.client.stream import Stream
from gateway.client.subscription import ReadRows, Subscription
from gateway.client.tracker import Tracker
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from typing import Self

    from gateway.client.live import LiveTable


class Feed:
    """One gateway. Streams share a socket while their messages can be told apart by name and all are read
    as fast as they are served; otherwise a stream has a socket of its own, and nobody has to care."""

    def __init__(self, options: Options, on_notice: OnNotice | None = None) -> None:
        self.options = options
        self._on_notice = on_notice
        self._lines: list[Line] = []
        self._streams: list[Stream] = []
        self._tables: list[LiveTable] = []
        self._own: set[Subscription] = set()
        self._closed = False

    def stream(self, *names: str, **options: Unpack[StreamOptions]) -> Stream:
        """A stream of the named messages (`"*"`: all), opened when it is first read.

        - `stripe`: one stripe, or several served together. `stripes`: one socket for each, merged.
        - `where`: `"stock:eq:AAPL & shares:gt:100"`. `view`: the fields wanted; the key is always there.
        - `resume`: where to start, `"itch/0000000001/1"`; the first number wanted. An empty session is
          the one that runs. Without it: the latest record of each key, then what comes from now on.
        - `latency_ms`: the least time between two sends; above 1 less is sent, if records may be conflated.
        - `delivery`: `"every"` message, or the `"latest"` of each key. Default: every event, latest record.
        - `highwater_ns`: records sent later only; -1: none that are there already.
        - `on_notice`: called with each notice of this stream at its place; default: that of `connect`.
        """
        return self._stream(names, options)

    def _stream(self, names: tuple[str, ...], options: StreamOptions, read: ReadRows | None = None) -> Stream:
        stripe = _texts(options.get("stripe"))
        stripes = _texts(options.get("stripes"))
        if stripe and stripes:
            raise BadRequest("stripe and stripes: expected one of them")
        if len({name.casefold() for name in stripes}) < len(stripes):
            raise BadRequest(f"stripes {list(stripes)}: one is named twice")
        view = options.get("view") or ""
        parts: list[tuple[str, ...]] = [(name,) for name in stripes] or [stripe]
        requests = [
            Request(
                names,
                part,
                options.get("where") or "",
                view if isinstance(view, str) else "|".join(view),
                options.get("latency_ms", 1),
                options.get("delivery"),
                options.get("highwater_ns", 0),
                options.get("coverage", False),
                options.get("label", ""),
            )
            for part in parts
        ]
        resume = read_resume(options.get("resume"))
        latest = options.get("delivery") == "latest"
        trackers = [Tracker(resume, latest=latest) for _ in requests]
        merge = StripeMerge(trackers) if len(requests) > 1 else None
        buffer = Buffer(self.options.buffer_messages)
        read = None if merge else read
        subscriptions = [
            Subscription(request, tracker, buffer, merge, read)
            for request, tracker in zip(requests, trackers, strict=True)
        ]
        if merge or read or options.get("own_socket"):
            self._own.update(subscriptions)
        on_notice = options.get("on_notice") or self._on_notice
        return Stream(subscriptions, buffer, merge, on_notice, self._open, self._close)

    async def collect(self, *names: str, **options: Unpack[CollectOptions]) -> Any:
        """Read a stream of the named messages into a DataFrame; options as of `stream`, and:

        - `count`: so many messages. `seconds`: what comes within. `up_to`: `"itch/0000000001/5000"`, the
          first number not wanted any more; what is before it is complete. The first that is met ends it.
        - `into`: `"pandas"` or `"polars"`. `exact`: prices as Decimal.
        - `day`: the day of the times since midnight. `time_fields`: which fields hold nanoseconds.
        - `progress`: a bar; by default on a terminal or in Jupyter, when it takes longer than a second.

        Every message, of records too, unless `delivery="latest"`.

        Needs the extra `notebook` or `polars`.
        """
        of_table, of_stream = apart(options, TableOptions)
        collection = new_collection(of_table)
        async with self.collecting(names, of_table, of_stream) as stream:
            await collection.read(stream)
        return collection.frame()

    def collecting(self, names: Sequence[str], of_table: TableOptions, of_stream: StreamOptions) -> Stream:
        """The stream that `collect` reads: every message, unless something else is asked for."""
        of_stream = {"delivery": "every", **of_stream}
        if of_table.get("up_to"):
            # The end may be far behind the last message that matches: then a checkpoint tells of it.
            of_stream = {**of_stream, "coverage": True}
        from gateway.client import rows

        # Decimals are made of each message's own text.
        return self._stream(tuple(names), of_stream, None if of_table.get("exact") else rows.read)

    def live(self, *names: str, tickers: Sequence[str] = (), **options: Unpack[LiveOptions]) -> "LiveTable":
        """A table and a plot of the named messages that follow them until `await table.stop()`.

        Options as of `stream`, and: `plot`, the field that is plotted; `refresh_s`, how often it is drawn;
        `keep_messages`, how many `table.frame` has; `rows_shown`. Needs the extra `notebook`.
        """
        of_board, of_stream = apart(options, BoardOptions)
        where = of_stream.get("where") or ""
        stream = self.stream(*names, **{**of_stream, "where": where_of(tickers, where)})
        table = new_live_table(stream, tickers, of_board)
        # Those that have ended are kept by whoever shows them, and by nobody else.
        self._tables = [each for each in self._tables if each.running]
        self._tables.append(table)
        table.start()
        return table

    async def aclose(self) -> None:
        """End all streams and lines, and wait until they have ended."""
        self._closed = True
        for table in self._tables:
            await table.end()
        self._tables.clear()
        for stream in self._streams:
            for subscription in stream.subscriptions:
                subscription.buffer.end()
        await asyncio.gather(*(line.close() for line in self._lines))
        self._lines.clear()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _open(self, stream: Stream) -> None:
        if self._closed:
            raise BadRequest("the connection is closed: read streams inside of `async with connect(…)`")
        self._streams.append(stream)
        for subscription in stream.subscriptions:
            await self._place(subscription)

    async def _close(self, stream: Stream) -> None:
        for subscription in stream.subscriptions:
            for line in list(self._lines):
                await line.remove(subscription)
            self._own.discard(subscription)
        if stream in self._streams:
            self._streams.remove(stream)

    async def _place(self, subscription: Subscription) -> None:
        """Put a stream on a line that can take it, else on a new one."""
        self._lines = [line for line in self._lines if line.streams]
        own = subscription in self._own
        for line in self._lines:
            if not own and line.has_room_for(subscription):
                await line.add(subscription)
                return
        line = Line(self.options, self._move, own=own)
        self._lines.append(line)
        await line.add(subscription)

    async def _move(self, subscription: Subscription) -> None:
        """Out of a shared socket, into one of its own."""
        self._own.add(subscription)
        await self._place(subscription)


def connect(
    url: str,
    key: str = "",
    *,
    on_notice: OnNotice | None = None,
    **options: Unpack[ConnectOptions],
) -> Feed:
    """A gateway at `url` (`ws://host:8765`, `wss://host`), for `async with connect(…) as feed`.

    Sockets open when streams are read. `on_notice` is called with what streams tell beside messages. The
    other options are the limits of `Options`, by name.
    """
    return Feed(_options(url, key, options), on_notice)


def _options(url: str, key: str, options: Mapping[str, Any]) -> Options:
    try:
        return Options(url, key, **options)
    except TypeError as error:
        raise TypeError(f"connect: {str(error).partition(') ')[2] or error}") from None


def apart(options: Mapping[str, Any], own: type) -> tuple[Any, Any]:
    """The options that are `own`, and all others."""
    names = own.__annotations__
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names},
    )


def _texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)

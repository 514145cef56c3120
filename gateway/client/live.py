"""A table and a plot that follow a stream, in Jupyter or beside a script, until they are stopped.

Knows the stream and ipywidgets; what is shown is the board's, how it looks the drawing's.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from gateway.client.arguments import BoardOptions
from gateway.client.board import Board
from gateway.client.columns import Columns
from gateway.client.drawing import plot_svg, table_html
from gateway.client.extras import need
from gateway.client.frames import Table, Times, check, to_frame
from gateway.client.message import Batch
from gateway.client.stream import Stream
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.client.sync import SyncFeed

# Messages that `frame` has; of more, the oldest go.
KEEP_MESSAGES = 100_000
REFRESH_S = 0.5
ROWS_SHOWN = 40


class LiveTable:
    """Follows a stream from `start` to `stop`. As a cell's last value it is shown, and moves."""

    def __init__(self, stream: Stream, tickers: Sequence[str], settings: BoardOptions) -> None:
        check("pandas")
        if "ipykernel" in sys.modules:
            need("ipywidgets", "a live table in Jupyter", "notebook")
        self._refresh_s = settings.get("refresh_s", REFRESH_S)
        self._keep_messages = settings.get("keep_messages", KEEP_MESSAGES)
        self._rows_shown = settings.get("rows_shown", ROWS_SHOWN)
        if not self._refresh_s > 0:
            raise BadRequest(f"refresh_s {self._refresh_s}: expected more than 0")
        for name, value in (("keep_messages", self._keep_messages), ("rows_shown", self._rows_shown)):
            if value < 1:
                raise BadRequest(f"{name} {value}: expected 1 or more")
        self.board = Board(tickers, settings.get("plot"))
        self._stream = stream
        self._kept: deque[Batch] = deque()
        self._kept_messages = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._widgets: Any = None

    def start(self) -> None:
        """Follow from now on; called in the loop that the stream belongs to."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._follow(), name="live table")
        self._task.add_done_callback(lambda _: self._show())

    async def stop(self) -> None:
        """End it, and wait until it has ended. What ended it before, if anything did, is raised."""
        await self.end()
        if (error := self.error) is not None:
            raise error

    async def end(self) -> None:
        """As `stop`, whatever had ended it before."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def running(self) -> bool:
        """Whether it still follows."""
        return self._task is not None and not self._task.done()

    @property
    def error(self) -> BaseException | None:
        """What ended it, if it was not stopped."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        error = self._task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return error

    @property
    def frame(self) -> Table:
        """What came so far as a DataFrame of pandas: the newest `keep_messages`."""
        return frame_of(self.kept())

    def kept(self) -> list[Batch]:
        """What `frame` is made of; called in the loop that the stream belongs to."""
        return list(self._kept)

    @property
    def widget(self) -> Any:
        """What is shown: state, table and plot, and a button that stops it."""
        if self._widgets is None:
            widgets = need("ipywidgets", "a live table in Jupyter", "notebook")
            stop = widgets.Button(description="Stop", icon="stop", disabled=not self.running)
            stop.on_click(lambda _: self._stop_soon())
            parts = [stop, *(widgets.HTML() for _ in range(3))]
            self._parts = parts
            self._widgets = widgets.VBox([widgets.HBox(parts[:2]), *parts[2:]])
            self._in_loop(self._show)
        return self._widgets

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        return f"<live table: {self._state()}>"

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group, self._stream:
            showing = group.create_task(self._keep_showing())
            while len(batch := await self._stream.take()):
                self._add(batch)
                # What waits is taken at once, so others would never have their turn.
                await asyncio.sleep(0)
            showing.cancel()

    async def _keep_showing(self) -> None:
        shown = -1
        while True:
            if shown != self.board.messages:
                shown = self.board.messages
                self._show()
            await asyncio.sleep(self._refresh_s)

    def _add(self, batch: Batch) -> None:
        self.board.add(batch)
        self._kept.append(batch)
        self._kept_messages += len(batch)
        while self._kept_messages - len(self._kept[0]) >= self._keep_messages:
            self._kept_messages -= len(self._kept.popleft())

    def _show(self) -> None:
        if self._widgets is None:
            return
        stop, state, table, plot = self._parts
        state.value = escape(self._state())
        table.value = table_html(self.board, self._rows_shown)
        plot.value = plot_svg(self.board)
        stop.disabled = not self.running

    def _state(self) -> str:
        what = "live" if self.running else "stopped" if self.error is None else f"ended: {self.error}"
        return f"{what}, {self.board.messages:,} messages"

    def _stop_soon(self) -> None:
        task = self._task
        if task is not None:
            self._in_loop(task.cancel)

    def _in_loop(self, work: Callable[[], object]) -> None:
        """Do it where the stream is read, for nothing here is made for two threads at once."""
        loop = self._loop
        if loop is None or loop.is_closed() or loop is _running_loop():
            work()
        else:
            loop.call_soon_threadsafe(work)


class SyncLiveTable:
    """A `LiveTable` whose stream is read in the client's thread. Stop it by `stop()` or the button."""

    def __init__(self, feed: "SyncFeed", table: LiveTable) -> None:
        self._feed = feed
        self._table = table

    @property
    def board(self) -> Board:
        """The newest values, and the points of the plot."""
        return self._table.board

    @property
    def running(self) -> bool:
        """Whether it still follows."""
        return self._table.running

    @property
    def frame(self) -> Table:
        """What came so far as a DataFrame of pandas."""
        return frame_of(self._feed.run(self._kept()) if self._feed.is_open else self._table.kept())

    @property
    def widget(self) -> Any:
        """What is shown."""
        return self._table.widget

    def stop(self) -> None:
        """End it, and wait until it has ended. What ended it before, if anything did, is raised."""
        self._feed.run(self._table.stop())

    async def _kept(self) -> list[Batch]:
        return self._table.kept()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._table._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        return repr(self._table)


def frame_of(batches: Iterable[Batch]) -> Table:
    """A DataFrame of pandas of these messages."""
    columns = Columns()
    for batch in batches:
        columns.add(batch)
    return to_frame(columns, "pandas", Times())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

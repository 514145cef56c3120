"""The client without `async`, for scripts: a loop in a thread, messages by `for`.

Knows threads; everything else is the feed's.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from gateway.client.arguments import (
    CollectOptions,
    ConnectOptions,
    LiveOptions,
    StreamOptions,
    TableOptions,
)
from gateway.client.extras import new_collection
from gateway.client.feed import Feed, apart, connect
from gateway.client.message import Message
from gateway.client.notices import OnNotice
from gateway.client.positions import FeedPosition
from gateway.client.stream import Stream

if TYPE_CHECKING:
    from typing import Self

    from gateway.client.collect import Collection
    from gateway.client.live import LiveTable, SyncLiveTable

T = TypeVar("T")


class SyncStream:
    """A `Stream` read by `for`. `positions` is where it was read up to."""

    def __init__(self, feed: "SyncFeed", stream: Stream) -> None:
        self._feed = feed
        self._stream = stream
        self._next: Iterator[Message] = iter(())
        self._left: list[Message] = []

    def __iter__(self) -> "Self":
        return self

    def __next__(self) -> Message:
        for message in self._next:
            return message
        batch = self.next_batch()
        if not batch:
            raise StopIteration
        self._next = iter(batch)
        return next(self._next)

    def next_batch(self, timeout_s: float | None = None) -> list[Message]:
        """What has arrived together, at least one; empty when the stream has ended.

        TimeoutError when nothing came for `timeout_s`; the stream goes on.
        """
        rest = list(self._next)
        return rest or self._feed.run(_within(self._stream, timeout_s))

    def batches(self) -> Iterator[list[Message]]:
        """The same messages in the runs they arrived in: the fastest way."""
        while batch := self.next_batch():
            yield batch

    def collect(self, **options: Unpack[TableOptions]) -> Any:
        """What comes next as a DataFrame. See `Feed.collect`; `up_to` needs `coverage=True` of the stream."""
        collection = new_collection(options)
        rest = list(self._next)
        self._feed.run(self._collect(collection, rest))
        return collection.frame()

    async def _collect(self, collection: "Collection", rest: list[Message]) -> None:
        self._stream.put_back(rest)
        await collection.read(self._stream)

    @property
    def positions(self) -> tuple[FeedPosition, ...]:
        """As of `Stream`, but a batch that is being read by `for` counts as read."""
        return self._feed.run(_positions(self._stream))

    @property
    def doubles(self) -> int:
        """Messages that arrived again and were dropped."""
        return self._stream.doubles

    def close(self) -> None:
        """End the stream."""
        self._feed.run(self._stream.aclose())

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncFeed:
    """A `Feed` whose loop runs in a thread of its own while the `with` block does."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway client", daemon=True)

    def stream(self, *names: str, **options: Unpack[StreamOptions]) -> SyncStream:
        """As `Feed.stream`. Notices are called in the client's own thread."""

        async def make() -> Stream:
            return self._feed.stream(*names, **options)

        return SyncStream(self, self.run(make()))

    def collect(self, *names: str, **options: Unpack[CollectOptions]) -> Any:
        """As `Feed.collect`."""
        of_table, of_stream = apart(options, TableOptions)
        # Here, and the frame too: a progress bar belongs to the cell that runs, and the loop is not held up.
        collection = new_collection(of_table)

        async def read() -> None:
            async with self._feed.collecting(names, of_table, of_stream) as stream:
                await collection.read(stream)

        self.run(read())
        return collection.frame()

    def live(
        self, *names: str, tickers: Sequence[str] = (), **options: Unpack[LiveOptions]
    ) -> "SyncLiveTable":
        """As `Feed.live`: `table.stop()` ends it."""

        async def make() -> "LiveTable":
            return self._feed.live(*names, tickers=tickers, **options)

        table = self.run(make())
        from gateway.client.live import SyncLiveTable

        return SyncLiveTable(self, table)

    @property
    def is_open(self) -> bool:
        """Whether streams can be read."""
        return self._thread.is_alive()

    def open(self) -> "Self":
        """Begin without a `with` block, in a notebook; `close` ends it."""
        return self.__enter__()

    def close(self) -> None:
        """End all streams, the line, and the thread."""
        if self.is_open:
            self.__exit__(None, None, None)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something of the client in its thread, and wait for it."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("read streams inside of `with connect_sync(…)`")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C comes to this thread alone.
            future.cancel()
            raise

    def __enter__(self) -> "Self":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self._feed.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def connect_sync(
    url: str, key: str = "", *, on_notice: OnNotice | None = None, **options: Unpack[ConnectOptions]
) -> SyncFeed:
    """As `connect`, for `with connect_sync(…) as feed: for message in feed.stream(…)`."""
    return SyncFeed(connect(url, key, on_notice=on_notice, **options))


async def _within(stream: Stream, timeout_s: float | None) -> list[Message]:
    async with asyncio.timeout(timeout_s):
        return await stream.next_batch()


async def _positions(stream: Stream) -> tuple[FeedPosition, ...]:
    return stream.positions

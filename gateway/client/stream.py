"""A stream as its reader sees it: messages by `async for`, notices at their place, and where it stands.

Knows buffers and trackers; the sockets are the feed's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from operator import length_hint
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from gateway.client.arguments import TableOptions
from gateway.client.buffer import Buffer
from gateway.client.extras import new_collection
from gateway.client.merging import StripeMerge
from gateway.client.message import Batch, Message
from gateway.client.notices import Notice, OnNotice
from gateway.client.positions import FeedPosition
from gateway.client.subscription import Subscription

if TYPE_CHECKING:
    from typing import Self


_new = object.__new__


class Stream:
    """Messages as they come: each once, in order (of several stripes: in order within each).

    Opened when it is first read. One reader at a time; a reader that stops for a while is waited
    for. Ends when it is closed, or with an error: `KeyRefused`, `RequestRefused`, `Unreachable`,
    `Incomplete`. Everything that can be healed by dialling again is told as a notice, and healed.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        buffer: Buffer,
        merge: StripeMerge | None,
        on_notice: OnNotice | None,
        opens: Callable[["Stream"], Awaitable[None]],
        closes: Callable[["Stream"], Awaitable[None]],
    ) -> None:
        self.subscriptions = tuple(subscriptions)
        self._buffer = buffer
        self._merge = merge
        self._on_notice = on_notice
        self._opens = opens
        self._closes = closes
        self._is_open = False
        self._set(Batch([], []))

    # Reading.

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> Message:
        while True:
            # The cheapest "take one if there is one" there is; nearly every message goes this way.
            for value, text in self._next:
                message = _new(Message)
                message.header = value["header"]
                message.fields = message.__dict__ = value["message"]
                message.raw = text
                return message
            batch = await self._fill()
            if batch is None:
                raise StopAsyncIteration
            self._set(batch)

    async def next_batch(self) -> list[Message]:
        """What has arrived together and not been read yet, at least one; empty when the stream has ended."""
        return (await self.take()).messages()

    async def take(self, messages_max: int | None = None) -> Batch:
        """As `next_batch`, at most so many, without an object for each message."""
        batch = self._rest()
        if batch:
            self._set(Batch([], []))
        else:
            batch = await self._fill() or batch
        if messages_max is not None and len(batch) > messages_max:
            self._set(Batch(batch.values[messages_max:], batch.texts[messages_max:]))
            batch = Batch(batch.values[:messages_max], batch.texts[:messages_max])
        return batch

    async def batches(self) -> AsyncIterator[list[Message]]:
        """The same messages in the runs they arrived in: the fastest way, for tables and files."""
        while batch := await self.next_batch():
            yield batch

    def put_back(self, messages: Sequence[Message]) -> None:
        """Have these read again, first."""
        if messages:
            rest = self._rest()
            values = [{"header": each.header, "message": each.fields} for each in messages]
            self._set(Batch(values + rest.values, [each.raw for each in messages] + rest.texts))

    async def collect(self, **options: Unpack[TableOptions]) -> Any:
        """What comes next as a DataFrame; needs the extra `notebook` or `polars`. See `Feed.collect`."""
        collection = new_collection(options)
        await collection.read(self)
        return collection.frame()

    async def with_notices(self) -> AsyncIterator[Message | Notice]:
        """Messages, and between them, at their place, what the stream tells."""
        await self._open()
        while True:
            for value, text in self._next:
                yield Message(value["header"], value["message"], text)
            item = await self._buffer.take()
            if item is None:
                return
            if isinstance(item, Batch):
                self._set(item)
            else:
                self._tell(item)
                yield item

    async def aclose(self) -> None:
        """End the stream. What has arrived can still be read."""
        self._buffer.end()
        if self._is_open:
            await self._closes(self)

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Where it stands.

    @property
    def positions(self) -> tuple[FeedPosition, ...]:
        """The first message not read yet, per feed: store it, and give it as `resume` to go on there.

        What has arrived but was not read counts as not had. Of several stripes it is the earliest: read
        each stripe as a stream of its own to resume without doubles. Empty while the snapshot is incomplete.
        """
        received: dict[str, list[FeedPosition]] = {}
        for subscription in self.subscriptions:
            of_one = subscription.tracker.positions()
            if not of_one:
                return ()
            for position in of_one:
                received.setdefault(position.src, []).append(position)
        for header in self._waiting():
            seq = header.get("seqN")
            if seq is not None and header["src"] in received:
                received[header["src"]].append(FeedPosition(header["src"], header["ses"], seq))
        return tuple(self._earliest(src, of_feed) for src, of_feed in received.items())

    @property
    def doubles(self) -> int:
        """Messages that arrived again and were dropped, over all reconnects."""
        return sum(each.tracker.doubles for each in self.subscriptions) + (
            self._merge.doubles if self._merge else 0
        )

    @property
    def waiting(self) -> int:
        """Messages that arrived and have not been read."""
        return sum(1 for _ in self._waiting())

    def _waiting(self) -> Iterator[dict[str, Any]]:
        for value in self._rest().values:
            yield value["header"]
        yield from self._buffer.headers()

    def _earliest(self, src: str, positions: list[FeedPosition]) -> FeedPosition:
        sessions = {position.session for position in positions}
        if "" in sessions:
            # A stripe that has not had the first message of the first session.
            positions = [position for position in positions if not position.session]
        elif len(sessions) > 1:
            # What waits stands behind what was received in the list, and in the order of the stream;
            # only several stripes can be in several sessions with nothing waiting.
            order = self._merge.sessions(src) if self._merge else []
            known = [session for session in order if session in sessions]
            waiting = positions[len(self.subscriptions) :]
            oldest = known[0] if known else waiting[0].session if waiting else positions[0].session
            positions = [position for position in positions if position.session == oldest]
        return min(positions, key=lambda position: position.next_seq)

    # Inside.

    def _set(self, batch: Batch) -> None:
        """What is read next. `_left` knows how much of it is left, `_next` gives it out."""
        self._batch = batch
        self._left = iter(batch.values)
        self._next = zip(self._left, batch.texts, strict=False)

    def _rest(self) -> Batch:
        taken = len(self._batch) - length_hint(self._left)
        return Batch(self._batch.values[taken:], self._batch.texts[taken:])

    async def _open(self) -> None:
        if not self._is_open and not self._buffer.ended:
            self._is_open = True
            await self._opens(self)

    async def _fill(self) -> Batch | None:
        await self._open()
        while (item := await self._buffer.take()) is not None:
            if isinstance(item, Batch):
                return item
            self._tell(item)
        return None

    def _tell(self, notice: Notice) -> None:
        if self._on_notice is not None:
            self._on_notice(notice)

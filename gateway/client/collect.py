"""A stream into a DataFrame: when it is enough, and how far it is.

Knows streams and columns; the types of the columns are those of `frames`.
"""

import asyncio
from contextlib import suppress
from datetime import date

from gateway.client.arguments import TableOptions
from gateway.client.columns import Columns
from gateway.client.frames import Table, Times, check, to_frame
from gateway.client.message import Batch
from gateway.client.positions import FeedPosition
from gateway.client.progress import Progress
from gateway.client.rows import Rows
from gateway.client.stream import Stream
from gateway.errors import BadRequest

# While nothing comes: how often it is asked whether all that was wanted has come.
POLL_S = 0.05


class Collection:
    """What is wanted, and what has come. `read` once, then `frame`; both may be in different threads."""

    def __init__(self, options: TableOptions) -> None:
        self._into = options.get("into", "pandas")
        check(self._into)
        self._count = options.get("count")
        self._seconds = options.get("seconds")
        self._end = _End(options.get("up_to"))
        if self._count is None and self._seconds is None and not self._end:
            raise BadRequest("collect would never end: expected count, seconds or up_to")
        if self._count is not None and self._count < 1:
            raise BadRequest(f"count {self._count}: expected 1 or more")
        if self._seconds is not None and not self._seconds > 0:
            raise BadRequest(f"seconds {self._seconds}: expected more than 0")
        day: date | str | None = options.get("day")
        fields = options.get("time_fields")
        self._times = Times(day=day) if fields is None else Times(fields, day)
        self._columns = Columns(exact=options.get("exact", False))
        self._positions: tuple[FeedPosition, ...] = ()
        self._progress = Progress(options.get("progress"), self._count, self._end.at)

    async def read(self, stream: Stream) -> None:
        """Read until it is enough, or the stream ends. An error of the stream is raised."""
        loop = asyncio.get_running_loop()
        deadline = None if self._seconds is None else loop.time() + self._seconds
        self._progress.begin(stream.positions)
        try:
            # Asked before as well: it has to be seen that the session wanted is the one that is current.
            enough = self._end.reached(stream.positions)
            while not enough:
                enough = await self._enough(stream, deadline)
            self._positions = self._end.cut(stream.positions)
        finally:
            self._progress.close()

    def frame(self) -> Table:
        """What has come as a table; of pandas, `frame.attrs["resume"]` says where to go on."""
        frame = to_frame(self._columns, self._into, self._times)
        if self._into == "pandas":
            frame.attrs["resume"] = ",".join(map(str, self._positions))
        return frame

    async def _enough(self, stream: Stream, deadline: float | None) -> bool:
        """Take what has come next, and say whether that is all."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if deadline is not None and now >= deadline:
            return True
        until = deadline
        if self._end:
            # Of a stream that nothing comes in any more, a checkpoint tells.
            until = now + POLL_S if deadline is None else min(deadline, now + POLL_S)
        left = None if self._count is None else self._count - self._columns.rows
        batch = None
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                batch = await stream.take(left)
        if batch is None:
            return self._end.reached(stream.positions)
        kept = self._end.before(batch)
        self._columns.add(kept)
        self._progress.saw(kept)
        if not len(batch) or self._columns.rows == self._count:
            return True
        return len(kept) < len(batch) and self._end.reached(stream.positions)


class _End:
    """`up_to`: the first number not wanted any more. False when there is none."""

    def __init__(self, up_to: FeedPosition | str | None) -> None:
        self.at = FeedPosition.parse(up_to) if isinstance(up_to, str) else up_to
        # Only then is another session one that comes after it.
        self._was_there = False

    def __bool__(self) -> bool:
        return self.at is not None

    def before(self, batch: Batch) -> Batch:
        """What of it is wanted."""
        if self.at is None:
            return batch
        if isinstance(batch, Rows) and not self._is_past(batch.src, batch.session, int(batch.seqs[-1])):
            return batch
        kept = Batch([], [])
        for value, text in batch.pairs():
            header = value["header"]
            if not self._is_past(header.get("src", ""), header.get("ses", ""), header.get("seqN") or 0):
                kept.values.append(value)
                kept.texts.append(text)
        return kept

    def reached(self, positions: tuple[FeedPosition, ...]) -> bool:
        """Whether a stream that stands there has had all that is wanted."""
        return any(self._is_past(each.src, each.session, each.next_seq) for each in positions)

    def cut(self, positions: tuple[FeedPosition, ...]) -> tuple[FeedPosition, ...]:
        """Where to go on: what was read and is not wanted counts as not read."""
        at = self.at
        if at is None:
            return positions
        return tuple(
            FeedPosition(each.src, at.session or each.session, at.next_seq)
            if self._is_past(each.src, each.session, each.next_seq)
            else each
            for each in positions
        )

    def _is_past(self, src: str, session: str, seq: int) -> bool:
        at = self.at
        if at is None or at.src not in ("", src):
            return False
        if at.session in ("", session):
            self._was_there = True
            return seq >= at.next_seq
        return self._was_there

"""The messages of one session on the server's side, and where each follower stands in them.

Knows how to keep, find and hand out framed messages; knows nothing of sockets. Replay and live are one
mechanism: a cursor that walks from the number asked for to the end, and waits there.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import islice

from gateway.errors import LocalProtocolError
from gateway.soup import packets

CHUNK_BYTES = 256 * 1024
# Framed together, unless they are large: a chunk is also the most that is written at once.
_BATCH = 256
HISTORY_BYTES_MAX = 1024 * 1024 * 1024


class _Chunk:
    """Framed messages one after the other. Only the newest chunk grows."""

    __slots__ = ("count", "first_seq", "next", "raw")

    def __init__(self, first_seq: int) -> None:
        self.first_seq = first_seq
        self.count = 0
        self.raw: bytearray | bytes = bytearray()
        self.next: _Chunk | None = None


class Cursor:
    """Where one follower stands: `next_seq` is the first message it has not been handed."""

    __slots__ = ("chunk", "next_seq", "offset")

    def __init__(self, chunk: _Chunk, next_seq: int, offset: int) -> None:
        self.chunk = chunk
        self.next_seq = next_seq
        self.offset = offset


class HistoryLost(Exception):
    """A cursor points at messages that the history no longer holds."""


class ServedSession:
    """A session's messages from number 1 on, kept in memory for replay.

    Above `history_bytes_max` the oldest chunk is dropped: who asks for it is refused, and who is still
    reading in it is closed. What is appended in one turn of the loop goes out in one write per follower.
    """

    def __init__(self, name: str, *, history_bytes_max: int = HISTORY_BYTES_MAX) -> None:
        self.name = name
        self._history_bytes_max = history_bytes_max
        self._newest = _Chunk(1)
        self._chunks = [self._newest]
        self._sealed_bytes = 0
        self._ended = False
        self._followers: dict[Cursor, Callable[[], None]] = {}
        self._flush_asked = False
        self._waiting: list[asyncio.Future[None]] = []
        # Followers at the end ask for the same slice: it is made once.
        self._last_slice: tuple[_Chunk, int, int, bytes] | None = None

    @property
    def next_seq(self) -> int:
        """The number that the next message will get."""
        return self._newest.first_seq + self._newest.count

    @property
    def oldest_seq(self) -> int:
        """The first number that can still be asked for."""
        return self._chunks[0].first_seq

    @property
    def ended(self) -> bool:
        """Whether `end` was called: nobody can join it any more."""
        return self._ended

    @property
    def followers(self) -> int:
        """How many connections are being sent its messages."""
        return len(self._followers)

    @property
    def backlog(self) -> int:
        """How many messages the slowest follower has not been handed yet."""
        return max((self.next_seq - cursor.next_seq for cursor in self._followers), default=0)

    def append(self, payload: bytes) -> int:
        """Add a message and return its number."""
        seq = self.next_seq
        self._add(packets.sequenced(payload), 1)
        return seq

    def extend(self, payloads: Iterable[bytes]) -> int:
        """Add messages, faster than one by one; return the number that comes next."""
        remaining = iter(payloads)
        while batch := list(islice(remaining, _BATCH)):
            raw = packets.sequenced_run(batch)
            if len(raw) <= CHUNK_BYTES:
                self._add(raw, len(batch))
            else:
                for payload in batch:
                    self._add(packets.sequenced(payload), 1)
        return self.next_seq

    def end(self) -> None:
        """No more messages: each follower is told so once it has been handed the last one."""
        self._ended = True
        self._ask_flush()

    def cursor(self, from_seq: int) -> Cursor:
        """A cursor at `from_seq`, which must be held here or be the next."""
        if not self.oldest_seq <= from_seq <= self.next_seq:
            raise ValueError(f"number {from_seq} asked for, {self.oldest_seq} to {self.next_seq} can be had")
        at = bisect_right(self._chunks, from_seq, key=lambda chunk: chunk.first_seq) - 1
        chunk, offset = self._chunks[at], 0
        for _ in range(from_seq - chunk.first_seq):
            offset += packets.LENGTH_SIZE + int.from_bytes(chunk.raw[offset : offset + 2], "big")
        return Cursor(chunk, from_seq, offset)

    def read(self, cursor: Cursor) -> tuple[bytes, int] | None:
        """Take the next piece behind the cursor as (framed messages, their count); None at the end."""
        chunk = cursor.chunk
        if chunk.first_seq < self.oldest_seq:
            raise HistoryLost(f"number {cursor.next_seq} is no longer held, the oldest is {self.oldest_seq}")
        while cursor.offset == len(chunk.raw):
            if chunk.next is None:
                return None
            chunk = cursor.chunk = chunk.next
            cursor.offset = 0
        raw = self._slice(chunk, cursor.offset)
        count = chunk.first_seq + chunk.count - cursor.next_seq
        cursor.offset += len(raw)
        cursor.next_seq += count
        return raw, count

    def follow(self, cursor: Cursor, on_more: Callable[[], None]) -> None:
        """Have `on_more` called when there is more behind the cursor."""
        self._followers[cursor] = on_more

    def unfollow(self, cursor: Cursor) -> None:
        self._followers.pop(cursor, None)
        self.moved()

    def moved(self) -> None:
        """A follower has moved or gone: wake who waits for all to have caught up."""
        if self._waiting and self.backlog == 0:
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiting.clear()

    async def caught_up(self) -> None:
        """Wait until every follower has been handed everything.

        A follower that is stuck is waited for until its connection's own limit drops it.
        """
        while self.backlog:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _add(self, raw: bytes, count: int) -> None:
        if self._ended:
            raise LocalProtocolError(f"session {self.name!r} has ended, nothing can be appended")
        newest = self._newest
        assert isinstance(newest.raw, bytearray)
        newest.raw += raw
        newest.count += count
        if len(newest.raw) >= CHUNK_BYTES:
            self._seal(newest)
        if self._followers:
            self._ask_flush()

    def _seal(self, chunk: _Chunk) -> None:
        chunk.raw = bytes(chunk.raw)
        self._sealed_bytes += len(chunk.raw)
        self._newest = chunk.next = _Chunk(chunk.first_seq + chunk.count)
        self._chunks.append(self._newest)
        while self._sealed_bytes > self._history_bytes_max and len(self._chunks) > 1:
            self._sealed_bytes -= len(self._chunks.pop(0).raw)

    def _slice(self, chunk: _Chunk, offset: int) -> bytes:
        raw = chunk.raw
        if isinstance(raw, bytes):
            return raw[offset:] if offset else raw
        size = len(raw)
        last = self._last_slice
        if last is not None and last[0] is chunk and last[1] == offset and last[2] == size:
            return last[3]
        piece = bytes(memoryview(raw)[offset:])
        self._last_slice = (chunk, offset, size, piece)
        return piece

    def _ask_flush(self) -> None:
        if self._followers and not self._flush_asked:
            self._flush_asked = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_asked = False
        for on_more in list(self._followers.values()):
            on_more()

"""What has been received and not been taken yet: batches of messages, with notices between them.

Knows asyncio's events; knows nothing of sockets. One consumer at a time.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

from gateway.client.message import Batch
from gateway.client.notices import Notice, Reconnecting

Item = Batch | Notice

# Handed over before more is parsed: objects that are read at once cost half of what those cost that have
# to outlive a pass of the garbage collector.
TURN_MESSAGES = 128


class Buffer:
    """Bounded by `messages_max`, give or take one WebSocket message; when it is full the socket is not read.

    So the gateway notices that we are slow, serves us later from its journal, and nothing is lost.
    """

    def __init__(self, messages_max: int) -> None:
        self._max = messages_max
        self._items: deque[Item] = deque()
        self._size = 0
        self._end: BaseException | None = None
        self._ended = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """Whether who fills it has to wait."""
        return self._size >= self._max

    @property
    def busy(self) -> bool:
        """Whether who fills it should let its reader run before more is parsed."""
        return self._size >= TURN_MESSAGES

    @property
    def ended(self) -> bool:
        """Whether nothing can be put any more."""
        return self._ended

    def put(self, item: Item) -> None:
        """Append; never waits. Nothing after the end."""
        if self._ended:
            return
        if isinstance(item, Reconnecting) and self._items and isinstance(self._items[-1], Reconnecting):
            # Nobody reads: the newest try is all there is to tell, and a long outage must not pile up.
            self._items.pop()
            self._size -= 1
        self._items.append(item)
        self._size += len(item) if isinstance(item, Batch) else 1
        self._filled.set()
        if self.full:
            self._room.clear()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; what is there can still be taken, then `error` is raised."""
        if not self._ended:
            self._ended = True
            self._end = error
            self._filled.set()
            self._room.set()

    async def take(self) -> Item | None:
        """The next item, or None at the end."""
        while not self._items:
            if self._ended:
                if self._end is not None:
                    raise self._end
                return None
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._size -= len(item) if isinstance(item, Batch) else 1
        # Not as soon as one fits: to pause and resume a socket per message costs more than the message.
        if self._size <= self._max // 2:
            self._room.set()
        return item

    async def room(self) -> None:
        """Wait until at most half of it is in use."""
        await self._room.wait()

    def headers(self) -> Iterator[dict[str, Any]]:
        """Those of the messages that wait, oldest first."""
        for item in self._items:
            if isinstance(item, Batch):
                for value in item.values:
                    yield value["header"]

"""WebSocket messages of one connection, all that are there at once.

Knows the websockets library; not what the messages mean.
"""

import asyncio

from websockets.asyncio.client import ClientConnection

# So many bytes are enough to be read at once. Then the socket waits until they are taken.
HELD_BYTES_MAX = 1 << 20


class Inbox:
    """Reads ahead of who takes, up to `HELD_BYTES_MAX` and one message, so that these become large pieces."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._held: list[bytes] = []
        self._size = 0
        self._end: Exception | None = None
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="inbox")

    async def take(self) -> list[bytes]:
        """What has come, at least one message. The connection's end is raised behind the last one."""
        await self._came.wait()
        size = 0
        while size < self._size < HELD_BYTES_MAX:
            # It is still coming in: what is read together costs less.
            size = self._size
            await asyncio.sleep(0)
        if not self._held and self._end is not None:
            raise self._end
        taken, self._held, self._size = self._held, [], 0
        if self._end is None:
            self._came.clear()
        self._room.set()
        return taken

    async def aclose(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            while True:
                data = await self._socket.recv(decode=False)
                self._held.append(data)
                self._size += len(data)
                self._came.set()
                if self._size >= HELD_BYTES_MAX:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001  # raised where it is taken
            self._end = error
            self._came.set()

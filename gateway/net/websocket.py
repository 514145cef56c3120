"""A subscriber's WebSocket connection: the library's own, plus whole frames straight to the transport.

Knows the library and the transport; knows nothing of streams. Handshake, reading, control
frames and close are the library's. Data frames are made once for many connections, so they
are written as bytes, which is sound because each write is one or more whole, unfragmented,
uncompressed messages, and nothing here awaits between two bytes of one.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from gateway.net.access import Access


def _nothing() -> None:
    pass


class SubscriberConnection(ServerConnection):
    """`write` never waits; what the peer has not taken is bounded by who asks `backlog` and `writable`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bytes_written = 0
        # Set at the handshake.
        self.framed = True
        self.access: Access | None = None
        # Called when the backlog has sunk below its low mark.
        self.on_writable: Callable[[], object] = _nothing
        self._writable = True

    def write(self, data: bytes) -> None:
        """Send whole WebSocket messages; nothing once the connection is closing."""
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            self.bytes_written += len(data)
            self.transport.write(data)

    def backlog(self) -> int:
        """Bytes written that the kernel has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def writable(self) -> bool:
        """Whether the backlog is below its mark."""
        return self._writable

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writable = True
        self.on_writable()

    async def end(self, code: int, reason: str, timeout_s: float) -> None:
        """Close with a word why, bounded even when the peer has stopped reading, then cut."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.close(code, reason)
        except TimeoutError:
            pass
        finally:
            self.transport.abort()

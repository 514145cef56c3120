"""A subscriber's WebSocket connection: the library's own, plus whole frames straight to the transport.

Knows the library and the transport; knows nothing of streams. Handshake, reading, control
frames and close are the library's. Data frames are made once for many connections, so they
are written as bytes, which is sound because each write is one or more whole, unfragmented
messages, and nothing here awaits between two bytes of one. Added to the library: bounds that it
does not have (control frames, a peer that does not close, plain HTTP answers to slow readers).
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State

from gateway.mlink.close_codes import CloseCode, reason_for
from gateway.mlink.limits import RequestRate
from gateway.net.access import Access
from gateway.net.deflate import Deflater
from gateway.net.http import METHOD_BYTES_MAX, is_taken, method_not_allowed
from gateway.net.kernel import bytes_not_acknowledged, machine_is_silent

# A plain HTTP answer is written in pieces of this size, each when the one before has left.
ANSWER_PIECE_BYTES = 64 << 10
_PING = b"there?"


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What the connection itself bounds, each with its ending."""

    handshake_s: float = 10.0  # no whole request by then: cut
    answer_s: float = 60.0  # a plain HTTP answer not taken by then: cut
    close_s: float = 5.0  # no answer to our close by then: cut
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0  # nothing heard, nothing taken, nothing waiting: closed
    control_per_s: float = 20.0  # more pings and pongs, for longer than the burst: closed FLOOD
    control_burst: int = 100


class SubscriberConnection(ServerConnection):
    """`write` never waits; what the peer has not taken is bounded by who asks `backlog` and `writable`."""

    def __init__(
        self,
        *args: Any,
        limits: ConnectionLimits,
        arrived: Callable[["SubscriberConnection"], bool],
        closing: Callable[["SubscriberConnection"], None],
        left: Callable[["SubscriberConnection"], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.bytes_written = 0
        # Set when it stands: who is connected; and whom it counts for and is logged as, which is another one
        # once a trusted proxy has said whom it speaks for.
        self.peer = self.address = "?"
        # Set at the handshake.
        self.framed = True
        self.access: Access | None = None
        # Set once it stands, if the other side takes compressed messages.
        self.deflater: Deflater | None = None
        # Called when the backlog has sunk below its low mark.
        self.on_writable: Callable[[], object] = _nothing
        self.on_evict: Callable[[], object] = _nothing
        self._limits = limits
        self._arrived = arrived
        self._closing = closing
        self._left = left
        self._control = RequestRate(limits.control_per_s, limits.control_burst, self.loop.time())
        self._writable = True
        self._heard = asyncio.Event()
        # Pings of ours that were not answered yet.
        self._pongs_due = 0
        self._first = b""
        self._is_http = False
        self._cut: asyncio.TimerHandle | None = None

    # Data, straight to the transport.

    def write(self, data: bytes) -> None:
        """Send whole WebSocket messages; nothing once the connection is closing."""
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            if self.deflater is not None:
                data = self.deflater.of(data)
            self.bytes_written += len(data)
            self.transport.write(data)

    def backlog(self) -> int:
        """Bytes written that the kernel has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def writable(self) -> bool:
        """Whether the backlog is below its mark."""
        return self._writable

    async def until_writable(self) -> None:
        """Wait while the backlog is above its mark; returns when the connection is lost, too."""
        with contextlib.suppress(OSError):
            await self.drain()

    # Is anybody there?

    async def answers(self, timeout_s: float) -> bool:
        """Ping, and wait for anything: a pong, a request, or bytes of ours acknowledged.

        A slow reader's pong comes after all that waits in front of it, which may be far more than
        the timeout; but its machine goes on acknowledging.
        """
        taken = self._taken()
        self._heard.clear()
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            self._pongs_due += 1
            self.protocol.send_ping(_PING)
            self.send_data()
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return self._taken() > taken
        return True

    def _taken(self) -> int:
        return self.bytes_written - self.backlog() - bytes_not_acknowledged(self.transport)

    async def keepalive(self) -> None:
        """In the library's place: its own has a slow reader's pong wait behind the data, and closes it."""
        while self.protocol.state is State.OPEN:
            await asyncio.sleep(self._limits.ping_interval_s)
            if await self.answers(self._limits.ping_timeout_s):
                continue
            # One that takes nothing while there is something to take has a longer limit of its own,
            # unless it is not there at all.
            if not self.backlog() or machine_is_silent(self.transport, self._limits.ping_timeout_s):
                self._fail(CloseCode.INTERNAL, "no answer to pings")

    def evict(self) -> None:
        """End it, because a newer connection of the same key takes its place."""
        self.on_evict()

    # Ends.

    async def end(self, code: int, reason: str, timeout_s: float) -> None:
        """Close with a word why, bounded even when the peer has stopped reading, then cut."""
        self._closing(self)
        try:
            async with asyncio.timeout(timeout_s):
                await self.close(code, reason)
        except TimeoutError:
            pass
        finally:
            self.transport.abort()

    def _fail(self, code: int, reason: str) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.fail(code, reason)
            self.send_data()
            self._bound_close()

    def _bound_close(self) -> None:
        """The library waits for ever for a peer that was told to go and does not."""
        self._closing(self)
        if self._cut is None:
            self._cut = self.loop.call_later(self._limits.close_s, self.transport.abort)

    # Plain HTTP.

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """The library's, with the time for the request bounded apart from the time for the answer."""
        async with asyncio.timeout(self._limits.handshake_s):
            await asyncio.wait(
                [self.request_rcvd, self.connection_lost_waiter], return_when=asyncio.FIRST_COMPLETED
            )
        await super().handshake(*args, **kwargs)

    async def answer(self, response: Response, *, with_body: bool = True) -> None:
        """Give a plain HTTP answer whole, then end the connection; the library would cut it after seconds."""
        self._is_http = True
        # Each wait is for all of it to have left: what is still here when we close would never arrive.
        self.transport.set_write_buffer_limits(0)
        body, response.body = memoryview(response.body), b""
        try:
            async with asyncio.timeout(self._limits.answer_s):
                self.transport.write(response.serialize())
                await self.drain()
                for at in range(0, len(body) if with_body else 0, ANSWER_PIECE_BYTES):
                    if self.transport.is_closing():
                        break
                    self.transport.write(bytes(body[at : at + ANSWER_PIECE_BYTES]))
                    await self.drain()
            self._say_no_more()
            # Now it is the peer's to close.
            async with asyncio.timeout(self._limits.close_s):
                await asyncio.shield(self.connection_lost_waiter)
        except (TimeoutError, OSError, RuntimeError):
            pass
        finally:
            self.transport.abort()
        await asyncio.shield(self.connection_lost_waiter)

    def _say_no_more(self) -> None:
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _refuse_method(self) -> None:
        """The library reads no request with a body; so it is answered before it is read."""
        self._is_http = True
        self.transport.write(method_not_allowed().serialize())
        self._say_no_more()
        self._bound_close()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._arrived(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._heard.set()
        self._left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard.set()
        if self._is_http:
            return
        if self.request is None and len(self._first) < METHOD_BYTES_MAX:
            self._first += data[: METHOD_BYTES_MAX - len(self._first)]
            if not is_taken(self._first):
                self._refuse_method()
                return
        super().data_received(data)
        if self.protocol.state is State.CLOSING:
            self._bound_close()

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and not self._takes(event):
            detail = f"{self._limits.control_per_s:g} pings a second are allowed"
            self._fail(CloseCode.FLOOD, reason_for(CloseCode.FLOOD, detail))
            return
        super().process_event(event)

    def _takes(self, frame: Frame) -> bool:
        """Whether a control frame is within the rate; a pong that we have asked for always is."""
        if frame.opcode is Opcode.PONG and self._pongs_due:
            self._pongs_due -= 1
            return True
        return frame.opcode not in (Opcode.PING, Opcode.PONG) or self._control.take(self.loop.time())

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writable = True
        self.on_writable()

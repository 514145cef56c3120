"""What both ends of a link share: the transport, one lazy timer, back-pressure, and the reason of the end.

Knows asyncio and that a session has a deadline; knows nothing of logins or messages.
"""

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, cast

from gateway.errors import RemoteProtocolError
from gateway.link.closing import Closed, CloseReason, LinkClosed, reason_of
from gateway.soup.endpoint import Endpoint

# More than this in the write buffer pauses whoever writes; below the lower mark it goes on.
WRITE_HIGH_BYTES = 256 * 1024
WRITE_LOW_BYTES = 64 * 1024
SEND_BUFFER_BYTES_MAX = 16 * 1024 * 1024
STALL_TIMEOUT_S = 120.0
CLOSE_TIMEOUT_S = 5.0
# A timer that fires this late tells of a stuck loop, not of a silent peer.
LOOP_STUCK_S = 0.5
_STUCK_GRACE_S = 0.01
_TIMER_S_MIN = 0.001


class Wire(asyncio.Protocol):
    """One connection. The first reason given for its end is the one that is told.

    Limits: who does not read for `stall_timeout_s`, or lets more than `send_buffer_bytes_max` pile up, is
    dropped as STALLED; a close that the other side does not follow within `close_timeout_s` becomes an abort.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        send_buffer_bytes_max: int = SEND_BUFFER_BYTES_MAX,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._stall_timeout_s = stall_timeout_s
        self._close_timeout_s = close_timeout_s
        self._send_buffer_bytes_max = send_buffer_bytes_max
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._end: Closed | None = None
        self._failure: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._closing_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._bytes_written = 0
        self._bytes_left_before = 0
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def end(self) -> Closed | None:
        """Why the connection ends or has ended; None while it lives."""
        return self._end

    @property
    def peer(self) -> str:
        """The other side's address, for people."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        if not isinstance(name, tuple):
            return str(name or "nobody")
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    @property
    def waiting_bytes(self) -> int:
        """How much was sent and not yet taken by the kernel."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows: `socket`, `sockname`, `peercert`, … as asyncio names them."""
        return self._transport.get_extra_info(name) if self._transport else None

    @property
    def failure(self) -> Exception | None:
        """What a callback of ours raised, if that is why it ended."""
        return self._failure

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once the connection has ended."""
        self._gone.add_done_callback(lambda _: callback())

    async def closed(self) -> Closed:
        """Wait for the end and say why it came. Raises what a callback raised, if that was the reason."""
        await self.gone()
        if self._failure is not None:
            raise self._failure
        assert self._end is not None
        return self._end

    async def gone(self) -> None:
        """Wait for the end, whatever its reason."""
        await asyncio.shield(self._gone)

    async def drain(self) -> None:
        """Wait until the other side has read enough for more to be sent; LinkClosed if it ends first."""
        await self._writable.wait()
        if self._end is not None:
            raise LinkClosed(self._end)

    def abort(self, detail: str = "") -> None:
        """Close at once; what is not yet sent is lost."""
        self._finish(CloseReason.ABORTED, detail)

    def pause_reading(self) -> None:
        """Leave what comes in the kernel's buffer, so that TCP slows the other side down."""
        if self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()
            self._endpoint.stop_reading()

    def resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._endpoint.start_reading(self._loop.time())
            self._transport.resume_reading()
            self._arm()

    def set_socket_options(self, options: Iterable[tuple[int, int, int]]) -> None:
        """Each option is (level, name, value), as `socket.setsockopt` takes them."""
        if self._transport is None or self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        for level, name, value in options:
            sock.setsockopt(level, name, value)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but not its base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)
        self._flush()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._closing_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        if self._end is None:
            self._end = self._lost(exc)
        self._writable.set()
        if not self._gone.done():
            self._gone.set_result(None)

    def eof_received(self) -> None:
        # Not left to the transport: it would wait without a limit for what the other side may never read.
        if self._end is None:
            self._end = self._lost(None)
        self._close_softly()

    def _lost(self, exc: Exception | None) -> Closed:
        """What it means that TCP ended before either side gave a reason."""
        detail = str(exc) or type(exc).__name__ if exc else "closed by the other side"
        if self._endpoint.pending:
            detail += f", in the middle of a packet ({self._endpoint.pending} bytes dropped)"
        return Closed(CloseReason.TCP_LOST, detail)

    def pause_writing(self) -> None:
        self._writable.clear()
        self._watch_stall(first=True)

    def resume_writing(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._writable.set()

    def _watch_stall(self, first: bool = False) -> None:
        """Look now and then whether a peer that makes us wait has taken anything since the last look."""
        assert self._transport is not None
        bytes_left = self._bytes_written - self._transport.get_write_buffer_size()
        if not first and bytes_left <= self._bytes_left_before:
            self._finish(CloseReason.STALLED, f"nothing read for {self._stall_timeout_s:g} s")
            return
        self._bytes_left_before = bytes_left
        self._stall_timer = self._loop.call_later(self._stall_timeout_s, self._watch_stall)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if not data or transport is None or transport.is_closing():
            return
        self._bytes_written += len(data)
        transport.write(data)
        if not self._writable.is_set():
            waiting = transport.get_write_buffer_size()
            if waiting > self._send_buffer_bytes_max:
                self._finish(
                    CloseReason.STALLED, f"{waiting} bytes wait, the limit is {self._send_buffer_bytes_max}"
                )

    def _flush(self) -> None:
        self._write(self._endpoint.data_to_send())

    def _finish(self, reason: CloseReason, detail: str = "", *, softly: bool = False) -> None:
        """Give the reason, unless there is one, and close: softly sends what is waiting first."""
        if self._end is None:
            self._end = Closed(reason, detail)
        if softly:
            self._close_softly()
        elif self._transport is not None:
            self._transport.abort()

    def _finish_later(self, reason: CloseReason) -> None:
        """Give the reason, unless there is one, and leave it to the other side to close, within the limit."""
        if self._end is None:
            self._end = Closed(reason)
        self._limit_closing()

    def _close_softly(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._limit_closing()

    def _limit_closing(self) -> None:
        if self._closing_timer is None and self._transport is not None:
            self._closing_timer = self._loop.call_later(self._close_timeout_s, self._transport.abort)

    def _fail(self, error: Exception) -> None:
        """A callback raised: that is our side's bug, so the link ends and the error is handed on."""
        self._failure = error
        self._finish(CloseReason.ABORTED, f"{type(error).__name__}: {error}")

    def _broke(self, error: RemoteProtocolError) -> None:
        self._finish(reason_of(error), str(error))

    def _arm(self) -> None:
        """Have one timer at the deadline. A later deadline does not move it: it looks when it fires."""
        deadline = self._endpoint.deadline()
        if deadline >= self._timer_at or self._end is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = max(deadline, self._loop.time() + _TIMER_S_MIN)
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        now = self._loop.time()
        late_s = now - self._timer_at
        self._timer, self._timer_at = None, inf
        if self._end is not None:
            return
        if late_s > LOOP_STUCK_S:
            # Nobody listened, and what the other side sent meanwhile may not have been read yet.
            if self._reading:
                self._endpoint.start_reading(now)
            self._timer_at = now + _STUCK_GRACE_S
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)
            return
        try:
            self._endpoint.tick(now)
        except RemoteProtocolError as exc:
            self._broke(exc)
            return
        self._flush()
        self._arm()

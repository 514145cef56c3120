"""One client's connection to a SoupServer.

Knows how to follow a served session with back-pressure and how to misbehave on demand (for whoever tests
clients); who may log in is the server's to know.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.link.closing import REJECTED, CloseReason
from gateway.link.served import Cursor, HistoryLost, ServedSession
from gateway.link.wire import Wire
from gateway.soup import (
    DebugReceived,
    LoginRequested,
    LogoutRequested,
    ServerEvent,
    ServerSession,
    ServerState,
    UnsequencedReceived,
)
from gateway.values import Position


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the client in at `next_seq`. With `follow`, it is sent that session's messages from there on."""

    session: str
    next_seq: int
    follow: ServedSession | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the client: `A` not authorized, `S` session not available."""

    reason: str


class Host(Protocol):
    """Whose connection it is: gives the limits, decides on the login, and is told what comes."""

    stall_timeout_s: float
    close_timeout_s: float
    send_buffer_bytes_max: int

    def on_login(
        self, connection: "Connection", request: LoginRequested
    ) -> Accept | Reject | Awaitable[Accept | Reject]: ...
    def on_unsequenced(self, connection: "Connection", payload: bytes) -> None: ...
    def on_debug(self, connection: "Connection", text: bytes) -> None: ...
    def joined(self, connection: "Connection") -> None: ...
    def left(self, connection: "Connection") -> None: ...


class Connection(Wire):
    """A connection as its server sees it. `request` is the client's login, once it came."""

    def __init__(self, host: Host, session: ServerSession) -> None:
        super().__init__(
            session,
            stall_timeout_s=host.stall_timeout_s,
            close_timeout_s=host.close_timeout_s,
            send_buffer_bytes_max=host.send_buffer_bytes_max,
        )
        self.session = session
        self.request: LoginRequested | None = None
        self._host = host
        self._served: ServedSession | None = None
        self._cursor: Cursor | None = None
        self._deciding: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        """The session granted, and the number of the next message to be sent."""
        return self.session.position

    @property
    def following(self) -> ServedSession | None:
        """The session whose messages the client is being sent."""
        return self._served

    @property
    def heartbeats(self) -> bool:
        """Whether we send heartbeats. Switched off, the client will take us for dead."""
        return self.session.heartbeats

    @heartbeats.setter
    def heartbeats(self, on: bool) -> None:
        self.session.heartbeats = on
        self._arm()

    def send_sequenced(self, payloads: bytes | Iterable[bytes]) -> None:
        """Send one message or many. Not while following a session, which counts by itself."""
        if self._served is not None:
            raise LocalProtocolError("connection follows a session: append to that")
        self.session.send_sequenced(payloads, self._loop.time())
        self._flush()

    def send_unsequenced(self, payload: bytes) -> None:
        """Send best-effort data of at most 65,534 bytes; LocalProtocolError unless the client is logged in.

        A client of version 3.00 knows no such data from a server: LocalProtocolError, too.
        """
        self.session.send_unsequenced(payload, self._loop.time())
        self._flush()

    def send_debug(self, text: str | bytes) -> None:
        """Send text for the client's log, before the login too; letters outside ASCII become `?`."""
        self.session.send_debug(text, self._loop.time())
        self._flush()

    def end_session(self) -> None:
        """Say that no more messages come. TCP stays open for the client to close, within a limit."""
        self.stop_following()
        self.session.end_session(self._loop.time())
        self._flush()
        self._finish_later(CloseReason.END_OF_SESSION)

    def write_raw(self, data: bytes) -> None:
        """Put any bytes on the wire, whatever they mean. Nothing is counted."""
        self._write(data)

    def close(self) -> None:
        """Send what is waiting, then close, without a word."""
        self._finish(CloseReason.ABORTED, softly=True)

    def follow(self, served: ServedSession, from_seq: int) -> None:
        """Send the messages of `served` from a number on, as fast as the client reads them."""
        self.stop_following()
        self._served, self._cursor = served, served.cursor(from_seq)
        served.follow(self._cursor, self._pump)
        self._pump()

    async def settled(self) -> None:
        """Wait until the connection has ended and nothing is at work for it any more."""
        await self.gone()
        if self._deciding is not None:
            await asyncio.wait([self._deciding])

    def stop_following(self) -> None:
        """Send no more messages of the session. The connection stays, with its heartbeats."""
        served, cursor = self._served, self._cursor
        self._served = self._cursor = None
        if served is not None and cursor is not None:
            served.unfollow(cursor)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._host.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_following()
        if self._deciding is not None:
            self._deciding.cancel()
        super().connection_lost(exc)
        self._host.left(self)

    def data_received(self, data: bytes) -> None:
        if self._end is not None:
            return
        try:
            for event in self.session.receive(data, self._loop.time()):
                self._handle(event)
                if self._end is not None:
                    return
        except RemoteProtocolError as exc:
            if exc is self.session.broken:
                self._broke(exc)
            else:
                self._fail(exc)
        except Exception as exc:  # noqa: BLE001 (it is reported, and `closed` raises it again)
            self._fail(exc)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pump()

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case LoginRequested():
                self.request = event
                answer = self._host.on_login(self, event)
                if inspect.isawaitable(answer):
                    self._deciding = self._loop.create_task(self._answer_later(answer))
                else:
                    self._answer(answer)
            case UnsequencedReceived(payload):
                self._host.on_unsequenced(self, payload)
            case DebugReceived(text):
                self._host.on_debug(self, text)
            case LogoutRequested():
                # At once, and without what the client has not been sent yet: that is what it asked for.
                self._finish(CloseReason.LOGOUT, softly=True)

    async def _answer_later(self, answer: Awaitable[Accept | Reject]) -> None:
        try:
            self._answer(await answer)
        except Exception as exc:  # noqa: BLE001 (it is reported, and `closed` raises it again)
            self._fail(exc)

    def _answer(self, answer: Accept | Reject) -> None:
        if self._end is not None or self.session.state is not ServerState.DECIDING:
            return  # the client went away while we thought
        now = self._loop.time()
        match answer:
            case Accept(session, next_seq, follow):
                self.session.accept(session, next_seq, now)
                self._flush()
                self._arm()
                if follow is not None:
                    self.follow(follow, next_seq)
            case Reject(reason):
                self.session.reject(reason, now)
                self._flush()
                self._finish(REJECTED[reason], softly=True)

    def _pump(self) -> None:
        """Hand over what the client has room for; the cursor waits where it does not."""
        served, cursor = self._served, self._cursor
        if served is None or cursor is None:
            return
        now = self._loop.time()
        try:
            while (
                self._end is None and self._writable.is_set() and (piece := served.read(cursor)) is not None
            ):
                self.session.send_run(*piece, now)
                self._flush()
        except HistoryLost as exc:
            self._finish(CloseReason.STALLED, str(exc))
            return
        if cursor.next_seq == served.next_seq:
            served.moved()
            if served.ended:
                self.end_session()

    def _fail(self, error: Exception) -> None:
        super()._fail(error)
        self._loop.call_exception_handler(
            {"message": "a SoupServer callback failed", "exception": error, "protocol": self}
        )

"""The client library for people: connect, then read messages with `async for`.

Knows how to queue what a link brings, with a bound; the rules of the protocol are the session's.
"""

import asyncio
import ssl as ssl_module
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple

from gateway.errors import LoginRejected
from gateway.link.closing import Closed, CloseReason, LinkClosed
from gateway.link.dialling import CONNECT_TIMEOUT_S, ClientLink, SocketOption, dial
from gateway.soup import (
    Accepted,
    ClientEvent,
    ClientSession,
    ClientState,
    Debug,
    EndOfSession,
    Justify,
    Login,
    Rejected,
    Run,
    Unsequenced,
    Version,
)
from gateway.soup import client as soup_client
from gateway.values import Block, Position

BUFFER_BYTES_MAX = 1024 * 1024
# What waits also costs an object, so that even empty messages fill the buffer.
_ITEM_BYTES = 100
_NORMAL_ENDS = (CloseReason.END_OF_SESSION, CloseReason.LOGOUT, CloseReason.ABORTED)
_REASON_LETTERS = {CloseReason.NOT_AUTHORIZED: "A", CloseReason.SESSION_NOT_AVAILABLE: "S"}


class Message(NamedTuple):
    """One message from the server. Unsequenced data has no number: `sequence_number` is None."""

    sequence_number: int | None
    payload: bytes


class SoupClient:
    """A logged-in client. Iterate over it for messages, or over `blocks()` for whole runs of them.

    The loop over messages ends by itself at the end of the session and after our logout or close; any other
    end raises LinkClosed, behind the last message. `closed` always tells why. At most `buffer_bytes_max`
    bytes (and what one read brought) wait here; then the socket is not read until half of them are taken.
    """

    def __init__(
        self, session: ClientSession, on_debug: Callable[[bytes], None] | None, buffer_bytes_max: int
    ) -> None:
        self._session = session
        self._on_debug = on_debug
        self._buffer_bytes_max = buffer_bytes_max
        self._link: ClientLink | None = None
        self._queue: deque[Block | Message] = deque()
        self._queued_bytes = 0
        self._messages: Iterator[Message] = iter(())
        self._granted = session.position
        self._next_seq = self._granted.next_seq
        self._changed = asyncio.Event()
        self._discarding = False
        self._gone = False

    @property
    def closed(self) -> Closed | None:
        """Why the connection ended; None while it stands."""
        return self._link.end if self._link is not None and self._gone else None

    @property
    def granted(self) -> Position:
        """The session, and the number of the first message, that the server granted at the login."""
        return self._granted

    @property
    def position(self) -> Position:
        """Where to resume: the session, and the number of the first message that was not taken from here."""
        return Position(self._granted.session, self._next_seq)

    @property
    def queued_bytes(self) -> int:
        """How much has come and was not taken yet."""
        return self._queued_bytes

    def send_unsequenced(self, payload: bytes) -> None:
        """Send best-effort data of at most 65,534 bytes; LocalProtocolError when longer or logged out.

        Returns at once: with much to send, `drain` in between. LinkClosed when the connection has ended.
        """
        self._living_link().send_unsequenced(payload)

    def send_debug(self, text: str | bytes) -> None:
        """Send text for the server's log; letters outside ASCII become `?`. LinkClosed when it has ended."""
        self._living_link().send_debug(text)

    async def drain(self) -> None:
        """Wait until the server has read enough of what was sent."""
        await self._living_link().drain()

    def logout(self) -> None:
        """Ask the server to close; messages under way still come, then the loop over them ends."""
        self._living_link().logout()

    async def close(self) -> Closed:
        """Log out if logged in, drop what still arrives, wait for the end (within its limits), say why."""
        link = self._link
        assert link is not None
        self._discarding = True
        if link.end is None:
            link.resume_reading()
            if self._session.state is ClientState.STREAMING:
                link.logout()
            elif self._session.state is not ClientState.LOGGING_OUT:
                link.abort()
        try:
            return await self.wait_closed()
        except asyncio.CancelledError:
            link.abort()
            raise

    async def wait_closed(self) -> Closed:
        """Wait for the end and say why it came."""
        assert self._link is not None
        await self._link.gone()
        assert self._link.end is not None
        return self._link.end

    async def receive(self) -> Message:
        """The next message; LinkClosed when there is none and never will be."""
        while True:
            for message in self._messages:
                if message.sequence_number is not None:
                    self._next_seq = message.sequence_number + 1
                return message
            self._messages = _messages_of(await self._take())

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except LinkClosed as exc:
            if exc.closed.reason in _NORMAL_ENDS:
                raise StopAsyncIteration from None
            raise

    async def blocks(self) -> AsyncIterator[Block | Message]:
        """Runs of sequenced messages as blocks, for speed; unsequenced data as messages."""
        while True:
            try:
                item = await self._take()
                if isinstance(item, Block):
                    self._next_seq = item.next_seq
                yield item
            except LinkClosed as exc:
                if exc.closed.reason in _NORMAL_ENDS:
                    return
                raise

    async def _take(self) -> Block | Message:
        while not self._queue:
            assert self._link is not None
            if self._gone and self._link.failure is not None:
                raise self._link.failure
            if self.closed is not None:
                raise LinkClosed(self.closed)
            self._changed.clear()
            await self._changed.wait()
        item = self._queue.popleft()
        self._queued_bytes -= _size_of(item)
        if self._link is not None and self._queued_bytes <= self._buffer_bytes_max // 2:
            self._link.resume_reading()
        return item

    async def _open(self, dialled: ClientLink) -> None:
        """Take the link over and wait for the login's answer."""
        self._link = dialled
        dialled.when_gone(self._on_gone)
        self._stop_if_full()
        try:
            while self._session.state is ClientState.LOGGING_IN and not self._gone:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError:
            dialled.abort()
            raise
        if not self._session.logged_in:
            closed = await self.wait_closed()
            if closed.reason in _REASON_LETTERS:
                raise LoginRejected(_REASON_LETTERS[closed.reason], str(closed))
            raise LinkClosed(closed)

    def _on_gone(self) -> None:
        self._gone = True
        self._changed.set()

    def on_events(self, events: Iterator[ClientEvent], received_ns: int) -> None:
        """Queue what a read brought. Called by the link."""
        for event in events:
            match event:
                case Run(session, first_seq, count, raw):
                    self._put(Block(session, first_seq, count, received_ns, raw))
                case Unsequenced(payload):
                    self._put(Message(None, payload))
                case Debug(text):
                    if self._on_debug is not None:
                        self._on_debug(text)
                case Accepted(position):
                    self._granted, self._next_seq = position, position.next_seq
                case Rejected() | EndOfSession():
                    pass  # the link tells the end
        self._stop_if_full()
        self._changed.set()

    def _put(self, item: Block | Message) -> None:
        if not self._discarding:
            self._queue.append(item)
            self._queued_bytes += _size_of(item)

    def _stop_if_full(self) -> None:
        if self._link is not None and self._queued_bytes > self._buffer_bytes_max and not self._discarding:
            self._link.pause_reading()

    def _living_link(self) -> ClientLink:
        assert self._link is not None
        if self._link.end is not None:
            raise LinkClosed(self._link.end)
        return self._link


class Connecting:
    """What `connect` gives back: `async with` it, or `await` it and close the client yourself."""

    def __init__(self, opening: Callable[[], Generator[object, None, SoupClient]]) -> None:
        self._opening = opening
        self._client: SoupClient | None = None

    def __await__(self) -> Generator[object, None, SoupClient]:
        return self._opening()

    async def __aenter__(self) -> SoupClient:
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._client is not None
        await self._client.close()


def connect(
    host: str,
    port: int,
    *,
    user: str,
    password: str,
    session: str = "",
    sequence: int = 1,
    version: Version = Version.V4_00,
    justify: Justify = Justify.RIGHT,
    ssl: ssl_module.SSLContext | None = None,
    server_hostname: str | None = None,
    nodelay: bool = True,
    local_addr: tuple[str, int] | None = None,
    socket_options: Iterable[SocketOption] = (),
    heartbeat_s: float = soup_client.HEARTBEAT_S,
    silence_s: float = soup_client.SILENCE_S,
    heartbeat_timeout_ms: int = 15_000,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    login_timeout_s: float = soup_client.LOGIN_TIMEOUT_S,
    logout_timeout_s: float = soup_client.LOGOUT_TIMEOUT_S,
    buffer_bytes_max: int = BUFFER_BYTES_MAX,
    on_debug: Callable[[bytes], None] | None = None,
) -> Connecting:
    """Connect and log in: `async with connect(...) as client`, or `client = await connect(...)`.

    `sequence` 1 is the session's start, 0 the newest message, n the first one wanted; what the server grants
    is `client.granted`. We send a heartbeat after `heartbeat_s` of our own silence and give the server up
    after `silence_s` of its; `heartbeat_timeout_ms` is what we tell a 4.10 server of our own silence.
    Raises UpstreamLost (nobody there, closed, timeout) or LoginRejected.
    """
    login = Login(user, password, version, justify, heartbeat_timeout_ms)

    async def opened() -> SoupClient:
        soup_session = ClientSession(
            login,
            Position(session, sequence),
            asyncio.get_running_loop().time(),
            heartbeat_s=heartbeat_s,
            silence_s=silence_s,
            login_timeout_s=login_timeout_s,
            logout_timeout_s=logout_timeout_s,
        )
        client = SoupClient(soup_session, on_debug, buffer_bytes_max)
        link = await dial(
            host,
            port,
            soup_session,
            client.on_events,
            ssl=ssl,
            server_hostname=server_hostname,
            nodelay=nodelay,
            connect_timeout_s=connect_timeout_s,
            local_addr=local_addr,
            socket_options=socket_options,
        )
        await client._open(link)
        return client

    return Connecting(lambda: opened().__await__())


def _messages_of(item: Block | Message) -> Iterator[Message]:
    if isinstance(item, Message):
        return iter((item,))
    return map(Message._make, item.payloads())


def _size_of(item: Block | Message) -> int:
    return _ITEM_BYTES + len(item.payload if isinstance(item, Message) else item.raw)

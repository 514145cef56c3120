"""A SoupBinTCP exchange to practise with: plays messages to many clients, and misbehaves on demand.

Knows sessions, logins and when a session ends or rolls. When a message is due is `player`'s, what goes wrong
is `faults`', how a faulty connection is fed is `feeder`'s.
"""

import asyncio
import os
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from gateway.errors import ConfigError
from gateway.link.closing import Closed
from gateway.link.connection import Accept, Connection, Reject
from gateway.link.served import HISTORY_BYTES_MAX, ServedSession
from gateway.link.server import SoupServer
from gateway.simulator.faults import ConnectionFaults, Cut, FaultPlan, Faults, Grant, Ignore, Refuse
from gateway.simulator.feeder import Feeder, OnNote
from gateway.simulator.player import Pace, Player, at_once
from gateway.soup import Justify, LoginRequested, packets
from gateway.values import Position

SESSION = "0000000001"
SESSION_SIZE = packets.SESSION_SIZE
PACKET_OVERHEAD = 3
# Messages that are due within this time go out together.
TICK_S = 0.001
# A day's quiet hours are waited for in pieces: timers of the loop have their limits.
SLEEP_S_MAX = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """Where an exchange listens, whom it lets in, what it does wrong.

    `user` None lets everybody in. With `end` the session ends once somebody listens, and everybody who does
    has the last message. Above `history_bytes_max` the oldest messages go: a login that asks for one of those
    is rejected with S, and who is still reading there is closed.
    """

    host: str = "127.0.0.1"
    port: int = 0
    session: str = SESSION
    user: str | None = None
    password: str = ""
    end: bool = False
    history_bytes_max: int = HISTORY_BYTES_MAX
    justify: Justify = Justify.RIGHT
    heartbeat_s: float = 1.0
    silence_s: float = 15.0
    login_timeout_s: float = 30.0
    close_timeout_s: float = 5.0
    faults: Faults | Sequence[Faults] = ()

    def __post_init__(self) -> None:
        if not (self.session.isascii() and self.session.isalnum() and len(self.session) <= SESSION_SIZE):
            raise ConfigError(f"session {self.session!r}: expected 1 to {SESSION_SIZE} letters and digits")


class Exchange:
    """Listens as long as it is entered: `async with Exchange(settings, messages, pace) as exchange`.

    What it plays comes from `messages`, when `pace` says so; more can be added by hand with `extend`. When it
    plays at once, it waits for the slowest client, and without any it stops at half of the history, so that
    whoever comes first can have it all. `on_note` is told of each login, end and fault in a line for people.
    """

    def __init__(
        self,
        settings: ExchangeSettings | None = None,
        messages: Iterable[bytes] = (),
        pace: Pace = at_once,
        *,
        on_note: OnNote = lambda _line: None,
    ) -> None:
        self.settings = settings or ExchangeSettings()
        self.plan = FaultPlan(self.settings.faults)
        self.session = ServedSession(self.settings.session, history_bytes_max=self.settings.history_bytes_max)
        """The current session."""
        self.logins = 0
        """Logins seen so far, answered or not."""
        self.played = 0
        """Messages played so far, over all sessions."""
        self.host, self.port = self.settings.host, self.settings.port
        self._held_bytes = 0
        self._messages = messages
        self._pace = pace
        self._on_note = on_note
        accounts = None if self.settings.user is None else {self.settings.user: self.settings.password}
        self._server = SoupServer(
            self.session,
            accounts=accounts,
            on_login=self._login,
            on_connect=self._connected,
            on_close=self._closed,
            justify=self.settings.justify,
            heartbeat_s=self.settings.heartbeat_s,
            silence_s=self.settings.silence_s,
            login_timeout_s=self.settings.login_timeout_s,
            close_timeout_s=self.settings.close_timeout_s,
        )
        self._faults: dict[Connection, ConnectionFaults] = {}
        self._feeders: dict[Connection, Feeder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._playing: asyncio.Task[None] | None = None
        # Somebody logged in, went away, or has been sent everything.
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Exchange":
        try:
            self.host, self.port = await self._server.listen(self.settings.host, self.settings.port)
        except OSError as error:
            # The loop's own text repeats the address.
            said = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
            raise ConfigError(f"can't listen on {self.host}:{self.port}: {said}") from error
        self._playing = self._start(self._play())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._server.close()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception) and error is None:
                raise ended

    @property
    def clients(self) -> int:
        """How many connections there are, logged in or not."""
        return len(self._server.connections)

    def extend(self, payloads: Iterable[bytes]) -> int:
        """Add messages to the session now, besides what is played; return the number that comes next."""
        return self.session.extend(payloads)

    def end(self) -> None:
        """End the session: who listens gets the rest and is told, who comes later is rejected with S."""
        self.session.end()

    def roll(self, *, silently: bool = False) -> None:
        """End the session and begin the next one at 1. Silently: TCP is closed, without End of Session."""
        old = self.session
        self.session = ServedSession(
            next_session_name(old.name), history_bytes_max=self.settings.history_bytes_max
        )
        self._held_bytes = 0
        self._server.serve(self.session)
        self._server.sessions.pop(old.name, None)
        if silently:
            for connection in [*self._server.connections]:
                if self._served_to(connection) is old:
                    connection.close()
        old.end()
        self._on_note(f"session {old.name} ended, {self.session.name} begins")

    def drop_all(self) -> None:
        """Close every connection at once."""
        for connection in [*self._server.connections]:
            connection.abort("dropped")

    async def all_played(self) -> None:
        """Wait until everything has been played (and, with `end`, End of Session has been said)."""
        assert self._playing is not None
        await asyncio.shield(self._playing)

    async def finished(self) -> None:
        """Wait until everything has been played and every client has gone."""
        await self.all_played()
        while self._server.connections:
            await self._wait_for_news()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        return task

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        player = Player(self._messages, self._pace, loop.time())
        while not player.done:
            if self._room() <= 0:
                await self._roll_when_all_have_it()
            batch = player.take(loop.time(), self._room())
            self.session.extend(batch)
            self.played += len(batch)
            self._held_bytes += sum(map(len, batch)) + PACKET_OVERHEAD * len(batch)
            if self._pace is at_once:
                await self._wait_for_readers()
            elif not player.done:
                early_s = player.deadline() - loop.time()
                await asyncio.sleep(min(max(TICK_S, early_s), SLEEP_S_MAX) if early_s > 0 else 0)
        if self._room() <= 0:
            await self._roll_when_all_have_it()
        if self.settings.end:
            await self._all_have_it()
            self.end()
            self._on_note(f"session {self.session.name} ended")

    def _room(self) -> float:
        """How many messages the session may still get before it is to roll."""
        roll = self.plan.roll
        if roll is None or roll.roll_session_after is None:
            return float("inf")
        return roll.roll_session_after + 1 - self.session.next_seq

    async def _roll_when_all_have_it(self) -> None:
        await self._all_have_it()
        roll = self.plan.roll
        assert roll is not None
        self.roll(silently=roll.roll_silently)
        self.plan.rolled()

    async def _all_have_it(self) -> None:
        """Wait until somebody listens, and everybody who does has been sent everything."""
        while True:
            await self.session.caught_up()
            listeners = [each for each in self._server.connections if self._listens(each)]
            if listeners and all(map(self._has_all, listeners)):
                return
            await self._wait_for_news()

    def _listens(self, connection: Connection) -> bool:
        feeder = self._feeders.get(connection)
        if connection.end is not None or self._served_to(connection) is not self.session:
            return False
        return feeder is None or not feeder.spoilt

    def _has_all(self, connection: Connection) -> bool:
        feeder = self._feeders.get(connection)
        return connection.position.next_seq == self.session.next_seq if feeder is None else feeder.has_all

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _wait_for_readers(self) -> None:
        await asyncio.sleep(0)
        await self.session.caught_up()
        while not self.session.followers and self._held_bytes > self.settings.history_bytes_max // 2:
            await self._wait_for_news()

    def _connected(self, connection: Connection) -> None:
        faults = self._faults[connection] = self.plan.connection()
        if faults.drops_on_connect():
            self._on_note(f"fault: {connection.peer} cut off before its login")
            connection.close()

    def _closed(self, connection: Connection, closed: Closed) -> None:
        self._faults.pop(connection, None)
        if (feeder := self._feeders.pop(connection, None)) is not None:
            feeder.wake()
        self._news.set()
        self._on_note(f"closed {connection.peer}: {closed}")

    def _served_to(self, connection: Connection) -> ServedSession | None:
        feeder = self._feeders.get(connection)
        return connection.following if feeder is None else feeder.served

    def _login(
        self, connection: Connection, request: LoginRequested
    ) -> Accept | Reject | Awaitable[Accept | Reject]:
        self.logins += 1
        wanted = f"{request.session or 'the current session'} from {request.next_seq}"
        asked = f"login {connection.peer} user {request.user!r}, {wanted}"
        rightly = self._server.admit(request)
        if isinstance(rightly, Reject):
            self._on_note(f"{asked}: rejected with {rightly.reason}")
            return rightly
        faults = self._faults[connection]
        match faults.login(rightly.next_seq):
            case Ignore():
                self._on_note(f"{asked}: fault, not answered")
                return asyncio.get_running_loop().create_future()
            case Refuse(reason):
                self._on_note(f"{asked}: fault, rejected with {reason}")
                return Reject(reason)
            case Cut(inside_packet):
                self._on_note(f"{asked}: fault, cut off{' inside the answer' if inside_packet else ''}")
                if inside_packet:
                    answer = packets.login_accepted(Position(rightly.session, rightly.next_seq))
                    connection.write_raw(answer[: len(answer) // 2])
                connection.close()
                return Reject("S")  # Nobody hears it: the connection has ended.
            case Grant(next_seq):
                wrongly = "" if next_seq == rightly.next_seq else "fault, "
                self._on_note(f"{asked}: {wrongly}accepted, {rightly.session} from {next_seq}")
                assert rightly.follow is not None
                return self._accept(connection, rightly.follow, next_seq, faults)

    def _accept(
        self, connection: Connection, served: ServedSession, next_seq: int, faults: ConnectionFaults
    ) -> Accept:
        self._news.set()
        if next_seq <= served.next_seq and not faults.in_stream:
            return Accept(served.name, next_seq, served)
        feeder = self._feeders[connection] = Feeder(
            connection, served, next_seq, faults, self._on_note, self._news.set
        )
        task = self._start(feeder.run())
        task.add_done_callback(self._feeder_ended)
        return Accept(served.name, next_seq)

    def _feeder_ended(self, task: asyncio.Task[None]) -> None:
        # One that failed stays, to be raised when the exchange closes.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)


def next_session_name(name: str) -> str:
    """The name that comes after: its last digits count up, a name without digits gets some."""
    letters = name.rstrip("0123456789")
    digits = name[len(letters) :] or "0" * min(2, SESSION_SIZE - len(letters))
    if not digits:
        letters, digits = name[: SESSION_SIZE - 2], "00"
    return letters + str((int(digits) + 1) % 10 ** len(digits)).zfill(len(digits))

"""The task that writes to one subscriber what is not live: replays, snapshots, conflated records, heartbeats.

Knows streams and subscriptions as things that go on by a piece, and a connection as something that has room
or has none; knows nothing of what was asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from math import inf

from gateway.errors import BadRequest, JournalError
from gateway.hub.turns import Turns
from gateway.mlink.actions import Action, Reply
from gateway.mlink.close_codes import CloseCode
from gateway.mlink.session import SubscriberSession
from gateway.net.streams import Streams
from gateway.net.subscriptions import Subscriptions, TooSlow
from gateway.net.websocket import SubscriberConnection

log = logging.getLogger("gateway.net")


class Pump:
    """Writes a piece in a turn of the loop while there is room for it; `run` ends with `stop`.

    Whoever changes what there is to do calls `wake`. `close` is told why the connection has to end: a
    stream can't go on, or nothing was taken for `never_reads_s`.
    """

    def __init__(
        self,
        connection: SubscriberConnection,
        session: SubscriberSession,
        streams: Streams,
        subscriptions: Subscriptions,
        turns: Turns,
        perform: Callable[[Iterable[Action]], None],
        close: Callable[[CloseCode, str], None],
        never_reads_s: float,
    ) -> None:
        self._connection = connection
        self._session = session
        self._streams = streams
        self._subscriptions = subscriptions
        self._turns = turns
        self._perform = perform
        self._close = close
        self._never_reads_s = never_reads_s
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._stopped = False
        self._keys_first = False
        # Bytes that the other side had taken, and when there were last more of them.
        self._taken_at = (0, self._loop.time())

    def wake(self) -> None:
        """There may be something to do, or room for it."""
        self._work.set()

    def stop(self) -> None:
        """Nothing more is written."""
        self._stopped = True
        self._work.set()

    async def run(self) -> None:
        """Write until stopped."""
        is_turn = False
        while not self._stopped:
            self._work.clear()
            now = self._loop.time()
            if now >= self._session.deadline():
                self._tick(now)
            busy, until = self._advance_one(now, is_turn)
            if self._stopped:
                return
            if busy:
                await self._turn()
            else:
                await self._rest(min(until, self._session.deadline()))
            # A thousand sockets may have drained in one turn of the loop: the first piece waits, too.
            is_turn = busy

    async def _turn(self) -> None:
        """Wait for our turn: however many are busy, one of them does one piece in a turn of the loop."""
        turn: asyncio.Future[None] = self._loop.create_future()

        def begin() -> None:
            if not turn.done():
                turn.set_result(None)

        self._turns.ask(begin)
        await turn

    def _tick(self, now: float) -> None:
        for action in self._session.tick(now, self._streams.positions()):
            # A heartbeat says nothing to someone who has not read what is in front of it, and takes room.
            if self._connection.writable or not isinstance(action, Reply):
                self._perform([action])
        self._check_reads(now)

    def _advance_one(self, now: float, is_turn: bool) -> tuple[bool, float]:
        """Do one piece of what there is to do; whether there is more, and when the next is due."""
        until = inf
        try:
            # The other first next time: single keys do not wait for a day that is replayed, nor it for them.
            self._keys_first = not self._keys_first
            for is_keys in (self._keys_first, not self._keys_first):
                # What stops for want of room goes on when there is some.
                if not self._connection.writable:
                    return False, inf
                if is_keys:
                    more, due = self._subscriptions.advance(now)
                else:
                    more, due = self._streams.advance(now, lambda: self._connection.writable, is_turn=is_turn)
                if more:
                    return True, now
                until = min(until, due)
        except TooSlow as exc:
            self._close(CloseCode.TOO_SLOW, str(exc))
        except BadRequest as exc:
            self._close(CloseCode.AGED_OUT, str(exc))
        except JournalError as exc:
            # Files and their faults are the operator's; the subscriber has its positions.
            log.error("event=not-readable detail=%r", str(exc))
            self._close(CloseCode.INTERNAL, "what comes next can't be read now; resume later, or behind it")
        return False, until

    async def _rest(self, until: float) -> None:
        handle = self._loop.call_at(until, self._work.set)
        try:
            await self._work.wait()
        finally:
            handle.cancel()

    def _check_reads(self, now: float) -> None:
        """End a connection that has taken nothing for too long; what it has is still resumable."""
        backlog = self._connection.backlog()
        taken = self._connection.bytes_written - backlog
        # Pings are in the backlog and not among what we wrote: only more than ever before is progress.
        if taken > self._taken_at[0] or backlog == 0:
            self._taken_at = (taken, now)
        elif now - self._taken_at[1] >= self._never_reads_s:
            self._close(CloseCode.TOO_SLOW, f"nothing read for {self._never_reads_s:g} s")

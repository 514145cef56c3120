"""The streams of one connection: moved on a piece at a time, and what their subscriber is told of each.

Knows the hub's streams and the session's words for them; knows no socket, and does not wait.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from gateway.hub import Coverage, Hub, State, Stream
from gateway.hub.outbox import Outbox
from gateway.hub.texts import escaped
from gateway.mlink.actions import Action, Elapsed, Progress, Reply, SignalReady, StreamId
from gateway.mlink.choices import AdminEvent, StreamState
from gateway.mlink.control import StreamPosition
from gateway.mlink.session import SubscriberSession
from gateway.net.subscriptions import TooSlow


@dataclass(slots=True, eq=False)
class Running:
    """A stream and what its subscriber was told of it."""

    id: StreamId
    stream: Stream
    latency_s: float
    coverage: bool = False
    complete: bool = False
    told_slow: bool = False
    due: float = 0.0
    # Signals not answered yet, and those that the batch under way answers: each with when it came.
    signals: list[tuple[int, float]] = field(default_factory=list)
    answering: list[tuple[int, float]] = field(default_factory=list)
    begun_s: float = field(default_factory=perf_counter)
    # Spent on writing what is asked for, since it was.
    sending_s: float = 0.0


class Streams:
    """What runs by MLinkStream on one connection; `perform` does what the session says is to be done."""

    def __init__(
        self,
        hub: Hub,
        session: SubscriberSession,
        perform: Callable[[Iterable[Action]], None],
        keys_max: int,
    ) -> None:
        self._hub = hub
        self._session = session
        self._perform = perform
        self._keys_max = keys_max
        self._running: dict[StreamId, Running] = {}

    def __iter__(self) -> Iterator[Stream]:
        """By number: the order in which they are moved on changes all the time."""
        ids = sorted(self._running, key=lambda id: (id.session_id, id.query_id))
        return (self._running[id].stream for id in ids)

    def begin(self, id: StreamId, stream: Stream, *, latency_s: float, coverage: bool) -> None:
        """Have a stream of the hub moved on from now."""
        running = self._running[id] = Running(id, stream, latency_s, coverage)
        self._perform(self._session.checkpoint(id, StreamState.BEGIN, self._progress(running)))

    def stop(self, id: StreamId) -> Progress | None:
        """End one; gives how far it came, None if there is none of this id."""
        running = self._running.pop(id, None)
        if running is None:
            return None
        progress = self._progress(running)
        self._hub.close(running.stream)
        return progress

    def signal(self, action: SignalReady) -> None:
        """Let what is polled go on, and answer when it has."""
        for each in action.streams:
            running = self._running.get(each)
            if running is not None:
                if not running.signals and not running.answering:
                    running.sending_s = 0.0
                running.signals.append((action.signal_id, perf_counter()))
                self._hub.ready(running.stream, again=action.full_scan)

    def end(self) -> None:
        """Nothing of them is written after the checkpoint that says where each can be resumed."""
        for running in self._running.values():
            progress = self._progress(running)
            self._hub.close(running.stream)
            self._perform(self._session.checkpoint(running.id, StreamState.TERMINATED, progress))
        self._running.clear()

    def close(self) -> None:
        """End them without a word."""
        for running in self._running.values():
            self._hub.close(running.stream)
        self._running.clear()

    def advance(self, now: float, is_writable: Callable[[], bool], *, is_turn: bool) -> tuple[bool, float]:
        """Move on the first stream that has something to do, by one piece, and let the others be first next.

        Without a turn nothing old is read. Gives whether there is more to do, and when the next is due.
        """
        until = float("inf")
        for id, running in list(self._running.items()):
            if not is_writable():
                break
            more, due = self._advance(running, now, is_turn)
            if more:
                self._running[id] = self._running.pop(id)
                return True, now
            until = min(until, due)
        return False, until

    def _advance(self, running: Running, now: float, is_turn: bool) -> tuple[bool, float]:
        stream = running.stream
        if stream.state in (State.SNAPSHOT, State.BEHIND) and not is_turn:
            return True, now
        if not running.complete:
            if stream.state is State.SNAPSHOT and stream.snapshot is not None:
                self._timed(running, self._hub.step)
                return True, now
            for state in (StreamState.ACTIVE, StreamState.COMPLETE):
                progress = self._progress(running, since_s=running.begun_s)
                self._perform(self._session.checkpoint(running.id, state, progress))
            running.complete = True
            if running.coverage:
                stream.covered = partial(self._covered_text, running)
        if stream.state in (State.SNAPSHOT, State.BEHIND):
            if stream.fell_behind and not running.told_slow:
                running.told_slow = True
                self._tell_lag(running, AdminEvent.SLOW)
            if self._timed(running, self._hub.step):
                return True, now
            if running.told_slow and stream.is_live:
                running.told_slow = False
                self._tell_lag(running, AdminEvent.CAUGHT_UP)
        if stream.outbox is not None and stream.state is State.LATEST:
            return self._advance_latest(running, stream.outbox, now)
        if running.signals and stream.state in (State.PARKED, State.LIVE):
            running.answering, running.signals = running.signals, []
            self._answer(running)
        return False, float("inf")

    def _advance_latest(self, running: Running, outbox: Outbox, now: float) -> tuple[bool, float]:
        if outbox.overflowed:
            raise TooSlow(f"{self._keys_max} keys were waiting")
        polled = running.stream.polled
        if not outbox.is_leaving:
            if running.signals:
                # What changes while this batch leaves belongs to the next signal.
                running.answering, running.signals = running.signals, []
            elif polled or not len(outbox):
                return False, float("inf")
            elif now < running.due:
                return False, running.due
            running.due = now + running.latency_s
        if self._timed(running, self._hub.take_latest):
            return True, now
        self._answer(running)
        # Round again: for the next signal, or to know when the next batch is due.
        return bool(running.signals) or (len(outbox) > 0 and not polled), now

    def _answer(self, running: Running) -> None:
        for signal_id, since_s in running.answering:
            progress = self._progress(running, since_s=since_s)
            self._perform(
                self._session.checkpoint(running.id, StreamState.ACTIVE, progress, signal_id=signal_id)
            )
        running.answering = []

    @staticmethod
    def _timed(running: Running, write: Callable[[Stream], bool]) -> bool:
        """Have a piece written, and remember how long that took."""
        begun_s = perf_counter()
        more = write(running.stream)
        running.sending_s += perf_counter() - begun_s
        return more

    def _tell_lag(self, running: Running, event: AdminEvent) -> None:
        messages, seconds = self._hub.lag(running.stream)
        detail = {
            AdminEvent.SLOW: f"reading too slowly: {messages} messages behind, served from the journal",
            AdminEvent.CAUGHT_UP: "caught up: live again",
        }[event]
        self._perform(
            self._session.notice(
                event,
                detail,
                sessionID=running.id.session_id,
                queryID=running.id.query_id,
                lagMessages=messages,
                lagSeconds=seconds,
            )
        )

    def positions(self) -> list[StreamPosition]:
        return [position for running in self._running.values() for position in self._covered(running)]

    def _covered(self, running: Running, coverage: Iterable[Coverage] | None = None) -> list[StreamPosition]:
        return [
            StreamPosition(
                sessionID=running.id.session_id,
                queryID=running.id.query_id,
                src=each.feed,
                ses=each.session,
                seqN=each.seq,
                numMessagesSent=each.sent,
            )
            for each in (self._hub.coverage(running.stream) if coverage is None else coverage)
        ]

    def _covered_text(self, running: Running, coverage: Sequence[Coverage]) -> str:
        """The checkpoint that ends a batch. Called by the hub while it writes, so it only makes a text."""
        progress = self._progress(running, coverage)
        (action,) = self._session.checkpoint(running.id, StreamState.ACTIVE, progress)
        assert isinstance(action, Reply)
        return escaped(action.data)

    def _progress(
        self,
        running: Running,
        coverage: Sequence[Coverage] | None = None,
        since_s: float | None = None,
    ) -> Progress:
        """How far it has come; for an answer to what was asked at `since_s`, where its time went, too."""
        stream = running.stream
        positions = self._covered(running, coverage)
        elapsed = None if since_s is None else Elapsed(perf_counter() - since_s, running.sending_s)
        return Progress(
            num_messages=stream.sent,
            num_bytes=stream.sent_bytes,
            highwater_ns=self._hub.highwater_ns(stream),
            positions=positions,
            elapsed=elapsed,
        )

"""A feed: holds one upstream for ever, over whichever of its addresses works.

Moves bytes and time: dials, waits, ends connections. What to ask, what an answer means and what gets in is
decided in `feed_rules`, `feed_endpoints` and `feed_merge`.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from math import inf

from gateway.errors import UpstreamLost
from gateway.journal import Journal
from gateway.link import ClientLink
from gateway.net.backoff import Backoff
from gateway.net.feed_dialling import LOGOUT_TIMEOUT_S, Dialler
from gateway.net.feed_endpoints import Endpoints
from gateway.net.feed_intake import PENDING_BYTES_MAX, Intake
from gateway.net.feed_lane import Barred, Ending, Lane
from gateway.net.feed_merge import Merge
from gateway.net.feed_rules import Asking
from gateway.net.feed_values import (
    FeedHealth,
    FeedNotice,
    FeedPublisher,
    FeedState,
    LaneHealth,
    NoticeKind,
)
from gateway.settings import FeedSettings
from gateway.soup import ClientState
from gateway.values import Position

__all__ = ["Feed", "FeedHealth", "FeedNotice", "FeedPublisher", "FeedState", "LaneHealth", "NoticeKind"]

# A journal that can't be written is tried again after the first, and at last every `_MAX` seconds, for ever.
JOURNAL_RETRY_FIRST_S = 0.25
JOURNAL_RETRY_MAX_S = 5.0
_JITTER = 0.1

log = logging.getLogger("gateway.feed")


class Feed:
    """Keeps `journal` and `publisher` supplied: every sequenced message once, in order; `health` says more.

    `run` has one owner, who cancels it to log out and end. It ends by itself only when the publisher or the
    gateway itself has a bug: trouble upstream or with the journal is waited out.
    """

    def __init__(
        self,
        settings: FeedSettings,
        journal: Journal,
        publisher: FeedPublisher,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        journal_retry_first_s: float = JOURNAL_RETRY_FIRST_S,
        journal_retry_max_s: float = JOURNAL_RETRY_MAX_S,
        pending_bytes_max: int = PENDING_BYTES_MAX,
    ) -> None:
        """Raises ConfigError for a certificate that can't be used. Opens no socket."""
        self.name = settings.name
        self._settings = settings
        self._journal = journal
        self._uniform = uniform
        self._dialler = Dialler(settings)
        self._bell = Bell()
        self._intake = Intake(journal, publisher, pending_bytes_max=pending_bytes_max)
        self._merge = Merge(
            settings.name,
            Position(settings.session, settings.sequence),
            self._intake,
            publisher,
            _monotonic,
            self._bell.ring,
            hot_standby=settings.hot_standby,
        )
        self._endpoints = Endpoints(
            len(self._dialler.endpoints), settings.hold_down_s, settings.backoff_max_s
        )
        self._journal_backoff = Backoff(journal_retry_first_s, journal_retry_max_s, _JITTER, uniform)
        self._journal_retry_max_s = journal_retry_max_s

    @property
    def health(self) -> FeedHealth:
        """How the feed is now."""
        merge = self._merge
        live = min(merge.live_lanes(), key=lambda lane: lane.rank, default=None)
        shown = live or min(
            merge.lanes, key=lambda lane: (lane.state is FeedState.STOPPED, lane.rank), default=None
        )
        position = self._intake.position()
        trouble = self._intake.trouble
        return FeedHealth(
            state=FeedState.WAITING if shown is None else shown.state,
            endpoint="" if shown is None else shown.endpoint,
            session="" if position is None else position.session,
            next_seq=0 if position is None else position.next_seq,
            last_received_ns=self._intake.last_received_ns,
            reconnects=dict(merge.reconnects),
            gaps=merge.gaps,
            missing=merge.missing,
            rewinds=merge.rewinds,
            doubles=merge.doubles,
            diverged=merge.diverged,
            detail=str(trouble) if trouble is not None else "" if shown is None else shown.detail,
            stale=merge.stale,
            paused=trouble is not None,
            lanes=tuple(_lane_health(lane, position) for lane in merge.lanes),
        )

    def retry(self) -> None:
        """An operator has acted: addresses that refused us are tried again."""
        self._endpoints.pardon()
        for lane in self._merge.lanes:
            lane.barred = None
        self._bell.ring()

    async def run(self) -> None:
        """Hold the upstream until cancelled; then log out."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_stale(), name=f"feed {self.name} stale")
                tasks.create_task(self._mend_journal(), name=f"feed {self.name} journal")
                if self._settings.hot_standby:
                    for rank in range(len(self._dialler.endpoints)):
                        lane = self._new_lane(rank)
                        tasks.create_task(self._stand_by(lane), name=f"feed {self.name} {lane.endpoint}")
                else:
                    await self._follow_preferred(tasks)
        finally:
            self._merge.lanes.clear()

    def _new_lane(self, rank: int) -> Lane:
        lane = Lane(rank, self._dialler.endpoints[rank].name)
        position = self._intake.position()
        if position is not None and self._journal.ended():
            lane.asking, lane.left = Asking.AFTER_END, position.session
        self._merge.lanes.append(lane)
        return lane

    def _new_backoff(self) -> Backoff:
        settings = self._settings
        return Backoff(
            settings.backoff_first_s, settings.backoff_max_s, settings.backoff_jitter, self._uniform
        )

    # Hot standby: every address has a lane of its own.

    async def _stand_by(self, lane: Lane) -> None:
        backoff = self._new_backoff()
        while True:
            while not self._may_dial(lane):
                await self._bell.heard()
            ending = await self._connect(lane, lane.rank)
            lane.barred = ending.barred
            await self._pause_before_dial(lane, ending, backoff)

    def _may_dial(self, lane: Lane) -> bool:
        if self._intake.trouble is not None:
            return False
        match lane.barred:
            case None:
                return True
            case Barred.BESIDE_ANOTHER:
                if not self._merge.live_lanes():
                    lane.barred = None
                    return True
                return False
            case Barred.NOT_AUTHORIZED:
                lane.state = FeedState.STOPPED
                return False

    # One at a time: the preferred address that works, and back to a better one when it has rested.

    async def _follow_preferred(self, tasks: asyncio.TaskGroup) -> None:
        backoff = self._new_backoff()
        lane = self._new_lane(0)
        while True:
            while self._intake.trouble is not None or self._endpoints.all_barred:
                if self._endpoints.all_barred:
                    lane.state = FeedState.STOPPED
                await self._bell.heard()
            rank = self._endpoints.choose(_monotonic())
            assert rank is not None
            lane, ending = await self._hold(lane, rank, tasks)
            await self._pause_before_dial(lane, ending, backoff)

    async def _hold(self, lane: Lane, rank: int, tasks: asyncio.TaskGroup) -> tuple[Lane, Ending]:
        """Keep a connection until no one is left. A return is made before the old connection is broken."""
        task = self._start(lane, rank, tasks)
        other: Lane | None = None
        other_task: asyncio.Task[Ending] | None = None
        while True:
            if task.done():
                ending = task.result()
                self._blame(lane, ending)
                if other is None or other_task is None:
                    self._endpoints.alone()
                    return lane, ending
                self._merge.lanes.remove(lane)
                lane, task, other, other_task = other, other_task, None, None
            elif other is not None and other_task is not None and other_task.done():
                self._blame(other, other_task.result())
                self._merge.lanes.remove(other)
                other = other_task = None
            elif other is not None and other_task is not None and other.live:
                task.cancel()
                await asyncio.wait({task})
                self._merge.lanes.remove(lane)
                lane, task, other, other_task = other, other_task, None, None
            now = _monotonic()
            look_at = inf
            if other is None and lane.live and self._intake.trouble is None:
                if lane.flowed:
                    self._endpoints.worked()
                better = self._endpoints.preferred_to(lane.rank, now)
                if better is not None:
                    other = self._new_lane(better)
                    other_task = self._start(other, better, tasks)
                look_at = self._endpoints.return_at(lane.rank)
            if not task.done():
                await self._bell.heard(look_at - now)

    def _start(self, lane: Lane, rank: int, tasks: asyncio.TaskGroup) -> asyncio.Task[Ending]:
        name = self._dialler.endpoints[rank].name
        task = tasks.create_task(self._connect(lane, rank), name=f"feed {self.name} {name}")
        task.add_done_callback(lambda _: self._bell.ring())
        return task

    def _blame(self, lane: Lane, ending: Ending) -> None:
        match ending.barred:
            case Barred.NOT_AUTHORIZED:
                self._endpoints.bar(lane.rank)
            case Barred.BESIDE_ANOTHER:
                self._endpoints.bar_beside(lane.rank)
            case None if ending.at_fault:
                self._endpoints.failed(lane.rank, _monotonic(), ending.up_s)

    # Both ways.

    async def _connect(self, lane: Lane, rank: int) -> Ending:
        """One connection, from the dial to its end; cancelled, it logs out."""
        merge = self._merge
        asked = merge.dial(lane, rank, self._dialler.endpoints[rank].name)
        try:
            link = await self._dialler.dial(rank, asked, partial(merge.take, lane), _monotonic())
        except UpstreamLost as exc:
            return merge.lost(lane, str(exc))
        except asyncio.CancelledError:
            merge.left(lane)
            raise
        try:
            lane.connected(link)
            if self._intake.trouble is not None:
                link.pause_reading()
            return merge.lost(lane, await link.closed())
        except asyncio.CancelledError:
            await self._log_out(link)
            merge.left(lane)
            raise

    async def _log_out(self, link: ClientLink) -> None:
        """Leave politely, within the limit; what is under way is still taken."""
        try:
            if link.end is None and link.session.state is ClientState.STREAMING:
                link.logout()
                # While reading is paused, nobody would see the server close.
                if self._intake.trouble is None:
                    async with asyncio.timeout(LOGOUT_TIMEOUT_S):
                        await link.closed()
        except TimeoutError:
            log.warning("feed=%s event=logout-timeout peer=%s", self.name, link.peer)
        finally:
            link.abort("stopped")
            await link.closed()

    async def _pause_before_dial(self, lane: Lane, ending: Ending, backoff: Backoff) -> None:
        if lane.flowed:
            backoff.reset()
        if not ending.at_once:
            await asyncio.sleep(backoff.next_delay())

    async def _mend_journal(self) -> None:
        mended_at = -inf
        while True:
            while self._intake.trouble is None:
                await self._bell.heard()
            # A journal that works for a moment only is not well.
            if _monotonic() - mended_at > self._journal_retry_max_s:
                self._journal_backoff.reset()
            await asyncio.sleep(self._journal_backoff.next_delay())
            if self._merge.mend():
                mended_at = _monotonic()

    async def _watch_stale(self) -> None:
        while True:
            look_at = self._merge.look_stale(self._settings.stale_after_s)
            await asyncio.sleep(look_at - _monotonic())


class Bell:
    """Wakes all who wait for a change; they look for themselves what it was."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def heard(self, timeout_s: float = inf) -> None:
        """Wait for the next ring, or until the time is over."""
        try:
            async with asyncio.timeout(None if timeout_s == inf else max(timeout_s, 0.0)):
                await self._rung.wait()
        except TimeoutError:
            pass


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _lane_health(lane: Lane, position: Position | None) -> LaneHealth:
    behind = 0
    if lane.live and position is not None and position.session == lane.session:
        behind = max(position.next_seq - lane.next_seq, 0)
    return LaneHealth(
        lane.endpoint, lane.state, lane.session, lane.next_seq, behind, lane.lag_ns, lane.detail
    )

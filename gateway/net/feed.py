"""A feed: holds one upstream for ever, over whichever of its addresses works.

Moves bytes and time: dials, waits, ends connections. What to ask, what an answer means and what gets in is
decided in `feed_rules`, `feed_endpoints`, `feed_logins` and `feed_merge`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from math import inf

from gateway.errors import JournalError, UpstreamLost
from gateway.journal import Journal
from gateway.link import ClientLink
from gateway.net.backoff import Backoff
from gateway.net.bell import Bell
from gateway.net.feed_dialling import LOGOUT_TIMEOUT_S, Dialler
from gateway.net.feed_endings import Ending
from gateway.net.feed_endpoints import Endpoints
from gateway.net.feed_health import health_of
from gateway.net.feed_intake import PENDING_BYTES_MAX, Intake
from gateway.net.feed_lane import Barred, Drop, Lane
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
            time.monotonic,
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
        return health_of(self._merge, self._dialler.endpoints, self._endpoints.barred, self._position())

    def _position(self) -> Position | None:
        try:
            return self._intake.position()
        except JournalError:
            return None  # `detail` says what is wrong with it, or soon will

    def reload(self, settings: FeedSettings) -> None:
        """Take over user and password, for the next login, and `retry`. What is connected stays so."""
        self._dialler.log_in_as(settings)
        self.retry()

    def retry(self) -> None:
        """An operator has acted: addresses that refused us are tried again."""
        self._endpoints.pardon()
        for lane in self._merge.lanes:
            lane.barred = None
        self._bell.ring()

    async def run(self) -> None:
        """Hold the upstream until cancelled; then log out."""
        self._merge.stale.start_over()
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
        position = self._position()
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
                if not self._merge.lanes.live():
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
            rank = self._endpoints.choose(time.monotonic())
            assert rank is not None
            lane, ending = await self._hold(lane, rank, tasks)
            await self._pause_before_dial(lane, ending, backoff)

    async def _hold(self, lane: Lane, rank: int, tasks: asyncio.TaskGroup) -> tuple[Lane, Ending]:
        """Keep a connection until no one is left. A return is made before the old connection is broken."""
        task = self._start(lane, rank, tasks)
        other: Lane | None = None
        other_task: asyncio.Task[Ending] | None = None
        while True:
            if lane.flowed:
                self._endpoints.worked()
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
            now = time.monotonic()
            look_at = inf
            if other is None and lane.live and self._intake.trouble is None:
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
                self._endpoints.failed(lane.rank, time.monotonic(), ending.up_s)

    # Both ways.

    async def _connect(self, lane: Lane, rank: int) -> Ending:
        """One connection, from the dial to its end; cancelled, it logs out."""
        merge = self._merge
        try:
            asked = merge.dial(lane, rank, self._dialler.endpoints[rank].name)
        except JournalError as exc:
            merge.in_trouble(exc)
            return Ending(Drop.JOURNAL.value, str(exc), at_fault=False)
        try:
            link = await self._dialler.dial(rank, asked, partial(merge.take, lane))
        except UpstreamLost as exc:
            return merge.lost(lane, str(exc))
        except asyncio.CancelledError:
            merge.left(lane)
            raise
        try:
            merge.connected(lane, link)
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
            if time.monotonic() - mended_at > self._journal_retry_max_s:
                self._journal_backoff.reset()
            await asyncio.sleep(self._journal_backoff.next_delay())
            if self._merge.mend():
                mended_at = time.monotonic()

    async def _watch_stale(self) -> None:
        while True:
            position = self._position()
            look_at = self._merge.stale.look(
                self._settings.stale_after_s,
                position.session if position is not None else "",
                paused=self._intake.trouble is not None,
            )
            await asyncio.sleep(look_at - time.monotonic())

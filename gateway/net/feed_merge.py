"""Where the lanes of a feed come together: what their messages are, who comes and goes, what pauses them all.

Plain functions called by the link's callback, nothing here waits. Knows the intake and the publisher; what a
login means, the logins know. Knows no socket: a lane's line is ended or paused, not more.
"""

import logging
from collections.abc import Callable, Iterator

from gateway.errors import JournalError
from gateway.link import Closed, CloseReason
from gateway.net.feed_endings import Ending, ending_of
from gateway.net.feed_intake import Intake, IntakeHole, Overlap
from gateway.net.feed_lane import Drop, Lane, Lanes, Line
from gateway.net.feed_logins import Logins
from gateway.net.feed_rules import Answer
from gateway.net.feed_telling import Counts, Stale, Telling
from gateway.net.feed_values import FeedPublisher, FeedState, NoticeKind
from gateway.soup import Accepted, ClientEvent, Debug, EndOfSession, Rejected, Run, Unsequenced
from gateway.values import Block, Position

# A server may talk as much as it likes; the log takes this much of one text.
DEBUG_TEXT_MAX = 200


log = logging.getLogger("gateway.feed")


class Merge:
    """One feed's way in. `changed` is called when lanes come or go, or the journal fails or is well again.

    Every lane's next number is at or below the next number expected, so whoever delivers a number first is
    taken, and the others' copies are compared and dropped. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        name: str,
        configured: Position,
        intake: Intake,
        publisher: FeedPublisher,
        clock: Callable[[], float],
        changed: Callable[[], None],
        *,
        hot_standby: bool,
    ) -> None:
        self.name = name
        self.lanes = Lanes()
        self.intake = intake
        self.counts = Counts()
        self._publisher = publisher
        self._tell = Telling(name, publisher)
        self._logins = Logins(
            name, configured, self.lanes, intake, self._tell, self.counts, hot_standby=hot_standby
        )
        self.stale = Stale(self._tell, clock)
        self._clock = clock
        self._changed = changed
        self._hot_standby = hot_standby
        self._down = False
        self._last_rank: int | None = None

    # What goes out.

    def dial(self, lane: Lane, rank: int, endpoint: str) -> Position:
        """What to log in with."""
        return self._logins.ask(lane, rank, endpoint)

    def connected(self, lane: Lane, line: Line) -> None:
        """TCP stands; the login may have been answered already."""
        lane.connected(line)
        if self.intake.trouble is not None:
            line.pause_reading()

    # What comes in.

    def take(self, lane: Lane, events: Iterator[ClientEvent], received_ns: int) -> None:
        """The link's callback: everything that one read of `lane` brought."""
        try:
            for event in events:
                if lane.dropped is None:
                    try:
                        self._take_event(lane, event, received_ns)
                    except JournalError as exc:
                        self.in_trouble(exc)
                        lane.drop(Drop.JOURNAL, str(exc))
        finally:
            # Also when a broken packet ends the read: what stood in front of it is good.
            if self.intake.trouble is None and not self.intake.flush():
                self._pause()

    def _take_event(self, lane: Lane, event: ClientEvent, received_ns: int) -> None:
        match event:
            case Run(session, first_seq, count, raw):
                self._take_run(lane, Block(session, first_seq, count, received_ns, raw))
            case Accepted(position):
                others = self.lanes.live_beside(lane)
                if self._logins.accept(lane, position):
                    self._go_live(lane, others)
            case Unsequenced(payload):
                # All lanes carry it and it has no number: the best lane's is taken.
                if lane.rank == min(each.rank for each in self.lanes.live()):
                    self._publisher.publish_unsequenced(payload, received_ns)
            case Debug(text):
                shown = text[:DEBUG_TEXT_MAX].decode("ascii", "backslashreplace")
                log.info("feed=%s event=debug endpoint=%s text=%r", self.name, lane.endpoint, shown)
            case Rejected() | EndOfSession():
                pass  # The link ends with it, and `lost` is told.

    def _take_run(self, lane: Lane, block: Block) -> None:
        try:
            overlap = self.intake.put(block)
        except IntakeHole as exc:
            # Somebody has moved the journal back: from there the upstream is asked again.
            lane.drop(Drop.AHEAD, str(exc))
            return
        lane.next_seq = block.next_seq
        self.stale.fresh(block.session)
        if overlap is None:
            lane.lag_ns = 0
        else:
            self._take_overlap(lane, block, overlap)
        # A server that replays the same old messages and dies must not reset our patience.
        if not lane.flowed and (overlap is None or overlap.count < block.count or len(self.lanes.live()) > 1):
            lane.flowed = lane.may_hurry = True

    def _take_overlap(self, lane: Lane, block: Block, overlap: Overlap) -> None:
        self.counts.doubles += overlap.count
        lane.lag_ns = overlap.lag_ns
        if not overlap.diverged:
            return
        self.counts.diverged += len(overlap.diverged)
        others = self.lanes.live_beside(lane)
        if not lane.told_divergence:
            lane.told_divergence = True
            self._tell(
                NoticeKind.DIVERGED,
                f"{lane.endpoint} sends other bytes under the same numbers than were received before"
                + ("; the preferred endpoint goes on alone" if others else "; the first ones stay"),
                block.session,
                overlap.diverged[0],
                overlap.diverged[-1],
            )
        if others:
            preferred = lane.rank < min(each.rank for each in others)
            for each in others if preferred else [lane]:
                each.drop(
                    Drop.DIVERGED,
                    f"its bytes differ from those of {(lane if preferred else others[0]).endpoint}",
                )

    # Lanes coming and going.

    def _go_live(self, lane: Lane, others: list[Lane]) -> None:
        lane.state = FeedState.STREAMING
        lane.live_since = self._clock()
        lane.detail = ""
        self._tell.forget()
        where = f"{lane.endpoint}, session {lane.session}, next {lane.next_seq}"
        if others and self._hot_standby:
            self._tell(NoticeKind.STANDBY_UP, f"{lane.endpoint} delivers too", lane.session)
        elif not others:
            self._down = False
            self._tell(NoticeKind.UP, where, lane.session)
        if not self._hot_standby and self._last_rank is not None and lane.rank != self._last_rank:
            kind = NoticeKind.FAILED_OVER if lane.rank > self._last_rank else NoticeKind.RETURNED
            self._tell(kind, where, lane.session)
        self._last_rank = lane.rank
        self._changed()

    def left(self, lane: Lane) -> None:
        """We have logged out of a connection on purpose."""
        lane.line, lane.state = None, FeedState.WAITING
        self._changed()

    def lost(self, lane: Lane, closed: Closed | str) -> Ending:
        """A connection has ended, or was never made (`closed` is then the reason): what that means."""
        was_live = lane.state is FeedState.STREAMING
        up_s = self._clock() - lane.live_since if was_live else 0.0
        session = lane.session
        lane.line, lane.state = None, FeedState.WAITING
        ending = self._ending(lane, closed, up_s)
        lane.detail = ending.detail
        self.counts.reconnects[ending.reason] += 1
        log.warning(
            "feed=%s event=lost endpoint=%s session=%s next=%d reason=%r detail=%r",
            self.name,
            lane.endpoint,
            lane.session,
            lane.next_seq,
            ending.reason,
            ending.detail,
        )
        if self.lanes.live():
            if was_live and self._hot_standby:
                self._tell(NoticeKind.STANDBY_DOWN, f"{lane.endpoint}: {ending.detail}", session)
        elif not self._down:
            self._down = True
            self._tell(NoticeKind.DOWN, f"{lane.endpoint}: {ending.detail}", session)
        self._changed()
        return ending

    def _ending(self, lane: Lane, closed: Closed | str, up_s: float) -> Ending:
        reason = closed.reason if isinstance(closed, Closed) and lane.dropped is None else None
        if reason is CloseReason.END_OF_SESSION:
            self._logins.answered(lane, Answer.ENDED)
            self._end_session(lane)
        elif reason is CloseReason.SESSION_NOT_AVAILABLE:
            self._logins.answered(lane, Answer.UNAVAILABLE)
        ending = ending_of(lane, closed, up_s, beside_another=bool(self.lanes.live()))
        if reason in (CloseReason.SESSION_NOT_AVAILABLE, CloseReason.NOT_AUTHORIZED):
            self._tell.once(NoticeKind.REJECTED, f"{lane.endpoint}: {ending.detail}", lane.asked.session)
        return ending

    def _end_session(self, lane: Lane) -> None:
        journaled = self.intake.position()
        if journaled is None or journaled.session != lane.session:
            return
        self._tell.once(
            NoticeKind.SESSION_ENDED,
            f"session {lane.session} ended at {lane.next_seq - 1}",
            lane.session,
            to_seq=lane.next_seq - 1,
        )
        # Another lane may not be through with it yet, and what waits for the journal is of this session:
        # then it is marked as ended when the next one begins.
        if self.intake.trouble is None and not self.lanes.live():
            try:
                self.intake.end_session()
            except JournalError as exc:
                self.in_trouble(exc)

    # Trouble with the journal.

    def in_trouble(self, error: JournalError) -> None:
        """The journal failed outside of a flush."""
        if self.intake.trouble is None:
            self.intake.trouble = error
            self._pause()

    def _pause(self) -> None:
        """The journal can't be written: stop reading, so that what comes waits at the upstream."""
        for lane in self.lanes:
            if lane.line is not None:
                lane.line.pause_reading()
        self._tell.once(NoticeKind.JOURNAL_PAUSED, str(self.intake.trouble))
        self._changed()

    def mend(self) -> bool:
        """Try the journal again; go on reading when it is well."""
        if not self.intake.flush():
            return False
        self._tell.forget()
        self._tell(NoticeKind.JOURNAL_RESUMED, "the journal can be written again")
        self.stale.start_over()
        for lane in self.lanes:
            if lane.line is not None:
                lane.line.resume_reading()
        self._changed()
        return True

"""Logins of a feed: with what each lane asks to be let in, and what it means where it was let in.

Knows the rules, where the journal stands, and which lanes are live; sees no message and no socket.
"""

import logging

from gateway.net.feed_intake import Intake
from gateway.net.feed_lane import Drop, Lane, Lanes
from gateway.net.feed_rules import Answer, Asking, Meaning, judge, wanted
from gateway.net.feed_telling import Counts, Telling
from gateway.net.feed_values import NoticeKind
from gateway.values import Gap, Position

log = logging.getLogger("gateway.feed")


class Logins:
    """Decides for one feed. A lane that does not fit the journal, or the lanes that are live, is dropped."""

    def __init__(
        self,
        name: str,
        configured: Position,
        lanes: Lanes,
        intake: Intake,
        tell: Telling,
        counts: Counts,
        *,
        hot_standby: bool,
    ) -> None:
        self._name = name
        self._configured = configured
        self._lanes = lanes
        self._intake = intake
        self._tell = tell
        self._counts = counts
        self._hot_standby = hot_standby

    def ask(self, lane: Lane, rank: int, endpoint: str) -> Position:
        """What to log in with; the journal is asked anew each time."""
        asked = wanted(lane.asking, lane.left, self._intake.position(), self._configured)
        if asked.session and lane.asking is not Asking.CHECK:
            lane.asking = Asking.RESUME
        lane.dial(rank, endpoint, asked)
        log.info(
            "feed=%s event=dial endpoint=%s session=%s next=%d",
            self._name,
            endpoint,
            asked.session,
            asked.next_seq,
        )
        return asked

    def accept(self, lane: Lane, accepted: Position) -> bool:
        """The server has let a lane in: whether it may stay. Raises JournalError."""
        if self._intake.trouble is not None:
            lane.drop(Drop.JOURNAL, str(self._intake.trouble))
            return False
        lane.session, lane.next_seq = accepted.session, accepted.next_seq
        journaled = self._intake.position()
        other_name = journaled is not None and accepted.session != journaled.session
        verdict = judge(
            lane.asking,
            lane.asked,
            accepted,
            journaled,
            left=lane.left,
            seen_before=other_name and self._intake.has_session(accepted.session),
        )
        session, meaning = accepted.session, verdict.meaning
        others = self._lanes.live_beside(lane)
        if meaning is Meaning.SAME_SESSION:
            self._tell.once(
                NoticeKind.SESSION_AGAIN,
                f"{lane.endpoint} still offers session {session}, which has ended",
                session,
            )
            self.answered(lane, Answer.SAME_SESSION)
            lane.drop(Drop.SAME_SESSION, f"session {session} has ended and is offered again")
        elif meaning is Meaning.SESSION_AGAIN:
            self._tell.once(
                NoticeKind.SESSION_AGAIN,
                f"{lane.endpoint} offers session {session}, which came before the newest one of the journal",
                session,
            )
            lane.drop(Drop.SAME_SESSION, f"session {session} came before the newest one")
        elif meaning is Meaning.OTHER_SESSION:
            self.answered(lane, Answer.OTHER_SESSION)
            lane.drop(Drop.OTHER_SESSION, f"session is {session}: log in again from its start")
        elif meaning is Meaning.GAP and others:
            # Another lane may still bring these numbers.
            lane.drop(Drop.AHEAD, f"starts at {accepted.next_seq}, while {others[0].endpoint} is below that")
        elif meaning is Meaning.NEW_SESSION and others and not self._may_change_session(lane, others):
            self._tell.once(
                NoticeKind.SESSIONS_DIFFER,
                f"{lane.endpoint} is in session {session}, {others[0].endpoint} still in {others[0].session}",
                session,
            )
            lane.drop(Drop.SESSIONS_DIFFER, f"session is {session}, in use is {others[0].session}")
        else:
            if meaning is Meaning.NEW_SESSION:
                self._change_session(lane, session, verdict.first_seq, others, journaled)
            else:
                self._intake.continue_session(session)
            if verdict.gap is not None:
                self._declare(verdict.gap)
            if meaning is Meaning.REWOUND:
                self._rewound(lane, accepted)
            self.answered(lane, Answer.ACCEPTED)
            return True
        return False

    def _may_change_session(self, lane: Lane, others: list[Lane]) -> bool:
        """Two addresses disagree: in hot standby the preferred one is believed, else the one that works."""
        return self._hot_standby and lane.rank < min(each.rank for each in others)

    def _change_session(
        self, lane: Lane, session: str, first_seq: int, others: list[Lane], journaled: Position | None
    ) -> None:
        for each in others:
            each.drop(Drop.SUPERSEDED, f"{lane.endpoint} has begun session {session}")
        self._intake.start_session(session, first_seq)
        if journaled is not None:
            self._tell(
                NoticeKind.SESSION_CHANGED,
                f"session {session} follows {journaled.session}, which ended at {journaled.next_seq - 1}",
                session,
            )

    def _declare(self, gap: Gap) -> None:
        self._intake.declare_gap(gap)
        count = gap.to_seq - gap.from_seq + 1
        self._counts.gaps += 1
        self._counts.missing += count
        self._tell(
            NoticeKind.GAP,
            f"{count} messages can't be had: the upstream starts behind them",
            gap.session,
            gap.from_seq,
            gap.to_seq,
        )

    def _rewound(self, lane: Lane, accepted: Position) -> None:
        journaled = self._intake.position()
        assert journaled is not None
        self._counts.rewinds += 1
        self._tell(
            NoticeKind.REWOUND,
            f"{lane.endpoint} was asked for {lane.asked.next_seq} and starts at {accepted.next_seq}: "
            f"what was received before is dropped",
            accepted.session,
            accepted.next_seq,
            max(accepted.next_seq, journaled.next_seq) - 1,
        )

    def answered(self, lane: Lane, answer: Answer) -> None:
        """How a login, or the session after it, turned out: it says what is asked next."""
        lane.answered(answer, may_roll=self._intake.position() is not None)

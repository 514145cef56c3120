"""One connection of a feed, as the feed sees it: what it asked, where it stands, how it ended.

Holds facts, decides nothing; the socket is behind `Line`.
"""

from enum import Enum
from typing import Any, Protocol

from gateway.net.feed_rules import Answer, Asking, next_asking
from gateway.net.feed_values import FeedState
from gateway.values import Position


class Line(Protocol):
    """What a lane needs of its link."""

    def abort(self, detail: str = "") -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> Any: ...


class Drop(Enum):
    """Why we ended a connection ourselves."""

    SAME_SESSION = "same session again"
    OTHER_SESSION = "other session"
    SESSIONS_DIFFER = "sessions differ"
    AHEAD = "ahead of the journal"
    DIVERGED = "diverged"
    SUPERSEDED = "another session has begun"
    JOURNAL = "journal can't be written"


class Barred(Enum):
    """Why a lane does not dial."""

    NOT_AUTHORIZED = "not authorized"
    # Perhaps the account may have one connection only, or the bytes differed: until no other lane is live.
    BESIDE_ANOTHER = "refused beside another connection"


class Lane:
    """The facts of one connection after another at one of a feed's addresses. `rank` 0 is the preferred."""

    def __init__(self, rank: int, endpoint: str) -> None:
        self.rank = rank
        self.endpoint = endpoint
        self.asking = Asking.RESUME
        # The session that was refused or has ended; `asking` says what that means for the next login.
        self.left = ""
        self.state = FeedState.WAITING
        self.detail = ""
        self.barred: Barred | None = None
        self.line: Line | None = None
        self.asked = Position("", 0)
        self.session = ""
        self.next_seq = 0
        self.lag_ns = 0
        self.live_since = 0.0
        self.dropped: Drop | None = None
        self.dropped_detail = ""
        self.flowed = False
        self.told_divergence = False
        # One dial without delay until messages flow again, or two servers could keep us spinning.
        self.may_hurry = True

    @property
    def live(self) -> bool:
        """Logged in, at a position that fits the journal."""
        return self.state is FeedState.STREAMING and self.dropped is None

    def dial(self, rank: int, endpoint: str, asked: Position) -> None:
        """Start over with a new connection."""
        self.rank, self.endpoint, self.asked = rank, endpoint, asked
        self.state = FeedState.DIALLING
        self.line = None
        self.session, self.next_seq, self.lag_ns = "", 0, 0
        self.dropped, self.dropped_detail = None, ""
        self.flowed = self.told_divergence = False

    def connected(self, line: Line) -> None:
        """TCP stands. The login may have been answered already."""
        self.line = line
        if self.state is FeedState.DIALLING:
            self.state = FeedState.LOGGING_IN
        if self.dropped is not None:
            line.abort(self.dropped_detail)

    def answered(self, answer: Answer, *, may_roll: bool) -> None:
        """Note how the login, or the session after it, turned out: it says what is asked next."""
        before = self.asking
        self.asking = next_asking(before, answer, may_roll=may_roll)
        if answer is Answer.ENDED:
            self.left = self.session
        elif answer is Answer.ACCEPTED:
            self.left = ""
        elif self.asking is Asking.ROLL and before is not Asking.ROLL:
            self.left = self.asked.session

    def hurry(self) -> bool:
        """Whether the next dial may come at once. Once: then messages must flow first."""
        hurry, self.may_hurry = self.may_hurry, False
        return hurry

    def drop(self, why: Drop, detail: str) -> None:
        """End the connection; what it still brings is not looked at."""
        if self.dropped is None:
            self.dropped, self.dropped_detail = why, detail
            if self.line is not None:
                self.line.abort(detail)


class Lanes(list[Lane]):
    """All connections of a feed, whatever they are at."""

    def live(self) -> list[Lane]:
        """Those that are logged in, at a position that fits the journal."""
        return [each for each in self if each.live]

    def live_beside(self, lane: Lane) -> list[Lane]:
        """The other ones that are."""
        return [each for each in self if each.live and each is not lane]

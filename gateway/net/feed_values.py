"""What a feed tells: its notices, its health, and what it asks of whoever takes its messages.

Frozen values and one protocol; knows no socket and no journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.values import Block, Gap


class FeedState(Enum):
    """What a feed, or one of its lanes, is doing."""

    WAITING = "waiting"  # between two dials
    DIALLING = "dialling"
    LOGGING_IN = "logging in"
    STREAMING = "streaming"
    STOPPED = "stopped"  # not authorized: an operator has to act


class NoticeKind(Enum):
    """What happened to a feed. The value is the word in logs and metrics; docs/feeds.md says what to do."""

    UP = "up"
    DOWN = "down"
    STALE = "stale"
    FRESH = "fresh"
    SESSION_ENDED = "session-ended"
    SESSION_CHANGED = "session-changed"
    SESSION_AGAIN = "session-again"
    SESSIONS_DIFFER = "sessions-differ"
    GAP = "gap"
    REWOUND = "rewound"
    DIVERGED = "diverged"
    REJECTED = "rejected"
    FAILED_OVER = "failed-over"
    RETURNED = "returned"
    STANDBY_UP = "standby-up"
    STANDBY_DOWN = "standby-down"
    JOURNAL_PAUSED = "journal-paused"
    JOURNAL_RESUMED = "journal-resumed"


@dataclass(frozen=True, slots=True)
class FeedNotice:
    """One event in the life of a feed. Numbers are 0 where there are none; both ends belong to the range."""

    kind: NoticeKind
    detail: str
    session: str = ""
    from_seq: int = 0
    to_seq: int = 0


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """One connection of a feed. `lag_*` say how far it is behind the lane that delivers first.

    `unread_bytes` have reached this machine and wait to be read: the more, the further we are behind.
    """

    endpoint: str
    state: FeedState
    session: str
    next_seq: int
    lag_messages: int
    lag_ns: int
    unread_bytes: int
    detail: str


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """A feed at one moment. Counts are since the start of the process; `detail` is for people.

    `next_seq` is where the journal stands, `missing` how many messages are in the `gaps`, `not_authorized`
    the endpoints that have rejected our login and are not dialled any more.
    """

    state: FeedState
    endpoint: str
    session: str
    next_seq: int
    last_received_ns: int | None
    messages: int
    bytes: int
    reconnects: Mapping[str, int]
    gaps: int
    missing: int
    rewinds: int
    doubles: int
    diverged: int
    not_authorized: tuple[str, ...]
    detail: str
    stale: bool
    paused: bool
    lanes: tuple[LaneHealth, ...]


class FeedPublisher(Protocol):
    """Who takes what a feed has journaled. Plain methods, called in order, inside the link's callback."""

    def start_session(self, session: str) -> None:
        """What follows is of another session. Its journal stands at the number it starts with, mostly 1."""

    def publish(self, block: Block) -> None:
        """A block that is journaled. Numbers follow each other without a hole, but for `publish_gap`."""

    def publish_gap(self, gap: Gap) -> None:
        """Numbers that can't be had. The next block starts behind them."""

    def publish_unsequenced(self, payload: bytes, received_ns: int) -> None:
        """Best-effort data: not numbered, not journaled."""

    def notice(self, notice: FeedNotice) -> None:
        """Something subscribers and the operator should be told."""

"""How a feed says what happened: one notice to its publisher, one line in the log, and counts.

Knows which notices were told already, and when the last message came; decides nothing else.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.net.feed_values import FeedNotice, FeedPublisher, NoticeKind

log = logging.getLogger("gateway.feed")

_QUIET = frozenset({NoticeKind.UP, NoticeKind.FRESH, NoticeKind.STANDBY_UP, NoticeKind.JOURNAL_RESUMED})

# So many sessions are remembered as told of, whose names are the upstream's; then all are told of again.
TOLD_MAX = 1_000


@dataclass(slots=True)
class Counts:
    """Since the start of the process; `FeedHealth` says what each means."""

    gaps: int = 0
    missing: int = 0
    rewinds: int = 0
    doubles: int = 0
    diverged: int = 0
    reconnects: Counter[str] = field(default_factory=Counter)


class Telling:
    """Call it to tell. What would come again with every dial is told `once`, until `forget`."""

    def __init__(self, name: str, publisher: FeedPublisher) -> None:
        self._name = name
        self._publisher = publisher
        self._told: set[tuple[NoticeKind, str]] = set()

    def __call__(
        self, kind: NoticeKind, detail: str, session: str = "", from_seq: int = 0, to_seq: int = 0
    ) -> None:
        level = logging.INFO if kind in _QUIET else logging.WARNING
        said = self._name, kind.value, session
        if to_seq:
            log.log(
                level, "feed=%s event=%s session=%s from=%d to=%d detail=%r", *said, from_seq, to_seq, detail
            )
        else:
            log.log(level, "feed=%s event=%s session=%s detail=%r", *said, detail)
        self._publisher.notice(FeedNotice(kind, detail, session, from_seq, to_seq))

    def once(
        self, kind: NoticeKind, detail: str, session: str = "", from_seq: int = 0, to_seq: int = 0
    ) -> None:
        if (kind, session) not in self._told:
            if len(self._told) >= TOLD_MAX:
                self._told.clear()
            self._told.add((kind, session))
            self(kind, detail, session, from_seq, to_seq)

    def forget(self) -> None:
        """A lane is live or the journal is well: what was told may be told again."""
        self._told.clear()


class Stale:
    """Tells when no message has come for too long, and when they come again. Heartbeats are no messages."""

    def __init__(self, tell: Telling, clock: Callable[[], float]) -> None:
        self.is_so = False
        self._tell = tell
        self._clock = clock
        self._data_at = clock()

    def fresh(self, session: str) -> None:
        """Messages have come."""
        self._data_at = self._clock()
        if self.is_so:
            self.is_so = False
            self._tell(NoticeKind.FRESH, "messages flow again", session)

    def start_over(self) -> None:
        """We have not been reading: the silence was our own."""
        self._data_at = self._clock()

    def look(self, after_s: float, session: str, *, paused: bool) -> float:
        """Tell if it is so; returns when to look again."""
        now = self._clock()
        if now < self._data_at + after_s:
            return self._data_at + after_s
        if not paused and not self.is_so:
            self.is_so = True
            self._tell(NoticeKind.STALE, f"no message for {now - self._data_at:.1f} s", session)
        return now + after_s

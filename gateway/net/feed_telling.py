"""How a feed says what happened: one notice to its publisher and one line in the log, each once.

Knows which notices were told already; decides nothing.
"""

import logging

from gateway.net.feed_values import FeedNotice, FeedPublisher, NoticeKind

log = logging.getLogger("gateway.feed")

_QUIET = frozenset({NoticeKind.UP, NoticeKind.FRESH, NoticeKind.STANDBY_UP, NoticeKind.JOURNAL_RESUMED})


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
        log.log(
            level,
            "feed=%s event=%s session=%s from=%d to=%d detail=%r",
            self._name,
            kind.value,
            session,
            from_seq,
            to_seq,
            detail,
        )
        self._publisher.notice(FeedNotice(kind, detail, session, from_seq, to_seq))

    def once(
        self, kind: NoticeKind, detail: str, session: str = "", from_seq: int = 0, to_seq: int = 0
    ) -> None:
        if (kind, session) not in self._told:
            self._told.add((kind, session))
            self(kind, detail, session, from_seq, to_seq)

    def forget(self) -> None:
        """A lane is live or the journal is well: what was told may be told again."""
        self._told.clear()

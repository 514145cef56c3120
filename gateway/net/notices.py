"""The words for what befalls a feed: in a stream at its place, and to every subscriber of the feed.

Knows feed notices, which of them still hold, and MLinkAdmin; knows no connection.
"""

import time
from collections.abc import Iterable, Iterator

from gateway.hub.texts import escaped, framed_text
from gateway.mlink.choices import AdminEvent, AdminState
from gateway.mlink.control import MLinkAdmin, encode
from gateway.net.feed_values import FeedNotice, NoticeKind
from gateway.values import Gap

# What is told to every subscriber of a feed when it happens. Session changes and gaps are not among
# them: they have a place in the order of messages, and the hub puts them there.
TOLD = {
    NoticeKind.UP: AdminEvent.FEED_UP,
    NoticeKind.DOWN: AdminEvent.FEED_DOWN,
    NoticeKind.JOURNAL_PAUSED: AdminEvent.FEED_DOWN,
    NoticeKind.JOURNAL_RESUMED: AdminEvent.FEED_UP,
    NoticeKind.STALE: AdminEvent.STALE,
    NoticeKind.FRESH: AdminEvent.FEED_UP,
}

# What holds until something else is told.
_ENDED_BY = {
    NoticeKind.DOWN: NoticeKind.UP,
    NoticeKind.JOURNAL_PAUSED: NoticeKind.JOURNAL_RESUMED,
    NoticeKind.STALE: NoticeKind.FRESH,
}


class Standing:
    """What holds of each feed, for whoever comes after it was told. Three notices of a feed at most."""

    def __init__(self) -> None:
        self._held: dict[str, dict[NoticeKind, FeedNotice]] = {}

    def note(self, feed: str, notice: FeedNotice) -> None:
        """Something befell a feed."""
        held = self._held.setdefault(feed, {})
        if notice.kind in _ENDED_BY:
            held[notice.kind] = notice
        for kind, end in _ENDED_BY.items():
            if notice.kind is end:
                held.pop(kind, None)

    def of(self, feeds: Iterable[str]) -> Iterator[tuple[str, FeedNotice]]:
        """What holds of these."""
        for feed in sorted(feeds):
            for notice in self._held.get(feed, {}).values():
                yield feed, notice


def notice_text(feed: str, session: str, gap: Gap | None, framed: bool) -> str:
    """What stands in a stream where its feed's session changes, or where numbers are missing for good."""
    if gap is None:
        admin = MLinkAdmin(
            state=AdminState.LOGGED_ON,
            event=AdminEvent.SESSION_CHANGE,
            detail=f"feed {feed} goes on in session {session!r}",
            src=feed,
            ses=session,
        )
    else:
        admin = MLinkAdmin(
            state=AdminState.LOGGED_ON,
            event=AdminEvent.SEQUENCE_GAP,
            detail=f"feed {feed}: {gap.from_seq}..{gap.to_seq} of session {gap.session!r} can't be had",
            src=feed,
            ses=gap.session,
            fromSeqN=gap.from_seq,
            toSeqN=gap.to_seq,
        )
    text = escaped(encode(admin, time.time_ns()))
    return framed_text(text) if framed else text

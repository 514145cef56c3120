"""The words for what befalls a feed: in a stream at its place, and to every subscriber of the feed.

Knows feed notices and MLinkAdmin; knows no connection.
"""

import time

from gateway.hub.texts import escaped, framed_text
from gateway.mlink.choices import AdminEvent, AdminState
from gateway.mlink.control import MLinkAdmin, encode
from gateway.net.feed_values import NoticeKind
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

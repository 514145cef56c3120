"""What /healthz and /readyz say: whether the gateway does its work, and why not.

Knows feeds and their journals; acts on nothing.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from gateway.hub import Hub
from gateway.journal import Journal
from gateway.net.feed import Feed
from gateway.net.feed_values import FeedHealth, FeedState

DISTRIBUTION = "soup-gateway"
# More than this unread, and the gateway is behind its upstream: what subscribers see is old.
UNREAD_BYTES_MAX = 1 << 20
# A disk that takes longer for one fsync is not well, though nothing is lost yet.
FSYNC_WAITS_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the gateway is not ready. `detail` names addresses and files: not for strangers."""

    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}" if self.detail else self.what


@dataclass(frozen=True, slots=True)
class Health:
    """Ready while there is no fault; `body` is all that is known, for whoever may see it."""

    faults: tuple[Fault, ...]
    body: Mapping[str, Any]

    @property
    def ready(self) -> bool:
        return not self.faults

    def told(self, *, whole: bool) -> dict[str, Any]:
        """What a request is answered."""
        if not whole:
            return {"ready": self.ready, "why": [fault.what for fault in self.faults]}
        return {"ready": self.ready, "why": [str(fault) for fault in self.faults], **self.body}


def health_now(
    feeds: Mapping[str, Feed],
    journals: Mapping[str, Journal],
    hub: Hub,
    subscribers: int,
    *,
    started_s: float,
    stopping: bool,
) -> Health:
    """Ready means: each feed streams and keeps up, its journal takes what it brings, and we are not leaving.

    `started_s` is when the process began, in seconds since the epoch.
    """
    found = {name: feed.health for name, feed in feeds.items()}
    faults = [Fault("the gateway is shutting down")] if stopping else []
    for name, feed in found.items():
        faults += _faults_of_feed(name, feed)
    for name, journal in journals.items():
        faults += _faults_of_journal(name, journal)
    states = Counter(stream.state.name.lower() for stream in hub.tally.streams)
    return Health(
        tuple(faults),
        {
            "version": version(DISTRIBUTION),
            "uptimeSeconds": round(time.time() - started_s, 1),
            "feeds": {name: _told(feed, journals[name]) for name, feed in found.items()},
            "journals": {name: {"bytes": journal.size_bytes()} for name, journal in journals.items()},
            "subscribers": {"connected": subscribers, "streams": dict(states), "groups": hub.groups},
        },
    )


def _faults_of_feed(name: str, feed: FeedHealth) -> Iterator[Fault]:
    if feed.paused:
        yield Fault(f"feed {name}: waits for its journal", feed.detail)
    elif feed.state is FeedState.STOPPED:
        yield Fault(f"feed {name}: its login was rejected", feed.detail)
    elif feed.state is not FeedState.STREAMING:
        yield Fault(f"feed {name}: not logged in, {feed.state.value}", feed.detail)
    else:
        unread = max((lane.unread_bytes for lane in feed.lanes), default=0)
        if unread > UNREAD_BYTES_MAX:
            yield Fault(f"feed {name}: not caught up, {unread} bytes are unread")


def _faults_of_journal(name: str, journal: Journal) -> Iterator[Fault]:
    if journal.failure is not None:
        yield Fault(f"journal of {name}: can't be written until a restart", journal.failure)
    elif (waits_s := journal.stalled_s()) > FSYNC_WAITS_MAX_S:
        yield Fault(f"journal of {name}: the disk has not finished an fsync for {waits_s:.0f} s")


def _told(feed: FeedHealth, journal: Journal) -> dict[str, Any]:
    return {
        **asdict(feed),
        "state": feed.state.value,
        "reconnects": dict(feed.reconnects),
        "lanes": [{**asdict(lane), "state": lane.state.value} for lane in feed.lanes],
        # By session, what the next start repairs.
        "damaged": dict(journal.damaged),
    }

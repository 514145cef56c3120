"""The health of a feed, taken from where its facts stand.

Reads; changes and decides nothing.
"""

from collections.abc import Iterable, Sequence

from gateway.net.feed_dialling import Endpoint
from gateway.net.feed_lane import Barred, Lane
from gateway.net.feed_merge import Merge
from gateway.net.feed_values import FeedHealth, FeedState, LaneHealth
from gateway.net.kernel import bytes_not_read
from gateway.values import Position


def health_of(
    merge: Merge, endpoints: Sequence[Endpoint], barred: Iterable[int], position: Position | None
) -> FeedHealth:
    """The feed as it is now: as its best lane is, if any is live."""
    live = min(merge.lanes.live(), key=lambda lane: lane.rank, default=None)
    shown = live or min(
        merge.lanes, key=lambda lane: (lane.state is FeedState.STOPPED, lane.rank), default=None
    )
    trouble, counts = merge.intake.trouble, merge.counts
    refused = set(barred) | {lane.rank for lane in merge.lanes if lane.barred is Barred.NOT_AUTHORIZED}
    return FeedHealth(
        state=FeedState.WAITING if shown is None else shown.state,
        endpoint="" if shown is None else shown.endpoint,
        session="" if position is None else position.session,
        next_seq=0 if position is None else position.next_seq,
        last_received_ns=merge.intake.last_received_ns,
        messages=merge.intake.messages,
        bytes=merge.intake.bytes,
        reconnects=dict(counts.reconnects),
        gaps=counts.gaps,
        missing=counts.missing,
        rewinds=counts.rewinds,
        doubles=counts.doubles,
        diverged=counts.diverged,
        not_authorized=tuple(endpoints[rank].name for rank in sorted(refused)),
        detail=str(trouble) if trouble is not None else "" if shown is None else shown.detail,
        stale=merge.stale.is_so,
        paused=trouble is not None,
        lanes=tuple(_lane_health(lane, position) for lane in merge.lanes),
    )


def _lane_health(lane: Lane, position: Position | None) -> LaneHealth:
    behind = 0
    if lane.live and position is not None and position.session == lane.session:
        behind = max(position.next_seq - lane.next_seq, 0)
    unread_bytes = 0 if lane.line is None else bytes_not_read(lane.line)
    return LaneHealth(
        lane.endpoint, lane.state, lane.session, lane.next_seq, behind, lane.lag_ns, unread_bytes, lane.detail
    )

"""The hub: blocks in, the same bytes out to every stream that wants them. No I/O, no clock, no await.

The way of a datum, in the order to read it: `hub` has a block; its `channel` knows the feed's session,
`router` makes each message's text for the `targets` that want it (`filters` decide, `texts` is what stands
around the body, `context` whose ticker it is); a `group` collects the texts of one `spec`, and `live` writes
them to all its streams as one run of WebSocket messages (`wire`).

Who is not live gets `pieces`, in `turns`: of the latest `records`, of the journal (`past` knows what old
sessions meant, `sharing` keeps what several read, `derived`, `rebuilds` and `recent` have the views of it),
of its `outbox`. A `stream` knows what it was sent, `standing` how far that is.
"""

from gateway.hub.channel import Channel
from gateway.hub.hub import Hub
from gateway.hub.limits import HubLimits
from gateway.hub.past import BlockReader
from gateway.hub.records import Record
from gateway.hub.spec import Delivery, StreamSpec
from gateway.hub.stream import Coverage, Sink, State, Stream

__all__ = [
    "BlockReader",
    "Channel",
    "Coverage",
    "Delivery",
    "Hub",
    "HubLimits",
    "Record",
    "Sink",
    "State",
    "Stream",
    "StreamSpec",
]

"""The hub: blocks in, the same bytes out to every stream that wants them. No I/O, no clock, no await."""

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

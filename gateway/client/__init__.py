"""The Python subscriber: streams of a gateway as an async iterator, complete over every reconnect.

    async with connect("ws://localhost:8765", key="…") as feed:
        async for message in feed.stream("AddOrder", stripe="A"):
            print(message.stock, message.price)

`connect_sync` is the same for scripts, `for_each_stripe` for several processes. Loads nothing of the server.
"""

from gateway.client import notices
from gateway.client.errors import Incomplete, KeyRefused, RequestRefused, Unreachable
from gateway.client.feed import Feed, connect
from gateway.client.message import Message
from gateway.client.notices import Notice
from gateway.client.options import Options
from gateway.client.positions import FeedPosition
from gateway.client.stream import Stream
from gateway.client.sync import SyncFeed, SyncStream, connect_sync
from gateway.client.workers import for_each_stripe

__all__ = [
    "Feed",
    "FeedPosition",
    "Incomplete",
    "KeyRefused",
    "Message",
    "Notice",
    "Options",
    "RequestRefused",
    "Stream",
    "SyncFeed",
    "SyncStream",
    "Unreachable",
    "connect",
    "connect_sync",
    "for_each_stripe",
    "notices",
]

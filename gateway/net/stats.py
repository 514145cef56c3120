"""What /stats answers: messages and bytes of feeds and stripes, and who reads them how far behind.

Knows the hub's counts and the subscribers there are, none of their names. Counts are since the start of
the process: whoever wants a rate asks twice.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from gateway.hub import Hub
from gateway.net.access import Access
from gateway.net.subscriber import Subscriber
from gateway.stripes import StripeTable

# More are counted, but not told one by one.
SUBSCRIBERS_MAX = 200


class Stats:
    """Answers `body`. While somebody asks, the hub looks at what stripes messages are of."""

    def __init__(
        self, hub: Hub, stripes: StripeTable, subscribers: Callable[[], Iterable[Subscriber]]
    ) -> None:
        self._hub = hub
        self._subscribers = subscribers
        self._started_ms = time.time_ns() // 1_000_000
        self._names = {
            "primaries": list(stripes.primaries),
            "compounds": [name for name in stripes.names if name not in stripes.primaries],
        }

    def body(self, access: Access) -> dict[str, Any]:
        """All that the holder of a key may know."""
        watch = self._hub.watch
        watch.look()
        present = list(self._subscribers())
        sees_all = access.feeds is None and access.messages is None and access.stripes is None
        return {
            "startedMs": self._started_ms,
            "nowMs": time.time_ns() // 1_000_000,
            "monotonicMs": round(time.monotonic() * 1_000, 3),
            "stripes": self._names,
            "feeds": {
                name: {
                    "messages": watch.messages[name],
                    "bytes": watch.bytes[name],
                    "session": channel.position.session,
                    "nextSeq": channel.position.next_seq,
                    "receivedMs": channel.received_ns // 1_000_000,
                    "counted": watch.looked[name],
                    "stripes": watch.stripes(name),
                }
                for name, channel in self._hub.channels.items()
                if access.may_read_feed(name)
            },
            "subscriberCount": len(present),
            # What others read is for those who may read all of it.
            "subscribers": [each.described() for each in present[:SUBSCRIBERS_MAX]] if sees_all else [],
        }

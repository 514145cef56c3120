"""What all streams that want the same bytes have in common: a spec, the texts of this turn, counts.

Knows texts and WebSocket messages; which streams are its own, and live, is known to `Live`.
"""

from collections.abc import Mapping
from itertools import count

from gateway.decode import Codecs
from gateway.hub.router import Router
from gateway.hub.spec import StreamSpec
from gateway.hub.targets import Target
from gateway.hub.wire import joined_messages, single_messages

_numbers = count(1)


class Group:
    """Texts are collected during a turn of the loop and leave as one run of WebSocket messages."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        # No other group ever has it: what outlives a group is kept by number and not by group.
        self.number = next(_numbers)
        # Streams of this spec that are running, live or not; with none left the group is dropped.
        self.streams = 0
        self.sent = 0
        self.sent_bytes = 0
        self._texts: list[str] = []
        self._uncounted = 0
        self.target = Target(spec, append=self._texts.append)
        self._routers: dict[str, tuple[Router, list[str]]] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._texts)

    def add_uncounted(self, text: str) -> None:
        """A text that is no numbered message: a notice, or unsequenced data."""
        self._texts.append(text)
        self._uncounted += 1

    def take(self) -> bytes:
        """This turn's texts as WebSocket messages."""
        self.sent += len(self._texts) - self._uncounted
        data = self.wired(self._texts)
        self.sent_bytes += len(data)
        self._texts.clear()
        self._uncounted = 0
        return data

    def wired(self, texts: list[str]) -> bytes:
        """Texts as WebSocket messages in the group's format."""
        return joined_messages(texts) if self.spec.framed else single_messages(texts)

    def reader(self, feed: str, codecs: Mapping[str, Codecs]) -> tuple[Router, list[str]]:
        """A router of one feed for this spec alone, and the list it writes to: for who is behind."""
        if feed not in self._routers:
            texts: list[str] = []
            router = Router(feed, codecs[feed], only=self.spec.names_of(feed))
            router.add_target(Target(self.spec, append=texts.append))
            self._routers[feed] = (router, texts)
        return self._routers[feed]

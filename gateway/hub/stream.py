"""One running request of a subscriber: what it wants, where it stands, how much it was sent.

Knows positions and counts; the hub moves them, the connection's task asks for them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from gateway.hub.context import SessionContext
from gateway.hub.group import Group
from gateway.hub.outbox import Outbox
from gateway.hub.records import Record
from gateway.hub.spec import Delivery
from gateway.hub.targets import Target
from gateway.values import Block, Gap, Position


class Sink(Protocol):
    """What the hub needs of a connection. None of it waits."""

    def write(self, data: bytes) -> None:
        """Take WebSocket frames, whole, in order; nothing if the connection is closing."""

    def backlog(self) -> int:
        """Bytes written that the kernel has not taken yet."""

    def wake(self) -> None:
        """One of your streams wants `Hub.step` from your own task."""


class State(Enum):
    """Where a stream's next bytes come from."""

    SNAPSHOT = auto()  # from the records that were had when it began
    BEHIND = auto()  # from the journal
    LIVE = auto()  # from its group, with all others
    LATEST = auto()  # from its outbox, one text per key
    PARKED = auto()  # from nowhere, until the subscriber says it is ready
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Coverage:
    """All that matches was sent up to and with `seq` of `session`; `sent` messages in all."""

    feed: str
    session: str
    seq: int
    sent: int


class Stream:
    """A running request. `tag` is the connection's own, the hub never looks at it."""

    def __init__(
        self,
        sink: Sink,
        group: Group,
        delivery: Delivery,
        tag: Any,
        outbox: Outbox | None,
    ) -> None:
        self.sink = sink
        self.spec = group.spec
        self.group = group
        self.delivery = delivery
        self.tag = tag
        self.outbox = outbox
        self.target: Target | None = None
        self.state = State.SNAPSHOT
        # Only while the stream is not live; in its group it stands where the channel stands.
        self.positions: dict[str, Position] = {}
        # Records still to be sent before anything else, of a feed, and of the session they were newest in.
        self.snapshot: Iterator[tuple[str, SessionContext, Record]] | None = None
        # Read from the journal and not written yet, by feed: the rest of what the last piece was cut from.
        # Nothing of one whose sink takes no more.
        self.ahead: dict[str, deque[Block | Gap]] = {}
        # With this, every write of messages ends with the text it returns for how far the stream
        # is complete (a checkpoint). It must not call back.
        self.covered: Callable[[Sequence[Coverage]], str] | None = None
        # Of a conflated stream: what becomes of its texts just before they are written.
        self.rewrite: Callable[[list[str]], list[str]] | None = None
        # Ask the journal when behind, but never join the group: polled by the subscriber.
        self.polled = False
        # Of a conflated stream: the positions that all it was sent stands for.
        self.taken: dict[str, Position] = {}
        # It was live and became too slow, as opposed to having asked for an old position.
        self.fell_behind = False
        # When the last block it read was received: how old its newest message is while it is behind.
        self.read_ns = 0
        # Records received later than this, ns since the epoch, may not have been sent yet.
        self.high_ns = 0
        # Of a conflated stream whose batch is leaving: what `taken` and `high_ns` become when it has left.
        self.leaving: tuple[dict[str, Position], int] = ({}, 0)
        self._sent = self._sent_bytes = 0
        self._joined_at = self._joined_at_bytes = 0

    @property
    def is_live(self) -> bool:
        """Whether its messages come from its group."""
        return self.state is State.LIVE

    @property
    def sent(self) -> int:
        """Messages sent in this stream: each of its own, none of the control kind."""
        return self._sent + (self.group.sent - self._joined_at if self.state is State.LIVE else 0)

    @property
    def sent_bytes(self) -> int:
        """Bytes of these messages as they went over the wire."""
        live = self.group.sent_bytes - self._joined_at_bytes if self.state is State.LIVE else 0
        return self._sent_bytes + live

    def count(self, messages: int, size: int) -> None:
        """Add what was sent outside the group."""
        self._sent += messages
        self._sent_bytes += size

    def join(self) -> None:
        """From now on the group counts for it."""
        self._joined_at, self._joined_at_bytes = self.group.sent, self.group.sent_bytes
        self.ahead = {}
        self.state = State.LIVE
        self.positions = {}

    def leave(self, positions: dict[str, Position], state: State) -> None:
        """From now on it stands at positions of its own."""
        self._sent, self._sent_bytes = self.sent, self.sent_bytes
        self.state = state
        self.positions = positions

"""What a stream wants, as values: two streams that want the same bytes have equal specs and share a group.

Knows names; knows nothing of sockets, of who asks, or of where a stream stands.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.mlink.where import Where

# With a space, which no stripe's name has.
ALL, SEVERAL = "all stripes", "several stripes"


class Delivery(Enum):
    """`EVERY`: each message, in order. `LATEST`: the newest of each key, steps may be left out."""

    EVERY = "every"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """The bytes a stream wants.

    `messages` holds (feed, message name) pairs. `stripes` are primary stripes, None means all.
    `view` holds field names as the client wrote them but without case, None means every field.
    """

    framed: bool
    messages: frozenset[tuple[str, str]]
    stripes: frozenset[str] | None = None
    where: Where | None = None
    view: frozenset[str] | None = None

    @property
    def stripe(self) -> str:
        """The one stripe it is of, `all` or `several`: few words, however many specs there are."""
        if self.stripes is None:
            return ALL
        return next(iter(self.stripes)) if len(self.stripes) == 1 else SEVERAL

    @property
    def feeds(self) -> frozenset[str]:
        """The feeds that any of its messages come from."""
        return frozenset(feed for feed, _ in self.messages)

    def names_of(self, feed: str) -> frozenset[str]:
        """The messages of one feed."""
        return frozenset(name for each, name in self.messages if each == feed)

"""What the hub counts for whoever watches it: never per message, only per write, piece and stream.

Knows streams; moves nothing.
"""

from collections import Counter
from collections.abc import Mapping

from gateway.histogram import Histogram
from gateway.hub.stream import Stream


class Tally:
    """Sums since the start of the process, and the streams that are running."""

    def __init__(self) -> None:
        # From the receipt of the oldest message of a write to the write of the last live subscriber.
        self.written_s = Histogram()
        # How old the newest message of a piece from the journal was when it was written.
        self.caught_up_s = Histogram()
        self.streams: set[Stream] = set()
        self._past_messages: Counter[str] = Counter()
        self._past_bytes: Counter[str] = Counter()

    def opened(self, stream: Stream) -> None:
        self.streams.add(stream)

    def closed(self, stream: Stream) -> None:
        self.streams.discard(stream)
        self._past_messages[stream.spec.stripe] += stream.sent
        self._past_bytes[stream.spec.stripe] += stream.sent_bytes

    def sent_by_stripe(self) -> Mapping[str, tuple[int, int]]:
        """(messages, bytes) sent in streams of each stripe, of several, and of all."""
        messages, sizes = self._past_messages.copy(), self._past_bytes.copy()
        for stream in self.streams:
            messages[stream.spec.stripe] += stream.sent
            sizes[stream.spec.stripe] += stream.sent_bytes
        return {stripe: (count, sizes[stripe]) for stripe, count in messages.items()}

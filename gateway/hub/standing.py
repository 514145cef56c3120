"""Where a stream stands, worked out from its own positions and those of its channels; changes nothing."""

from collections.abc import Mapping

from gateway.hub.channel import Channel
from gateway.hub.spec import StreamSpec
from gateway.hub.stream import Coverage, State, Stream
from gateway.values import Position


class Standing:
    """Answers for any stream, live or not."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    def positions(self, stream: Stream) -> dict[str, Position]:
        """Where its channels stand, but for positions of its own."""
        here = {feed: self._channels[feed].position for feed in stream.spec.feeds}
        return {**here, **stream.positions}

    def is_here(self, stream: Stream) -> bool:
        """Whether it stands where its channels stand."""
        return all(position == self._channels[feed].position for feed, position in stream.positions.items())

    def coverage(self, stream: Stream) -> list[Coverage]:
        """How far it is complete, if all that its group collected is written.

        Each feed is named; one without a session yet is at number 0 of none.
        """
        positions = self.positions(stream)
        if stream.outbox is not None and (stream.outbox.owes or stream.state is State.SNAPSHOT):
            positions = stream.taken
        sent = stream.sent
        return [
            Coverage(feed, position.session, position.next_seq - 1, sent)
            for feed, position in sorted(positions.items())
        ]

    def received_ns(self, spec: StreamSpec) -> int:
        """When the newest message of any of the spec's feeds was received."""
        return max((self._channels[feed].received_ns for feed in spec.feeds), default=0)

    def highwater_ns(self, stream: Stream) -> int:
        """All that matches and was received up to this time was sent; ns since the epoch."""
        if stream.is_live or (
            stream.state is State.LATEST and stream.outbox is not None and not stream.outbox.owes
        ):
            return self.received_ns(stream.spec)
        return stream.high_ns

    def lag(self, stream: Stream, now_ns: int) -> tuple[int, float]:
        """How far it is behind, if it is not live: (messages it has not looked at, seconds).

        Of sessions that ended before the gateway was started the messages are not counted.
        """
        messages, since_ns = 0, now_ns
        for feed, position in stream.positions.items():
            channel = self._channels[feed]
            messages += channel.after(position)
            if position != channel.position and stream.read_ns:
                since_ns = min(since_ns, stream.read_ns)
        return messages, (now_ns - since_ns) / 1e9

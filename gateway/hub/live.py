"""The streams that are live, by group: what one turn of the loop collected for a group goes to all of them.

Knows groups, their live streams and the sinks of these; knows nothing of the journal, nor why somebody is
not live.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from gateway.hub.channel import Channel
from gateway.hub.group import Group
from gateway.hub.stream import Coverage, Sink, Stream
from gateway.hub.targets import Target


class Live:
    """A group collects texts as long as it has a live stream. Nothing waits here, and nobody is closed."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        coverage: Callable[[Stream], Sequence[Coverage]],
        backlog_bytes_max: int,
    ) -> None:
        self._channels = channels
        self._coverage = coverage
        self._backlog_bytes_max = backlog_bytes_max
        # No group without a stream.
        self._streams: dict[Group, set[Stream]] = {}

    def groups_of(self, feed: str) -> Iterator[Group]:
        """The groups that get anything of this feed."""
        return (group for group in self._streams if feed in group.spec.feeds)

    def streams_of(self, sinks: Container[Sink]) -> list[Stream]:
        """The live streams of some connections."""
        return [stream for streams in self._streams.values() for stream in streams if stream.sink in sinks]

    def add(self, stream: Stream) -> None:
        """From the next message on it is live."""
        streams = self._streams.get(stream.group)
        if streams is None:
            streams = self._streams[stream.group] = set()
            self.route_to(stream.group.target)
        streams.add(stream)

    def remove(self, stream: Stream) -> None:
        """It is live no more, if it was; its group gets no more texts when it was the last."""
        streams = self._streams.get(stream.group)
        if streams is None or stream not in streams:
            return
        streams.discard(stream)
        if not streams:
            del self._streams[stream.group]
            self.route_no_more_to(stream.group.target)

    def route_to(self, target: Target) -> None:
        """Have a target given all that its spec wants, as it is published."""
        for feed in target.spec.feeds:
            self._channels[feed].router.add_target(target)

    def route_no_more_to(self, target: Target) -> None:
        """Have it given no more."""
        for feed in target.spec.feeds:
            self._channels[feed].router.remove_target(target)

    def write(self) -> tuple[bool, set[Sink]]:
        """One write per stream of what was collected; whether there was any, and who does not keep up."""
        written = False
        overloaded: set[Sink] = set()
        for group, streams in self._streams.items():
            if not group.waiting:
                continue
            data = group.take()
            written = True
            for stream in streams:
                sink = stream.sink
                if stream.covered is None:
                    sink.write(data)
                else:
                    sink.write(data + group.wired([stream.covered(self._coverage(stream))]))
                if sink.backlog() > self._backlog_bytes_max:
                    overloaded.add(sink)
        return written, overloaded

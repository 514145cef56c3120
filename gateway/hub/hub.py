"""Publishes blocks to streams: live ones by group, those behind from the journal, conflated ones by key.

Knows channels, groups and streams, and a sink per connection. Knows no socket, no clock, no
await: what waits (a subscriber that drains) is the connection's own task, which calls `step`.
"""

from collections.abc import Callable, Container, Mapping

from gateway.decode import Codecs
from gateway.errors import LocalProtocolError
from gateway.hub.channel import Channel, Record
from gateway.hub.group import Group
from gateway.hub.limits import HubLimits
from gateway.hub.outbox import Outbox
from gateway.hub.router import Target
from gateway.hub.spec import Delivery, StreamSpec
from gateway.hub.stream import Coverage, Sink, State, Stream
from gateway.values import Block, Gap, Position

# The text of a notice in a stream at its place: (feed, session, gap or None for a new session, framed).
Notice = Callable[[str, str, Gap | None, bool], str]


class Hub:
    """Nothing here waits, and nothing here closes a connection: it marks, the connection's task acts.

    `schedule` has a function called once at the end of this turn of the loop (call_soon);
    `clock_ns` is wall clock, ns since the epoch, asked once per block.
    """

    def __init__(
        self,
        limits: HubLimits,
        schedule: Callable[[Callable[[], None]], object],
        clock_ns: Callable[[], int],
        notice: Notice,
    ) -> None:
        self._limits = limits
        self._schedule = schedule
        self._clock_ns = clock_ns
        self._notice = notice
        self._channels: dict[str, Channel] = {}
        self._codecs: dict[str, Codecs] = {}
        self._groups: dict[StreamSpec, Group] = {}
        self._latest: set[Stream] = set()
        self._flush_is_due = False
        self._unflushed = 0

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The feeds, by name."""
        return self._channels

    @property
    def groups(self) -> int:
        """How many different selections are running."""
        return len(self._groups)

    def add_channel(self, channel: Channel) -> None:
        """Make a feed known. Its position is where publishing will start."""
        self._channels[channel.name] = channel
        self._codecs[channel.name] = channel.codecs
        self._retarget({channel.name})

    # The way of the data.

    def publish(self, feed: str, block: Block) -> None:
        """Give a block, already journaled, to all who want any of it."""
        channel = self._channels[feed]
        if block.session != channel.position.session:
            self.start_session(feed, block.session)
        if not channel.begun:
            # A feed may join a session after its beginning; from here on there are no holes.
            channel.begin(block.first_seq)
        if block.first_seq != channel.position.next_seq:
            raise LocalProtocolError(
                f"feed {feed}: a block starts at {block.first_seq}, expected {channel.position.next_seq}"
            )
        channel.received_ns = block.received_ns
        channel.router.route(block, channel.context, self._clock_ns())
        channel.position = Position(block.session, block.next_seq)
        self._unflushed += block.count
        if self._unflushed >= self._limits.flush_messages:
            self.flush()
        else:
            self._flush_soon()

    def publish_gap(self, feed: str, gap: Gap) -> None:
        """Tell every stream of the feed, at its place, that numbers are missing for good."""
        channel = self._channels[feed]
        channel.begun = True
        self._tell(feed, channel.position.session, gap)
        channel.position = Position(gap.session, gap.to_seq + 1)

    def publish_unsequenced(self, feed: str, payload: bytes, received_ns: int) -> None:
        """Give best-effort data to live streams; it has no number, so it is not counted and not replayed."""
        channel = self._channels[feed]
        for group in self._groups.values():
            if group.members:
                router, texts = group.reader(feed, self._codecs)
                router.route_unsequenced(payload, received_ns, channel.context, self._clock_ns())
                for text in texts:
                    group.add_uncounted(text)
                texts.clear()
        self._flush_soon()

    def start_session(self, feed: str, session: str) -> None:
        """The feed goes on in another session, from number 1."""
        channel = self._channels[feed]
        first = not channel.position.session
        channel.start_session(session)
        if not first:
            self._tell(feed, session, None)

    def flush(self) -> None:
        """Write what this turn of the loop brought: one write per live stream."""
        self._flush_is_due = False
        self._unflushed = 0
        overloaded: set[Sink] = set()
        for group in self._groups.values():
            if not group.waiting:
                continue
            data = group.take()
            for stream in group.members:
                sink = stream.sink
                if stream.covered is None:
                    sink.write(data)
                else:
                    sink.write(data + group.wired([stream.covered()]))
                if sink.backlog() > self._limits.backlog_bytes_max:
                    overloaded.add(sink)
        if overloaded:
            self._set_behind(overloaded)
        for stream in self._latest:
            if stream.outbox and not stream.woken:
                stream.woken = True
                stream.sink.wake()

    # Streams.

    def open(
        self,
        sink: Sink,
        spec: StreamSpec,
        delivery: Delivery,
        tag: object,
        *,
        resume: Mapping[str, Position] | None = None,
        newer_than_ns: int = 0,
        keys: Container[tuple[str, str]] | None = None,
        polled: bool = False,
    ) -> Stream:
        """Start a stream; nothing is written before `step` is called.

        Without `resume` it begins with the latest records that match (received later than
        `newer_than_ns`; -1: without them) as they are now, and goes on from here; with it, at those
        positions, one per feed of the spec (feeds not named start from here).
        """
        self.flush()
        group = self._groups.get(spec)
        if group is None:
            group = self._groups[spec] = Group(spec)
        group.streams += 1
        outbox = Outbox(self._limits.latest_keys_max) if delivery is Delivery.LATEST else None
        stream = Stream(sink, spec, group, delivery, tag, outbox)
        stream.polled = polled
        here = {feed: self._channels[feed].position for feed in spec.feeds}
        if resume is not None:
            stream.positions = {**here, **resume}
            stream.state = State.BEHIND
        else:
            stream.positions = here
            if newer_than_ns >= 0:
                stream.snapshot = self._snapshot(spec, keys, newer_than_ns)
        if outbox is not None:
            stream.target = Target(spec, put=outbox.put, keys=keys)
            self._latest.add(stream)
            self._retarget(spec.feeds)
        return stream

    def close(self, stream: Stream) -> None:
        """End a stream. What was written stays written."""
        if stream.state is State.CLOSED:
            return
        self.flush()
        group = stream.group
        stream.leave(self._positions(stream), State.CLOSED)
        group.members.discard(stream)
        self._latest.discard(stream)
        group.streams -= 1
        if group.streams == 0:
            del self._groups[group.spec]
        self._retarget(group.spec.feeds)

    def step(self, stream: Stream) -> bool:
        """Write the next piece of a stream that is not live; False when there is nothing more to do now.

        A piece is bounded by the limits, so that the caller can let others run, and wait
        for its socket to drain, between two.
        """
        if stream.state is State.SNAPSHOT:
            if stream.snapshot:
                self._step_snapshot(stream)
                return True
            if stream.outbox is not None:
                stream.state = State.LATEST
                stream.positions = {}
                return False
            stream.state = State.PARKED if stream.polled else State.BEHIND
        if stream.state is State.BEHIND:
            return self._step_behind(stream)
        return False

    def take_latest(self, stream: Stream) -> int:
        """Write what a conflated stream has waiting; the number of records written."""
        assert stream.outbox is not None
        stream.woken = False
        texts = stream.outbox.take()
        stream.taken = self._positions(stream)
        self._write(stream, texts)
        return len(texts)

    def ready(self, stream: Stream, *, again: bool = False) -> None:
        """Let a polled stream go on up to now; with `again`, conflated records are all sent once more."""
        if stream.state is State.PARKED:
            stream.state = State.BEHIND
        elif stream.state is State.LATEST and again and stream.outbox is not None:
            stream.outbox.take()
            keys = stream.target.keys if stream.target else None
            stream.snapshot = self._snapshot(stream.spec, keys, 0)
            stream.state = State.SNAPSHOT

    def send_records(self, stream: Stream, keys: Container[tuple[str, str]], newer_than_ns: int = 0) -> None:
        """Send the latest records of these keys before anything else; what changes meanwhile is conflated."""
        stream.snapshot += self._snapshot(stream.spec, keys, newer_than_ns)
        stream.state = State.SNAPSHOT

    def coverage(self, stream: Stream) -> list[Coverage]:
        """What the stream can be sure of: per feed, the number up to which all that matches was sent."""
        if stream.state is State.LIVE:
            self.flush()
        sent = stream.sent
        positions = self._positions(stream)
        if stream.outbox is not None and (len(stream.outbox) or stream.state is State.SNAPSHOT):
            positions = stream.taken
        return [
            Coverage(feed, position.session, position.next_seq - 1, sent)
            for feed, position in sorted(positions.items())
            if position.session
        ]

    def lag(self, stream: Stream) -> tuple[int, float]:
        """How far a stream that is not live is behind: (messages it has not looked at, seconds).

        Of a session before the current one, all of the current one counts.
        """
        messages, since_ns = 0, self._clock_ns()
        now_ns = since_ns
        for feed, position in stream.positions.items():
            channel = self._channels[feed]
            first = position.next_seq if position.session == channel.position.session else 1
            messages += max(0, channel.position.next_seq - first)
            if position != channel.position:
                since_ns = min(since_ns, stream.read_ns)
        return messages, (now_ns - since_ns) / 1e9

    # Inside.

    def _snapshot(
        self, spec: StreamSpec, keys: Container[tuple[str, str]] | None, newer_than_ns: int
    ) -> list[tuple[str, str, Record]]:
        found = []
        for feed in sorted(spec.feeds):
            channel = self._channels[feed]
            for name, key, record in channel.matching(spec.messages):
                if record.received_ns > newer_than_ns and (keys is None or (name, key) in keys):
                    found.append((feed, channel.position.session, record))
        return found

    def _positions(self, stream: Stream) -> dict[str, Position]:
        here = {feed: self._channels[feed].position for feed in stream.spec.feeds}
        return {**here, **stream.positions}

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._schedule(self.flush)

    def _tell(self, feed: str, session: str, gap: Gap | None) -> None:
        for group in self._groups.values():
            if group.members and feed in group.spec.feeds:
                group.add_uncounted(self._notice(feed, session, gap, group.spec.framed))
        self._flush_soon()

    def _set_behind(self, sinks: set[Sink]) -> None:
        """Take every live stream of these sinks out of its group; all of its bytes so far are written."""
        left: set[str] = set()
        for group in self._groups.values():
            for stream in [member for member in group.members if member.sink in sinks]:
                stream.leave(self._positions(stream), State.BEHIND)
                stream.fell_behind = True
                stream.read_ns = self._clock_ns()
                group.members.discard(stream)
                left |= group.spec.feeds
        self._retarget(left)
        for sink in sinks:
            sink.wake()

    def _retarget(self, feeds: Container[str]) -> None:
        """Work out anew who wants texts of these feeds: groups with live members, and conflated streams."""
        for name, channel in self._channels.items():
            if name in feeds:
                targets = [group.target for group in self._groups.values() if group.members]
                targets += [stream.target for stream in self._latest if stream.target is not None]
                channel.router.set_targets(targets)

    def _step_snapshot(self, stream: Stream) -> None:
        now_ns = self._clock_ns()
        written: list[str] = []
        for feed, session, record in stream.snapshot[: self._limits.snapshot_records]:
            router, texts = stream.group.reader(feed, self._codecs)
            router.route(record.block(session), self._channels[feed].context_of(session), now_ns)
            written += texts
            texts.clear()
        del stream.snapshot[: self._limits.snapshot_records]
        self._write(stream, written)

    def _step_behind(self, stream: Stream) -> bool:
        for feed, position in stream.positions.items():
            channel = self._channels[feed]
            if position == channel.position or channel.reader is None:
                continue
            if not position.session:
                # It began before the feed's first message ever came.
                stream.positions[feed] = position = channel.began_at
            ahead = stream.ahead.pop(feed, None)
            items = [ahead] if ahead else channel.reader.read(position, self._limits.catch_up_bytes)
            if not items:
                # The journal ends where the previous session ended: a new one began, still empty.
                items = [Block(channel.position.session, channel.position.next_seq, 0, 0, b"")]
            self._read_on(stream, channel, position, items[0])
            return True
        if stream.polled:
            stream.state = State.PARKED
            return False
        self.flush()
        first = not stream.group.members
        stream.join()
        stream.fell_behind = False
        stream.group.members.add(stream)
        if first:
            self._retarget(stream.spec.feeds)
        return False

    def _read_on(self, stream: Stream, channel: Channel, position: Position, item: Block | Gap) -> None:
        framed = stream.spec.framed
        notices: list[str] = []
        if item.session != position.session and position.session:
            notices.append(self._notice(channel.name, item.session, None, framed))
        if isinstance(item, Gap):
            notices.append(self._notice(channel.name, item.session, item, framed))
            stream.positions[channel.name] = Position(item.session, item.to_seq + 1)
            self._write(stream, [], notices)
            return
        block = item.head(self._limits.catch_up_bytes)
        if block.count < item.count:
            stream.ahead[channel.name] = item.tail(block.next_seq)
        router, texts = stream.group.reader(channel.name, self._codecs)
        router.route(block, channel.context_of(block.session), self._clock_ns())
        stream.positions[channel.name] = Position(block.session, block.next_seq)
        stream.read_ns = block.received_ns
        self._write(stream, texts, notices)
        texts.clear()

    def _write(self, stream: Stream, texts: list[str], before: list[str] | None = None) -> None:
        stream.count(len(texts))
        whole = [*before, *texts] if before else texts
        if stream.rewrite is not None:
            whole = stream.rewrite(whole)
        if whole and stream.covered is not None:
            whole = [*whole, stream.covered()]
        if whole:
            stream.sink.write(stream.group.wired(whole))

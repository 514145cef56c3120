"""Publishes blocks to streams: live ones by group, those behind from the journal, conflated ones by key.

Knows channels, groups and streams, and a sink per connection. Knows no socket, no clock, no
await: what waits (a subscriber that drains) is the connection's own task, which calls `step`.
"""

from collections.abc import Callable, Collection, Container, Mapping

from gateway.decode import Codecs
from gateway.errors import LocalProtocolError
from gateway.hub.channel import Channel
from gateway.hub.group import Group
from gateway.hub.limits import HubLimits
from gateway.hub.live import Live
from gateway.hub.outbox import Outbox
from gateway.hub.pieces import Notice, Pieces
from gateway.hub.spec import Delivery, StreamSpec
from gateway.hub.standing import Standing
from gateway.hub.stream import Coverage, Sink, State, Stream
from gateway.hub.stripe_watch import StripeWatch
from gateway.hub.tally import Tally
from gateway.hub.targets import Target
from gateway.hub.turns import Turns
from gateway.values import Block, Gap, Position


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
        # Of all streams, live or not.
        self._groups: dict[StreamSpec, Group] = {}
        self._standing = Standing(self._channels)
        self._live = Live(self._channels, self._standing.coverage, limits.backlog_bytes_max)
        self._latest: set[Stream] = set()
        # Conflated streams that have something waiting since the last flush.
        self._stirred: list[Stream] = []
        self._pieces = Pieces(limits, clock_ns, notice, self._channels, self._codecs, self._standing)
        self.turns = Turns(schedule)
        self._flush_is_due = False
        self._unflushed = 0
        # Of the oldest message that waits for the next flush.
        self._oldest_ns = 0
        self.tally = Tally()
        self.watch = StripeWatch()

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The feeds, by name."""
        return self._channels

    @property
    def groups(self) -> int:
        """How many different selections are running."""
        return len(self._groups)

    def restripe(self) -> None:
        """The table of stripes has changed: it holds from the next message on, and in every replay."""
        self.flush()
        self._pieces.sharing.forget()
        for channel in self._channels.values():
            channel.restripe()

    def add_channel(self, channel: Channel) -> None:
        """Make a feed known. Its position is where publishing will start."""
        self._channels[channel.name] = channel
        self._codecs[channel.name] = channel.codecs
        if channel.views is not None:
            channel.views.limits = self._limits

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
        began_ns = self._clock_ns()
        channel.router.route(block, channel.context, began_ns)
        if channel.views is not None and (derived := channel.views.publish(block)):
            context, received_ns = channel.context, block.received_ns
            channel.router.route_derived(derived, block.session, received_ns, context, began_ns)
        channel.encoding_ns += max(0, self._clock_ns() - began_ns)
        channel.position = Position(block.session, block.next_seq)
        self.watch.count(channel, block)
        if not self._unflushed:
            self._oldest_ns = block.received_ns
        self._unflushed += block.count
        if self._unflushed >= self._limits.flush_messages:
            self.flush()
        else:
            self._flush_soon()

    def restore(self, feed: str, block: Block) -> None:
        """Take in a block that was published before this process began: there is nobody yet to send it to."""
        channel = self._channels[feed]
        follows = channel.begun and channel.position == Position(block.session, block.first_seq)
        if follows and channel.views is None and channel.router.learns_nothing(block.raw):
            channel.received_ns = block.received_ns
            channel.position = Position(block.session, block.next_seq)
        else:
            self.publish(feed, block)

    def publish_gap(self, feed: str, gap: Gap) -> None:
        """Tell every stream of the feed, at its place, that numbers are missing for good."""
        channel = self._channels[feed]
        if gap.session != channel.position.session:
            self.start_session(feed, gap.session)
        if not channel.begun:
            channel.begin(gap.from_seq)
        self._tell(feed, gap.session, gap)
        channel.position = Position(gap.session, gap.to_seq + 1)

    def publish_unsequenced(self, feed: str, payload: bytes, received_ns: int) -> None:
        """Give best-effort data to live streams; it has no number, so it is not counted and not replayed."""
        channel = self._channels[feed]
        for group in self._live.groups_of(feed):
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
        fresh, self._unflushed = self._unflushed, 0
        written, overloaded = self._live.write()
        if written and fresh:
            self.tally.written_s.add(max(0, self._clock_ns() - self._oldest_ns) / 1e9)
        if overloaded:
            self._set_behind(overloaded)
        for stream in self._stirred:
            stream.sink.wake()
        self._stirred.clear()

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
        keys: Collection[tuple[str, str]] | None = None,
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
        for feed in spec.feeds:
            if (views := self._channels[feed].views) is not None:
                views.want(spec.names_of(feed))
        outbox = None
        if delivery is Delivery.LATEST:
            outbox = Outbox(self._limits.latest_keys_max, lambda: self._stirred.append(stream))
        stream = Stream(sink, group, delivery, tag, outbox)
        self.tally.opened(stream)
        stream.polled = polled
        here = {feed: self._channels[feed].position for feed in spec.feeds}
        if resume is not None:
            stream.positions = {**here, **resume}
            stream.state = State.BEHIND
        else:
            stream.positions = here
            stream.high_ns = self._standing.received_ns(spec)
            if newer_than_ns >= 0:
                stream.snapshot = self._pieces.records(spec, keys, newer_than_ns)
        if outbox is not None:
            # Nothing is covered as long as the snapshot has not been sent.
            stream.taken = {feed: Position(at.session, 1) for feed, at in here.items()}
            stream.target = Target(spec, put=outbox.put, keys=keys)
            self._latest.add(stream)
            self._live.route_to(stream.target)
        return stream

    def close(self, stream: Stream) -> None:
        """End a stream. What was written stays written."""
        if stream.state is State.CLOSED:
            return
        self.flush()
        group = stream.group
        stream.leave(self._standing.positions(stream), State.CLOSED)
        self.tally.closed(stream)
        self._live.remove(stream)
        if stream.target is not None:
            self._latest.discard(stream)
            self._live.route_no_more_to(stream.target)
        group.streams -= 1
        self._pieces.release(stream)
        for feed in group.spec.feeds:
            if (views := self._channels[feed].views) is not None:
                views.unwant(group.spec.names_of(feed))
        if group.streams == 0:
            del self._groups[group.spec]

    def step(self, stream: Stream) -> bool:
        """Write the next piece of a stream that is not live; False when there is nothing more to do now.

        A piece is bounded by the limits, so that the caller can let others run, and wait
        for its socket to drain, between two.
        """
        if stream.state is State.SNAPSHOT:
            if stream.snapshot is not None:
                if not self._pieces.write_snapshot(stream):
                    stream.snapshot = None
                return True
            if stream.outbox is not None:
                stream.state = State.LATEST
                stream.taken = {**stream.taken, **stream.positions}
                stream.positions = {}
                return False
            stream.state = State.PARKED if stream.polled else State.BEHIND
        return stream.state is State.BEHIND and self._step_behind(stream)

    def begin_latest(self, stream: Stream) -> None:
        """Let what a conflated stream has waiting leave as one batch, by `take_latest`."""
        self._pieces.begin_latest(stream)

    def take_latest(self, stream: Stream) -> bool:
        """Write a slice of what a conflated stream has waiting; whether the batch has more."""
        return self._pieces.write_latest(stream)

    def ready(self, stream: Stream, *, again: bool = False) -> None:
        """Let a polled stream go on up to now; with `again`, conflated records are all sent once more."""
        if stream.state is State.PARKED:
            stream.state = State.BEHIND
        elif stream.state is State.LATEST and again and stream.outbox is not None:
            stream.outbox.clear()
            stream.positions = {feed: self._channels[feed].position for feed in stream.spec.feeds}
            stream.high_ns = self._standing.received_ns(stream.spec)
            keys = stream.target.keys if stream.target else None
            stream.snapshot = self._pieces.records(stream.spec, keys, 0)
            stream.state = State.SNAPSHOT

    def send_records(self, stream: Stream, keys: Collection[tuple[str, str]], newer_than_ns: int = 0) -> None:
        """Send the latest records of these keys before anything else; what changes meanwhile is conflated."""
        assert stream.outbox is not None
        records = list(self._pieces.records(stream.spec, keys, newer_than_ns))
        stream.outbox.discard(keys)
        stream.snapshot = iter([*(stream.snapshot or ()), *records])
        stream.state = State.SNAPSHOT

    def coverage(self, stream: Stream) -> list[Coverage]:
        """What the stream can be sure of: per feed, the number up to which all that matches was sent."""
        if stream.state is State.LIVE:
            self.flush()
        return self._standing.coverage(stream)

    def highwater_ns(self, stream: Stream) -> int:
        """All that matches and was received up to this time was sent; ns since the epoch."""
        return self._standing.highwater_ns(stream)

    def lag(self, stream: Stream) -> tuple[int, float]:
        """How far a stream that is not live is behind: (messages it has not looked at, seconds)."""
        return self._standing.lag(stream, self._clock_ns())

    # Inside.

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._schedule(self.flush)

    def _tell(self, feed: str, session: str, gap: Gap | None) -> None:
        for group in self._live.groups_of(feed):
            group.add_uncounted(self._notice(feed, session, gap, group.spec.framed))
        for stream in self._latest:
            if stream.outbox is not None and feed in stream.spec.feeds:
                stream.outbox.put_notice(feed, self._notice(feed, session, gap, stream.spec.framed))
        self._flush_soon()

    def _set_behind(self, sinks: Container[Sink]) -> None:
        """Take every live stream of these sinks out of its group; all of its bytes so far are written."""
        for stream in self._live.streams_of(sinks):
            self._live.remove(stream)
            stream.leave(self._standing.positions(stream), State.BEHIND)
            stream.high_ns = self._standing.received_ns(stream.spec)
            stream.fell_behind = True
            stream.read_ns = self._clock_ns()
            stream.sink.wake()

    def _step_behind(self, stream: Stream) -> bool:
        if self._pieces.write_from_journal(stream):
            if stream.read_ns:
                self.tally.caught_up_s.add(max(0, self._clock_ns() - stream.read_ns) / 1e9)
            # Who has reached the end joins now: at its next turn, behind a hundred others, there would be
            # something new again, and none of them would ever be live.
            if not self._standing.is_here(stream) or stream.sink.backlog() > self._limits.backlog_bytes_max:
                return True
        self._pieces.release(stream)
        if stream.polled:
            stream.state = State.PARKED
            stream.high_ns = self._standing.received_ns(stream.spec)
            return False
        self.flush()
        stream.join()
        stream.fell_behind = False
        self._live.add(stream)
        return False

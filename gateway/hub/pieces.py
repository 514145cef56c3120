"""What is written to a stream that is not live: a piece of its snapshot, of the journal, of its outbox.

Each piece is bounded, so that others have their turn and the socket its time between two. Knows
channels and streams; when a stream is behind and when it joins its group is the hub's.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice

from gateway.decode import Codecs
from gateway.hub.channel import BlockReader, Channel, Record
from gateway.hub.limits import HubLimits
from gateway.hub.sharing import EVERY, Piece, Sharing
from gateway.hub.spec import StreamSpec
from gateway.hub.stream import Coverage, State, Stream
from gateway.values import Block, Gap, Position

# The text of a notice in a stream at its place: (feed, session, gap or None for a new session, framed).
Notice = Callable[[str, str, Gap | None, bool], str]

# What looking at one block costs beside its bytes, so that a piece of many small ones is not a long one.
BLOCK_BYTES = 64


class Pieces:
    """Writes the next piece of one stream; moves its positions and nobody else's."""

    def __init__(
        self,
        limits: HubLimits,
        clock_ns: Callable[[], int],
        notice: Notice,
        channels: Mapping[str, Channel],
        codecs: Mapping[str, Codecs],
    ) -> None:
        self._limits = limits
        self._clock_ns = clock_ns
        self._notice = notice
        self._channels = channels
        self._codecs = codecs
        self.sharing = Sharing(limits.shared_pieces_bytes)

    def positions(self, stream: Stream) -> dict[str, Position]:
        """Where a stream stands: where its channels do, but for positions of its own."""
        here = {feed: self._channels[feed].position for feed in stream.spec.feeds}
        return {**here, **stream.positions}

    def coverage(self, stream: Stream) -> list[Coverage]:
        """How far a stream is complete, if all that its group collected is written.

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

    def records(
        self, spec: StreamSpec, keys: Collection[tuple[str, str]] | None, newer_than_ns: int
    ) -> Iterator[tuple[str, str, Record]]:
        """The latest records of a spec as they are now, as (feed, session, record)."""
        parts = []
        for feed in sorted(spec.feeds):
            channel = self._channels[feed]
            found = (
                channel.records_of(spec.messages) if keys is None else channel.records_at(spec.messages, keys)
            )
            parts.append((feed, channel.position.session, found))
        return (
            (feed, session, record)
            for feed, session, found in parts
            for _, _, record in found
            if record.received_ns > newer_than_ns
        )

    def write_snapshot(self, stream: Stream) -> bool:
        """Write a slice of the snapshot; False when nothing of it is left."""
        assert stream.snapshot is not None
        now_ns = self._clock_ns()
        written: list[str] = []
        count = 0
        for feed, session, record in islice(stream.snapshot, self._limits.snapshot_records):
            count += 1
            router, texts = stream.group.reader(feed, self._codecs)
            context = self._channels[feed].context_of(session)
            if router.is_view(record.payload):
                derived = [(record.seq, record.payload)]
                router.route_derived(derived, session, record.received_ns, context, now_ns)
            else:
                router.route(record.block(session), context, now_ns)
            written += texts
            texts.clear()
        self._write(stream, written, len(written))
        return count == self._limits.snapshot_records

    def write_from_journal(self, stream: Stream) -> bool:
        """Write what comes next in the journal; False when the stream stands where its channels stand.

        Raises what the journal does for a position that has aged out, or for damage.
        """
        for feed, position in stream.positions.items():
            channel = self._channels[feed]
            if position == channel.position or channel.reader is None:
                continue
            position = stream.positions[feed] = channel.readable(position)
            if position == channel.position:
                continue
            if self._write_shared(stream, feed, position):
                return True
            items = stream.ahead.get(feed)
            if not items:
                items = deque(self._read(channel, position))
            self._write_items(stream, channel, items)
            # Who has stopped reading must not hold a piece of the journal in memory.
            is_waiting = stream.sink.backlog() > self._limits.backlog_bytes_max
            stream.ahead = {feed: items} if items and not is_waiting else {}
            return True
        return False

    def _write_shared(self, stream: Stream, feed: str, position: Position) -> bool:
        """Write what another stream of the group was given at this place, if it is still had."""
        piece = self.sharing.find(stream.group, feed, position)
        if piece is None:
            return False
        stream.ahead.pop(feed, None)
        stream.positions[feed] = piece.end
        self._arrive(stream, piece.received_ns)
        if piece.messages:
            self._write_data(stream, piece.data, piece.messages)
        return True

    @staticmethod
    def _arrive(stream: Stream, received_ns: int) -> None:
        """All that was received up to this time is written, as far as one feed goes."""
        stream.read_ns = received_ns
        if len(stream.positions) == 1:
            stream.high_ns = received_ns

    def is_here(self, stream: Stream) -> bool:
        """Whether it stands where its channels stand."""
        return all(position == self._channels[feed].position for feed, position in stream.positions.items())

    def release(self, stream: Stream) -> None:
        """The stream reads nothing old now."""
        for feed in stream.spec.feeds:
            if (views := self._channels[feed].views) is not None:
                views.release(stream)

    def write_latest(self, stream: Stream) -> bool:
        """Write a slice of what a conflated stream has waiting; whether the batch has more."""
        assert stream.outbox is not None
        self.begin_latest(stream)
        items = stream.outbox.take(self._limits.snapshot_records)
        if not stream.outbox.is_leaving:
            stream.taken, stream.high_ns = stream.leaving
        texts = [text for key, text in items if key[1]]
        if len(texts) == len(items):
            self._write(stream, texts, len(texts))
            return stream.outbox.is_leaving
        # A notice is no record: nothing of it may be left out.
        for key, text in items:
            self._write(stream, [text], 1 if key[1] else 0)
        return stream.outbox.is_leaving

    def begin_latest(self, stream: Stream) -> None:
        """From here on, what changes waits for the batch after this one."""
        assert stream.outbox is not None
        if stream.outbox.begin():
            stream.leaving = (self.positions(stream), self.received_ns(stream.spec))

    def _read(self, channel: Channel, position: Position) -> Sequence[Block | Gap]:
        assert channel.reader is not None
        items = channel.reader.read(position, self._limits.catch_up_bytes)
        here = channel.position
        if not items and position.session == here.session:
            # It was published and is not there any more: said, not jumped over.
            return [Gap(here.session, position.next_seq, here.next_seq - 1)]
        if not items:
            # The journal ends where the previous session ended: a new one began, still empty.
            items = [Block(here.session, here.next_seq, 0, 0, b"")]
        return [*self._empty_between(channel.reader, position.session, items[0].session), *items]

    @staticmethod
    def _empty_between(reader: BlockReader, session: str, until: str) -> Iterator[Block]:
        """Sessions that ended without a message: live streams were told of them, so these are, too."""
        while session not in ("", until):
            at = reader.next_session(session)
            if at is None or at.session == until:
                return
            yield Block(at.session, at.next_seq, 0, 0, b"")
            session = at.session

    def _write_items(self, stream: Stream, channel: Channel, items: "deque[Block | Gap]") -> None:
        left, whole, notices = self._limits.catch_up_bytes, [], 0
        here, framed, feed = channel.position, stream.spec.framed, channel.name
        began = stream.positions[feed]
        # The first number of the next piece, for whoever reads this one.
        edge = (began.next_seq // EVERY + 1) * EVERY
        router, texts = stream.group.reader(feed, self._codecs)
        now_ns = self._clock_ns()
        names: frozenset[str] = frozenset()
        if channel.views is not None:
            names = channel.views.names & stream.spec.names_of(feed)
        while items and left > 0:
            if names and not self._has_views(stream, channel, names, items[0]):
                break
            item, position = items.popleft(), stream.positions[feed]
            if item.session != position.session and position.session:
                whole.append(self._notice(feed, item.session, None, framed))
                notices += 1
            left -= BLOCK_BYTES
            if isinstance(item, Gap):
                whole.append(self._notice(feed, item.session, item, framed))
                notices += 1
                stream.positions[feed] = Position(item.session, item.to_seq + 1)
                continue
            block = item.until(edge) if item.session == began.session else item
            at_edge = block.next_seq == edge
            block = block.head(max(left, 1))
            if block.count < item.count:
                items.appendleft(item.tail(block.next_seq))
            if block.session == here.session and block.next_seq > here.next_seq:
                # Journaled and not published yet: live streams do not have it either.
                block = block.until(here.next_seq)
                items.clear()
            left = 0 if at_edge else left - len(block.raw)
            context = channel.context_of(block.session)
            if names and channel.views is not None:
                # A stream of views has nothing else: see `Resolver`.
                derived = channel.views.again(stream, names, block)
                router.route_derived(derived, block.session, block.received_ns, context, now_ns)
            else:
                router.route(block, context, now_ns)
            whole += texts
            texts.clear()
            stream.positions[feed] = Position(block.session, block.next_seq)
            if block.count:
                self._arrive(stream, block.received_ns)
        data = self._write(stream, whole, len(whole) - notices)
        end = stream.positions[feed]
        # What ends where the feed stands now is short, and of use to nobody else; and one that views were not
        # at hand for leads nowhere.
        is_of_use = stream.group.streams > 1 and end.session == began.session and end not in (began, here)
        if is_of_use and not notices:
            self.sharing.keep(stream.group, feed, began, Piece(data, len(whole), end, stream.read_ns))

    @staticmethod
    def _has_views(stream: Stream, channel: Channel, names: frozenset[str], item: Block | Gap) -> bool:
        """Whether the views of what comes next are at hand; when not, they are a piece nearer."""
        views = channel.views
        assert views is not None
        assert channel.reader is not None
        if isinstance(item, Gap) or not item.count:
            return True
        position = Position(item.session, item.first_seq)
        if views.has(names, position):
            return True
        # What is known of a session that ended long ago is read first.
        channel.context_of(item.session)
        views.prepare(stream, names, position, channel.first_seq(item.session), channel.reader.read)
        return False

    def _write(self, stream: Stream, texts: list[str], messages: int) -> bytes:
        if not texts:
            return b""
        if stream.rewrite is not None and messages:
            texts = stream.rewrite(texts)
        data = stream.group.wired(texts)
        self._write_data(stream, data, messages)
        return data

    def _write_data(self, stream: Stream, data: bytes, messages: int) -> None:
        stream.count(messages, len(data))
        if stream.covered is not None:
            data += stream.group.wired([stream.covered(self.coverage(stream))])
        stream.sink.write(data)

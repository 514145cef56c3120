"""What is written to a stream that is not live: a piece of its snapshot, of the journal, of its outbox.

Each piece is bounded, so that others have their turn and the socket its time between two. Knows
channels and streams; when a stream is behind and when it joins its group is the hub's.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice

from gateway.decode import Codecs
from gateway.hub.channel import Channel
from gateway.hub.context import SessionContext
from gateway.hub.limits import HubLimits
from gateway.hub.past import BlockReader
from gateway.hub.records import Record
from gateway.hub.sharing import EVERY, Piece, Sharing
from gateway.hub.spec import StreamSpec
from gateway.hub.standing import Standing
from gateway.hub.stream import Stream
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
        standing: Standing,
    ) -> None:
        self._limits = limits
        self._clock_ns = clock_ns
        self._notice = notice
        self._channels = channels
        self._codecs = codecs
        self._standing = standing
        self.sharing = Sharing(limits.shared_pieces_bytes)

    # Of a snapshot.

    def records(
        self, spec: StreamSpec, keys: Collection[tuple[str, str]] | None, newer_than_ns: int
    ) -> Iterator[tuple[str, SessionContext, Record]]:
        """The latest records of a spec as they are now, with their feed and what their bytes mean."""
        parts = []
        for feed in sorted(spec.feeds):
            channel = self._channels[feed]
            found = (
                channel.records_of(spec.messages) if keys is None else channel.records_at(spec.messages, keys)
            )
            parts.append((feed, channel.context, found))
        return (
            (feed, context, record)
            for feed, context, found in parts
            for record in found
            if record.received_ns > newer_than_ns
        )

    def write_snapshot(self, stream: Stream) -> bool:
        """Write a slice of the snapshot; False when nothing of it is left."""
        assert stream.snapshot is not None
        now_ns = self._clock_ns()
        written: list[str] = []
        count = 0
        for feed, context, record in islice(stream.snapshot, self._limits.snapshot_records):
            count += 1
            router, texts = stream.group.reader(feed, self._codecs)
            if router.is_view(record.payload):
                derived = [(record.seq, record.payload)]
                router.route_derived(derived, context.session, record.received_ns, context, now_ns)
            else:
                router.route(record.block(context.session), context, now_ns)
            written += texts
            texts.clear()
        self._write(stream, written, len(written))
        return count == self._limits.snapshot_records

    # Of the journal.

    def write_from_journal(self, stream: Stream) -> bool:
        """Write what comes next in the journal; False when the stream stands where its channels stand.

        Each feed has its part of the piece, and another one is first next time. Raises what the journal does
        for a position that has aged out, or for damage; what was written before that is counted.
        """
        left, is_there_more = self._limits.catch_up_bytes, False
        for feed in list(stream.positions):
            channel = self._channels[feed]
            if channel.reader is None:
                continue
            position = stream.positions[feed] = channel.readable(stream.positions[feed])
            if position == channel.position:
                continue
            is_there_more = True
            left = self._write_of_feed(stream, channel, channel.reader, left)
            if left <= 0:
                break
        first = next(iter(stream.positions))
        stream.positions[first] = stream.positions.pop(first)
        return is_there_more

    def _write_of_feed(self, stream: Stream, channel: Channel, reader: BlockReader, left: int) -> int:
        """Write what comes next of one feed, some `left` bytes of it; gives how many are left for others."""
        feed = channel.name
        position = stream.positions[feed]
        piece = self.sharing.find(stream.group, feed, position)
        if piece is not None:
            # Another stream of the group was given it at this place.
            stream.ahead.pop(feed, None)
            self._move(stream, feed, piece.end, piece.received_ns)
            if piece.messages:
                self._write_data(stream, piece.data, piece.messages)
            return left - BLOCK_BYTES
        items = stream.ahead.pop(feed, None) or deque(self._read(channel, reader, position))
        left = self._write_items(stream, channel, reader, items, left)
        if stream.sink.backlog() > self._limits.backlog_bytes_max:
            # Who has stopped reading must not hold a piece of the journal in memory.
            stream.ahead.clear()
        elif items:
            stream.ahead[feed] = items
        return left

    @staticmethod
    def _move(stream: Stream, feed: str, position: Position, received_ns: int) -> None:
        """It has all in front of `position`; the last of it was received then."""
        stream.positions[feed] = position
        stream.read_ns = received_ns
        if len(stream.positions) == 1:
            # What follows may have been received in the same moment.
            stream.high_ns = received_ns - 1

    def release(self, stream: Stream) -> None:
        """The stream reads nothing old now."""
        for feed in stream.spec.feeds:
            if (views := self._channels[feed].views) is not None:
                views.release(stream)

    def _read(self, channel: Channel, reader: BlockReader, position: Position) -> Sequence[Block | Gap]:
        items = reader.read(position, self._limits.catch_up_bytes)
        here = channel.position
        if not items and position.session == here.session:
            # It was published and is not there any more: said, not jumped over.
            return [Gap(here.session, position.next_seq, here.next_seq - 1)]
        if not items:
            # The journal ends where the previous session ended: a new one began, still empty.
            items = [Block(here.session, here.next_seq, 0, 0, b"")]
        return [*self._empty_between(reader, position.session, items[0].session), *items]

    @staticmethod
    def _empty_between(reader: BlockReader, session: str, until: str) -> Iterator[Block]:
        """Sessions that ended without a message: live streams were told of them, so these are, too."""
        while session not in ("", until):
            at = reader.next_session(session)
            if at is None or at.session == until:
                return
            yield Block(at.session, at.next_seq, 0, 0, b"")
            session = at.session

    def _write_items(
        self, stream: Stream, channel: Channel, reader: BlockReader, items: "deque[Block | Gap]", left: int
    ) -> int:
        """Write the first of `items`, to the next place where pieces end; takes them out."""
        feed, here, framed = channel.name, channel.position, stream.spec.framed
        began = stream.positions[feed]
        names: frozenset[str] = frozenset()
        if channel.views is not None:
            # A stream of views has nothing else: see `Resolver`.
            names = channel.views.names & stream.spec.names_of(feed)
        texts: list[str] = []
        notices, is_at_edge = 0, False
        now_ns = self._clock_ns()
        while items and left > 0 and not is_at_edge:
            item = items[0]
            if not self._is_ready(channel, names, item):
                # It may fail, and what is written already would be lost with it.
                if not texts:
                    self._make_ready(stream, channel, reader, names, item)
                    left = 0
                break
            items.popleft()
            left -= BLOCK_BYTES
            if stream.positions[feed].session not in ("", item.session):
                texts.append(self._notice(feed, item.session, None, framed))
                notices += 1
            if isinstance(item, Gap):
                texts.append(self._notice(feed, item.session, item, framed))
                notices += 1
                stream.positions[feed] = Position(item.session, item.to_seq + 1)
                continue
            edge = (item.first_seq // EVERY + 1) * EVERY
            block = item.until(edge).head(max(left, 1))
            if block.session == here.session and block.next_seq > here.next_seq:
                # Journaled and not published yet: live streams do not have it either.
                block = block.until(here.next_seq)
                items.clear()
            elif block.count < item.count:
                items.appendleft(_behind(block, item))
            is_at_edge = block.next_seq == edge
            if not block.count:
                stream.positions[feed] = Position(block.session, block.next_seq)
                continue
            left -= len(block.raw)
            texts += self._texts(stream, channel, names, block, now_ns)
            self._move(stream, feed, Position(block.session, block.next_seq), block.received_ns)
        data = self._write(stream, texts, len(texts) - notices)
        end = stream.positions[feed]
        # What ends where the feed stands now is short, and of use to nobody else; and what was not ready
        # leads nowhere.
        is_of_use = end.session == began.session and end not in (began, here) and stream.group.streams > 1
        if is_of_use and not notices:
            self.sharing.keep(stream.group, feed, began, Piece(data, len(texts), end, stream.read_ns))
        return left

    def _texts(
        self, stream: Stream, channel: Channel, names: frozenset[str], block: Block, now_ns: int
    ) -> list[str]:
        """What the stream wants of a block that is ready."""
        context = channel.context_of(block.session)
        assert context is not None
        router, collected = stream.group.reader(channel.name, self._codecs)
        if names and channel.views is not None:
            derived = channel.views.again(stream, names, block)
            router.route_derived(derived, block.session, block.received_ns, context, now_ns)
        else:
            router.route(block, context, now_ns)
        texts = collected.copy()
        collected.clear()
        return texts

    @staticmethod
    def _is_ready(channel: Channel, names: frozenset[str], item: Block | Gap) -> bool:
        """Whether all is at hand that is needed for what comes next."""
        if isinstance(item, Gap) or not item.count:
            return True
        if channel.context_of(item.session) is None:
            return False
        position = Position(item.session, item.first_seq)
        return channel.views is None or not names or channel.views.has(names, position)

    @staticmethod
    def _make_ready(
        stream: Stream, channel: Channel, reader: BlockReader, names: frozenset[str], item: Block | Gap
    ) -> None:
        """Bring it a piece nearer: first what is known of a session that is over, then its books."""
        assert isinstance(item, Block)
        if channel.context_of(item.session) is None:
            channel.past.seek(item.session)
        elif channel.views is not None:
            position = Position(item.session, item.first_seq)
            channel.views.prepare(stream, names, position, reader.first_seq(item.session), reader.read)

    # Of an outbox.

    def begin_latest(self, stream: Stream) -> None:
        """From here on, what changes waits for the batch after this one."""
        assert stream.outbox is not None
        if stream.outbox.begin():
            stream.leaving = (self._standing.positions(stream), self._standing.received_ns(stream.spec))

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

    # Any of them.

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
            data += stream.group.wired([stream.covered(self._standing.coverage(stream))])
        stream.sink.write(data)


def _behind(head: Block, block: Block) -> Block:
    """The rest of a block whose first messages are `head`."""
    count, raw = block.count - head.count, block.raw[len(head.raw) :]
    return Block(block.session, head.next_seq, count, block.received_ns, raw)

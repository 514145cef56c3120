"""The one way of messages into the gateway: journaled, then published; never a number twice.

Knows the journal and the publisher; knows nothing of connections. The journal's position is the only memory
of what was received.
"""

from dataclasses import dataclass

from gateway.errors import BadRequest, JournalError, SequenceGap
from gateway.journal import Journal
from gateway.net.feed_values import FeedPublisher
from gateway.values import Block, Gap, Position

# What may wait while the journal can't be written. Reading is paused by then, so it is a few reads.
PENDING_BYTES_MAX = 16 << 20


class IntakeHole(SequenceGap):
    """A block starts above the number expected next."""


class IntakeFull(JournalError):
    """More has come than may wait for the journal. It is not lost: the upstream still has it."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Messages that were had already. `diverged` are the numbers whose bytes differ from the journal's."""

    count: int
    compared: int
    diverged: tuple[int, ...]
    # How much later than the first copy this one came.
    lag_ns: int


class Intake:
    """Takes blocks of one feed, in order, from any number of connections.

    `put` queues what one read brought, `flush` writes it in one commit and publishes it. When the journal
    fails, `trouble` says why, what was queued stays queued, and `flush` may be called again.
    """

    def __init__(
        self, journal: Journal, publisher: FeedPublisher, *, pending_bytes_max: int = PENDING_BYTES_MAX
    ) -> None:
        self._journal = journal
        self._publisher = publisher
        self._pending_bytes_max = pending_bytes_max
        self._pending: list[Block] = []
        self._pending_bytes = 0
        self.trouble: JournalError | None = None
        self.last_received_ns: int | None = None
        self.messages = self.bytes = 0
        # A journal that was repaired is filled again from the upstream; what was published stays published.
        self._published = journal.position()

    def position(self) -> Position | None:
        """Where the journal stands. What is queued does not count."""
        return self._journal.position()

    def put(self, block: Block) -> Overlap | None:
        """Queue what is new of `block`; returns what was not. The block's session is the journal's."""
        if self._pending:
            expected = self._pending[-1].next_seq
        else:
            at = self._journal.position()
            expected = at.next_seq if at is not None else block.first_seq
        if block.first_seq == expected:
            self._queue(block)
            return None
        if block.first_seq > expected:
            raise IntakeHole(f"{expected} is expected, {block.first_seq} came")
        if block.next_seq > expected:
            tail = block.tail(expected)
            self._queue(tail)
            count = block.count - tail.count
            raw = block.raw[: len(block.raw) - len(tail.raw)]
            block = Block(block.session, block.first_seq, count, block.received_ns, raw)
        return self._compare(block)

    def _queue(self, block: Block) -> None:
        if self.trouble is not None and self._pending_bytes + len(block.raw) > self._pending_bytes_max:
            raise IntakeFull(
                f"{self._pending_bytes} bytes wait for the journal, the limit is {self._pending_bytes_max}"
            )
        self._pending.append(block)
        self._pending_bytes += len(block.raw)

    def flush(self) -> bool:
        """Journal and publish what is queued; False when the journal refused: then nothing was published."""
        try:
            # Also with nothing queued: after trouble it tells whether the journal is well again.
            new = self._journal.write(self._pending)
        except JournalError as exc:
            self.trouble = exc
            return False
        self.trouble = None
        self._pending = []
        self._pending_bytes = 0
        for block in new:
            self._publish(block)
        return True

    def _publish(self, block: Block) -> None:
        published = self._published
        if published is not None and published.session == block.session:
            if block.next_seq <= published.next_seq:
                return
            block = block.tail(published.next_seq)
        self._publisher.publish(block)
        self._published = Position(block.session, block.next_seq)
        self.last_received_ns = block.received_ns
        self.messages += block.count
        self.bytes += len(block.raw)

    def start_session(self, session: str, first_seq: int) -> None:
        """Go on in a session that is new to the journal."""
        self._tell_session(self._journal.roll(session, first_seq))

    def continue_session(self, session: str) -> None:
        """Go on in the journal's newest session, even if it was taken for ended."""
        self._tell_session(self._journal.roll(session))

    def _tell_session(self, position: Position) -> None:
        """Tell of a session once; again when the first try failed, though the journal has rolled already."""
        if self._published is None or self._published.session != position.session:
            self._publisher.start_session(position.session)
            self._published = position

    def end_session(self) -> None:
        self._journal.end_session()

    def declare_gap(self, gap: Gap) -> None:
        """Journal and publish that numbers can't be had."""
        declared = self._journal.declare_gap(gap.from_seq, gap.to_seq)
        self._journal.commit()
        if declared is None:
            return
        if self._published is not None and self._published.session == declared.session:
            if declared.to_seq < self._published.next_seq:
                return
            declared = Gap(declared.session, self._published.next_seq, declared.to_seq)
        self._publisher.publish_gap(declared)
        self._published = Position(declared.session, declared.to_seq + 1)

    def has_session(self, session: str) -> bool:
        return self._journal.has_session(session)

    def _compare(self, block: Block) -> Overlap:
        """Hold messages that were had already against the journal, as far as it still has them."""
        compared, diverged, lag_ns = 0, [], 0
        at, raw_at = block.first_seq, 0
        try:
            while at < block.next_seq:
                items = self._journal.read(Position(block.session, at), len(block.raw) - raw_at)
                if not items:
                    break  # still queued: came in this very read
                for had in items:
                    if isinstance(had, Gap):
                        skipped = min(had.to_seq + 1, block.next_seq) - at
                        raw_at = _end_of(block.raw, raw_at, skipped)
                        at += skipped
                    else:
                        count = min(had.next_seq, block.next_seq) - at
                        whole = at + count == block.next_seq
                        ours_end = len(block.raw) if whole else _end_of(block.raw, raw_at, count)
                        ours = block.raw[raw_at:ours_end]
                        # Equal bytes are equal packets, so the rows need not be cut alike.
                        if had.raw[: len(ours)] != ours:
                            diverged += _differing(at, count, ours, had.raw)
                        lag_ns = block.received_ns - had.received_ns
                        compared += count
                        at, raw_at = at + count, ours_end
                    if at >= block.next_seq:
                        break
        except (JournalError, BadRequest):
            # Aged out, or not readable: then there is nothing to compare with, and dropping is still right.
            pass
        return Overlap(block.count, compared, tuple(diverged), lag_ns)


def _end_of(raw: bytes, at: int, count: int) -> int:
    """Where `count` packets from `at` on end."""
    for _ in range(count):
        at += 2 + int.from_bytes(raw[at : at + 2], "big")
    return at


def _differing(first_seq: int, count: int, ours: bytes, had: bytes) -> list[int]:
    """The numbers of the packets that differ."""
    found = []
    ours_at = had_at = 0
    for seq in range(first_seq, first_seq + count):
        ours_end, had_end = _end_of(ours, ours_at, 1), _end_of(had, had_at, 1)
        if ours[ours_at:ours_end] != had[had_at:had_end]:
            found.append(seq)
        ours_at, had_at = ours_end, had_end
    return found

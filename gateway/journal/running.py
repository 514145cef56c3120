"""The session that is being written: what is queued, what is committed, and how it gets onto the disk.

Knows one session's file, its numbers and its syncer; knows no other session and nothing of the folder.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.errors import LocalProtocolError, SequenceGap
from gateway.journal.limits import JournalLimits
from gateway.journal.names import FileName
from gateway.journal.session_file import SessionFile
from gateway.journal.syncer import Syncer
from gateway.values import Block, Gap, Position


class RunningSession:
    """Takes a session's numbers in order. `commit` writes all that is queued or, when it raises, nothing."""

    def __init__(
        self,
        folder: Path,
        name: FileName,
        limits: JournalLimits,
        *,
        fsync: Callable[[int], None] = os.fsync,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.session = name.session
        self._clock_ns = clock_ns
        self.file = SessionFile(folder, name, writable=True, busy_wait_s=limits.busy_wait_s)
        try:
            self._next_seq = self._committed_seq = self.file.next_seq()
            self.syncer = Syncer(self.file.path, limits, fsync, monotonic)
        except BaseException:
            self.file.close()
            raise
        self._pending: list[Block | Gap] = []
        # Of the blocks among them, as received.
        self.pending_bytes = 0

    @property
    def position(self) -> Position:
        """One past the last number that is committed."""
        return Position(self.session, self._committed_seq)

    @property
    def next_seq(self) -> int:
        """One past the last number, what is queued counted in."""
        return self._next_seq

    @property
    def is_pending(self) -> bool:
        """Whether something is queued."""
        return bool(self._pending)

    def queue(self, block: Block) -> int:
        """Queue what is new of a block; returns how many of its first messages were had."""
        if block.session != self.session:
            raise LocalProtocolError(f"block of session {block.session!r} without roll() to it")
        had = self._next_seq - block.first_seq
        if had:
            if had < 0:
                raise SequenceGap(
                    f"session {block.session!r}: {self._next_seq} expected, {block.first_seq} came, "
                    f"{-had} are missing"
                )
            if had >= block.count:
                return block.count
            block = block.tail(self._next_seq)
        self._pending.append(block)
        self.pending_bytes += len(block.raw)
        self._next_seq = block.next_seq
        return had

    def queue_all(self, blocks: Sequence[Block]) -> list[Block]:
        """Queue them all or, when it raises, none of them nor what was queued before; returns what is new."""
        new: list[Block] = []
        try:
            for block in blocks:
                had = self.queue(block)
                if had < block.count:
                    new.append(block.tail(block.first_seq + had))
        except BaseException:
            self.forget_pending()
            raise
        return new

    def queue_gap(self, from_seq: int, to_seq: int) -> Gap | None:
        """Queue that these numbers can't be had. Returns the part that was new, if any."""
        if from_seq > self._next_seq:
            raise SequenceGap(f"session {self.session!r}: gap from {from_seq}, but {self._next_seq} is next")
        if to_seq < self._next_seq:
            return None
        gap = Gap(self.session, self._next_seq, to_seq)
        self._pending.append(gap)
        self._next_seq = to_seq + 1
        return gap

    def commit(self) -> None:
        """Write what is queued. It survives the process at once, and a loss of power when it is synced."""
        if not self._pending:
            return
        try:
            self.file.write(self._pending, self._clock_ns())
        except BaseException:
            self.forget_pending()
            raise
        self._committed_seq = self._next_seq
        size, self._pending, self.pending_bytes = self.pending_bytes, [], 0
        self.syncer.touch(size)

    def forget_pending(self) -> None:
        """What is queued was never there."""
        self._pending, self.pending_bytes = [], 0
        self._next_seq = self._committed_seq

    def close(self) -> None:
        """Sync what is committed, and let go of the file. Whether it is on the disk, the syncer tells."""
        self.syncer.close()
        self.file.close()

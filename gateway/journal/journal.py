"""The journal of one feed, for its one writer: append, commit, roll, retain, repair.

Knows which session is running and which there are; how a session is written, how the folder is opened, what
goes when, and how states get onto the disk, the files beside this one know.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.errors import JournalError, LocalProtocolError
from gateway.histogram import Histogram
from gateway.journal import retention
from gateway.journal.errands import Errand, Errands
from gateway.journal.errors import DamagedBlock, JournalFailed
from gateway.journal.limits import JournalLimits
from gateway.journal.lock import FolderLock
from gateway.journal.names import FileName
from gateway.journal.new_file import NewFile
from gateway.journal.opening import open_folder
from gateway.journal.reader import READ_BYTES, JournalReader
from gateway.journal.repair import repair
from gateway.journal.running import RunningSession
from gateway.journal.saving import StateSaver
from gateway.journal.session_file import SessionFile
from gateway.journal.suspects import Suspects
from gateway.journal.values import Repaired, SessionInfo
from gateway.values import Block, Gap, Position


class Journal(JournalReader):
    """Writes one feed's sessions, and reads like any JournalReader. One thread uses it.

    `append` queues, `commit` writes: after `commit` a kill -9 loses nothing; a loss of power loses what
    the last fsync did not cover (`fsync_interval_s`). When `commit` raises, nothing since the last one is in,
    `position` says so, and the same blocks may be appended again. Readers see what is committed.

    With `background`, what waits for the disk for longer (the end of a session, a new file, removing one,
    saving state) is done in threads; a failed fsync there stops the journal as any other does.
    """

    def __init__(
        self,
        folder: Path,
        feed: str,
        limits: JournalLimits | None = None,
        *,
        background: bool = False,
        fsync: Callable[[int], None] = os.fsync,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or JournalLimits()
        super().__init__(folder, feed, open_files_max=self.limits.open_files_max)
        self._wait_for_disk = fsync
        # How long each fsync took.
        self.fsync_s = Histogram()
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._running: RunningSession | None = None
        self._errands = Errands(background=background)
        self._new_file = NewFile(self.folder, feed, self._errands, self.limits.roll_wait_s)
        self._saver = StateSaver(self._errands)
        # The end of the session before, on its way to the disk; and why what was sent there may not be on it.
        self._finishing: Errand | None = None
        self._failure: str | None = None
        self._suspects = Suspects(self.folder)
        self._lock = FolderLock(self.folder)
        try:
            opened = open_folder(self.folder, feed, self.limits, clock_ns())
            self._found = opened.found
            # What had to be set aside; the operator is told.
            self.repaired: list[Repaired] = opened.repaired
            if opened.running is not None:
                self._start(opened.running)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Commit, sync, wait for what is under way, and let go of the folder. `failure` is asked before."""
        try:
            self.commit()
        finally:
            self._stop_running()
            self._errands.wait()
            super().close()
            self._lock.close()

    # -- writing ----------------------------------------------------------------------------------

    def append(self, block: Block) -> int:
        """Queue a block for the next commit; returns how many of its first messages were had and left out.

        Raises SequenceGap when numbers in front of it are missing: `declare_gap` says that they can't be had.
        """
        running = self._one_running()
        had = running.queue(block)
        if running.pending_bytes >= self.limits.pending_bytes_max:
            self.commit()
        return had

    def declare_gap(self, from_seq: int, to_seq: int) -> Gap | None:
        """Queue that `from_seq` … `to_seq` can't be had. Returns the part that was new, if any."""
        return self._one_running().queue_gap(from_seq, to_seq)

    def commit(self) -> None:
        """Write what was appended. All of it or, when this raises, nothing."""
        running = self._running
        if running is None or not running.is_pending:
            return
        try:
            self._admit()
        except BaseException:
            running.forget_pending()
            raise
        running.commit()

    def write(self, blocks: Sequence[Block]) -> list[Block]:
        """Append and commit: all or nothing. Returns what was new, to be published."""
        self.commit()
        # Also without blocks: whoever tries again after trouble asks so whether it is over.
        self._admit()
        if not blocks:
            return []
        running = self._one_running()
        new = running.queue_all(blocks)
        running.commit()
        return new

    def _one_running(self) -> RunningSession:
        if self._running is None:
            raise LocalProtocolError("nothing can be written without roll() to a session")
        return self._running

    def _admit(self) -> None:
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if self._running is not None:
            self._running.syncer.admit()

    def sync(self) -> None:
        """Commit, and wait until it is on the disk."""
        self.commit()
        if self._running is not None:
            self._running.syncer.sync()

    @property
    def failure(self) -> str | None:
        """Why nothing can be written any more until the journal is opened anew; None while all is well."""
        return self._failure or (self._running.syncer.failure if self._running is not None else None)

    def stalled_s(self) -> float:
        """How long the disk has been at the fsync that is under way; for health. 0 when none is."""
        return self._running.syncer.stalled_s() if self._running is not None else 0.0

    def _fsync(self, descriptor: int) -> None:
        began = self._monotonic()
        try:
            self._wait_for_disk(descriptor)
        finally:
            self.fsync_s.add(self._monotonic() - began)

    # -- sessions ---------------------------------------------------------------------------------

    def roll(self, session: str, first_seq: int = 1) -> Position:
        """Make `session` the running one, and say where to go on.

        A session that is the newest already is gone on with, even if it was marked ended. The name of an
        older one is refused: positions would mean two things.
        """
        if not session:
            raise LocalProtocolError("a session without a name")
        self.commit()
        self._admit()
        if self._found and self._found[-1].session == session:
            running = self._running
            if running is None:
                if self._finishing is not None:
                    self._finishing.must_be_done(self.limits.roll_wait_s)
                running = self._start(self._found[-1])
            # The file knows whether it is open: this may have failed the last time we were asked.
            if running.file.ended_ns is not None:
                running.file.mark_ended(None)
            return Position(session, running.next_seq)
        self._forget_moved()
        for name in self._found:
            if name.session == session:
                raise JournalError(
                    f"{name.in_folder(self.folder)}: session {session!r} came again after others; "
                    f"move the file away if the upstream uses its names anew"
                )
        name = self._new_file.made(session, first_seq, self._clock_ns())
        self.end_session()
        self._found.append(name)
        self._new_file.used()
        self._start(name)
        return Position(session, first_seq)

    def end_session(self) -> None:
        """Mark the running session ended, sync it, and make one finished file of it."""
        running = self._running
        if running is None:
            return
        self.commit()
        self._admit()
        if not self._errands.background:
            running.syncer.sync()
        # It is in the log behind the messages, so that it can't be on the disk without them.
        running.file.mark_ended(self._clock_ns())
        self._running = None
        self._finishing = self._errands.send(str(running.file.path), lambda: self._finish(running))

    def _finish(self, ended: RunningSession) -> None:
        try:
            ended.syncer.close()
            if ended.syncer.failure is not None:
                self._failure = ended.syncer.failure
                raise JournalFailed(ended.syncer.failure)
            ended.file.settle(alone=not self._errands.background)
        finally:
            ended.file.close()

    def position(self) -> Position | None:
        """One past the last number of the newest session, what is not committed yet left out."""
        return self._running.position if self._running is not None else super().position()

    def retain(self, now_ns: int) -> list[SessionInfo]:
        """Remove sessions that are too old, and the oldest while all are too large. Never the newest."""
        self._forget_moved()
        gone = retention.overdue(self.sessions(), self.folder, self.limits, now_ns)
        for info in gone:
            name = next(name for name in self._found if name.order == info.order)
            self._let_go(name)
            self._found.remove(name)
            retention.remove(self.folder, name, self._errands)
        return gone

    # -- state checkpoint -------------------------------------------------------------------------

    def save_checkpoint(self, position: Position, state: bytes | Iterable[bytes]) -> bool:
        """Save what the hub knew at `position`; False when too many states wait for the disk already.

        With `background` the pieces of `state` are made in the thread that saves them.
        """
        name = next((name for name in self._found if name.session == position.session), None)
        if name is None:
            raise LocalProtocolError(f"state at a position of unknown session {position.session!r}")
        running, finishing = self._running, self._finishing

        def messages_synced() -> None:
            if finishing is not None:
                finishing.wait()
            if self._failure is not None:
                raise JournalFailed(self._failure)
            if running is not None:
                running.syncer.sync()

        return self._saver.save(name.state_in(self.folder), position, state, messages_synced)

    @property
    def is_saving(self) -> bool:
        """Whether a state is on its way to the disk."""
        return self._saver.is_saving

    # -- damage -----------------------------------------------------------------------------------

    @property
    def damaged(self) -> dict[str, str]:
        """By session: damage found while reading."""
        return self._suspects.found

    def read(self, position: Position, bytes_max: int = READ_BYTES) -> list[Block | Gap]:
        """As `JournalReader.read`. Damage is also remembered, so that the next start repairs it."""
        try:
            return super().read(position, bytes_max)
        except DamagedBlock as exc:
            self._suspect(exc)
            raise

    def state_at_end(self, session: str) -> bytes | None:
        """As `JournalReader.state_at_end`; none when the session has lost its end."""
        try:
            return super().state_at_end(session)
        except DamagedBlock as exc:
            self._suspect(exc)
            return None

    def _state(self, name: FileName) -> tuple[Position, bytes] | None:
        try:
            return super()._state(name)
        except DamagedBlock as exc:
            self._suspect(exc)
            return None

    def _suspect(self, damage: DamagedBlock) -> None:
        for name in self._found:
            if name.in_folder(self.folder) == damage.path:
                self._suspects.add(name, damage)

    def repair(self, session: str, what: str = "asked for") -> Repaired:
        """Set a damaged session's file aside and go on with what of it is whole.

        Of the newest session that is everything in front of the damage, and `position` moves back there, so
        that the upstream sends the rest again; of an older one also what stands behind, with a declared gap.
        """
        name = self._find(self._found, Position(session, 1))
        was_running = self._running is not None and self._running.name == name
        self.commit()
        self._errands.wait()
        if was_running:
            self._stop_running()
        self._let_go(name)
        try:
            refill = name == self._found[-1]
            done = repair(self.folder, name, self.feed, refill=refill, what=what, now_ns=self._clock_ns())
            self.repaired.append(done)
            self._suspects.clear(name)
            return done
        finally:
            if was_running:
                self._start(name)

    # -- inside -----------------------------------------------------------------------------------

    def _names(self) -> list[FileName]:
        return self._found

    def _file(self, name: FileName) -> SessionFile:
        if self._running is not None and name == self._running.name:
            return self._running.file
        return super()._file(name)

    def _forget_moved(self) -> None:
        """Older sessions whose files somebody has taken away are not ours any more."""
        self._found[:-1] = [name for name in self._found[:-1] if name.in_folder(self.folder).exists()]

    def _let_go(self, name: FileName) -> None:
        """Close what readers have open of a session."""
        if (file := self._open.pop(name.order, None)) is not None:
            file.close()

    def _start(self, name: FileName) -> RunningSession:
        self._let_go(name)
        self._running = RunningSession(
            self.folder,
            name,
            self.limits,
            fsync=self._fsync,
            clock_ns=self._clock_ns,
            monotonic=self._monotonic,
        )
        return self._running

    def _stop_running(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.close()

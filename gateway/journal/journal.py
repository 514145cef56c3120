"""The journal of one feed, for its one writer: append, commit, roll, retain, repair.

Knows positions, sessions and limits; SQL is the session file's, waiting for the disk the syncer's.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from gateway.errors import JournalError, LocalProtocolError, SequenceGap
from gateway.histogram import Histogram
from gateway.journal import checkpoint, names
from gateway.journal.errands import Errand, Errands
from gateway.journal.errors import DamagedBlock, JournalBusy, JournalFailed
from gateway.journal.limits import JournalLimits
from gateway.journal.lock import FolderLock
from gateway.journal.names import FileName
from gateway.journal.reader import READ_BYTES, JournalReader
from gateway.journal.repair import finish_repairs, repair
from gateway.journal.session_file import SessionFile, finish_file, sync_folder
from gateway.journal.syncer import Syncer
from gateway.journal.values import Repaired, SessionInfo
from gateway.journal.verify import verify_file
from gateway.values import Block, Gap, Position

# Names of aged-out sessions that are remembered, to tell `too old` from `unknown`.
REMOVED_MAX = 1000
# States that may wait to be saved. One more is left out: a restart then reads more of the journal.
SAVES_MAX = 4
# Between two pieces of a state the thread that writes it down lets the loop have the interpreter.
SAVE_PAUSE_S = 0.0005

log = logging.getLogger("gateway.journal")


class Journal(JournalReader):
    """Writes one feed's sessions, and reads like any JournalReader. One thread uses it.

    `append` queues, `commit` writes: after `commit` a kill -9 loses nothing; a loss of power loses what
    the last fsync did not cover (`fsync_interval_s`). When `commit` raises, nothing since the last one is in,
    `position` says so, and the same blocks may be appended again. Readers see what is committed.

    With `background`, what waits for the disk for longer (the end of a session, a new file, removing one,
    saving state) is done in threads; a failure there stops the journal as a failed fsync does.
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
        self._running: SessionFile | None = None
        self._syncer: Syncer | None = None
        self._next_seq = self._committed_seq = 1
        self._pending: list[Block | Gap] = []
        self._pending_bytes = 0
        self._errands = Errands(background=background)
        # A new session's file being made: (session, first number), its name, the work.
        self._making: tuple[tuple[str, int], FileName, Errand | None] | None = None
        self._finishing: Errand | None = None
        self._saves: list[Errand] = []
        self._failure: str | None = None
        # By session: damage found while reading.
        self.damaged: dict[str, str] = {}
        # What `open` had to set aside; the operator is told.
        self.repaired: list[Repaired] = []
        self._lock = FolderLock(self.folder)
        try:
            finish_repairs(self.folder)
            self._found = super()._names()
            self._repair_suspects()
            for name in self._found[:-1]:
                finish_file(self.folder, name)
            if self._found:
                self._open_newest()
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
        had = self._queue(block)
        if self._pending_bytes >= self.limits.pending_bytes_max:
            self.commit()
        return had

    def _queue(self, block: Block) -> int:
        running = self._running
        if running is None or block.session != running.session:
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
        self._pending_bytes += len(block.raw)
        self._next_seq = block.next_seq
        return had

    def declare_gap(self, from_seq: int, to_seq: int) -> Gap | None:
        """Queue that `from_seq` … `to_seq` can't be had. Returns the part that was new, if any."""
        running = self._running
        if running is None:
            raise LocalProtocolError("a gap without a running session")
        if from_seq > self._next_seq:
            raise SequenceGap(
                f"session {running.session!r}: gap from {from_seq}, but {self._next_seq} is next"
            )
        if to_seq < self._next_seq:
            return None
        gap = Gap(running.session, self._next_seq, to_seq)
        self._pending.append(gap)
        self._next_seq = to_seq + 1
        return gap

    def commit(self) -> None:
        """Write what was appended. All of it or, when this raises, nothing."""
        if not self._pending:
            return
        assert self._running is not None
        assert self._syncer is not None
        pending, self._pending = self._pending, []
        size, self._pending_bytes = self._pending_bytes, 0
        try:
            self._admit()
            self._running.write(pending, self._clock_ns())
        except BaseException:
            self._next_seq = self._committed_seq
            raise
        self._committed_seq = self._next_seq
        self._syncer.touch(size)

    def write(self, blocks: Sequence[Block]) -> list[Block]:
        """Append and commit: all or nothing. Returns what was new, to be published."""
        if self._pending:
            self.commit()
        # Also without blocks: whoever tries again after trouble asks so whether it is over.
        self._admit()
        new: list[Block] = []
        try:
            for block in blocks:
                had = self._queue(block)
                if had < block.count:
                    new.append(block.tail(block.first_seq + had))
        except BaseException:
            self._forget_pending()
            raise
        self.commit()
        return new

    def _admit(self) -> None:
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if self._syncer is not None:
            self._syncer.admit()

    def sync(self) -> None:
        """Commit, and wait until it is on the disk."""
        self.commit()
        if self._syncer is not None:
            self._syncer.sync()

    @property
    def failure(self) -> str | None:
        """Why nothing can be written any more until the journal is opened anew; None while all is well."""
        return self._failure or (self._syncer.failure if self._syncer is not None else None)

    def stalled_s(self) -> float:
        """How long the disk has been at the fsync that is under way; for health. 0 when none is."""
        return self._syncer.stalled_s() if self._syncer is not None else 0.0

    def size_bytes(self) -> int:
        """What all files of the folder take; asks the file system."""
        return sum(names.size_of(name.in_folder(self.folder)) for name in names.files_in(self.folder))

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
            if self._running is None:
                self._wait_for(self._finishing)
                self._start(self._found[-1])
                assert self._running is not None
                self._running.mark_ended(None)
            return Position(session, self._next_seq)
        for name in self._found:
            if name.session == session:
                raise JournalError(
                    f"{name.in_folder(self.folder)}: session {session!r} came again after others; "
                    f"move the file away if the upstream uses its names anew"
                )
        name = self._made(session, first_seq)
        self.end_session()
        self._found.append(name)
        self._start(name)
        return Position(session, first_seq)

    def _made(self, session: str, first_seq: int) -> FileName:
        """The file of a new session, once it is on the disk; JournalBusy while it is not."""
        if self._making is not None:
            wanted, name, errand = self._making
            self._wait_for(errand)
            self._making = None
            if wanted == (session, first_seq) and errand is not None and errand.error is None:
                return name
            for part in names.companions(name.in_folder(self.folder)):
                part.unlink(missing_ok=True)
        order = 1 + max((name.order for name in names.files_in(self.folder)), default=0)
        name = FileName(order, session)
        folder, feed, now_ns = self.folder, self.feed, self._clock_ns()
        errand = self._errands.send(
            str(name.in_folder(folder)),
            lambda: SessionFile.create(folder, name, feed, first_seq, now_ns),
        )
        if errand is not None:
            self._making = ((session, first_seq), name, errand)
            self._wait_for(errand)
            self._making = None
            if errand.error is not None:
                raise errand.error
        return name

    def _wait_for(self, errand: Errand | None) -> None:
        if errand is not None and not errand.wait(self.limits.roll_wait_s):
            raise JournalBusy(f"{errand.name}: the disk has not finished with it yet")

    def end_session(self) -> None:
        """Mark the running session ended, sync it, and make one finished file of it."""
        running, syncer = self._running, self._syncer
        if running is None or syncer is None:
            return
        self.commit()
        self._admit()
        if not self._errands.background:
            syncer.sync()
        # It is in the log behind the messages, so that it can't be on the disk without them.
        running.mark_ended(self._clock_ns())
        self._running = self._syncer = None
        self._finishing = self._errands.send(str(running.path), lambda: self._finish(running, syncer))

    def _finish(self, file: SessionFile, syncer: Syncer) -> None:
        try:
            syncer.close()
            if syncer.failure is not None:
                self._failure = syncer.failure
                raise JournalFailed(syncer.failure)
            file.settle(alone=not self._errands.background)
        finally:
            file.close()

    def position(self) -> Position | None:
        """One past the last number of the newest session, what is not committed yet left out."""
        if self._running is not None:
            return Position(self._running.session, self._committed_seq)
        return super().position()

    def retain(self, now_ns: int) -> list[SessionInfo]:
        """Remove sessions that are too old, and the oldest while all are too large. Never the newest."""
        age_s, bytes_max = self.limits.keep_age_s, self.limits.keep_bytes
        removed: list[SessionInfo] = []
        infos = self.sessions()
        total = self.size_bytes()
        for info in infos[:-1]:
            last_ns = info.ended_ns or info.last_received_ns or info.started_ns
            too_old = age_s is not None and last_ns < now_ns - int(age_s * 1e9)
            too_large = bytes_max is not None and total > bytes_max
            if not too_old and not too_large:
                break
            total -= self._remove(info.order)
            removed.append(info)
        return removed

    # -- state checkpoint -------------------------------------------------------------------------

    def save_checkpoint(self, position: Position, state: bytes | Iterable[bytes]) -> bool:
        """Save what the hub knew at `position`; False when too many states wait for the disk already.

        With `background` the pieces of `state` are made in the thread that saves them.
        """
        name = next((name for name in self._found if name.session == position.session), None)
        if name is None:
            raise LocalProtocolError(f"state at a position of unknown session {position.session!r}")
        self._saves = [each for each in self._saves if not each.is_done]
        if len(self._saves) >= SAVES_MAX:
            return False
        path, syncer, before = name.state_in(self.folder), self._syncer, [*self._saves, self._finishing]

        def save() -> None:
            pieces = [state] if isinstance(state, bytes) else _slowly(state)
            whole = b"".join(pieces)
            for errand in before:
                if errand is not None:
                    errand.wait()
            if self._failure is not None:
                raise JournalFailed(self._failure)
            # A state must not survive a loss of power that its own messages do not.
            if syncer is not None:
                syncer.sync()
            checkpoint.save(path, position, whole)

        errand = self._errands.send(str(path), save)
        if errand is not None:
            self._saves.append(errand)
        return True

    @property
    def is_saving(self) -> bool:
        """Whether a state is on its way to the disk."""
        return any(not each.is_done for each in self._saves)

    # -- inside -----------------------------------------------------------------------------------

    def _names(self) -> list[FileName]:
        return self._found

    def _file(self, name: FileName) -> SessionFile:
        if self._running is not None and name == self._running.name:
            return self._running
        return super()._file(name)

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

    def _suspect(self, exc: DamagedBlock) -> None:
        name = next((name for name in self._found if name.in_folder(self.folder) == exc.path), None)
        if name is None or name.session in self.damaged:
            return
        self.damaged[name.session] = str(exc)
        log.error("journal=%s event=damaged detail=%r", exc.path, f"{exc}; the next start repairs it")
        try:
            names.with_suffix(exc.path, names.SUSPECT).write_text(f"{exc}\n")
        except OSError as error:
            log.error("journal=%s event=not-noted detail=%r", exc.path, str(error))

    def _repair_suspects(self) -> None:
        """Repair what was found damaged while it was read, if it still is."""
        for name in self._found:
            note = names.with_suffix(name.in_folder(self.folder), names.SUSPECT)
            if note.exists():
                found = verify_file(self.folder, name)
                if not found.whole:
                    self._repair(name, found.damages[0].what)
                note.unlink()

    def _open_newest(self) -> None:
        name = self._found[-1]
        try:
            file = SessionFile(self.folder, name)
            try:
                file.check_end(self.limits.check_on_open_bytes)
                ended = file.ended_ns is not None
            finally:
                file.close()
        except DamagedBlock as exc:
            self._repair(name, exc.what)
            ended = super()._file(name).ended_ns is not None
        if not ended:
            self._start(name)

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
        if (file := self._open.pop(name.order, None)) is not None:
            file.close()
        try:
            done = self._repair(name, what)
            self.damaged.pop(session, None)
            names.with_suffix(name.in_folder(self.folder), names.SUSPECT).unlink(missing_ok=True)
            return done
        finally:
            if was_running:
                self._start(name)

    def _repair(self, name: FileName, what: str) -> Repaired:
        done = repair(
            self.folder, name, self.feed, refill=name == self._found[-1], what=what, now_ns=self._clock_ns()
        )
        log.error(
            "journal=%s event=set-aside file=%s next=%d detail=%r",
            name.in_folder(self.folder),
            done.set_aside.name,
            done.position.next_seq,
            what,
        )
        self.repaired.append(done)
        return done

    def _start(self, name: FileName) -> None:
        if (file := self._open.pop(name.order, None)) is not None:
            file.close()
        file = SessionFile(self.folder, name, writable=True, busy_wait_s=self.limits.busy_wait_s)
        try:
            self._syncer = Syncer(file.path, self.limits, self._fsync, self._monotonic)
            self._next_seq = self._committed_seq = file.next_seq()
        except BaseException:
            file.close()
            raise
        self._running = file

    def _stop_running(self) -> None:
        if self._syncer is not None:
            self._syncer.close()
            self._syncer = None
        if self._running is not None:
            self._running.close()
            self._running = None

    def _forget_pending(self) -> None:
        self._pending = []
        self._pending_bytes = 0
        self._next_seq = self._committed_seq

    def _remove(self, order: int) -> int:
        """Remove all files of a session; returns their size."""
        name = next(name for name in self._found if name.order == order)
        gone = [*self._removed(), name.session][-REMOVED_MAX:]
        remembered = self._remember_removed(gone)
        if (file := self._open.pop(order, None)) is not None:
            file.close()
        self._found.remove(name)
        paths = [each.in_folder(self.folder) for each in names.files_in(self.folder) if each.order == order]
        freed = sum(names.size_of(path) for path in paths)
        beside = [name.state_in(self.folder), names.with_suffix(name.in_folder(self.folder), names.SUSPECT)]
        parts = [part for path in paths for part in names.companions(path)] + beside

        def unlink() -> None:
            try:
                for part in parts:
                    part.unlink(missing_ok=True)
                sync_folder(self.folder)
            except OSError as exc:
                raise JournalError(f"session {name.session!r} not removed: {exc}") from exc

        self._errands.send(str(name.in_folder(self.folder)), unlink)
        if not remembered:
            self._remember_removed(gone)
        log.info("journal=%s event=removed session=%s bytes=%d", self.folder, name.session, freed)
        return freed

    def _remember_removed(self, gone: list[str]) -> bool:
        """Whether it could be written: on a full disk, removing has to go on without."""
        partial = self.folder / (names.REMOVED_NAME + names.PARTIAL)
        try:
            partial.write_text(json.dumps(gone))
            partial.rename(self.folder / names.REMOVED_NAME)
        except OSError:
            return False
        return True


def _slowly(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        time.sleep(SAVE_PAUSE_S)

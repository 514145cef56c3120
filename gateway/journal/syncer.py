"""The thread that waits for the disk, so that the loop does not: fsync by timer, checkpoints of the log.

Knows one file's write-ahead log; knows no blocks. What it promises: a commit is on the disk
`fsync_interval_s` plus one fsync later, or the journal says that it is not.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal import names, rows
from gateway.journal.errors import JournalBusy, JournalFailed
from gateway.journal.limits import JournalLimits
from gateway.journal.session_file import connect

# What a commit adds to the log beside its raw bytes: pages that are written again, frame headers.
COMMIT_BYTES = 2 * (rows.PAGE_BYTES + 24)
# How often a busy log is copied before commits have to wait for the rest of it.
COPIES_MAX = 4
# A rest that is copied in a few milliseconds.
REST_BYTES = 1 << 20

log = logging.getLogger("gateway.journal")


class Syncer:
    """Owned by one Journal, for its running session. Everything public may be called from any thread.

    Why a commit costs the loop no fsync: SQLite (synchronous = NORMAL) waits for the disk only when a
    checkpoint runs and when the log starts again from its beginning, and both are done here.
    """

    def __init__(
        self,
        path: Path,
        limits: JournalLimits,
        fsync: Callable[[int], None] = os.fsync,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._limits = limits
        self._fsync = fsync
        self._monotonic = monotonic
        self._failure: str | None = None
        # Kept open from before the first write: Linux tells an error of writing back to such a descriptor.
        # (SQLite holds its locks on the main file and the index; closing this one drops none.)
        try:
            self._log_file = os.open(names.with_suffix(path, names.WAL), os.O_RDONLY)
        except OSError as exc:
            raise JournalError(f"{path}: its log can't be opened: {exc.strerror}") from exc
        self._one_at_a_time = threading.Lock()
        self._sync_started: float | None = None
        # Estimates, corrected at each checkpoint: in the log at all, and not yet copied from it.
        self._log_bytes = self._rest_bytes = 0
        self._dirty = threading.Event()
        self._stop = threading.Event()
        # Cleared while this thread holds the write lock.
        self._free = threading.Event()
        self._free.set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    def touch(self, committed_bytes: int) -> None:
        """Bytes were committed; they will be on the disk within the interval."""
        self._log_bytes += committed_bytes + COMMIT_BYTES
        self._rest_bytes += committed_bytes + COMMIT_BYTES
        if not self._dirty.is_set():
            self._dirty.set()

    def admit(self) -> None:
        """Return when a commit may be written; raise JournalFailed or JournalBusy when it may not."""
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if self._sync_started is not None and (stalled_s := self.stalled_s()) > self._limits.stall_max_s:
            raise JournalBusy(f"{self._path}: the disk has not finished an fsync for {stalled_s:.1f} s")
        if not self._free.is_set() and not self._free.wait(self._limits.busy_wait_s):
            raise JournalBusy(f"{self._path}: the disk is still emptying the log")
        if self._log_bytes >= self._limits.log_bytes_max:
            self._dirty.set()
            raise JournalBusy(
                f"{self._path}: {self._log_bytes} bytes in the log: the disk is too slow, or a program "
                f"keeps a transaction open in the file"
            )

    @property
    def failure(self) -> str | None:
        return self._failure

    def stalled_s(self) -> float:
        """How long the fsync that is under way has taken; 0 when none is."""
        started = self._sync_started
        return 0.0 if started is None else self._monotonic() - started

    def sync(self) -> None:
        """Wait until everything committed is on the disk; JournalFailed when it can't be told."""
        with self._one_at_a_time:
            # After `close` it has been done, or has failed.
            if not self._closed:
                self._sync_started = self._monotonic()
                try:
                    self._fsync(self._log_file)
                except OSError as exc:
                    self._fail(f"fsync: {exc.strerror or exc}")
                finally:
                    self._sync_started = None
        if self._failure is not None:
            raise JournalFailed(self._failure)

    def close(self) -> None:
        """Sync a last time and end the thread. Raises nothing: `failure` tells."""
        self._stop.set()
        self._dirty.set()
        self._thread.join()
        if self._failure is None:
            try:
                self.sync()
            except JournalFailed as exc:
                log.error("journal=%s event=sync-failed detail=%r", self._path, str(exc))
        with self._one_at_a_time:
            self._closed = True
            os.close(self._log_file)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while self._failure is None:
                self._dirty.wait()
                if self._stop.wait(self._limits.fsync_interval_s):
                    return
                self._dirty.clear()
                # `close` may have set both between the wait and here; cleared, it would wait for us for ever.
                if self._stop.is_set():
                    return
                try:
                    self.sync()
                    if self._is_due():
                        if connection is None:
                            connection = self._connect()
                        self._checkpoint(connection)
                except JournalFailed as exc:
                    log.error("journal=%s event=sync-failed detail=%r", self._path, str(exc))
                except sqlite3.Error as exc:
                    self._judge(exc)
                except JournalError as exc:
                    # It could not be opened, as when there are no descriptors left: the next round may.
                    log.warning("journal=%s event=checkpoint-failed detail=%r", self._path, str(exc))
        except BaseException as exc:
            # A bug of ours. Without this thread nothing that is committed would get onto the disk.
            self._fail(f"the thread that waits for the disk has ended: {exc!r}")
            raise
        finally:
            if connection is not None:
                connection.close()

    def _is_due(self) -> bool:
        # The second: all is copied, but a reader kept the log from starting again.
        limits = self._limits
        return self._rest_bytes >= limits.checkpoint_bytes or self._log_bytes >= limits.log_bytes_max

    def _connect(self) -> sqlite3.Connection:
        # It waits for readers less long than a commit waits for it.
        connection = connect(self._path, writable=True, busy_wait_s=self._limits.busy_wait_s / 2)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the log into the main file, and let the log start again from its beginning when it can.

        PASSIVE runs beside the writer, so at a high rate it never reaches the end of the log. When the log
        has grown to `empty_log_bytes`, RESTART does the rest while commits wait.
        """
        limits = self._limits
        self._copy(connection, "PASSIVE")
        if self._log_bytes >= limits.empty_log_bytes:
            for _ in range(COPIES_MAX):
                if self._rest_bytes <= REST_BYTES:
                    break
                self._copy(connection, "PASSIVE")
        elif self._rest_bytes:
            return
        with self._commits_wait():
            if self._copy(connection, "RESTART"):
                # The first write into an emptied log waits for the disk: let it be this one, not the loop's.
                connection.execute("UPDATE checkpointed SET at_ns = ?", (time.time_ns(),))
                self._log_bytes = self._rest_bytes = 0

    def _copy(self, connection: sqlite3.Connection, mode: str) -> bool:
        """Whether nothing stood in the way: with RESTART, that the next write starts the log again."""
        busy, in_log, copied = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self._log_bytes = in_log * rows.PAGE_BYTES
        self._rest_bytes = (in_log - copied) * rows.PAGE_BYTES
        return not busy

    @contextmanager
    def _commits_wait(self) -> Iterator[None]:
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def _judge(self, exc: sqlite3.Error) -> None:
        if exc.sqlite_errorname == "SQLITE_IOERR_FSYNC":
            self._fail(f"fsync: {exc}")
        elif exc.sqlite_errorcode & 0xFF not in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_LOCKED,
        ):
            # A reader in the way or a full disk: the log keeps what it has, the next round tries again.
            log.warning("journal=%s event=checkpoint-failed detail=%r", self._path, str(exc))

    def _fail(self, what: str) -> None:
        # After a failed fsync the kernel may have dropped the pages and call the next fsync a success:
        # what is on the disk is unknown until the file is read again.
        self._failure = (
            f"{self._path}: {what}; stopped, because what is on the disk is not known any more: "
            f"look at the disk, then restart the gateway"
        )

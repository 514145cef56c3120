"""One session's file: open or create it, write a commit's blocks and gaps, read from a number.

Knows SQLite and one file; knows nothing of other sessions, of fsync, of retention.
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from struct import error as StructError

from gateway.errors import ConfigError, JournalError
from gateway.journal import names, rows
from gateway.journal.errors import DamagedBlock
from gateway.journal.names import FileName
from gateway.journal.values import SessionInfo
from gateway.values import Block, Gap

# A row's cost beside its raw bytes, so that a read of many tiny blocks is bounded too.
ROW_BYTES = 64

log = logging.getLogger("gateway.journal")


class SessionFile:
    """The open file of one session. Writable for one owner; any number of processes read beside it.

    Every method raises JournalError (or a subclass), never sqlite3.Error.
    """

    def __init__(
        self, folder: Path, name: FileName, *, writable: bool = False, busy_wait_s: float = 0.05
    ) -> None:
        self.path = name.in_folder(folder)
        self.name = name
        self.session = name.session
        self._connection = connect(self.path, writable=writable, busy_wait_s=busy_wait_s)
        try:
            if writable:
                # NORMAL: no fsync per commit, but SQLite itself keeps log and main file in a safe order.
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                # Checkpoints belong to the thread that may wait for the disk.
                self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            row = rows.read_session_row(self._connection, self.path, self.session)
        except sqlite3.Error as exc:
            self._connection.close()
            raise rows.as_journal_error(exc, self.path) from exc
        except (JournalError, ConfigError):
            self._connection.close()
            raise
        self.feed: str = row[1]
        self.first_seq: int = row[3]
        self.started_ns: int = row[4]
        self.ended_ns: int | None = row[5]
        self._end_seq: int | None = row[6]
        # The file as it was opened: another inode under the same name is another file.
        self.inode = self.path.stat().st_ino

    @classmethod
    def create(cls, folder: Path, name: FileName, feed: str, first_seq: int, now_ns: int) -> None:
        """Make an empty file. It gets its name when whole, so a crash leaves none that can't be opened."""
        path = name.in_folder(folder)
        partial = names.with_suffix(path, names.PARTIAL)
        for part in names.companions(partial):
            part.unlink(missing_ok=True)
        try:
            connection = sqlite3.connect(partial, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(rows.SCHEMA)
                connection.execute(
                    rows.INSERT_SESSION, rows.session_row(feed, name.session, first_seq, now_ns)
                )
            finally:
                connection.close()
            partial.rename(path)
            sync_folder(folder)
        except (sqlite3.Error, OverflowError) as exc:
            raise rows.as_journal_error(exc, path) from exc
        except OSError as exc:
            raise JournalError(f"{path}: {exc.strerror}") from exc

    def close(self) -> None:
        self._connection.close()

    def write(self, items: Sequence[Block | Gap], now_ns: int) -> None:
        """Write all of `items` or nothing. What is written survives the process, not yet a loss of power."""
        connection = self._connection
        try:
            blocks = [rows.block_row(item) for item in items if isinstance(item, Block)]
            gaps = [rows.gap_row(item, now_ns) for item in items if isinstance(item, Gap)]
        except StructError as exc:
            # A SoupBinTCP number may have twenty digits, SQLite's and ours end at 2^63 - 1.
            raise JournalError(
                f"{self.path}: a number up to {_last_of(items)} can't be stored: {exc}"
            ) from exc
        try:
            if not gaps and len(blocks) == 1:
                connection.execute(rows.INSERT_BLOCK, blocks[0])
                return
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(rows.INSERT_BLOCK, blocks)
            connection.executemany(rows.INSERT_GAP, gaps)
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._roll_back()
            raise rows.as_journal_error(exc, self.path) from exc

    def mark_ended(self, ended_ns: int | None) -> None:
        """Write that no more will come; None takes it back."""
        end_seq = None if ended_ns is None else self.next_seq()
        row = rows.session_row(self.feed, self.session, self.first_seq, self.started_ns, ended_ns, end_seq)
        try:
            self._connection.execute("UPDATE session SET ended_ns = ?, end_seq = ?, crc32 = ?", row[-3:])
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc
        self.ended_ns, self._end_seq = ended_ns, end_seq

    def checkpoint(self) -> None:
        """Copy the log into the main file here and now; for a copy that nobody waits for."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc

    def settle(self, *, alone: bool = True) -> None:
        """Make one file of main file and log, unless a reader stands in the way.

        Unless `alone`, the log is emptied and no reader is held up; the rest is done on the next opening.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if alone:
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        except sqlite3.Error as exc:
            if "BUSY" not in exc.sqlite_errorname and "LOCKED" not in exc.sqlite_errorname:
                raise rows.as_journal_error(exc, self.path) from exc

    def next_seq(self) -> int:
        """One past the last number had or declared missing."""
        last = self._block("DESC")
        try:
            gap = self._connection.execute(rows.SELECT_LAST_GAP).fetchone()
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc
        ends = [self.first_seq]
        if last is not None:
            ends.append(last.next_seq)
        if gap is not None:
            ends.append(rows.gap_of(gap, self.session, self.path).to_seq + 1)
        if self._end_seq is not None and max(ends) != self._end_seq:
            raise DamagedBlock(self.path, None, f"ends in front of {max(ends)}, {self._end_seq} expected")
        return max(ends)

    def _block(self, order: str) -> Block | None:
        """The first (ASC) or last (DESC) block."""
        sql = f"SELECT {rows.BLOCK_COLUMNS} FROM block ORDER BY first_seq {order} LIMIT 1"
        try:
            row = self._connection.execute(sql).fetchone()
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc
        return None if row is None else rows.block_of(row, self.session, self.path)

    def read(self, from_seq: int, bytes_max: int) -> list[Block | Gap]:
        """Blocks and declared gaps from `from_seq` on, without a hole: `bytes_max` or a little more.

        At least one item when there is one. The first block is cut to start at `from_seq`. What is whole in
        front of a damage is returned; the next read, which starts at the damage, raises DamagedBlock.
        """
        items: list[Block | Gap] = []
        try:
            self._read_into(items, from_seq, bytes_max)
        except DamagedBlock:
            if not items:
                raise
        except sqlite3.Error as exc:
            if not items or not rows.is_damage(exc):
                raise rows.as_journal_error(exc, self.path) from exc
        return items

    def _read_into(self, items: list[Block | Gap], at: int, bytes_max: int) -> None:
        session, path, connection = self.session, self.path, self._connection
        size = 0
        cursor = connection.execute(rows.SELECT_FROM, (at,))
        for row in cursor:
            block = rows.block_of(row, session, path)
            if block.first_seq != at:
                if block.next_seq <= at and not items:
                    continue  # It ends in front of a gap in which `at` is, or of the end.
                if block.first_seq > at:
                    items.extend(rows.fill_hole(connection, session, path, at, block.first_seq - 1))
                elif items:
                    raise DamagedBlock(path, block.first_seq, f"overlaps: {at} was expected next")
                else:
                    block = block.tail(at)
            items.append(block)
            at = block.next_seq
            size += len(block.raw) + ROW_BYTES
            if size >= bytes_max:
                # Nothing holds the log longer than a read takes.
                cursor.close()
                return
        for row in connection.execute(rows.SELECT_GAPS_FROM, (at,)).fetchall():
            gap = rows.gap_of(row, session, path)
            if gap.from_seq <= at:
                items.append(Gap(session, at, gap.to_seq))
                at = gap.to_seq + 1
        if self._end_seq is not None and at < self._end_seq:
            raise DamagedBlock(path, at, f"ends here, {self._end_seq} expected")

    def gaps(self) -> tuple[Gap, ...]:
        try:
            found = self._connection.execute(rows.SELECT_GAPS_FROM, (self.first_seq,)).fetchall()
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc
        return tuple(rows.gap_of(row, self.session, self.path) for row in found)

    def info(self) -> SessionInfo:
        """What `ls` tells: a few rows are read, whatever the size."""
        gaps, next_seq = self.gaps(), self.next_seq()
        missing = sum(gap.to_seq - gap.from_seq + 1 for gap in gaps)
        first, last = self._block("ASC"), self._block("DESC")
        return SessionInfo(
            feed=self.feed,
            session=self.session,
            order=self.name.order,
            path=self.path,
            first_seq=self.first_seq,
            next_seq=next_seq,
            messages=next_seq - self.first_seq - missing,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            first_received_ns=first.received_ns if first else None,
            last_received_ns=last.received_ns if last else None,
            bytes=names.size_of(self.path),
            gaps=gaps,
        )

    def check_end(self, check_bytes: int) -> None:
        """Raise DamagedBlock when the file is shorter than it says or one of its last blocks not whole."""
        try:
            if names.size_of(self.path) <= check_bytes:
                found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    raise DamagedBlock(self.path, None, found)
            size, below = 0, None
            for row in self._connection.execute(rows.SELECT_BACKWARDS):
                block = rows.block_of(row, self.session, self.path)
                if rows.packets_in(block.raw) != block.count:
                    raise DamagedBlock(self.path, block.first_seq, f"does not hold {block.count} packets")
                if below is not None and block.next_seq != below:
                    if block.next_seq > below:
                        raise DamagedBlock(self.path, block.first_seq, f"overlaps the block at {below}")
                    rows.fill_hole(self._connection, self.session, self.path, block.next_seq, below - 1)
                below = block.first_seq
                size += len(block.raw) + ROW_BYTES
                if size >= check_bytes:
                    return
            if below is not None and below > self.first_seq:
                rows.fill_hole(self._connection, self.session, self.path, self.first_seq, below - 1)
        except sqlite3.Error as exc:
            raise rows.as_journal_error(exc, self.path) from exc

    def _roll_back(self) -> None:
        # SQLite has done it by itself after some errors and not after others.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def finish_file(folder: Path, name: FileName) -> None:
    """Make one file of an ended session's that still keeps a log beside it (byte 18 of its header tells)."""
    path = name.in_folder(folder)
    try:
        with path.open("rb") as header:
            if header.read(19)[18:] != b"\x02":
                return
        file = SessionFile(folder, name, writable=True)
        try:
            file.settle()
        finally:
            file.close()
    except (OSError, JournalError, ConfigError) as exc:
        # Whoever reads it is told what is wrong with it.
        log.warning("journal=%s event=not-finished detail=%r", path, str(exc))


def _last_of(items: Sequence[Block | Gap]) -> int:
    last = items[-1]
    return last.to_seq if isinstance(last, Gap) else last.next_seq - 1


def connect(path: Path, *, writable: bool, busy_wait_s: float = 1.0) -> sqlite3.Connection:
    """Open an existing file; a reader takes no lock that a writer would wait for."""
    uri = f"{path.absolute().as_uri()}?mode={'rw' if writable else 'ro'}"
    try:
        try:
            return _opened(uri, busy_wait_s)
        except sqlite3.OperationalError as exc:
            if (
                writable
                or exc.sqlite_errorname != "SQLITE_CANTOPEN"
                or names.with_suffix(path, names.WAL).exists()
            ):
                raise
            # A finished file on a medium that can't be written: there is no log, so nobody writes it either.
            return _opened(f"{uri}&immutable=1", busy_wait_s)
    except sqlite3.Error as exc:
        if not path.exists():
            raise JournalError(f"{path} does not exist") from exc
        raise rows.as_journal_error(exc, path) from exc


def connect_damaged(path: Path) -> sqlite3.Connection:
    """Open for reading whatever can be read: also a file that is shorter than it says."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        # Otherwise SQLite refuses such a file as a whole.
        connection.execute("PRAGMA writable_schema = ON")
    except sqlite3.Error as exc:
        raise rows.as_journal_error(exc, path) from exc
    return connection


def _opened(uri: str, busy_wait_s: float) -> sqlite3.Connection:
    # One thread at a time uses a connection, but not always the one that opened it.
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=busy_wait_s, check_same_thread=False
    )
    try:
        # SQLite opens the file only when it is first read.
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

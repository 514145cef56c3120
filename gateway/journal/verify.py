"""Checks every block and every number of a file, and goes on behind each damage to find the next.

Knows one file and reads it in short steps, so that a running writer is not held up; changes nothing.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gateway.journal import names, rows
from gateway.journal.errors import DamagedBlock
from gateway.journal.names import FileName
from gateway.journal.session_file import connect_damaged
from gateway.journal.values import Damage, Verified
from gateway.values import Block, Gap

# One step's read transaction; the writer can't empty its log during one.
STEP_ROWS = 2000
# Damage beyond this many places is not listed.
DAMAGES_MAX = 1000
SELECT_STEP = (
    f"SELECT {rows.BLOCK_COLUMNS} FROM block WHERE first_seq > ? ORDER BY first_seq LIMIT {STEP_ROWS}"
)

Progress = Callable[[int, int], None]


def verify_file(folder: Path, name: FileName, progress: Progress | None = None) -> Verified:
    """Check a file, its structure first. `progress` is called with (bytes checked, bytes in all)."""
    path = name.in_folder(folder)
    with closing(connect_damaged(path)) as connection:
        return _Verifier(connection, path, name.session, progress or (lambda done, total: None)).run()


class _Verifier:
    def __init__(self, connection: sqlite3.Connection, path: Path, session: str, progress: Progress) -> None:
        self._connection = connection
        self._path = path
        self._session = session
        self._progress = progress
        self._size = names.size_of(path)
        self._damages: list[Damage] = []
        self._gaps: list[Gap] = []
        self._first_seq = self._next_seq = 1
        self._end_seq: int | None = None
        self._messages = self._blocks = self._bytes = 0

    def run(self) -> Verified:
        for step in (self._check_structure, self._check_session, self._check_gaps, self._check_blocks):
            try:
                step()
            except DamagedBlock as exc:
                self._damaged(exc.seq, exc.what)
            except sqlite3.Error as exc:
                if not rows.is_damage(exc):
                    raise rows.as_journal_error(exc, self._path) from exc
                self._damaged(None, f"{exc}; nothing behind it can be read")
        return Verified(
            self._path,
            self._session,
            self._first_seq,
            self._next_seq,
            self._messages,
            self._blocks,
            self._bytes,
            tuple(self._gaps),
            tuple(self._damages),
        )

    def _check_structure(self) -> None:
        for (found,) in self._connection.execute("PRAGMA quick_check(10)").fetchall():
            if found != "ok":
                # The first line only names the database.
                self._damaged(None, f"structure: {found.splitlines()[-1]}")

    def _check_session(self) -> None:
        row = rows.read_session_row(self._connection, self._path, self._session)
        self._first_seq = self._next_seq = row[3]
        self._end_seq = row[6]

    def _check_gaps(self) -> None:
        for row in self._connection.execute(rows.SELECT_GAPS_FROM, (0,)).fetchall():
            try:
                self._gaps.append(rows.gap_of(row, self._session, self._path))
            except DamagedBlock as exc:
                self._damaged(exc.seq, exc.what)

    def _check_blocks(self) -> None:
        last, before = -1, -2
        while last > before and len(self._damages) < DAMAGES_MAX:
            before = last
            for row in self._connection.execute(SELECT_STEP, (last,)):
                last = row[0]
                try:
                    self._check_block(rows.block_of(row, self._session, self._path))
                except DamagedBlock as exc:
                    self._damaged(exc.seq, exc.what)
            self._progress(min(self._bytes, self._size), self._size)
        self._check_hole(self._next_seq, None)
        if self._end_seq is not None and self._next_seq != self._end_seq:
            self._damaged(self._next_seq, f"the session ends here, {self._end_seq} expected")

    def _check_block(self, block: Block) -> None:
        packets = rows.packets_in(block.raw)
        if packets != block.count:
            raise DamagedBlock(
                self._path, block.first_seq, f"{block.count} packets expected, {packets} found"
            )
        if block.first_seq < self._next_seq:
            raise DamagedBlock(self._path, block.first_seq, f"overlaps: {self._next_seq} was expected next")
        if block.first_seq > self._next_seq:
            self._check_hole(self._next_seq, block.first_seq)
        self._next_seq = block.next_seq
        self._messages += block.count
        self._blocks += 1
        self._bytes += len(block.raw)

    def _check_hole(self, from_seq: int, to_seq: int | None) -> None:
        """Numbers up to `to_seq` (to the end of the file) must have been declared missing."""
        for gap in self._gaps:
            if gap.from_seq == from_seq and (to_seq is None or gap.to_seq < to_seq):
                from_seq = gap.to_seq + 1
        if to_seq is not None and from_seq != to_seq:
            self._damaged(from_seq, f"numbers {from_seq} to {to_seq - 1} are missing and no gap was declared")
        self._next_seq = from_seq

    def _damaged(self, seq: int | None, what: str) -> None:
        self._damages.append(Damage(self._path, seq, what))

"""The tables of a session's file, and the checksum that guards each row.

Knows the file format (docs/journal.md describes it for people); knows nothing of folders, threads or readers.
"""

import sqlite3
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Any
from zlib import crc32

from gateway.errors import ConfigError, JournalError
from gateway.journal.errors import DamagedBlock, JournalBusy, JournalFull
from gateway.values import Block, Gap

FORMAT = 1
APPLICATION_ID = 0x534F5550  # "SOUP", so that `file` can tell
# Small, because each commit writes at least one page into the log: half of the disk's work of 4096. Not 1024:
# at a high rate each page is a call of its own when the log is copied, which took 3 % of the whole way more.
PAGE_BYTES = 2048
SCHEMA = f"""
PRAGMA page_size = {PAGE_BYTES};
CREATE TABLE session (
    format INTEGER NOT NULL, feed TEXT NOT NULL, name TEXT NOT NULL, first_seq INTEGER NOT NULL,
    started_ns INTEGER NOT NULL, ended_ns INTEGER, end_seq INTEGER, crc32 INTEGER NOT NULL);
CREATE TABLE block (
    first_seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    crc32 INTEGER NOT NULL, raw BLOB NOT NULL);
CREATE TABLE gap (
    from_seq INTEGER PRIMARY KEY, to_seq INTEGER NOT NULL, declared_ns INTEGER NOT NULL,
    crc32 INTEGER NOT NULL);
CREATE TABLE checkpointed (at_ns INTEGER NOT NULL);
INSERT INTO checkpointed VALUES (0);
PRAGMA application_id = {APPLICATION_ID};
"""
INSERT_BLOCK = "INSERT INTO block (first_seq, count, received_ns, crc32, raw) VALUES (?, ?, ?, ?, ?)"
INSERT_GAP = "INSERT INTO gap (from_seq, to_seq, declared_ns, crc32) VALUES (?, ?, ?, ?)"
BLOCK_COLUMNS = "first_seq, count, received_ns, crc32, raw"
# From the block that holds ?1, or that follows it.
SELECT_FROM = f"""
SELECT {BLOCK_COLUMNS} FROM block
WHERE first_seq >= ifnull(
    (SELECT first_seq FROM block WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1), ?1)
ORDER BY first_seq"""
INSERT_SESSION = "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
SELECT_BACKWARDS = f"SELECT {BLOCK_COLUMNS} FROM block ORDER BY first_seq DESC"
SELECT_GAPS_FROM = "SELECT from_seq, to_seq, declared_ns, crc32 FROM gap WHERE to_seq >= ? ORDER BY from_seq"
SELECT_LAST_GAP = "SELECT from_seq, to_seq, declared_ns, crc32 FROM gap ORDER BY from_seq DESC LIMIT 1"
# SQLite's own largest integer; a SoupBinTCP number may have twenty digits.
SEQ_MAX = 2**63 - 1

_numbers_of_block = Struct(">qqq").pack
Row = tuple[Any, ...]


def block_crc(first_seq: int, count: int, received_ns: int, raw: bytes) -> int:
    """CRC-32 of the three numbers (big-endian, 8 bytes each) and the raw bytes: guards all columns."""
    return crc32(raw, crc32(_numbers_of_block(first_seq, count, received_ns)))


def block_row(block: Block) -> Row:
    first_seq, count, received_ns, raw = block.first_seq, block.count, block.received_ns, block.raw
    return (
        first_seq,
        count,
        received_ns,
        crc32(raw, crc32(_numbers_of_block(first_seq, count, received_ns))),
        raw,
    )


def block_of(row: Row, session: str, path: Path) -> Block:
    """The block of a row; DamagedBlock when the row is not what was written."""
    first_seq, count, received_ns, crc, raw = row
    try:
        good = crc32(raw, crc32(_numbers_of_block(first_seq, count, received_ns))) == crc
    except (StructError, TypeError) as exc:
        # A flipped bit may also have made text or nothing of what was a number.
        raise DamagedBlock(path, first_seq, f"columns are of other types than written ({exc})") from exc
    if not good:
        raise DamagedBlock(path, first_seq, "checksum does not match")
    return Block(session, first_seq, count, received_ns, raw)


def gap_row(gap: Gap, declared_ns: int) -> Row:
    return (
        gap.from_seq,
        gap.to_seq,
        declared_ns,
        crc32(_numbers_of_block(gap.from_seq, gap.to_seq, declared_ns)),
    )


def gap_of(row: Row, session: str, path: Path) -> Gap:
    try:
        good = crc32(_numbers_of_block(*row[:3])) == row[3]
    except (StructError, TypeError) as exc:
        raise DamagedBlock(path, row[0], f"gap: columns are of other types than written ({exc})") from exc
    if not good:
        raise DamagedBlock(path, row[0], "gap: checksum does not match")
    return Gap(session, row[0], row[1])


def session_row(
    feed: str,
    name: str,
    first_seq: int,
    started_ns: int,
    ended_ns: int | None = None,
    end_seq: int | None = None,
) -> Row:
    """`end_seq` is one past the last number of an ended session: a file that has lost its end can tell."""
    values = (FORMAT, feed, name, first_seq, started_ns, ended_ns, end_seq)
    return (*values, session_crc(values))


def read_session_row(connection: sqlite3.Connection, path: Path, session: str) -> Row:
    """The one row of table `session`; checked against its checksum and against the file's name."""
    rows = connection.execute("SELECT * FROM session").fetchmany(2)
    if len(rows) != 1 or session_crc(rows[0][:-1]) != rows[0][-1]:
        raise DamagedBlock(path, None, "table session: checksum does not match")
    row: Row = rows[0]
    if row[0] > FORMAT:
        raise ConfigError(f"{path} has format {row[0]}, this gateway knows up to {FORMAT}: upgrade it")
    if row[2] != session:
        raise DamagedBlock(path, None, f"holds session {row[2]!r}, its name says {session!r}")
    return row


def packets_in(raw: bytes) -> int:
    """How many whole sequenced packets `raw` is made of; -1 when it is not."""
    at = count = 0
    while at + 3 <= len(raw) and raw[at + 2] == 0x53:
        at += 2 + int.from_bytes(raw[at : at + 2], "big")
        count += 1
    return count if at == len(raw) else -1


def fill_hole(
    connection: sqlite3.Connection, session: str, path: Path, from_seq: int, to_seq: int
) -> list[Gap]:
    """The declared gaps that cover `from_seq` … `to_seq` whole; DamagedBlock when they do not."""
    found: list[Gap] = []
    at = from_seq
    for row in connection.execute(SELECT_GAPS_FROM, (from_seq,)).fetchall():
        gap = gap_of(row, session, path)
        if gap.from_seq > at or at > to_seq:
            break
        found.append(Gap(session, at, min(gap.to_seq, to_seq)))
        at = gap.to_seq + 1
    if at <= to_seq:
        raise DamagedBlock(path, at, f"numbers {at} to {to_seq} are missing and no gap was declared")
    return found


def is_damage(exc: sqlite3.Error) -> bool:
    """Whether SQLite says that the file's contents, not the disk or the caller, are at fault."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    # SQLITE_ERROR is "no such table": the schema is not there.
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def as_journal_error(exc: sqlite3.Error | OverflowError, path: Path) -> JournalError:
    """What an error of SQLite means to the caller."""
    name = getattr(exc, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"):
        return JournalFull(f"{path}: no room on the disk ({name}); make room and it goes on by itself")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return JournalBusy(f"{path}: the write lock is held ({name})")
    if isinstance(exc, sqlite3.Error) and is_damage(exc):
        return DamagedBlock(path, None, f"{exc} ({name})")
    return JournalError(f"{path}: {exc} ({name or type(exc).__name__})")


def session_crc(values: Row) -> int:
    """CRC-32 of the columns in front of it, as text, one per line."""
    return crc32("\n".join(map(str, values)).encode())

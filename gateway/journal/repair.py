"""A damaged file is set aside, and what of it is whole goes into a fresh one.

Knows how to read around damage; the order of its steps is such that a crash between any two loses nothing.
"""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gateway.journal import names, rows
from gateway.journal.errors import DamagedBlock
from gateway.journal.names import FileName
from gateway.journal.session_file import SessionFile, connect_damaged, sync_folder
from gateway.journal.values import Repaired
from gateway.values import Block, Gap, Position

COPY_BYTES = 64 << 20
# A folder in which the copy is made.
SCRATCH = ".salvage"

log = logging.getLogger("gateway.journal")


def repair(folder: Path, name: FileName, feed: str, *, refill: bool, what: str, now_ns: int) -> Repaired:
    """Replace a file by what of it is whole; the old one is kept beside it under another name.

    With `refill` the fresh file ends in front of the first damage, because the upstream can send the rest
    again. Without, what stands behind the damage is kept too, and the numbers between are declared missing.
    """
    path = name.in_folder(folder)
    scratch = folder / (path.name + SCRATCH)
    _remove_scratch(scratch)
    scratch.mkdir()
    next_seq, gaps, messages = _salvage(path, scratch, name, feed, refill=refill, now_ns=now_ns)
    number = 1 + max(
        (other.damaged for other in names.files_in(folder) if other.order == name.order), default=0
    )
    aside = FileName(name.order, name.session, number).in_folder(folder)
    # From here on a whole copy exists under a name that `finish_repairs` knows.
    salvaged = names.with_suffix(path, names.SALVAGED)
    name.in_folder(scratch).rename(salvaged)
    sync_folder(folder)
    _set_aside(path, aside)
    salvaged.rename(path)
    sync_folder(folder)
    _remove_scratch(scratch)
    log.error("journal=%s event=set-aside file=%s next=%d detail=%r", path, aside.name, next_seq, what)
    return Repaired(name.session, aside, messages, Position(name.session, next_seq), gaps, what)


def finish_repairs(folder: Path) -> None:
    """Complete or take back what a crash left half done, and remove what belongs to no file."""
    for path in list(folder.iterdir()):
        if path.is_dir():
            if path.name.endswith(SCRATCH):
                _remove_scratch(path)
        elif path.name.endswith(names.SALVAGED):
            target = path.with_name(path.name.removesuffix(names.SALVAGED))
            if target.exists():
                path.unlink()
            else:
                # The companions of the file that was set aside must not be taken for those of the fresh one.
                for part in names.companions(target)[1:]:
                    part.unlink(missing_ok=True)
                path.rename(target)
                sync_folder(folder)
    for path in list(folder.iterdir()):
        main = path.name.removesuffix(names.WAL).removesuffix(names.SHM)
        if path.name.endswith(names.PARTIAL) or (main != path.name and not (folder / main).exists()):
            path.unlink(missing_ok=True)


def _salvage(
    path: Path, scratch: Path, name: FileName, feed: str, *, refill: bool, now_ns: int
) -> tuple[int, tuple[Gap, ...], int]:
    """Copy what is whole into a file of the same name in `scratch`; returns (next number, gaps, messages)."""
    with closing(connect_damaged(path)) as connection:
        try:
            row = rows.read_session_row(connection, path, name.session)
            first_seq, started_ns, ended_ns, end_seq = row[3:7]
        except (sqlite3.Error, DamagedBlock):
            # A session starts at 1; and only the newest one may still be running.
            first_seq, started_ns, end_seq = 1, now_ns, None
            ended_ns = None if refill else now_ns
        refill = refill and ended_ns is None
        SessionFile.create(scratch, name, feed, first_seq, started_ns)
        with closing(SessionFile(scratch, name, writable=True)) as target:
            at = _copy(connection, path, target, refill=refill, now_ns=now_ns)
            if end_seq is not None and at < end_seq:
                target.write([Gap(name.session, at, end_seq - 1)], now_ns)
            if ended_ns is not None:
                target.mark_ended(ended_ns)
            target.settle()
            info = target.info()
            return info.next_seq, info.gaps, info.messages


def _copy(
    connection: sqlite3.Connection, path: Path, target: SessionFile, *, refill: bool, now_ns: int
) -> int:
    at, size, session = target.first_seq, 0, target.session
    gaps = _gaps(connection, path, session)
    for block in _readable(connection, path, session, around_damage=not refill):
        if block.next_seq <= at:
            continue
        block = block.tail(at)
        if block.first_seq > at:
            declared = _declared(gaps, at, block.first_seq - 1)
            if not declared and refill:
                break
            target.write(declared or [Gap(session, at, block.first_seq - 1)], now_ns)
        target.write([block], now_ns)
        at = block.next_seq
        size += len(block.raw)
        if size >= COPY_BYTES:
            target.checkpoint()
            size = 0
    for gap in gaps:
        if gap.from_seq == at:
            target.write([gap], now_ns)
            at = gap.to_seq + 1
    return at


def _declared(gaps: list[Gap], from_seq: int, to_seq: int) -> list[Gap]:
    """The declared gaps that fill `from_seq` … `to_seq` exactly; none when they do not."""
    within = [gap for gap in gaps if gap.from_seq >= from_seq and gap.to_seq <= to_seq]
    edges = [from_seq - 1, *(gap.to_seq for gap in within)]
    fits = bool(within) and edges[-1] == to_seq
    return (
        within
        if fits and all(gap.from_seq == edge + 1 for gap, edge in zip(within, edges, strict=False))
        else []
    )


def _readable(
    connection: sqlite3.Connection, path: Path, session: str, *, around_damage: bool
) -> Iterator[Block]:
    """Whole blocks in order, up to the first damage or around it."""
    last = -1
    for _ in range(2):
        try:
            for row in _rows(connection, last):
                try:
                    block = rows.block_of(row, session, path)
                    if rows.packets_in(block.raw) != block.count:
                        raise DamagedBlock(path, block.first_seq, f"does not hold {block.count} packets")
                except DamagedBlock:
                    if not around_damage:
                        return
                    continue
                last = block.first_seq
                yield block
            return
        except sqlite3.Error as exc:
            if not rows.is_damage(exc):
                raise rows.as_journal_error(exc, path) from exc
        # The tree is broken here: what can be reached from its end stands behind the break.
        behind = _lowest_from_the_end(connection, last)
        if behind is None or not around_damage:
            return
        last = behind - 1


def _rows(connection: sqlite3.Connection, last: int) -> Iterator[rows.Row]:
    """Rows behind `last` in order; sqlite3.Error at a broken page, after all rows in front of it."""
    sql = f"SELECT {rows.BLOCK_COLUMNS} FROM block WHERE first_seq > ? ORDER BY first_seq"
    try:
        for row in connection.execute(sql, (last,)):
            yield row
            last = row[0]
        return
    except sqlite3.Error as exc:
        if not rows.is_damage(exc):
            raise
    # Python's cursor looks one row ahead, so the error came a row early.
    while (row := connection.execute(f"{sql} LIMIT 1", (last,)).fetchone()) is not None:
        yield row
        last = row[0]


def _lowest_from_the_end(connection: sqlite3.Connection, last: int) -> int | None:
    """The lowest number that can be reached going back from the end, as far as `last`."""
    lowest: int | None = None
    below = rows.SEQ_MAX
    sql = "SELECT first_seq FROM block WHERE first_seq < ? ORDER BY first_seq DESC LIMIT 1"
    try:
        while (row := connection.execute(sql, (below,)).fetchone()) is not None and row[0] > last:
            lowest = below = int(row[0])
    except sqlite3.Error:
        return lowest
    return lowest


def _gaps(connection: sqlite3.Connection, path: Path, session: str) -> list[Gap]:
    found: list[Gap] = []
    try:
        for row in connection.execute(rows.SELECT_GAPS_FROM, (0,)):
            try:
                found.append(rows.gap_of(row, session, path))
            except DamagedBlock:
                continue
    except sqlite3.Error as exc:
        if not rows.is_damage(exc):
            raise rows.as_journal_error(exc, path) from exc
    return found


def _set_aside(path: Path, aside: Path) -> None:
    # The main file first: a crash here leaves no file under the old name without its log.
    path.rename(aside)
    wal = names.with_suffix(path, names.WAL)
    if wal.exists() and wal.stat().st_size == 0:
        wal.unlink()
    elif wal.exists():
        wal.rename(names.with_suffix(aside, names.WAL))
    names.with_suffix(path, names.SHM).unlink(missing_ok=True)


def _remove_scratch(scratch: Path) -> None:
    if scratch.is_dir():
        shutil.rmtree(scratch)

"""What is done with a feed's folder when its journal is opened, before anything is written or read.

Knows the order: what a crash left half done, notes of damage, logs of ended sessions, the newest file's end.
"""

from dataclasses import dataclass, field
from pathlib import Path

from gateway.journal import names
from gateway.journal.errors import DamagedBlock
from gateway.journal.limits import JournalLimits
from gateway.journal.names import FileName
from gateway.journal.repair import finish_repairs, repair
from gateway.journal.session_file import SessionFile, finish_file
from gateway.journal.suspects import note_of
from gateway.journal.values import Repaired
from gateway.journal.verify import verify_file


@dataclass(slots=True)
class Opened:
    """The whole files in order, what had to be set aside, and the newest session unless it has ended."""

    found: list[FileName]
    repaired: list[Repaired] = field(default_factory=list)
    running: FileName | None = None


def open_folder(folder: Path, feed: str, limits: JournalLimits, now_ns: int) -> Opened:
    """Have every session that can be had; the folder is ours alone."""
    finish_repairs(folder)
    opened = Opened([name for name in names.files_in(folder) if not name.damaged])
    for name in opened.found:
        if (done := _suspect(folder, name, feed, newest=name == opened.found[-1], now_ns=now_ns)) is not None:
            opened.repaired.append(done)
    for name in opened.found[:-1]:
        finish_file(folder, name)
    if opened.found:
        newest = opened.found[-1]
        try:
            ended = _has_ended(folder, newest, limits.check_on_open_bytes)
        except DamagedBlock as exc:
            opened.repaired.append(repair(folder, newest, feed, refill=True, what=exc.what, now_ns=now_ns))
            ended = _has_ended(folder, newest, None)
        if not ended:
            opened.running = newest
    return opened


def _suspect(folder: Path, name: FileName, feed: str, *, newest: bool, now_ns: int) -> Repaired | None:
    """Repair what was found damaged while it was read, if it still is."""
    note = note_of(folder, name)
    if not note.exists():
        return None
    found, done = verify_file(folder, name), None
    if not found.whole:
        what = found.damages[0].what
        done = repair(folder, name, feed, refill=newest, what=what, now_ns=now_ns)
    note.unlink()
    return done


def _has_ended(folder: Path, name: FileName, check_bytes: int | None) -> bool:
    """Whether it was marked as ended; DamagedBlock when its last `check_bytes` are not whole."""
    file = SessionFile(folder, name)
    try:
        if check_bytes is not None:
            file.check_end(check_bytes)
        return file.ended_ns is not None
    finally:
        file.close()

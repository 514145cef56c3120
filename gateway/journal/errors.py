"""What can go wrong with a journal, told apart by what the caller does next.

Knows no file and no SQL.
"""

import os
from pathlib import Path

from gateway.errors import BadRequest, ConfigError, JournalError
from gateway.values import Position


class JournalFull(JournalError):
    """No room on the disk. Nothing of the commit is in; append it again when there is room."""


class JournalBusy(JournalError):
    """The disk is slower than the limits allow. Nothing of the commit is in; append it again soon."""


class JournalFailed(JournalError):
    """What was written may not be on the disk (a failed fsync). Stays so until the journal is opened anew."""


class JournalLocked(ConfigError):
    """Another process writes this journal: one folder, one writer."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(
            f"journal {folder} is held by process {pid or 'unknown'}: "
            f"stop it, or give this gateway a folder of its own"
        )
        self.pid = pid


class DamagedBlock(JournalError):
    """The file holds something that was not written. It is never served; see `Journal.repair`."""

    def __init__(self, path: Path, seq: int | None, what: str) -> None:
        where = os.fspath(path) if seq is None else f"{os.fspath(path)} row {seq}"
        super().__init__(f"{where}: {what}")
        self.path = path
        self.seq = seq
        self.what = what


class PositionError(BadRequest):
    """A reader asked for what the journal does not have. `oldest` is the oldest position that it has."""

    reason = ""

    def __init__(self, position: Position, oldest: Position | None, newest: Position | None) -> None:
        had = "the journal is empty"
        if oldest is not None and newest is not None:
            had = f"had are {_told(oldest)} up to {_told(newest)}"
        super().__init__(f"position {_told(position)} {self.reason}: {had}")
        self.position = position
        self.oldest = oldest
        self.newest = newest


class PositionTooOld(PositionError):
    """Was had, and has aged out."""

    reason = "is too old"


class PositionUnknown(PositionError):
    """A session this journal never had."""

    reason = "is of an unknown session"


class PositionInFuture(PositionError):
    """Above the next number of its session."""

    reason = "is in the future"


def _told(position: Position) -> str:
    return f"{position.session!r}:{position.next_seq}"

"""The names of files in a feed's folder: order, session, and whether it was set aside.

Knows how a session's name becomes a file's name and back; opens nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from gateway.errors import ConfigError, JournalError

SUFFIX = ".sqlite"
# SQLite's own companions of a file: the write-ahead log and its index.
WAL, SHM = "-wal", "-shm"
PARTIAL, SALVAGED = ".partial", ".salvaged"
# Beside a file in which damage was found while it was read: what was found.
SUSPECT = ".suspect"
LOCK_NAME = "lock"
REMOVED_NAME = "removed.json"
STATE_SUFFIX = ".state"

_NAME = re.compile(r"(?P<order>\d{8})-(?P<session>[^.]*)(\.damaged-(?P<damaged>\d+))?\.sqlite")
_FEED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """`00000002-0000000001.sqlite`; set aside: `00000002-0000000001.damaged-1.sqlite`.

    The order is counted up by the journal, so that it holds without a clock.
    """

    order: int
    session: str
    damaged: int = 0

    def in_folder(self, folder: Path) -> Path:
        # A session's name comes from the upstream and may hold anything; `.` is kept for our own suffixes.
        quoted = quote(self.session, safe="").replace(".", "%2E")
        aside = f".damaged-{self.damaged}" if self.damaged else ""
        return folder / f"{self.order:08d}-{quoted}{aside}{SUFFIX}"

    def state_in(self, folder: Path) -> Path:
        """The file of its state checkpoint."""
        return self.in_folder(folder).with_suffix(STATE_SUFFIX)


def parse(path: Path) -> FileName | None:
    """What the name says, None when it is not the name of a session's file."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    return FileName(int(match["order"]), unquote(match["session"]), int(match["damaged"] or 0))


def files_in(folder: Path) -> list[FileName]:
    """All sessions' files in order, those set aside too."""
    if not folder.is_dir():
        return []
    try:
        return sorted(name for path in folder.iterdir() if (name := parse(path)) is not None)
    except OSError as exc:
        raise JournalError(f"{folder}: {exc.strerror}") from exc


def folder_of(folder: Path, feed: str) -> Path:
    """The folder of one feed; its name must be one that any file system takes."""
    if not _FEED.fullmatch(feed):
        raise ConfigError(
            f"feed name {feed!r}: letters, digits, '_', '-' and '.' make a folder's name, 64 at most"
        )
    return folder / feed


def with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def companions(path: Path) -> tuple[Path, Path, Path]:
    """The file, its write-ahead log and its index; the last two need not exist."""
    return path, with_suffix(path, WAL), with_suffix(path, SHM)


def size_of(path: Path) -> int:
    """Bytes on disk, the write-ahead log counted in."""
    total = 0
    for part in companions(path)[:2]:
        try:
            total += part.stat().st_size
        except FileNotFoundError:
            continue
    return total

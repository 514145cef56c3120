"""One writer per folder: a lock file that the kernel lets go when its process dies, however it dies.

Knows one file; knows nothing of SQLite.
"""

import fcntl
import os
from pathlib import Path

from gateway.errors import ConfigError
from gateway.journal import names
from gateway.journal.errors import JournalLocked


class FolderLock:
    """Held from construction to `close`. The file stays, with the writer's process id for people to read."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(folder / names.LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise ConfigError(f"journal folder {folder}: {exc.strerror}") from exc
        try:
            # flock, not lockf: it also holds against a second journal in the same process.
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            pid = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip()
            os.close(self._handle)
            raise JournalLocked(folder, pid) from exc
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def writer_of(folder: Path) -> int | None:
    """The process that has the lock of a folder; None when nobody has."""
    try:
        handle = os.open(folder / names.LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Ours for a moment if it is free. What stands in the file is true only while it is not.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(handle)

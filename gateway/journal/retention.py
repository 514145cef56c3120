"""Which sessions have to go, and how one goes.

Knows limits, times, sizes, and all the files of a session; who reads them meanwhile, the journal knows.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import JournalError
from gateway.journal import names, removed
from gateway.journal.errands import Errands
from gateway.journal.limits import JournalLimits
from gateway.journal.names import FileName
from gateway.journal.session_file import sync_folder
from gateway.journal.values import SessionInfo

log = logging.getLogger("gateway.journal")


def overdue(
    infos: Sequence[SessionInfo], folder: Path, limits: JournalLimits, now_ns: int
) -> list[SessionInfo]:
    """The oldest sessions, as long as they are too old or all together too large. Never the newest."""
    age_s, bytes_max = limits.keep_age_s, limits.keep_bytes
    total = sum(names.size_of(name.in_folder(folder)) for name in names.files_in(folder))
    found: list[SessionInfo] = []
    for info in infos[:-1]:
        last_ns = info.ended_ns or info.last_received_ns or info.started_ns
        too_old = age_s is not None and last_ns < now_ns - int(age_s * 1e9)
        too_large = bytes_max is not None and total > bytes_max
        if not too_old and not too_large:
            break
        total -= sum(map(names.size_of, _files(folder, info.order)))
        found.append(info)
    return found


def remove(folder: Path, name: FileName, errands: Errands) -> None:
    """Have all files of a session removed, also those set aside; nobody has them open."""
    # First, so that no reader in between is told that the session is unknown.
    remembered = removed.remember(folder, name.session)
    files = _files(folder, name.order)
    size = sum(map(names.size_of, files))
    parts = [part for path in files for part in names.companions(path)]
    parts += [name.state_in(folder), names.with_suffix(name.in_folder(folder), names.SUSPECT)]

    def unlink() -> None:
        try:
            for part in parts:
                part.unlink(missing_ok=True)
            sync_folder(folder)
        except OSError as exc:
            raise JournalError(f"session {name.session!r} not removed: {exc}") from exc

    errands.send(str(name.in_folder(folder)), unlink)
    if not remembered:
        # On a full disk there may be room now.
        removed.remember(folder, name.session)
    log.info("journal=%s event=removed session=%s bytes=%d", folder, name.session, size)


def _files(folder: Path, order: int) -> list[Path]:
    """A session's file, and those that were set aside of it."""
    return [name.in_folder(folder) for name in names.files_in(folder) if name.order == order]

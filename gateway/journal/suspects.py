"""Sessions in which damage was found while they were read: noted beside the file, so that a start knows.

Knows the notes; what is done about the damage, the opening and the repair know.
"""

import logging
from pathlib import Path

from gateway.journal import names
from gateway.journal.errors import DamagedBlock
from gateway.journal.names import FileName

log = logging.getLogger("gateway.journal")


class Suspects:
    """`found` has the first damage of each session, by its name, since the journal was opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.found: dict[str, str] = {}

    def add(self, name: FileName, damage: DamagedBlock) -> None:
        """Note and tell it; once for each session."""
        if name.session in self.found:
            return
        self.found[name.session] = str(damage)
        log.error("journal=%s event=damaged detail=%r", damage.path, f"{damage}; the next start repairs it")
        try:
            note_of(self._folder, name).write_text(f"{damage}\n")
        except OSError as exc:
            log.error("journal=%s event=not-noted detail=%r", damage.path, str(exc))

    def clear(self, name: FileName) -> None:
        """It was repaired."""
        self.found.pop(name.session, None)
        note_of(self._folder, name).unlink(missing_ok=True)


def note_of(folder: Path, name: FileName) -> Path:
    """The file of a session's note, which need not exist."""
    return names.with_suffix(name.in_folder(folder), names.SUSPECT)

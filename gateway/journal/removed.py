"""The names of sessions that have aged out: they tell `too old` from `unknown`, and nothing else.

Knows one small file of a feed's folder.
"""

import json
from pathlib import Path

from gateway.journal import names

# The oldest are forgotten; then they are `unknown`.
REMOVED_MAX = 1000


def read(folder: Path) -> list[str]:
    """Names of sessions that have aged out, the oldest first."""
    try:
        found = json.loads((folder / names.REMOVED_NAME).read_text())
    except (OSError, ValueError):
        # Not worth an error: a reader is told `unknown` in place of `too old`.
        return []
    return [str(name) for name in found] if isinstance(found, list) else []


def remember(folder: Path, session: str) -> bool:
    """Add one. False when it could not be written: on a full disk, removing has to go on without."""
    partial = folder / (names.REMOVED_NAME + names.PARTIAL)
    known = read(folder)
    try:
        partial.write_text(json.dumps([*known, session][-REMOVED_MAX:]))
        partial.rename(folder / names.REMOVED_NAME)
    except OSError:
        return False
    return True

"""Copy a journal while its gateway runs: `backup.py JOURNAL-FOLDER BACKUP-FOLDER`.

Needs Python and nothing else, not even this project. What it makes is a journal's folder itself: check it
with `gateway journal verify`, start a gateway on it. Run it again into the same folder, and only what has
changed since is copied. Exit codes: 0 done, 1 something could not be copied, 2 your input.
"""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

# Rows are added and never changed, but for the session's own: where these agree, all does.
STANDS = (
    "SELECT * FROM session",
    "SELECT max(first_seq) FROM block",
    "SELECT max(from_seq) FROM gap",
)
# What the gateway has set aside as damaged may be no database any more.
SET_ASIDE = ".damaged-"


def is_had(source: sqlite3.Connection, target: Path) -> bool:
    """Whether a session was copied as it is now."""
    if not target.exists():
        return False
    with closing(opened(target)) as copied:
        return all(source.execute(asked).fetchall() == copied.execute(asked).fetchall() for asked in STANDS)


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def copy(source: sqlite3.Connection, target: Path) -> None:
    """One moment of a session. It gets its name when it is whole and on the disk."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as into:
        # In one step. In several, each message that comes between two of them has SQLite begin again.
        source.backup(into, pages=-1)
        # A copy is one file, that needs no other beside it.
        into.execute("PRAGMA journal_mode = DELETE")
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.rename(target)


def back_up(path: Path, target: Path) -> str:
    """Have `target` be what `path` is now; says what that took."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if SET_ASIDE in path.name or path.suffix != ".sqlite":
        shutil.copy2(path, target)
        return "copied as it is"
    with closing(opened(path)) as source:
        if is_had(source, target):
            return "had already"
        copy(source, target)
    return f"{target.stat().st_size:,} bytes"


def main(journal: Path, backup: Path) -> int:
    sessions = sorted(journal.glob("*/*.sqlite"))
    if not sessions:
        print(f"{journal} holds no journal: expected FEED/….sqlite in it", file=sys.stderr)
        return 2
    failed = 0
    # Beside the sessions: the names of those that have aged out.
    for path in (*sessions, *sorted(journal.glob("*/removed.json"))):
        target = backup / path.relative_to(journal)
        try:
            print(f"{target}: {back_up(path, target)}")
        except (OSError, sqlite3.Error) as exc:
            print(f"{path}: not copied: {exc}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*map(Path, sys.argv[1:])))

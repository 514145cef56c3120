"""The file of a session to come: made in a thread, and found by whoever asks for the same one again.

Knows names and the one file that is under way; what stands in it is the session file's.
"""

from pathlib import Path

from gateway.journal import names
from gateway.journal.errands import Errand, Errands
from gateway.journal.names import FileName
from gateway.journal.session_file import SessionFile


class NewFile:
    """At most one is under way; whoever waits for it for longer than `wait_s` is refused (JournalBusy)."""

    def __init__(self, folder: Path, feed: str, errands: Errands, wait_s: float) -> None:
        self._folder = folder
        self._feed = feed
        self._errands = errands
        self._wait_s = wait_s
        # (session, first number), its name, the work.
        self._making: tuple[tuple[str, int], FileName, Errand] | None = None

    def made(self, session: str, first_seq: int, now_ns: int) -> FileName:
        """The file of a new session, once it is on the disk; JournalBusy while it is not."""
        if self._making is not None:
            wanted, name, made = self._making
            made.must_be_done(self._wait_s)
            self._making = None
            if wanted == (session, first_seq) and made.error is None:
                return name
            # Made for a session that has not come after all, or only in part.
            for part in names.companions(name.in_folder(self._folder)):
                part.unlink(missing_ok=True)
        order = 1 + max((name.order for name in names.files_in(self._folder)), default=0)
        name = FileName(order, session)
        folder, feed = self._folder, self._feed
        errand = self._errands.send(
            str(name.in_folder(folder)),
            lambda: SessionFile.create(folder, name, feed, first_seq, now_ns),
        )
        if errand is not None:
            self._making = ((session, first_seq), name, errand)
            errand.must_be_done(self._wait_s)
            self._making = None
            if errand.error is not None:
                raise errand.error
        return name

"""The file of a session to come: made in a thread, and found by whoever asks for the same one again.

Knows names and the one file that is under way; what stands in it is the session file's.
"""

from pathlib import Path

from gateway.journal import names
from gateway.journal.errands import Errand, Errands
from gateway.journal.names import FileName
from gateway.journal.session_file import SessionFile


class NewFile:
    """At most one that is not `used` yet; who waits for longer than `wait_s` is refused (JournalBusy)."""

    def __init__(self, folder: Path, feed: str, errands: Errands, wait_s: float) -> None:
        self._folder = folder
        self._feed = feed
        self._errands = errands
        self._wait_s = wait_s
        # (session, first number), its name, the work; no work where it was done at once.
        self._making: tuple[tuple[str, int], FileName, Errand | None] | None = None

    def made(self, session: str, first_seq: int, now_ns: int) -> FileName:
        """The file of a new session, once it is on the disk; JournalBusy while it is not."""
        if self._making is not None:
            wanted, name, made = self._making
            if made is not None:
                made.must_be_done(self._wait_s)
            if wanted == (session, first_seq) and (made is None or made.error is None):
                return name
            self._making = None
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
        self._making = ((session, first_seq), name, errand)
        if errand is not None:
            errand.must_be_done(self._wait_s)
            if errand.error is not None:
                self._making = None
                raise errand.error
        return name

    def used(self) -> None:
        """The file belongs to the journal now: whoever asks the next time means another."""
        self._making = None

"""Work that waits for the disk, done in threads of its own, so that whoever asked for it need not wait.

Knows threads and their ends; what the work is, its caller knows.
"""

import logging
import threading
import time
from collections.abc import Callable

from gateway.errors import JournalError
from gateway.journal.errors import JournalBusy

log = logging.getLogger("gateway.journal")


class Errand:
    """One piece of work in a thread. `error` is why it failed, once it is done.

    The thread is a daemon: a disk that never answers must not keep the process from ending.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.error: JournalError | None = None
        self._work = work
        self._done = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is done, after at most so long."""
        return self._done.wait(seconds)

    def must_be_done(self, seconds: float) -> None:
        """Return once it is done; JournalBusy when it is not after so long."""
        if not self.wait(seconds):
            raise JournalBusy(f"{self.name}: the disk has not finished with it yet")

    def _run(self) -> None:
        try:
            self._work()
        except JournalError as exc:
            self.error = exc
            log.error("journal=%s event=failed detail=%r", self.name, str(exc))
        except OSError as exc:
            self.error = JournalError(f"{self.name}: {exc}")
            log.error("journal=%s event=failed detail=%r", self.name, str(exc))
        except BaseException as exc:
            # A bug of ours; whoever waits must not take it for done.
            self.error = JournalError(f"{self.name}: {exc!r}")
            raise
        finally:
            self._done.set()


class Errands:
    """What one journal has under way. With `background` False everything is done before `send` returns."""

    def __init__(self, *, background: bool) -> None:
        self.background = background
        self._under_way: list[Errand] = []

    def send(self, name: str, work: Callable[[], None]) -> Errand | None:
        """Have it done. Without a background it is done, and raises, here: there is nothing to wait for."""
        if not self.background:
            work()
            return None
        errand = Errand(name, work)
        self._under_way = [*(each for each in self._under_way if not each.is_done), errand]
        return errand

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all is done, after at most so long."""
        until = None if seconds is None else time.monotonic() + seconds
        return all(
            each.wait(None if until is None else max(0.0, until - time.monotonic()))
            for each in self._under_way
        )

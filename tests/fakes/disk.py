"""Stands where `os.fsync` stands: says how it ends, and can keep its caller waiting."""

import os
import threading
from collections.abc import Callable


class Disk:
    """Hand its `fsync` to a journal. `goes_on` cleared is a disk that does not answer."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = threading.Event()

    def fsync(self, handle: int) -> None:
        self.asked.set()
        self.goes_on.wait()
        if self.error is not None:
            raise self.error
        os.fsync(handle)


def until(claim: Callable[[], bool]) -> None:
    """Wait for a thread that is under way; ends with the test's own timeout."""
    waited = threading.Event()
    while not claim():
        waited.wait(0.001)

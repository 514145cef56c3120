"""What the thread that waits for the disk promises to the one that writes."""

import threading
from pathlib import Path

import pytest

from gateway.journal import Journal
from gateway.values import Block


class HeldAfterWaiting(threading.Event):
    """Stops whoever waited in vain for the first time, until told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()
        self.go_on = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        came = super().wait(0.01)
        if not came and not self.held.is_set():
            self.held.set()
            self.go_on.wait()
        return came


@pytest.mark.timeout(10)
def test_closing_between_the_threads_wait_and_its_work_does_not_hang(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "itch")
    journal.roll("S1")
    assert journal._running is not None
    journal._running.syncer._stop = stop = HeldAfterWaiting()
    journal.write([Block("S1", 1, 1, 1, b"\x00\x01S")])
    stop.held.wait()
    threading.Timer(0.1, stop.go_on.set).start()

    journal.close()

    assert not any(thread.name.startswith("fsync") for thread in threading.enumerate())

"""What the thread that waits for the disk promises to the one that writes."""

import threading
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalFailed, JournalLimits, names
from gateway.journal.syncer import Syncer
from gateway.values import Block
from tests.fakes.disk import Disk, until


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


def test_a_file_that_can_not_be_opened_for_the_copy_is_no_end_of_syncing(tmp_path: Path) -> None:
    """As when no file descriptors are left: the log waits to be copied, and is synced meanwhile."""
    path, disk = tmp_path / "00000001-S1.sqlite", Disk()
    names.with_suffix(path, names.WAL).touch()
    syncer = Syncer(path, JournalLimits(fsync_interval_s=0.001, checkpoint_bytes=1), disk.fsync)

    for _ in range(3):
        disk.asked.clear()
        syncer.touch(1)
        assert disk.asked.wait(10)
    assert syncer.failure is None
    syncer.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_by_a_bug_stops_the_journal(tmp_path: Path) -> None:
    def fsync(handle: int) -> None:
        raise ZeroDivisionError("a bug")

    with Journal(tmp_path, "itch", JournalLimits(fsync_interval_s=0.001), fsync=fsync) as journal:
        journal.roll("S1")
        journal.write([Block("S1", 1, 1, 1, b"\x00\x01S")])
        until(lambda: journal.failure is not None)

        with pytest.raises(JournalFailed, match="a bug"):
            journal.write([Block("S1", 2, 1, 1, b"\x00\x01S")])

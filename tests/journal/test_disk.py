"""A disk that is full, fails or stalls: nothing is half in, the caller is told, it goes on when it can."""

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import (
    Journal,
    JournalBusy,
    JournalFailed,
    JournalFull,
    JournalLimits,
    PositionTooOld,
)
from gateway.values import Block, Position
from tests.fakes.disk import Disk, until
from tests.fakes.small_disk import mounted
from tests.journal.blocks import numbered, read_all


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 3 MB."""
    with mounted(3) as folder:
        yield folder


def fill(journal: Journal, at: int, count: int = 200, session: str = "DAY1") -> tuple[int, JournalError]:
    """Write until it is refused; returns the next number and the refusal."""
    while True:
        try:
            journal.write([numbered(at, count, session=session, size=50)])
        except JournalError as exc:
            return at, exc
        at += count


def fill_disk(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_row_16_disk_full_loses_nothing_and_goes_on_by_itself_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    with Journal(small_disk, "itch") as journal:
        journal.roll("DAY1")
        at, refusal = fill(journal, 1)

        assert isinstance(refusal, JournalFull)
        assert "no room on the disk" in str(refusal)
        assert at > 1000
        assert journal.position() == Position("DAY1", at)
        with pytest.raises(JournalFull):
            journal.write([numbered(at, 2000, size=50)])
        assert journal.position() == Position("DAY1", at), "still where it was"

        ballast.unlink()
        journal.write([numbered(at, 2000, size=50)])
        at, refusal = fill(journal, at + 2000)

        assert isinstance(refusal, JournalFull)
        assert journal.position() == Position("DAY1", at)
        assert [item.next_seq for item in read_all(journal, Position("DAY1", 1)) if isinstance(item, Block)][
            -1
        ] == at
        assert {verified.whole for verified in journal.verify()} == {True}


def test_a_journal_on_a_full_disk_opens_reads_and_gets_room_by_retention(small_disk: Path) -> None:
    with Journal(small_disk, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10_000, size=50)])
        journal.roll("DAY2")
        at, _ = fill(journal, 1, session="DAY2")

    with Journal(small_disk, "itch", JournalLimits(keep_bytes=1)) as journal:
        assert journal.position() == Position("DAY2", at)
        assert [info.session for info in journal.retain(0)] == ["DAY1"]
        with pytest.raises(PositionTooOld):
            journal.read(Position("DAY1", 1))
        journal.write([numbered(at, 1000, session="DAY2", size=50)])
        assert journal.position() == Position("DAY2", at + 1000)


def test_a_new_session_on_a_full_disk_is_refused_and_can_be_asked_for_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with Journal(small_disk, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        fill_disk(ballast)
        with pytest.raises(JournalFull):
            journal.roll("DAY2")

        ballast.unlink()
        assert journal.roll("DAY2") == Position("DAY2", 1)
        journal.write([numbered(1, 10, session="DAY2")])
        assert [info.session for info in journal.sessions()] == ["DAY1", "DAY2"]


@pytest.mark.one_loop
def test_a_file_size_limit_is_an_error_that_names_the_file_and_nothing_is_half_in(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from gateway.errors import JournalError
from gateway.journal import Journal
from gateway.values import Position
from tests.fakes.disk import Disk, until
from tests.journal.blocks import numbered
with Journal(Path(sys.argv[1]), "itch") as journal:
    journal.roll("DAY1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    at = 1
    try:
        while True:
            journal.write([numbered(at, 50), numbered(at + 50, 50)])
            at += 100
    except JournalError as exc:
        print(exc)
    assert journal.position() == Position("DAY1", at)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.write([numbered(at, 50), numbered(at + 50, 50)])
    assert {verified.whole for verified in journal.verify()} == {True}
"""
    root = Path(__file__).resolve().parents[2]

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "00000001-DAY1.sqlite" in done.stdout


def test_row_17_an_error_at_fsync_stops_the_journal_for_good_and_says_why(tmp_path: Path) -> None:
    disk = Disk()
    with Journal(tmp_path, "itch", JournalLimits(fsync_interval_s=0.001), fsync=disk.fsync) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        journal.write([numbered(11, 10)])
        until(lambda: journal.failure is not None)

        with pytest.raises(JournalFailed, match="fsync: Input/output error; stopped, because"):
            journal.write([numbered(21, 10)])
        disk.error = None
        with pytest.raises(JournalFailed, match="fsync"):
            journal.write([numbered(21, 10)])
        with pytest.raises(JournalFailed, match="fsync"):
            journal.sync()
        assert journal.position() == Position("DAY1", 21)
        assert journal.read(Position("DAY1", 1)) == [numbered(1, 10), numbered(11, 10)]

    with Journal(tmp_path, "itch") as journal:
        assert journal.failure is None
        journal.roll("DAY1")
        journal.write([numbered(21, 10)])


def test_row_18_a_disk_that_stalls_holds_nobody_up_until_the_limit(tmp_path: Path) -> None:
    disk, now = Disk(), [100.0]
    limits = JournalLimits(fsync_interval_s=0.001, stall_max_s=5)
    with Journal(tmp_path, "itch", limits, fsync=disk.fsync, monotonic=lambda: now[0]) as journal:
        journal.roll("DAY1")
        disk.goes_on.clear()
        disk.asked.clear()
        journal.write([numbered(1, 10)])
        disk.asked.wait()

        now[0] += 2
        journal.write([numbered(11, 10)])
        assert journal.stalled_s() == 2

        now[0] += 4
        with pytest.raises(JournalBusy, match=r"has not finished an fsync for 6.0 s"):
            journal.write([numbered(21, 10)])
        assert journal.position() == Position("DAY1", 21)
        assert journal.read(Position("DAY1", 11)) == [numbered(11, 10)]

        disk.goes_on.set()
        until(lambda: journal.stalled_s() == 0)
        journal.write([numbered(21, 10)])


def test_a_commit_that_is_refused_leaves_the_position_where_it_was(tmp_path: Path) -> None:
    disk, now = Disk(), [100.0]
    limits = JournalLimits(fsync_interval_s=0.001, stall_max_s=5)
    with Journal(tmp_path, "itch", limits, fsync=disk.fsync, monotonic=lambda: now[0]) as journal:
        journal.roll("DAY1")
        disk.goes_on.clear()
        disk.asked.clear()
        journal.write([numbered(1, 10)])
        disk.asked.wait()
        now[0] += 6
        journal.append(numbered(11, 10))
        journal.append(numbered(21, 10))
        with pytest.raises(JournalBusy):
            journal.commit()
        disk.goes_on.set()
        until(lambda: journal.stalled_s() == 0)

        journal.commit()
        assert journal.position() == Position("DAY1", 11)
        assert journal.append(numbered(11, 10)) == 0
        journal.commit()
        assert journal.position() == Position("DAY1", 21)


def test_somebody_elses_write_lock_holds_a_commit_up_for_a_moment_only(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch", JournalLimits(busy_wait_s=0.001)) as journal:
        journal.roll("DAY1")
        (path,) = (tmp_path / "itch").glob("*.sqlite")
        with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalBusy, match="the write lock is held"):
                journal.write([numbered(1, 10)])
            with pytest.raises(JournalBusy, match="the write lock is held"):
                journal.write([numbered(1, 10), numbered(11, 10)])
            somebody.execute("ROLLBACK")

        journal.write([numbered(1, 10), numbered(11, 10)])
        assert journal.position() == Position("DAY1", 21)


def test_the_log_is_emptied_while_the_writer_never_pauses(tmp_path: Path) -> None:
    limits = JournalLimits(
        fsync_interval_s=0.001, checkpoint_bytes=50_000, empty_log_bytes=200_000, busy_wait_s=5
    )
    with Journal(tmp_path, "itch", limits) as journal:
        journal.roll("DAY1")
        (path,) = (tmp_path / "itch").glob("*.sqlite")
        times: set[int] = set()
        at = 1
        with closing(sqlite3.connect(path)) as connection:
            # The test's timeout is what ends this when the log is never emptied.
            while len(times) < 4:
                for _ in range(100):
                    journal.write([numbered(at, 20)])
                    at += 20
                times.add(connection.execute("SELECT at_ns FROM checkpointed").fetchone()[0])

        assert path.stat().st_size > 100_000
        assert journal.position() == Position("DAY1", at)
        assert {verified.whole for verified in journal.verify()} == {True}


def test_a_transaction_that_somebody_keeps_open_holds_up_at_the_limit_and_no_longer_than_it_lasts(
    tmp_path: Path,
) -> None:
    limits = JournalLimits(
        fsync_interval_s=0.001, checkpoint_bytes=20_000, empty_log_bytes=60_000, log_bytes_max=300_000
    )
    with Journal(tmp_path, "itch", limits) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 20)])
        (path,) = (tmp_path / "itch").glob("*.sqlite")
        with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
            somebody.execute("BEGIN")
            somebody.execute("SELECT count(*) FROM block").fetchall()
            at, refusal = fill(journal, 21, 20)
            while "keeps a transaction open" not in str(refusal):
                at, refusal = fill(journal, at, 20)
            somebody.execute("COMMIT")

        def written() -> bool:
            with suppress(JournalBusy):
                journal.write([numbered(at, 20)])
            return journal.position() == Position("DAY1", at + 20)

        until(written)
        assert {verified.whole for verified in journal.verify()} == {True}


def test_a_log_that_can_not_be_emptied_refuses_commits_at_its_limit(tmp_path: Path) -> None:
    limits = JournalLimits(fsync_interval_s=100, log_bytes_max=100_000)
    with Journal(tmp_path, "itch", limits) as journal:
        journal.roll("DAY1")
        at, refusal = fill(journal, 1, 20)

        assert isinstance(refusal, JournalBusy)
        assert "bytes in the log" in str(refusal)
        assert 300 < at < 2000


@contextmanager
def file_descriptors(more: int) -> Iterator[None]:
    """So many may be opened, no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("background", [False, True])
def test_row_37_without_file_descriptors_a_session_is_refused_and_can_be_asked_for_again(
    tmp_path: Path, background: bool
) -> None:
    refused = 0
    with Journal(tmp_path, "itch", background=background) as journal:
        for more in range(12):
            session = f"DAY{more}"
            with file_descriptors(more):
                try:
                    journal.roll(session)
                    journal.write([numbered(1, 10, session=session)])
                except JournalError:
                    refused += 1
            until(lambda name=session: rolled(journal, name))
            journal.write([numbered(1, 10, session=session)])

        assert [info.session for info in journal.sessions()] == [f"DAY{more}" for more in range(12)]
        assert [info.messages for info in journal.sessions()] == [10] * 12
        assert {verified.whole for verified in journal.verify()} == {True}
    assert refused > 1


def rolled(journal: Journal, session: str) -> bool:
    with suppress(JournalBusy):
        journal.roll(session)
        return True
    return False

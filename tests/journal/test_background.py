"""What waits for the disk does so in threads: whoever writes is held up by named limits only."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import Journal, JournalBusy, JournalFailed, JournalLimits, PositionTooOld, saving
from gateway.journal.session_file import SessionFile
from gateway.values import Position
from tests.fakes.disk import Disk, until
from tests.journal.blocks import messages_of, numbered, read_all

QUICK = JournalLimits(fsync_interval_s=0.001, roll_wait_s=0.01)


def test_the_end_of_a_session_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    disk = Disk()
    with Journal(tmp_path, "itch", background=True, fsync=disk.fsync) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        disk.goes_on.clear()
        journal.end_session()

        assert journal.ended()
        assert journal.position() == Position("DAY1", 11)
        assert journal.read(Position("DAY1", 1)) == [numbered(1, 10)]

        assert journal.roll("DAY2") == Position("DAY2", 1)
        journal.write([numbered(1, 10, session="DAY2")])
        assert journal.position() == Position("DAY2", 11)
        disk.goes_on.set()

    expected = messages_of([numbered(1, 10), numbered(1, 10, session="DAY2")])
    with Journal(tmp_path, "itch") as journal:
        assert messages_of(read_all(journal, Position("DAY1", 1))) == expected
        assert [info.ended for info in journal.sessions()] == [True, False]
        assert not list(tmp_path.glob("itch/*DAY1*-wal")), "the ended session is one file"


def test_a_session_that_is_still_being_finished_is_gone_on_with_when_it_is(tmp_path: Path) -> None:
    disk = Disk()
    with Journal(tmp_path, "itch", QUICK, background=True, fsync=disk.fsync) as journal:
        until(lambda: rolled(journal, "DAY1"))
        journal.write([numbered(1, 10)])
        disk.goes_on.clear()
        journal.end_session()
        with pytest.raises(JournalBusy, match="has not finished with it yet"):
            journal.roll("DAY1")

        disk.goes_on.set()
        until(lambda: rolled(journal, "DAY1"))
        journal.write([numbered(11, 10)])
        assert not journal.ended()
        assert journal.position() == Position("DAY1", 21)


def rolled(journal: Journal, session: str) -> bool:
    try:
        journal.roll(session)
    except JournalBusy:
        return False
    return True


def test_a_failed_fsync_at_the_end_of_a_session_stops_the_journal(tmp_path: Path) -> None:
    disk = Disk()
    with Journal(tmp_path, "itch", background=True, fsync=disk.fsync) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
        journal.end_session()
        until(lambda: journal.failure is not None)

        with pytest.raises(JournalFailed, match="Input/output error"):
            journal.roll("DAY2")
        with pytest.raises(JournalFailed, match="Input/output error"):
            journal.write([])
        assert journal.read(Position("DAY1", 1)) == [numbered(1, 10)]


def test_a_new_sessions_file_that_takes_long_is_refused_until_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, create = Disk(), SessionFile.create

    def slow_create(*given: object) -> None:
        disk.goes_on.wait()
        create(*given)  # type: ignore[arg-type]

    with Journal(tmp_path, "itch", QUICK, background=True) as journal:
        until(lambda: rolled(journal, "DAY1"))
        journal.write([numbered(1, 10)])
        monkeypatch.setattr(SessionFile, "create", slow_create)
        disk.goes_on.clear()
        for session in ("DAY2", "DAY3", "DAY2"):
            with pytest.raises(JournalBusy, match=r"DAY2\.sqlite: the disk has not finished"):
                journal.roll(session)
        assert journal.position() == Position("DAY1", 11)
        journal.write([numbered(11, 10)])

        disk.goes_on.set()
        until(lambda: rolled(journal, "DAY2"))
        assert [info.session for info in journal.sessions()] == ["DAY1", "DAY2"]


def test_a_file_made_for_a_session_that_does_not_come_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, create = Disk(), SessionFile.create

    def slow_create(*given: object) -> None:
        disk.goes_on.wait()
        create(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionFile, "create", slow_create)
    with Journal(tmp_path, "itch", QUICK, background=True) as journal:
        disk.goes_on.clear()
        with pytest.raises(JournalBusy):
            journal.roll("DAY2")
        disk.goes_on.set()
        until(lambda: rolled(journal, "DAY3"))

    with Journal(tmp_path, "itch") as journal:
        assert [info.session for info in journal.sessions()] == ["DAY3"]


def test_a_state_is_written_down_and_saved_in_the_background(tmp_path: Path) -> None:
    disk, made = Disk(), []

    def pieces() -> Iterator[bytes]:
        for piece in (b"first ", b"second"):
            made.append(piece)
            yield piece

    with Journal(tmp_path, "itch", background=True, fsync=disk.fsync) as journal_:
        journal_.roll("DAY1")
        journal_.write([numbered(1, 10)])
        disk.goes_on.clear()
        assert journal_.save_checkpoint(Position("DAY1", 11), pieces())
        assert journal_.is_saving
        for _ in range(saving.SAVES_MAX - 1):
            assert journal_.save_checkpoint(Position("DAY1", 11), pieces())
        assert not journal_.save_checkpoint(Position("DAY1", 11), pieces()), "no more of them may wait"
        until(lambda: len(made) >= 2)
        # Long enough for what must not happen; what must is never decided by it.
        threading.Event().wait(0.1)
        assert journal_.load_checkpoint() is None, "not before its messages are on the disk"

        disk.goes_on.set()
        until(lambda: not journal_.is_saving)
        assert journal_.load_checkpoint() == (Position("DAY1", 11), b"first second")


def test_a_state_at_the_end_of_a_session_is_saved_after_the_session(tmp_path: Path) -> None:
    disk = Disk()
    with Journal(tmp_path, "itch", background=True, fsync=disk.fsync) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        disk.goes_on.clear()
        journal.roll("DAY2")
        journal.save_checkpoint(Position("DAY1", 11), b"the end")
        assert journal.state_at_end("DAY1") is None

        disk.goes_on.set()
        until(lambda: not journal.is_saving)
        assert journal.state_at_end("DAY1") == b"the end"


def test_removed_sessions_are_gone_for_readers_at_once(tmp_path: Path) -> None:
    limits = JournalLimits(keep_bytes=1)
    with Journal(tmp_path, "itch", limits, background=True) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        journal.roll("DAY2")
        assert [info.session for info in journal.retain(0)] == ["DAY1"]
        with pytest.raises(PositionTooOld):
            journal.read(Position("DAY1", 1))

    assert not list(tmp_path.glob("itch/*DAY1*"))


def test_damage_found_while_reading_is_repaired_by_the_next_start(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        for at in range(1, 400, 10):
            journal.write([numbered(at, 10, size=1000)])
        path = journal.sessions()[0].path
    content = path.read_bytes()
    path.write_bytes(content.replace(b"DAY1 205 ", b"DAY1 20! "))
    end_only = JournalLimits(check_on_open_bytes=1)

    with Journal(tmp_path, "itch", end_only) as journal:
        assert journal.position() == Position("DAY1", 401)
        with pytest.raises(Exception, match="checksum does not match"):
            journal.read(Position("DAY1", 201))
        assert list(journal.damaged) == ["DAY1"]

    with Journal(tmp_path, "itch", end_only) as journal:
        assert len(journal.repaired) == 1
        assert journal.position() == Position("DAY1", 201), "the upstream is asked for the rest"
        assert journal.damaged == {}

    with Journal(tmp_path, "itch", end_only) as journal:
        assert journal.repaired == []


def test_a_note_of_damage_that_is_not_there_any_more_costs_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        path = journal.sessions()[0].path
    note = path.with_name(path.name + ".suspect")
    note.write_text("memory had flipped, not the disk\n")

    with Journal(tmp_path, "itch") as journal:
        assert journal.repaired == []
        assert not note.exists()
        assert journal.read(Position("DAY1", 1)) == [numbered(1, 10)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_ends_by_a_bug_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(*given: object) -> None:
        raise ZeroDivisionError("a bug")

    with Journal(tmp_path, "itch", background=True) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(SessionFile, "create", buggy)
            with pytest.raises(JournalError, match="a bug"):
                journal.roll("DAY1")

        assert journal.sessions() == []
        assert journal.roll("DAY1") == Position("DAY1", 1)


def test_no_state_is_kept_of_messages_whose_last_sync_failed(tmp_path: Path) -> None:
    disk = Disk()
    disk.error = OSError(errno.EIO, "input/output error")
    limits = JournalLimits(fsync_interval_s=1_000)
    journal = Journal(tmp_path, "itch", limits, background=True, fsync=disk.fsync)
    journal.roll("DAY1")
    journal.write([numbered(1, 3)])
    assert journal._running is not None
    syncer = journal._running.syncer

    def state() -> Iterator[bytes]:
        # Written down while the journal closes, and ready when its last sync has failed.
        until(lambda: syncer.failure is not None)
        yield b"state"

    assert journal.save_checkpoint(Position("DAY1", 4), state())
    journal.close()

    assert syncer.failure is not None
    assert list(tmp_path.glob("itch/*.state")) == []

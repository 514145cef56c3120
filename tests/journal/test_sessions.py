"""Sessions in order, rolled, aged out, locked; readers beside the writer."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import BadRequest, ConfigError, JournalError, LocalProtocolError
from gateway.journal import (
    Journal,
    JournalLimits,
    JournalLocked,
    JournalReader,
    PositionTooOld,
    PositionUnknown,
    rows,
)
from gateway.journal.session_file import SessionFile
from gateway.values import Gap, Position
from tests.journal.blocks import RECEIVED_NS, numbered, read_all

DAY_NS = 86_400 * 10**9


def days(folder: Path, *sessions: str, limits: JournalLimits | None = None) -> Journal:
    """A journal with 100 messages in each session, ended a day apart, the last one running."""
    clock = [RECEIVED_NS]
    journal = Journal(folder, "itch", limits, clock_ns=lambda: clock[0])
    for session in sessions:
        journal.roll(session)
        journal.write([numbered(1, 100, session=session)])
        clock[0] += DAY_NS
    return journal


def test_sessions_keep_their_order_when_names_and_times_say_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch", clock_ns=lambda: 7) as journal:
        for session in ("B", "A", "C"):
            journal.roll(session)
            journal.write([numbered(1, 2, session=session)])

        assert [info.session for info in journal.sessions()] == ["B", "A", "C"]
    with JournalReader(tmp_path, "itch") as reader:
        assert [info.session for info in reader.sessions()] == ["B", "A", "C"]
        assert [item.session for item in read_all(reader, Position("B", 1))] == ["B", "A", "C"]


def test_a_session_tells_what_it_holds(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2") as journal:
        journal.declare_gap(101, 150)
        journal.commit()
        first, second = journal.sessions()

    assert (first.feed, first.session, first.first_seq, first.next_seq, first.messages) == (
        "itch",
        "DAY1",
        1,
        101,
        100,
    )
    assert (first.started_ns, first.ended_ns, first.ended) == (RECEIVED_NS, RECEIVED_NS + DAY_NS, True)
    assert (first.first_received_ns, first.last_received_ns) == (RECEIVED_NS, RECEIVED_NS)
    assert first.bytes > 2300
    assert first.gaps == ()
    assert (second.next_seq, second.messages, second.ended) == (151, 100, False)
    assert second.gaps == (Gap("DAY2", 101, 150),)
    assert second.position == Position("DAY2", 151)


@pytest.mark.parametrize("session", ["  12 34", "a/b", "..", "1%2F", "Ünï.x", "\x00\n"])
def test_any_name_an_upstream_may_choose_makes_a_file(tmp_path: Path, session: str) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll(session)
        journal.write([numbered(1, 2, session=session)])
    with Journal(tmp_path, "itch") as journal:
        assert journal.position() == Position(session, 3)
        assert journal.read(Position(session, 1)) == [numbered(1, 2, session=session)]


@pytest.mark.parametrize("feed", ["", "..", "a/b", "x" * 65, ".hidden"])
def test_a_feeds_name_that_makes_no_folder_is_the_operators_to_change(tmp_path: Path, feed: str) -> None:
    with pytest.raises(ConfigError, match="feed name"):
        Journal(tmp_path, feed)


def test_a_session_without_a_name_is_our_own_bug(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal, pytest.raises(LocalProtocolError):
        journal.roll("")


def test_after_its_end_a_session_takes_no_more_until_it_is_rolled_to_again(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        journal.end_session()

        assert journal.ended()
        assert journal.position() == Position("DAY1", 11)
        assert journal.read(Position("DAY1", 11)) == []
        assert journal.next_session("DAY1") is None
        with pytest.raises(LocalProtocolError):
            journal.append(numbered(11, 1))
    with Journal(tmp_path, "itch") as journal:
        assert journal.ended()

        # Rejected with `S` is not a proof: the upstream may come back with the same session.
        assert journal.roll("DAY1") == Position("DAY1", 11)
        assert not journal.ended()
        journal.write([numbered(11, 10)])
        assert read_all(journal, Position("DAY1", 1)) == [numbered(1, 10), numbered(11, 10)]


def test_the_name_of_an_older_session_is_refused_and_the_running_one_goes_on(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2") as journal:
        with pytest.raises(JournalError, match="session 'DAY1' came again after others"):
            journal.roll("DAY1")
        journal.write([numbered(101, 1, session="DAY2")])


def test_a_session_joined_late_starts_where_it_was_joined(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        assert journal.roll("DAY1", first_seq=500) == Position("DAY1", 500)
        journal.write([numbered(500, 10)])

        assert journal.oldest() == Position("DAY1", 500)
        assert journal.sessions()[0].messages == 10


def test_retention_by_age_never_takes_the_newest_session(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2", "DAY3", limits=JournalLimits(keep_age_s=86_400)) as journal:
        assert journal.retain(RECEIVED_NS + 2 * DAY_NS) == []
        removed = journal.retain(RECEIVED_NS + 2 * DAY_NS + 1)
        assert [info.session for info in removed] == ["DAY1"]
        removed = journal.retain(RECEIVED_NS + 1000 * DAY_NS)
        assert [info.session for info in removed] == ["DAY2"]
        assert [info.session for info in journal.sessions()] == ["DAY3"]


def test_a_damaged_session_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2", limits=JournalLimits(keep_age_s=86_400)) as journal:
        path = journal.sessions()[0].path
        path.write_bytes(b"")
        journal.close()
    with Journal(tmp_path, "itch", JournalLimits(keep_age_s=86_400)) as journal:
        assert journal.sessions()[0].damage
        assert journal.retain(path.stat().st_mtime_ns + 1) == []
        assert len(journal.retain(path.stat().st_mtime_ns + DAY_NS + 1)) == 1


def test_retention_by_size_takes_the_oldest_first_and_all_of_its_files(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2", "DAY3") as journal:
        journal.save_checkpoint(Position("DAY1", 101), b"state")
        journal.repair("DAY1")
        sizes = [info.bytes for info in journal.sessions()]
    limits = JournalLimits(keep_bytes=sum(sizes))
    with Journal(tmp_path, "itch", limits) as journal:
        # The file that was set aside counts too.
        assert [info.session for info in journal.retain(0)] == ["DAY1"]
        assert not list((tmp_path / "itch").glob("00000001*"))
        assert journal.retain(0) == []


def test_row_20_a_session_deleted_under_a_reader_is_told_as_too_old(tmp_path: Path) -> None:
    limits = JournalLimits(keep_bytes=1)
    with days(tmp_path, "DAY1", "DAY2", limits=limits) as journal, JournalReader(tmp_path, "itch") as other:
        assert journal.read(Position("DAY1", 1), 1) == other.read(Position("DAY1", 1), 1)
        journal.retain(0)

        for reader in (journal, other):
            with pytest.raises(PositionTooOld, match="'DAY1':50 is too old: had are 'DAY2':1") as told:
                reader.read(Position("DAY1", 50))
            assert told.value.oldest == Position("DAY2", 1)
            with pytest.raises(PositionUnknown):
                reader.read(Position("DAY0", 50))
    with Journal(tmp_path, "itch") as journal, pytest.raises(PositionTooOld):
        journal.next_session("DAY1")


def test_the_order_goes_on_after_sessions_were_removed(tmp_path: Path) -> None:
    with days(tmp_path, "DAY1", "DAY2", limits=JournalLimits(keep_bytes=1)) as journal:
        journal.retain(0)
        journal.roll("DAY3")
        assert [info.order for info in journal.sessions()] == [2, 3]


def test_row_19_a_second_writer_on_the_same_folder_is_refused_by_name_of_process(tmp_path: Path) -> None:
    with (
        Journal(tmp_path, "itch"),
        pytest.raises(JournalLocked, match=f"is held by process {os.getpid()}: stop it"),
    ):
        Journal(tmp_path, "itch")
    with Journal(tmp_path, "itch"), Journal(tmp_path, "other"):
        pass


def test_a_reader_in_another_place_sees_each_commit_and_holds_nobody_up(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal, JournalReader(tmp_path, "itch") as reader:
        assert reader.position() is None
        assert reader.sessions() == []
        journal.roll("DAY1")
        assert reader.position() == Position("DAY1", 1)
        journal.append(numbered(1, 10))
        assert reader.read(Position("DAY1", 1)) == []
        journal.commit()
        assert reader.read(Position("DAY1", 1)) == [numbered(1, 10)]
        journal.roll("DAY2")
        journal.write([numbered(1, 10, session="DAY2")])
        assert reader.read(Position("DAY1", 11)) == [numbered(1, 10, session="DAY2")]
        assert not reader.ended()


def test_a_folder_that_can_not_be_made_is_the_operators_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"journal folder .*file/itch"):
        Journal(tmp_path / "file", "itch")


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    with days(
        tmp_path, *(f"DAY{number}" for number in range(1, 8)), limits=JournalLimits(open_files_max=2)
    ) as journal:
        everything = read_all(journal, Position("DAY1", 1))
        held = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]

        assert len(everything) == 7
        assert len({path for path in held if path.endswith(".sqlite") and str(tmp_path) in path}) <= 3


@pytest.mark.parametrize("next_seq", [0, -1])
def test_numbers_start_at_1(tmp_path: Path, next_seq: int) -> None:
    with (
        days(tmp_path, "DAY1") as journal,
        pytest.raises(BadRequest, match="the first number of a session is 1"),
    ):
        journal.read(Position("DAY1", next_seq))


def test_numbers_above_what_can_be_stored_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1", first_seq=2**63 - 5)
        with pytest.raises(JournalError, match="9223372036854775809"):
            journal.write([numbered(2**63 - 5, 3), numbered(2**63 - 2, 3), numbered(2**63 + 1, 1)])
        assert journal.position() == Position("DAY1", 2**63 - 5)


def test_a_session_whose_file_was_moved_away_may_come_again(tmp_path: Path) -> None:
    """As the operator is told to do when an upstream uses its names anew; it takes no restart."""
    limits = JournalLimits(open_files_max=1)
    with days(tmp_path, "DAY1", "DAY2", "DAY3", limits=limits) as journal:
        assert journal.has_session("DAY1")
        with pytest.raises(JournalError, match="move the file away"):
            journal.roll("DAY1")
        (path,) = (tmp_path / "itch").glob("*-DAY1.sqlite")
        path.rename(tmp_path / path.name)

        assert not journal.has_session("DAY1")
        assert [info.session for info in journal.sessions()] == ["DAY2", "DAY3"]
        assert journal.retain(RECEIVED_NS) == []
        assert journal.roll("DAY1") == Position("DAY1", 1)
        journal.write([numbered(1, 100, session="DAY1")])
        assert [info.session for info in journal.sessions()] == ["DAY2", "DAY3", "DAY1"]


def test_an_old_file_of_a_newer_format_is_told_and_takes_nothing_else_with_it(tmp_path: Path) -> None:
    """After a downgrade: those of this format are served, and what is kept for how long is looked at."""
    with days(tmp_path, "DAY1", "DAY2") as journal:
        path = journal.sessions()[0].path
    with closing(sqlite3.connect(path)) as connection, connection:
        crc = rows.session_crc((2, "itch", "DAY1", 1, 0, None, None))
        connection.execute(
            f"UPDATE session SET format = 2, started_ns = 0, ended_ns = NULL, end_seq = NULL, crc32 = {crc}"
        )

    with Journal(tmp_path, "itch", JournalLimits(keep_age_s=86_400)) as journal:
        told, fine = journal.sessions()
        assert "has format 2, this gateway knows up to 1: upgrade it" in str(told.damage)
        assert fine.damage is None
        assert journal.retain(RECEIVED_NS) == []
        with pytest.raises(JournalError, match="has format 2"):
            journal.read(Position("DAY1", 1))
        assert journal.damaged == {}


@pytest.fixture
def fails_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it has the next mark at a session's end refused, as by a full disk."""
    mark = SessionFile.mark_ended

    def refused(self: SessionFile, ended_ns: int | None) -> None:
        monkeypatch.setattr(SessionFile, "mark_ended", mark)
        raise JournalError("no room on the disk")

    return lambda: monkeypatch.setattr(SessionFile, "mark_ended", refused)


def test_a_session_that_could_not_be_opened_again_at_once_is_open_when_it_is(
    tmp_path: Path, fails_once: Callable[[], None]
) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 3)])
        journal.end_session()
        fails_once()
        with pytest.raises(JournalError, match="no room"):
            journal.roll("DAY1")

        assert journal.roll("DAY1") == Position("DAY1", 4)
        journal.write([numbered(4, 2)])

    with Journal(tmp_path, "itch") as journal:
        assert journal.position() == Position("DAY1", 6)
        assert journal.sessions()[0].ended is False


def test_a_session_that_could_not_begin_leaves_no_file_for_each_try(
    tmp_path: Path, fails_once: Callable[[], None]
) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 3)])
        for _ in range(3):
            fails_once()
            with pytest.raises(JournalError, match="no room"):
                journal.roll("DAY2")

        assert journal.roll("DAY2") == Position("DAY2", 1)
        assert [info.session for info in journal.sessions()] == ["DAY1", "DAY2"]

    with Journal(tmp_path, "itch") as journal:
        assert [info.session for info in journal.sessions()] == ["DAY1", "DAY2"]

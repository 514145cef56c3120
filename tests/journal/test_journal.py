"""Append, read, roll: what the writer of a journal is promised."""

from pathlib import Path

import pytest

from gateway.errors import LocalProtocolError, SequenceGap
from gateway.journal import Journal, PositionInFuture, PositionTooOld, PositionUnknown
from gateway.values import Gap, Position
from tests.journal.blocks import block


def test_what_was_committed_is_read_back_from_any_position(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.append(block(1, b"one", b"two", b"three"))
        journal.append(block(4, b"four"))
        journal.commit()

        assert journal.position() == Position("DAY1", 5)
        assert journal.read(Position("DAY1", 1)) == [block(1, b"one", b"two", b"three"), block(4, b"four")]
        assert journal.read(Position("DAY1", 3)) == [block(3, b"three"), block(4, b"four")]
        assert journal.read(Position("DAY1", 5)) == []


def test_it_opens_again_where_it_was_closed(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([block(1, b"one", b"two")])

    with Journal(tmp_path, "itch") as journal:
        assert journal.position() == Position("DAY1", 3)
        assert journal.roll("DAY1") == Position("DAY1", 3)
        assert journal.write([block(2, b"two", b"three")]) == [block(3, b"three")]
        assert journal.read(Position("", 1)) == [block(1, b"one", b"two"), block(3, b"three")]


def test_messages_that_are_had_are_left_out_and_counted(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.append(block(1, b"one", b"two"))

        assert journal.append(block(1, b"one")) == 1
        assert journal.append(block(2, b"two", b"three")) == 1
        assert journal.append(block(4, b"four")) == 0


def test_a_hole_is_an_error_until_it_is_declared(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.append(block(1, b"one"))
        with pytest.raises(SequenceGap, match="2 expected, 5 came, 3 are missing"):
            journal.append(block(5, b"five"))
        journal.declare_gap(2, 4)
        journal.append(block(5, b"five"))
        journal.commit()

        assert journal.read(Position("DAY1", 1)) == [block(1, b"one"), Gap("DAY1", 2, 4), block(5, b"five")]
        assert journal.read(Position("DAY1", 3)) == [Gap("DAY1", 3, 4), block(5, b"five")]


def test_a_block_of_a_session_that_was_not_rolled_to_is_our_own_bug(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")

        with pytest.raises(LocalProtocolError, match="DAY2"):
            journal.append(block(1, b"one", session="DAY2"))


def test_a_reader_goes_on_into_the_next_session(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([block(1, b"one")])
        journal.roll("DAY2")
        journal.write([block(1, b"uno", session="DAY2")])

        assert journal.read(Position("DAY1", 2)) == [block(1, b"uno", session="DAY2")]
        assert journal.next_session("DAY1") == Position("DAY2", 1)
        assert [(info.session, info.ended) for info in journal.sessions()] == [
            ("DAY1", True),
            ("DAY2", False),
        ]


def test_a_reader_is_told_what_can_be_had(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        assert journal.read(Position("", 1)) == []
        journal.roll("DAY1", first_seq=10)
        journal.write([block(10, b"ten")])

        with pytest.raises(PositionTooOld, match="had are 'DAY1':10 up to 'DAY1':11") as too_old:
            journal.read(Position("DAY1", 9))
        with pytest.raises(PositionInFuture, match="'DAY1':12 is in the future"):
            journal.read(Position("DAY1", 12))
        with pytest.raises(PositionUnknown, match="'DAY9':1 is of an unknown session"):
            journal.read(Position("DAY9", 1))
        assert too_old.value.oldest == Position("DAY1", 10)

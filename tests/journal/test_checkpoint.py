"""The state checkpoint: whole or not at all, and never fatal."""

import logging
from pathlib import Path

import pytest

from gateway.errors import JournalError, LocalProtocolError
from gateway.journal import Journal, JournalReader
from gateway.values import Position
from tests.journal.blocks import numbered


def test_a_state_comes_back_with_its_position(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        assert journal.load_checkpoint() is None
        journal.roll("DAY1")
        journal.write([numbered(1, 100)])
        journal.save_checkpoint(Position("DAY1", 51), b"half")
        journal.save_checkpoint(Position("DAY1", 101), b"all of it")
    with Journal(tmp_path, "itch") as journal:
        assert journal.load_checkpoint() == (Position("DAY1", 101), b"all of it")


def test_the_bytes_of_a_state_file(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("D")
        journal.save_checkpoint(Position("D", 1), b"xyz")

    assert (tmp_path / "itch" / "00000001-D.state").read_bytes() == (
        b"SOUPSTATE1\n"
        b"\x4a\x15\xf7\xdc"  # CRC-32 of what follows
        b"\x00\x00\x00\x00\x00\x00\x00\x01"
        b"\x00\x01D"
        b"xyz"
    )


@pytest.mark.parametrize("cut", range(0, 30))
def test_a_damaged_state_is_left_out_with_a_note(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gateway.journal")
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.save_checkpoint(Position("DAY1", 1), b"xyz")
        path = tmp_path / "itch" / "00000001-DAY1.state"
        content = path.read_bytes()
        assert len(content) == 32
        for wrong in (content[:cut], content[:cut] + bytes([content[cut] ^ 4]) + content[cut + 1 :]):
            path.write_bytes(wrong)
            assert journal.load_checkpoint() is None

    assert len([record for record in caplog.records if "event=ignored" in record.getMessage()]) == 2


def test_a_state_ahead_of_the_journal_is_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        journal.save_checkpoint(Position("DAY1", 12), b"from a journal that has lost its end")

        assert journal.load_checkpoint() is None


def test_the_newest_session_with_a_state_is_taken(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        journal.save_checkpoint(Position("DAY1", 11), b"one")
        journal.roll("DAY2")
        assert journal.load_checkpoint() == (Position("DAY1", 11), b"one")
        journal.save_checkpoint(Position("DAY2", 1), b"two")
        assert journal.load_checkpoint() == (Position("DAY2", 1), b"two")


def test_the_state_at_the_end_of_a_session_is_only_that(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 10)])
        journal.save_checkpoint(Position("DAY1", 11), b"at the end so far")
        assert journal.state_at_end("DAY1") is None
        journal.end_session()
        assert journal.state_at_end("DAY1") == b"at the end so far"
        journal.save_checkpoint(Position("DAY1", 10), b"in front of the end")
        assert journal.state_at_end("DAY1") is None
        assert journal.state_at_end("DAY9") is None
    with JournalReader(tmp_path, "itch") as reader:
        assert reader.load_checkpoint() == (Position("DAY1", 10), b"in front of the end")


def test_a_state_of_an_unknown_session_is_our_own_bug(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal, pytest.raises(LocalProtocolError, match="DAY1"):
        journal.save_checkpoint(Position("DAY1", 1), b"")


def test_a_state_that_can_not_be_saved_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        (tmp_path / "itch" / "00000001-DAY1.state.partial").mkdir()
        with pytest.raises(JournalError, match=r"00000001-DAY1.state: state not saved: Is a directory"):
            journal.save_checkpoint(Position("DAY1", 1), b"")
        (tmp_path / "itch" / "00000001-DAY1.state.partial").rmdir()

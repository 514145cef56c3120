"""What was not written is never served: found, named, set aside, and what is whole goes on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import ConfigError, JournalError
from gateway.journal import DamagedBlock, Journal, JournalLimits, JournalReader, rows
from gateway.values import Block, Gap, Position
from tests.journal.blocks import messages_of, numbered, read_all

BLOCKS = [numbered(at, 10) for at in range(1, 400, 10)]
# Small enough that a file of a few kB counts as a day's file, of which only the end is checked on opening.
CHECK_THE_END_ONLY = JournalLimits(check_on_open_bytes=1000)


def written(folder: Path, *sessions: str) -> Path:
    """A journal of 400 messages per session; returns the file of the last one."""
    with Journal(folder, "itch") as journal:
        for session in sessions:
            journal.roll(session)
            journal.write([numbered(block.first_seq, 10, session=session) for block in BLOCKS])
    (path,) = (folder / "itch").glob(f"*-{sessions[-1]}.sqlite")
    return path


def flip(path: Path, text: bytes, *, bit: int = 1) -> None:
    """Flip a bit of the only place in the file that holds `text`."""
    content = bytearray(path.read_bytes())
    assert content.count(text) == 1, text
    content[content.index(text)] ^= bit
    path.write_bytes(content)


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


def test_row_15_a_flipped_bit_is_found_set_aside_and_refilled_from_the_upstream(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    flip(path, b"DAY1 205 ")

    with Journal(tmp_path, "itch") as journal:
        position = journal.roll("DAY1")

        assert position == Position("DAY1", 201)
        assert [done.set_aside.name for done in journal.repaired] == ["00000001-DAY1.damaged-1.sqlite"]
        assert journal.repaired[0].set_aside.exists()

        # The upstream is asked for the next number, and sends the rest again.
        journal.write([block for block in BLOCKS if block.first_seq >= position.next_seq])

        assert read_all(journal, Position("DAY1", 1)) == BLOCKS
        assert {verified.whole for verified in journal.verify()} == {True}


def test_a_flipped_bit_in_the_middle_of_a_large_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    flip(path, b"DAY1 205 ")

    with Journal(tmp_path, "itch", CHECK_THE_END_ONLY) as journal:
        assert journal.position() == Position("DAY1", 401)
        assert journal.read(Position("DAY1", 1)) == BLOCKS[:20]
        with pytest.raises(DamagedBlock, match=r"00000001-DAY1.sqlite row 201: checksum does not match"):
            read_all(journal, Position("DAY1", 1))

        repaired = journal.repair("DAY1")

        assert repaired.position == journal.position() == Position("DAY1", 201)
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS[:20]
        journal.write(BLOCKS)
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS


def test_a_reader_elsewhere_goes_over_to_the_repaired_file(tmp_path: Path) -> None:
    flip(written(tmp_path, "DAY1"), b"DAY1 205 ")

    with Journal(tmp_path, "itch", CHECK_THE_END_ONLY) as journal, JournalReader(tmp_path, "itch") as reader:
        assert reader.position() == Position("DAY1", 401)
        journal.repair("DAY1")
        assert reader.position() == Position("DAY1", 201)
        journal.write(BLOCKS)
        assert read_all(reader, Position("DAY1", 1)) == BLOCKS


def test_of_an_older_session_what_stands_behind_the_damage_is_kept_too(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    flip(path, b"DAY1 205 ")

    with Journal(tmp_path, "itch", CHECK_THE_END_ONLY) as journal:
        journal.roll("DAY2")
        repaired = journal.repair("DAY1")

        assert repaired.gaps == (Gap("DAY1", 201, 210),)
        assert read_all(journal, Position("DAY1", 1)) == [*BLOCKS[:20], Gap("DAY1", 201, 210), *BLOCKS[21:]]
        assert journal.sessions()[0].ended
        assert {verified.whole for verified in journal.verify()} == {True}


def test_of_an_older_session_a_broken_page_costs_what_was_on_it(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    content = bytearray(path.read_bytes())
    page = content.index(b"DAY1 205 ") // rows.PAGE_BYTES * rows.PAGE_BYTES
    content[page : page + rows.PAGE_BYTES] = bytes(rows.PAGE_BYTES)
    path.write_bytes(content)

    with Journal(tmp_path, "itch", CHECK_THE_END_ONLY) as journal:
        journal.roll("DAY2")
        (gap,) = journal.repair("DAY1").gaps

        assert (gap.from_seq, gap.to_seq) == (141, 210)
        expected = [item for item in messages_of(list(BLOCKS)) if not gap.from_seq <= item[1] <= gap.to_seq]
        assert [item for item in messages_of(read_all(journal, Position("DAY1", 1))) if item[2]] == expected


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE block SET raw = zeroblob(230) WHERE first_seq = 391", "checksum"),
        ("UPDATE block SET count = 9 WHERE first_seq = 391", "checksum"),
        ("UPDATE block SET received_ns = 'noon' WHERE first_seq = 391", "other types"),
        ("UPDATE block SET first_seq = 392 WHERE first_seq = 391", "checksum"),
        ("DELETE FROM block WHERE first_seq = 381", "numbers 381 to 390 are missing and no gap was declared"),
        ("DELETE FROM block WHERE first_seq = 1", "numbers 1 to 10 are missing and no gap was declared"),
        ("UPDATE session SET first_seq = 7", "table session: checksum does not match"),
        ("DELETE FROM session", "table session: checksum does not match"),
        ("DROP TABLE block", "no such table"),
    ],
)
def test_each_kind_of_damage_is_found_on_opening_and_refilled(tmp_path: Path, sql: str, what: str) -> None:
    change(written(tmp_path, "DAY1"), sql)

    with JournalReader(tmp_path, "itch") as reader:
        (verified,) = reader.verify()
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write(BLOCKS)

        assert any(what in damage.what for damage in verified.damages)
        assert what in journal.repaired[0].what
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS


def test_a_small_file_is_checked_as_a_whole_on_opening(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = 'checkpointed'"
        (page,) = connection.execute(sql).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * rows.PAGE_BYTES)
        file.write(bytes(rows.PAGE_BYTES))

    with Journal(tmp_path, "itch") as journal:
        assert len(journal.repaired) == 1
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS


def test_a_row_that_somebody_else_wrote_is_an_error_and_nothing_is_half_in(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        path = next((tmp_path / "itch").glob("*.sqlite"))
        change(path, "INSERT INTO block VALUES (11, 1, 0, 0, x'')")
        for _ in range(2):
            with pytest.raises(JournalError, match="UNIQUE constraint failed"):
                journal.write(BLOCKS[:2])
        change(path, "DELETE FROM block WHERE first_seq = 11")

        journal.write(BLOCKS[:2])
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS[:2]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100], ids=["empty", "of another kind"])
def test_a_file_that_is_no_database_any_more_is_refilled_whole(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, "DAY1")
    path.write_bytes(content)

    with Journal(tmp_path, "itch") as journal:
        assert journal.position() == Position("DAY1", 1)
        journal.roll("DAY1")
        journal.write(BLOCKS)
        assert read_all(journal, Position("DAY1", 1)) == BLOCKS


def test_declared_gaps_are_no_damage_and_outlive_a_repair(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write(BLOCKS[:2])
        journal.declare_gap(21, 30)
        journal.declare_gap(31, 40)
        journal.write(BLOCKS[4:])
        journal.declare_gap(401, 500)
        journal.commit()
        expected = read_all(journal, Position("DAY1", 1))
        assert {verified.whole for verified in journal.verify()} == {True}

        repaired = journal.repair("DAY1")

        assert repaired.gaps == (Gap("DAY1", 21, 30), Gap("DAY1", 31, 40), Gap("DAY1", 401, 500))
        assert read_all(journal, Position("DAY1", 1)) == expected
        assert journal.position() == Position("DAY1", 501)


def test_a_changed_gap_is_found(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.declare_gap(1, 10)
        journal.write(BLOCKS[1:2])
    change(next((tmp_path / "itch").glob("*.sqlite")), "UPDATE gap SET to_seq = 9")

    with JournalReader(tmp_path, "itch") as reader:
        with pytest.raises(DamagedBlock, match="gap: checksum"):
            reader.read(Position("DAY1", 1))
        assert [damage.what for verified in reader.verify() for damage in verified.damages] == [
            "gap: checksum does not match",
            "numbers 1 to 10 are missing and no gap was declared",
        ]


def test_verify_names_every_damaged_row_and_goes_on_behind_it(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    flip(path, b"DAY1 13 ")
    flip(path, b"DAY1 205 ")

    with JournalReader(tmp_path, "itch") as reader:
        (verified,) = reader.verify()

    assert [damage.seq for damage in verified.damages if damage.what == "checksum does not match"] == [
        11,
        201,
    ]
    assert (verified.messages, verified.blocks, verified.next_seq) == (380, 38, 401)


def test_the_structure_of_a_file_is_checked_too(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3000)

    with JournalReader(tmp_path, "itch") as reader:
        (verified,) = reader.verify()

    assert not verified.whole
    assert verified.messages >= 250


def log_of_another(folder: Path) -> bytes:
    """A write-ahead log that SQLite would take for the one of any file beside it."""
    with Journal(folder, "itch", JournalLimits(fsync_interval_s=100)) as journal:
        journal.roll("DAY1")
        journal.write([numbered(1, 1000)])
        return next((folder / "itch").glob("*-wal")).read_bytes()


@pytest.mark.parametrize("step", ["copied", "set aside", "renamed"])
def test_a_crash_in_the_middle_of_a_repair_loses_nothing(tmp_path: Path, step: str) -> None:
    path = written(tmp_path, "DAY1")
    whole = path.read_bytes()
    flip(path, b"DAY1 205 ")
    with Journal(tmp_path, "itch") as journal:
        (done,) = journal.repaired
    good = path.read_bytes()
    # As the steps of a repair leave the folder, had it been stopped there.
    salvaged = path.with_name(path.name + ".salvaged")
    if step == "copied":
        done.set_aside.unlink()
        salvaged.write_bytes(good)
        path.write_bytes(whole)
    elif step == "set aside":
        salvaged.write_bytes(good)
        path.unlink()
        path.with_name(path.name + "-wal").write_bytes(log_of_another(tmp_path / "another"))
    (path.parent / (path.name + ".salvage")).mkdir()

    with Journal(tmp_path, "itch") as journal:
        assert journal.repaired == []
        assert journal.position() == Position("DAY1", 401 if step == "copied" else 201)
    assert {left.suffix for left in path.parent.iterdir()} <= {".sqlite", ""}


def test_an_ended_session_that_has_lost_its_end_can_tell(tmp_path: Path) -> None:
    written(tmp_path, "DAY1", "DAY2")
    change(tmp_path / "itch" / "00000001-DAY1.sqlite", "DELETE FROM block WHERE first_seq > 380")

    with Journal(tmp_path, "itch") as journal:
        assert journal.read(Position("DAY1", 1)) == BLOCKS[:38]
        with pytest.raises(DamagedBlock, match="row 381: ends here, 401 expected"):
            journal.read(Position("DAY1", 381))
        assert not next(journal.verify("DAY1")).whole

        assert journal.repair("DAY1").gaps == (Gap("DAY1", 381, 400),)
        assert journal.read(Position("DAY1", 381)) == [Gap("DAY1", 381, 400)]


def test_a_file_of_a_newer_format_is_not_damage_but_a_message_to_the_operator(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    newer = (2, "itch", "DAY1", 1, 0, None, None)
    crc = rows.session_crc(newer)
    change(path, f"UPDATE session SET format = 2, started_ns = 0, crc32 = {crc}")
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="has format 2, this gateway knows up to 1: upgrade it"):
        Journal(tmp_path, "itch")
    assert path.read_bytes() == before


def test_a_file_under_another_sessions_name_is_not_read_as_that_session(tmp_path: Path) -> None:
    path = written(tmp_path, "DAY1")
    shutil.copy(path, path.with_name("00000002-DAY2.sqlite"))

    with JournalReader(tmp_path, "itch") as reader:
        with pytest.raises(DamagedBlock, match="holds session 'DAY1', its name says 'DAY2'"):
            reader.read(Position("DAY2", 1))
        assert "its name says" in str(reader.sessions()[1].damage)


def test_a_block_is_never_served_changed(tmp_path: Path) -> None:
    """Each byte of a small file is changed in turn: a reader gets what was written or an error."""
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write(BLOCKS[:3])
    path = next((tmp_path / "itch").glob("*.sqlite"))
    content = path.read_bytes()
    expected = messages_of(list(BLOCKS[:3]))
    served_whole = 0
    for at in range(0, len(content), 3):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        served: list[Block | Gap] = []
        try:
            with JournalReader(tmp_path, "itch") as reader:
                served = reader.read(Position("DAY1", 1))
        except (DamagedBlock, ConfigError):
            continue
        got = messages_of(served)

        assert got == expected[: len(got)], f"byte {at}"
        served_whole += got == expected

    assert served_whole > 10, "most of a small file is not used"

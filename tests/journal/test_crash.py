"""kill -9 at any moment, and files cut short at any byte: the journal opens and knows exactly what it has."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalLimits, JournalReader
from gateway.values import Position
from tests.journal.blocks import messages_of, numbered, read_all

ROOT = Path(__file__).resolve().parents[2]
# Writes blocks of 1 to 40 messages as fast as it can and tells each committed number, as a feed publishes.
WRITER = """
import random, sys
from pathlib import Path
from gateway.journal import Journal, JournalBusy, JournalLimits
from tests.journal.blocks import numbered
chance = random.Random(int(sys.argv[2]))
limits = JournalLimits(fsync_interval_s=0.001, checkpoint_bytes=20_000, empty_log_bytes=60_000)
with Journal(Path(sys.argv[1]), "itch", limits) as journal:
    at = journal.roll("DAY1").next_seq
    sys.stdout.write(f"open {at}\\n")
    while True:
        count = chance.randint(1, 40)
        try:
            journal.write([numbered(at, count)])
        except JournalBusy:
            continue
        at += count
        sys.stdout.write(f"{at}\\n")
        sys.stdout.flush()
"""


def test_row_14_kill_9_inside_a_write_loses_nothing_that_was_published(tmp_path: Path) -> None:
    chance = random.Random(14)
    published = 1
    for round_number in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(round_number)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert writer.stdout is not None
        with writer, writer.stdout:
            opened = writer.stdout.readline()
            assert opened == f"open {opened.split()[1].decode()}\n".encode()
            resumed = int(opened.split()[1])
            for _ in range(chance.randint(1, 200)):
                line = writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            whole = [line, *writer.stdout.read().splitlines(keepends=True)]
        before, published = published, int([line for line in whole if line.endswith(b"\n")][-1])

        assert resumed >= before, "what was published must be had after a restart"

    with Journal(tmp_path, "itch") as journal:
        end = journal.position()
        assert end is not None
        assert end.next_seq >= published
        assert journal.repaired == []
        expected = messages_of([numbered(1, end.next_seq - 1)])
        assert messages_of(read_all(journal, Position("DAY1", 1))) == expected


def cut_journal(folder: Path, *, log: bool) -> Path:
    """A small journal as a kill leaves it (`log`: all is in the write-ahead log), or as a clean end does."""
    limits = JournalLimits(fsync_interval_s=100)
    with Journal(folder / "live", "itch", limits) as journal:
        journal.roll("DAY1")
        for at in range(1, 120, 10):
            journal.write([numbered(at, 10, size=60)])
        if log:
            shutil.copytree(folder / "live", folder / "dead")
            return folder / "dead"
    return folder / "live"


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A folder where thousands of fsyncs cost nothing, if the machine has one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["the main file", "the write-ahead log"])
def test_a_journal_cut_at_every_byte_of_its_last_4_kb_opens_again(
    ram: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "gateway.journal")
    whole = cut_journal(ram, log=bool(suffix)) / "itch"
    kept = {
        path.name: path.read_bytes()
        for path in whole.iterdir()
        if "sqlite" in path.name and "shm" not in path.name
    }
    (cut_name,) = (name for name in kept if name.endswith(".sqlite" + suffix))
    work = ram / "work" / "itch"
    work.mkdir(parents=True)
    expected = messages_of([numbered(1, 120, size=60)])
    ends: set[int] = set()
    for cut in range(1, 4097):
        for path in work.iterdir():
            path.unlink()
        for name, content in kept.items():
            (work / name).write_bytes(content[:-cut] if name == cut_name else content)
        with Journal(work.parent, "itch") as journal:
            position = journal.roll("DAY1")
            journal.write([numbered(position.next_seq, 121 - position.next_seq, size=60)])
            ends.add(position.next_seq)

            assert messages_of(read_all(journal, Position("DAY1", 1))) == expected
            assert len(journal.repaired) == (0 if suffix else 1)

    assert max(ends) == (111 if suffix else 91), "one byte takes one block, or what stands on its page"
    assert min(ends) > 10, "and only what was cut is taken"


def test_a_log_that_a_kill_left_is_read_by_tools_that_may_not_write_it(tmp_path: Path) -> None:
    dead = cut_journal(tmp_path, log=True)

    with JournalReader(dead, "itch") as reader:
        assert reader.position() == Position("DAY1", 121)
        assert messages_of(read_all(reader, Position("DAY1", 1))) == messages_of([numbered(1, 120, size=60)])

"""A journal is copied while its gateway writes at a rate; a second gateway starts on the copy and goes on."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalReader
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from gateway.values import Block
from tests.flow.pipe import feed_settings, reader, running, settings

ROOT = Path(__file__).resolve().parents[2]
RATE = 5_000.0
# This is about what is had, not about how fast.
PATIENCE_S = 90.0


async def back_up(journal: Path, backup: Path) -> tuple[int, str]:
    """As docs/operations/backup.md says: with Python, and nothing else."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(ROOT / "deploy" / "backup.py"),
        str(journal),
        str(backup),
        stdout=PIPE,
        stderr=PIPE,
    )
    said, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (said + error).decode()


async def command(*arguments: str) -> tuple[int, str]:
    """`gateway …` as its operator types it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, stdout=PIPE, cwd=ROOT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.one_loop
async def test_a_copy_made_under_load_is_whole_and_a_gateway_goes_on_from_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    async with Exchange(messages=Market(50, seed=3).messages(), pace=by_rate(RATE)) as exchange:
        async with running(settings(old, feed_settings(exchange.port))) as gateway, reader(gateway) as first:
            await first.stream("*", resume={"seqN": 1})
            await first.until_count(1_000, PATIENCE_S)
            code, said = await back_up(old / "journal", new / "journal")
            assert code == 0, said
            # It was running all the while.
            with JournalReader(new / "journal", "itch") as copied:
                (info,) = copied.sessions()
            await first.until_count(info.next_seq + 300, PATIENCE_S)
        verified, told = await command("journal", "verify", str(new / "journal"))

        # Somewhere else, on the copy, with the same exchange.
        async with (
            running(settings(new, feed_settings(exchange.port))) as restored,
            reader(restored) as second,
        ):
            await second.stream("*", resume={"seqN": 1})
            await second.until_count(info.next_seq + 300, PATIENCE_S)

    assert info.next_seq > 1_000, "what subscribers had when it began is in it"
    assert (verified, told.count("\n")) == (0, 1), told
    assert second.numbers == list(range(1, len(second.numbers) + 1))
    had = min(len(first.data), len(second.data))
    assert [each["message"] for each in second.data[:had]] == [each["message"] for each in first.data[:had]]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two sessions, the first of which has ended."""
    folder = tmp_path / "journal"
    with Journal(folder, "itch") as writer:
        for session in ("one", "two"):
            writer.roll(session)
            writer.append(Block(session, 1, 2, 1, b"\x00\x02Sa\x00\x02Sb"))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


async def test_what_has_not_changed_is_not_copied_again(journal: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    await back_up(journal, backup)
    ended = backup / "itch" / "00000001-one.sqlite"
    before = ended.stat().st_ino
    with Journal(journal, "itch") as writer:
        writer.write([Block("two", 3, 1, 2, b"\x00\x02Sc")])
        code, said = await back_up(journal, backup)
        with JournalReader(backup, "itch") as copied:
            positions = {info.session: info.next_seq for info in copied.sessions()}

    assert code == 0
    assert f"{ended}: had already\n" in said
    assert ended.stat().st_ino == before
    assert positions == {"one": 3, "two": 4}
    # One file each: nothing that would have to be kept together with it.
    assert names(backup) == {"00000001-one.sqlite", "00000002-two.sqlite"}


async def test_a_gap_and_an_end_are_reasons_to_copy_again_too(journal: Path, tmp_path: Path) -> None:
    backup, file = tmp_path / "backup", "00000002-two.sqlite"
    said = []
    with Journal(journal, "itch") as writer:
        await back_up(journal, backup)
        writer.declare_gap(3, 9)
        writer.commit()
        said.append((await back_up(journal, backup))[1])
        writer.roll("three")
        said.append((await back_up(journal, backup))[1])
        said.append((await back_up(journal, backup))[1])

    assert [f"{file}: had already" in each for each in said] == [False, False, True]


async def test_a_file_that_is_no_database_is_told_and_the_others_are_copied(
    journal: Path, tmp_path: Path
) -> None:
    (journal / "itch" / "00000001-one.sqlite").write_bytes(b"no database" * 1000)
    (journal / "itch" / "00000000-old.damaged-1.sqlite").write_bytes(b"set aside")
    code, said = await back_up(journal, tmp_path / "backup")

    assert code == 1
    assert "00000001-one.sqlite: not copied: file is not a database" in said
    assert names(tmp_path / "backup") >= {"00000002-two.sqlite", "00000000-old.damaged-1.sqlite"}


async def test_a_folder_without_a_journal_is_told(tmp_path: Path) -> None:
    code, said = await back_up(tmp_path, tmp_path / "backup")

    assert code == 2
    assert "holds no journal" in said

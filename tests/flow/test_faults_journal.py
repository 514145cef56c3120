"""Rows 14 to 20 of the list of faults, through a whole gateway with a subscriber: troubles of the disk."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.journal import Journal, JournalReader
from gateway.settings import JournalSettings
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from gateway.values import Block
from tests.fakes.small_disk import mounted
from tests.fakes.troubled_disk import TroubledDisk, compiled
from tests.flow.pipe import Reader, feed_settings, free_port, health, reader, running, settings
from tests.flow.process import ENVIRONMENT, GatewayProcess, write_config

RATE = 2_000.0


@pytest.fixture(scope="session")
def disk_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def disk(disk_library: Path, tmp_path: Path) -> TroubledDisk:
    return TroubledDisk(disk_library, tmp_path)


@asynccontextmanager
async def reading(gateway: GatewayProcess, **request: Any) -> AsyncIterator[Reader]:
    """A subscriber to everything of a gateway in a process of its own."""
    address = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
    # Who leaves in the middle of a flood does not wait for the other side to notice.
    async with connect(address, max_size=None, close_timeout=0.2) as socket:
        whole = Reader(socket)
        await whole.stream("*", **request)
        yield whole


async def closed(whole: Reader) -> ConnectionClosed:
    """Read until the connection ends; gives how."""
    async with asyncio.timeout(10):
        while True:
            try:
                await whole.read()
            except ConnectionClosed as exc:
                return exc


async def gone(folder: Path, pattern: str) -> None:
    """Wait until no file of the journal has such a name."""
    async with asyncio.timeout(20):
        # A folder tells nobody when it changes.
        while any(fnmatch(name, pattern) for name in os.listdir(folder / "journal" / "itch")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def troubled(
    tmp_path: Path, disk: TroubledDisk, faults: Faults | None = None
) -> AsyncIterator[tuple[GatewayProcess, Exchange]]:
    """A gateway on a disk that may get into trouble, and an exchange that never pauses."""
    port = free_port()
    gateway = GatewayProcess(write_config(tmp_path, port), disk.environment)
    try:
        # It dials until the exchange is there, so that little is sent before somebody reads.
        await gateway.start()
        of_exchange = ExchangeSettings(port=port, faults=faults or ())
        async with Exchange(of_exchange, Market(20, seed=5).messages(), by_rate(RATE)) as exchange:
            yield gateway, exchange
    finally:
        await gateway.kill()


def check_journal(folder: Path) -> int:
    """That every block and number is whole; gives the next number of the newest session."""
    with JournalReader(folder / "journal", "itch") as journal:
        for verified in journal.verify():
            assert verified.damages == ()
            assert (verified.first_seq, verified.gaps) == (1, ())
            assert verified.messages == verified.next_seq - 1
        position = journal.position()
        assert position is not None
        return position.next_seq


def journaled(folder: Path) -> list[bytes]:
    """All payloads of the newest session."""
    with JournalReader(folder / "journal", "itch") as journal:
        (info,) = journal.sessions()
        position, found = info.position.__class__(info.session, 1), []
        while items := journal.read(position):
            for item in items:
                assert isinstance(item, Block)
                found += [payload for _, payload in item.payloads()]
                position = position.__class__(info.session, item.next_seq)
        return found


@pytest.mark.one_loop
async def test_row_14_kill_9_inside_a_write_opens_and_resumes(tmp_path: Path, disk: TroubledDisk) -> None:
    async with troubled(tmp_path, disk) as (gateway, exchange):
        got: list[int] = []
        for _ in range(5):
            async with reading(gateway, resume={"seqN": len(got) + 1}) as whole:
                await whole.until_count(300)
                with disk.has("deadly"):
                    await closed(whole)
                got += whole.numbers
            assert await gateway.process.wait() == -9
            assert check_journal(tmp_path) > len(got), "what was published is there"
            await gateway.start()
        async with reading(gateway, resume={"seqN": len(got) + 1}) as whole:
            await whole.until_count(300)
            got += whole.numbers
        _, told = await health(gateway.port)
        await gateway.kill()

    assert got == list(range(1, len(got) + 1))
    assert told["feeds"]["itch"]["gaps"] == 0
    assert exchange.logins == 6
    payloads = journaled(tmp_path)
    assert payloads == Market(20, seed=5).take(len(payloads))


def flip(path: Path, seq: int) -> int:
    """Flip one bit of the block that holds a number; gives the block's first number."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        sql = "SELECT first_seq, raw FROM block WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1"
        first_seq, raw = connection.execute(sql, (seq,)).fetchone()
    content = bytearray(path.read_bytes())
    # The last bytes of a block stand together on a page, and no two blocks end in the same ones.
    at = content.index(raw[-24:])
    content[at + 20] ^= 1
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content[at : at + 24])
    return int(first_seq)


async def test_row_15_a_flipped_bit_is_found_never_served_set_aside_and_refilled(tmp_path: Path) -> None:
    messages = Market(20, seed=5).take(4_000)
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as whole:
            await whole.stream("*")
            await whole.until_control("MLinkStreamCheckPt", state="Complete")
            for at in range(0, 4_000, 100):
                exchange.extend(messages[at : at + 100])
                await whole.until_count(at + 100)
        (path,) = (tmp_path / "journal" / "itch").glob("*.sqlite")

        async with running(configured) as gateway, reader(gateway) as live:
            await live.stream("*")
            await live.until_control("MLinkStreamCheckPt", state="Complete")
            damaged_at = flip(path, 2_050)
            records = len(live.data)

            # Who comes to it gets all in front of it, and is told where to go on and why not now.
            for asked in (1, damaged_at - 150):
                async with reader(gateway) as late:
                    await late.stream("*", resume={"seqN": asked})
                    ended = await closed(late)
                assert late.numbers == list(range(asked, damaged_at))
                assert ended.rcvd is not None
                assert ended.rcvd.code == 1011
                assert ended.rcvd.reason.endswith("can't be read now; resume later, or behind it")
                (terminated,) = [
                    each["message"] for each in late.control if each["message"].get("state") == "Terminated"
                ]
                assert terminated["positions"][0]["seqN"] == damaged_at - 1
            async with reader(gateway) as late:
                await late.stream("*", resume={"seqN": damaged_at + 30})
                ack = await late.until_control("MLinkStreamAck")
            assert (ack["result"], late.data) == ("Error", [])
            assert ack["detail"].endswith("can't be read now; resume later, or behind it")
            status, told = await health(gateway.port)
            assert "checksum does not match" in told["feeds"]["itch"]["damaged"]["0000000001"]
            assert status == 200, "who is live is served"

            # Who asks behind it, and who is live, is served on.
            async with reader(gateway) as behind:
                await behind.stream("*", resume={"seqN": damaged_at + 500})
                exchange.extend(messages[:50])
                await behind.until_count(4_050 - damaged_at - 499)
                assert behind.numbers == list(range(damaged_at + 500, 4_051))
            await live.until_count(records + 50)

        # The next start sets it aside and has the upstream send the rest again.
        async with running(configured) as gateway, reader(gateway) as again:
            await again.stream("*", resume={"seqN": 1})
            await again.until_count(4_050)
            _, told = await health(gateway.port)

    assert again.numbers == list(range(1, 4_051))
    assert told["feeds"]["itch"]["damaged"] == {}
    assert [each.name for each in path.parent.glob("*.damaged-1.sqlite")] == [f"{path.stem}.damaged-1.sqlite"]
    assert journaled(tmp_path) == messages + messages[:50]


async def test_row_15_of_an_older_session_the_numbers_that_are_lost_are_a_gap(tmp_path: Path) -> None:
    messages = Market(20, seed=5).take(2_000)
    faults = Faults(roll_session_after=1_000)
    async with Exchange(ExchangeSettings(faults=faults), messages) as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as whole:
            await whole.stream("*", resume={"seqN": 1})
            await whole.until_count(2_000)
        path = min((tmp_path / "journal" / "itch").glob("*.sqlite"))
        first = whole.data[0]["header"]["ses"]
        with closing(sqlite3.connect(path)) as connection:
            before, count = connection.execute(
                "SELECT first_seq, count FROM block WHERE first_seq > 1 LIMIT 1"
            ).fetchone()
        flip(path, before)
        async with running(configured) as gateway, reader(gateway) as late:
            await late.stream("*", resume={"ses": first, "seqN": 1})
            await closed(late)
        async with running(configured) as gateway, reader(gateway) as late:
            await late.stream("*", resume={"ses": first, "seqN": 1})
            await late.until_count(2_000 - count)
            gap = await late.until_control("MLinkAdmin", event="SequenceGap")

    assert (gap["src"], gap["ses"], gap["fromSeqN"], gap["toSeqN"]) == (
        "itch",
        first,
        before,
        before + count - 1,
    )
    lost = range(before, before + count)
    assert late.numbers[: 1_000 - count] == [seq for seq in range(1, 1_001) if seq not in lost]
    assert late.numbers[1_000 - count :] == list(range(1, 1_001))


@pytest.mark.one_loop
async def test_row_16_disk_full_pauses_says_why_and_goes_on_by_itself(
    tmp_path: Path, disk: TroubledDisk
) -> None:
    async with troubled(tmp_path, disk) as (gateway, exchange), reading(gateway, resume={"seqN": 1}) as whole:
        await whole.until_count(300)
        # It came before the exchange did, and was told so.
        whole.control.clear()
        with disk.has("full"):
            down = await whole.until_control("MLinkAdmin", event="FeedDown")
            had = len(whole.data)
            status, told = await health(gateway.port)
            # The exchange goes on; what it sends waits there.
            behind = exchange.session.next_seq + 1_000
            async with asyncio.timeout(20):
                while exchange.session.next_seq < behind:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert check_journal(tmp_path) == had + 1, "nothing is published that is not journaled"
        await whole.until_control(
            "MLinkAdmin", event="FeedUp", detail="feed itch: the journal can be written again"
        )
        await whole.until_count(behind)
        well, _ = await health(gateway.port)
        await gateway.kill()

    assert (down["src"], status, well) == ("itch", 503, 200)
    assert "no room on the disk" in down["detail"]
    assert told["feeds"]["itch"]["paused"]
    assert "no room on the disk" in told["feeds"]["itch"]["detail"]
    assert told["why"][0].startswith("feed itch: waits for its journal: ")
    assert "no room on the disk" in told["why"][0]
    assert whole.numbers == list(range(1, len(whole.data) + 1))
    assert check_journal(tmp_path) > behind


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 6 MB."""
    with mounted(6) as folder:
        yield folder


async def test_row_16_a_file_system_that_is_full_loses_nothing(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(5 << 20))
    messages = Market(20, seed=5).take(40_000)
    async with Exchange() as exchange:
        configured = settings(small_disk, feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as whole:
            await whole.stream("*")
            await whole.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(messages)
            down = await whole.until_control("MLinkAdmin", event="FeedDown")
            assert (await health(gateway.port))[1]["feeds"]["itch"]["paused"]
            ballast.unlink()
            await whole.until_control("MLinkAdmin", event="FeedUp")
            await whole.until_count(40_000)

    assert "no room on the disk" in down["detail"]
    assert whole.numbers == list(range(1, 40_001))


@pytest.mark.one_loop
async def test_row_17_an_error_at_fsync_stops_the_feed_and_says_why_until_a_restart(
    tmp_path: Path, disk: TroubledDisk
) -> None:
    async with troubled(tmp_path, disk) as (gateway, _):
        async with reading(gateway, resume={"seqN": 1}) as whole:
            await whole.until_count(300)
            whole.control.clear()
            with disk.has("broken"):
                down = await whole.until_control("MLinkAdmin", event="FeedDown")
            had = len(whole.data)
            # The disk is well again, but what is on it is not known: that is for a person to look at.
            for _ in range(3):
                await asyncio.sleep(0.3)
                status, told = await health(gateway.port)
                assert (status, told["feeds"]["itch"]["paused"]) == (503, True)
            await whole.stream("*", resume={"seqN": 1}, queryID=2)
            await whole.until_count(2 * had)
        async with reading(gateway) as late:
            still = await late.until_control("MLinkAdmin", event="FeedDown")
        await gateway.kill()
        await gateway.start()
        async with reading(gateway, resume={"seqN": had + 1}) as more:
            await more.until_count(1_000)
            _, well = await health(gateway.port)
        await gateway.kill()

    assert [why.split(": ")[1] for why in told["why"]] == [
        "waits for its journal",
        "can't be written until a restart",
    ]
    for said in (down["detail"], still["detail"], told["feeds"]["itch"]["detail"], *told["why"]):
        assert "fsync: Input/output error" in said
        assert "restart the gateway" in said
    assert whole.numbers == [*range(1, had + 1), *range(1, had + 1)], "what is had is still served"
    assert more.numbers == list(range(had + 1, had + len(more.data) + 1))
    assert well["feeds"]["itch"]["gaps"] == 0
    check_journal(tmp_path)


@pytest.mark.one_loop
async def test_row_18_while_the_disk_stalls_everybody_is_served_on(
    tmp_path: Path, disk: TroubledDisk
) -> None:
    async with troubled(tmp_path, disk) as (gateway, _), reading(gateway, resume={"seqN": 1}) as whole:
        await whole.until_count(300)
        # It came before the exchange did, and was told so.
        whole.control.clear()
        with disk.has("stalled"):
            # Some of it is over checkpoints of state, which wait for the disk.
            until = asyncio.get_running_loop().time() + 2
            while asyncio.get_running_loop().time() < until:
                await whole.until_count(len(whole.data) + 50)
            status, _ = await health(gateway.port)
            assert status == 200
        await whole.until_count(len(whole.data) + 1_000)
        await gateway.kill()

    assert whole.numbers == list(range(1, len(whole.data) + 1))
    events = {each["message"].get("event") for each in whole.control}
    assert events <= {None, "FeedUp"}, "not a word of trouble"
    check_journal(tmp_path)


@pytest.mark.one_loop
async def test_row_18_a_session_that_changes_while_the_disk_stalls_waits_for_it_alone(
    tmp_path: Path, disk: TroubledDisk
) -> None:
    faults = Faults(roll_session_after=2_000)
    async with (
        troubled(tmp_path, disk, faults) as (gateway, _),
        reading(gateway, resume={"seqN": 1}) as whole,
    ):
        await whole.until_count(500)
        with disk.has("stalled"):
            while "has not finished" not in str(whole.control[-1]["message"]):
                await whole.read()
            had = list(whole.numbers)
            status, told = await health(gateway.port)
            # Others are served meanwhile.
            async with reading(gateway, resume={"seqN": 1}) as late:
                await late.until_count(len(had))
        await whole.until_control("MLinkAdmin", event="SessionChange")
        await whole.until_count(4_000)
        await gateway.kill()

    assert had == late.numbers == list(range(1, 2_001))
    assert (status, told["feeds"]["itch"]["paused"]) == (503, True)
    assert whole.numbers[2_000:] == list(range(1, len(whole.data) - 1_999))
    check_journal(tmp_path)


@pytest.mark.one_loop
async def test_row_19_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with Exchange(messages=Market(20, seed=5).take(500)) as exchange:
        config = write_config(tmp_path, exchange.port)
        gateway = GatewayProcess(config)
        try:
            await gateway.start()
            async with reading(gateway, resume={"seqN": 1}) as whole:
                await whole.until_count(500)
                second = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gateway", "serve", "--config", str(config)),
                    stderr=subprocess.PIPE,
                    env=ENVIRONMENT,
                )
                _, said = await second.communicate()
                exchange.extend(Market(20, seed=6).take(10))
                await whole.until_count(510)
        finally:
            await gateway.kill()
        # The lock goes with its process, however it ended.
        await gateway.start()
        await gateway.kill()

    assert second.returncode == 2
    pid = gateway.process.pid
    assert pid
    text = said.decode()
    assert str(tmp_path / "journal" / "itch") in text
    assert "stop it, or give this gateway a folder of its own" in text
    assert "Traceback" not in text
    assert whole.numbers == list(range(1, 511))


def write_session(folder: Path, session: str, messages: list[bytes], ended_ns: int = 0) -> None:
    """A session as a gateway before this one has left it."""
    clock = {"clock_ns": lambda: ended_ns} if ended_ns else {}
    with Journal(folder / "journal", "itch", **clock) as journal:  # type: ignore[arg-type]
        journal.roll(session)
        for at in range(0, len(messages), 256):
            some = messages[at : at + 256]
            raw = b"".join((len(each) + 1).to_bytes(2, "big") + b"S" + each for each in some)
            journal.append(Block(session, at + 1, len(some), ended_ns or 1, raw))
        journal.end_session()


async def test_row_20_a_session_deleted_under_a_reader_is_told_as_too_old(tmp_path: Path) -> None:
    old = Market(20, seed=5).take(20_000) * 36
    write_session(tmp_path, "OLD", old)
    new = Market(20, seed=6).take(100)
    async with Exchange(ExchangeSettings(session="NEW"), new) as exchange:
        small = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384}
        configured = settings(tmp_path, feed_settings(exchange.port), **small)
        configured = configured.model_copy(
            update={
                "journal": JournalSettings(
                    folder=tmp_path / "journal", checkpoint_s=0.5, retention_bytes=16 << 20
                )
            }
        )
        async with running(configured) as gateway, reader(gateway, max_queue=1) as stalled:
            await stalled.stream("*", resume={"ses": "OLD", "seqN": 1})
            # It reads a little and stops, in the middle of the session, until retention has taken that away.
            await stalled.until_count(1)
            await gone(tmp_path, "*OLD*")
            ended = await closed(stalled)
            async with reader(gateway) as again:
                at = stalled.numbers[-1] + 1
                await again.stream("*", resume={"ses": "OLD", "seqN": at})
                refused = await again.until_control("MLinkStreamAck")
                await again.stream("*", resume={"ses": "NEW", "seqN": 1})
                await again.until_count(100)

    assert 0 < len(stalled.data) < len(old)
    assert stalled.numbers == list(range(1, len(stalled.data) + 1)), "what it got is whole"
    assert ended.rcvd is not None
    assert ended.rcvd.code == 4002
    assert json.dumps(stalled.control[-1]["message"]).count("OLD") == 1
    assert refused["result"] == "Error"
    assert "is too old: had are 'NEW':1 up to" in refused["detail"]
    assert again.numbers == list(range(1, 101))


async def test_sessions_that_ended_long_ago_are_removed_and_the_running_one_never(tmp_path: Path) -> None:
    write_session(tmp_path, "OLDEST", Market(20, seed=5).take(100), ended_ns=1_000_000_000)
    write_session(tmp_path, "OLDER", Market(20, seed=5).take(100), ended_ns=2_000_000_000)
    async with Exchange(ExchangeSettings(session="NEW")) as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port))
        async with running(configured):
            await gone(tmp_path, "*OLDEST*")

    with JournalReader(tmp_path / "journal", "itch") as journal:
        assert [info.session for info in journal.sessions()][-1] == "NEW"

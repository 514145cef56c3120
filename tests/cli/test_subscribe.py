"""`gateway subscribe` as people and pipes use it, in a process of its own against a scripted gateway."""

import asyncio
import csv
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import pyarrow.parquet
import pytest

from tests.fakes.scripted_gateway import ScriptedGateway, until

pytestmark = pytest.mark.one_loop

MESSAGES = 30


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as gateway:
        for number in range(MESSAGES):
            gateway.publish("AddOrder" if number % 2 else "Trade", stock="AB"[number // 15], price=1.5)
        yield gateway


async def started(
    *arguments: str, key: str = "", stdout: IO[bytes] | None = None
) -> asyncio.subprocess.Process:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    environment.pop("GATEWAY_KEY", None)
    if key:
        environment["GATEWAY_KEY"] = key
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from gateway.cli import main; main()",
        "subscribe",
        *arguments,
        stdout=stdout or asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )


async def ran(*arguments: str, key: str = "") -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr."""
    process = await started(*arguments, key=key)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_pipe_gets_the_messages_exactly_as_received(gateway: ScriptedGateway) -> None:
    code, out, err = await ran(gateway.url, "--resume", "itch/S1/1", "--count", "30")

    lines = out.splitlines()
    assert code == 0
    assert lines[0] == (
        '{"header":{"mTyp":"Trade","src":"itch","ses":"S1","seqN":1,"sTim":"2026-01-30 14:30:00.123456",'
        '"encT":"2026-01-30 14:30:00.123499"},"message":{"stock":"A","price":1.5}}'
    )
    assert [json.loads(line)["header"]["seqN"] for line in lines] == list(range(1, 31))
    assert "30 messages; go on with --resume itch/S1/31" in err


async def test_messages_stripes_and_filters_are_asked_for(gateway: ScriptedGateway) -> None:
    code, out, _ = await ran(
        gateway.url, "-m", "AddOrder", "-m", "Trade", "--stripe", "B", "--where", "a:eq:1", "--view", "price",
        "--latency", "7", "--resume", "itch/S1/1", "--count", "3",
    )  # fmt: skip

    assert code == 0
    assert [json.loads(line)["header"]["seqN"] for line in out.splitlines()] == [16, 17, 18]
    request = gateway.requests[0]
    assert request["msgName"] == ["AddOrder", "Trade"]
    assert (request["stripeFilter"], request["where"], request["view"]) == ("B", "a:eq:1", "price")
    assert request["activeLatency"] == 7


async def test_without_a_message_name_all_are_wanted(gateway: ScriptedGateway) -> None:
    await ran(gateway.url, "--resume", "itch/S1/1", "--count", "1")

    assert gateway.requests[0]["msgName"] == "*"


async def test_a_cut_line_is_told_on_stderr_and_the_stream_goes_on(gateway: ScriptedGateway) -> None:
    gateway.batch = 5
    gateway.cuts = iter([3000])

    code, out, err = await ran(gateway.url, "--resume", "itch/S1/1", "--count", "30")

    assert code == 0
    assert [json.loads(line)["header"]["seqN"] for line in out.splitlines()] == list(range(1, 31))
    assert "Reconnecting:" in err
    assert "Reconnected: goes on at itch/S1/" in err


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
async def test_a_file_has_every_message(gateway: ScriptedGateway, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"

    code, out, err = await ran(gateway.url, "--resume", "itch/S1/1", "--count", "30", "--output", str(path))

    assert (code, out) == (0, ""), err
    match suffix:
        case "jsonl":
            numbers = [json.loads(line)["header"]["seqN"] for line in path.read_text().splitlines()]
        case "csv":
            with path.open(newline="") as file:
                numbers = [int(row["sequenceNumber"]) for row in csv.DictReader(file)]
        case _:
            numbers = pyarrow.parquet.read_table(path)["sequenceNumber"].to_pylist()
    assert numbers == list(range(1, 31))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_good_order_and_says_where_to_go_on(
    gateway: ScriptedGateway, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "out.jsonl"
    process = await started(gateway.url, "--resume", "itch/S1/1", "--output", str(path))
    assert process.stderr is not None
    await until(lambda: path.exists() and path.read_bytes().count(b"\n") == MESSAGES)

    process.send_signal(number)
    _, err = await process.communicate()

    assert process.returncode == 0
    assert "go on with --resume itch/S1/31" in err.decode()


async def test_a_reader_that_has_enough_ends_it_without_a_word(gateway: ScriptedGateway) -> None:
    process = await started(gateway.url, "--resume", "itch/S1/1")
    assert process.stdout is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `head -1` does
    while process.returncode is None:
        gateway.publish("Trade", stock="A")
        await asyncio.sleep(0.05)

    assert process.returncode == 0
    assert process.stderr is not None
    assert b"Traceback" not in await process.stderr.read()


@pytest.mark.parametrize("to", [[], ["--output", "/dev/full", "--overwrite"]])
async def test_a_full_disk_is_told_at_once_and_nobody_is_told_to_go_on(
    gateway: ScriptedGateway, to: list[str]
) -> None:
    # Few messages, so that it is seen when they are handed over, not when there is another.
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230
        process = await started(gateway.url, "--resume", "itch/S1/1", *to, stdout=None if to else full)
        _, err = await process.communicate()

    assert process.returncode == 1
    said = err.decode().splitlines()
    assert said == [
        f"gateway: can't write {'/dev/full' if to else 'to standard output'}: No space left on device"
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
async def test_a_disk_that_is_full_at_the_end_is_told_too(gateway: ScriptedGateway, suffix: str) -> None:
    arguments = ["--resume", "itch/S1/1", "--count", "30", "--format", suffix]
    code, _, err = await ran(gateway.url, *arguments, "--output", "/dev/full", "--overwrite")

    assert code == 1
    assert "go on with" not in err
    assert "Traceback" not in err
    assert err.endswith("gateway: can't write /dev/full: No space left on device\n")


async def test_a_reader_that_has_enough_is_seen_while_nothing_comes(gateway: ScriptedGateway) -> None:
    process = await started(gateway.url, "--resume", "itch/S1/1")
    assert process.stdout is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `head -1` does
    gateway.publish("Trade", stock="A")

    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ftp://h"], "expected ws://HOST:PORT"),
        (["localhost", "--resume", "7"], "expected SRC/SES/SEQ"),
        (["localhost", "--output", "a.xls"], "expected one of jsonl, csv, parquet"),
        (["localhost", "--format", "csv"], "--output"),
        (["localhost", "--key-file", "/nowhere"], "--key-file /nowhere: can't be read"),
        (["localhost", "--count", "0"], "--count"),
        ([], "URL"),
    ],
)
async def test_wrong_input_is_exit_code_2_and_one_line_that_says_why(arguments: list[str], says: str) -> None:
    code, out, err = await ran(*arguments)

    assert code == 2
    assert out == ""
    assert says in err
    assert "Traceback" not in err


async def test_a_refused_request_is_your_input(gateway: ScriptedGateway) -> None:
    gateway.refuse = lambda body: ("Error", "position 6: expected an operator")

    code, _, err = await ran(gateway.url, "--where", "stock:is:A")

    assert code == 2
    assert "position 6: expected an operator" in err


async def test_the_key_comes_from_the_environment_an_option_or_a_file(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    gateway.key = "secret"
    path = tmp_path / "key"
    path.write_text("secret\n")
    common = [gateway.url, "--resume", "itch/S1/1", "--count", "1"]

    for more, key in ([], "secret"), (["--key", "secret"], ""), (["--key-file", str(path)], "wrong"):
        code, _, err = await ran(*common, *more, key=key)
        assert code == 0, err
    code, _, err = await ran(*common, "--key", "wrong")
    assert code == 2
    assert "401" in err
    assert "wrong" not in err


async def test_an_empty_key_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" \n")

    code, _, err = await ran("localhost", "--key-file", str(tmp_path / "key"))

    assert code == 2
    assert "is empty" in err


async def test_no_gateway_is_exit_code_1(gateway: ScriptedGateway) -> None:
    await gateway.stop()

    code, _, err = await ran(gateway.url, "--give-up-after", "0.05")
    await gateway.start()

    assert code == 1
    assert "no line for 0.05 s" in err


async def test_help_teaches_with_examples() -> None:
    code, out, _ = await ran("--help")

    assert code == 0
    for word in (
        "--message",
        "--stripe",
        "--where",
        "--view",
        "--resume",
        "--output",
        "Examples:",
        "Exit codes",
    ):
        assert word in out

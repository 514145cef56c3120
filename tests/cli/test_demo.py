"""`gateway demo` as a newcomer meets it: it starts, ends whichever way one ends it, and leaves nothing."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.cli.demo import STARTS_WITHIN_S
from tests.flow.pipe import free_port
from tests.flow.process import ENVIRONMENT, ROOT

pytestmark = pytest.mark.one_loop


@asynccontextmanager
async def demo(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    """A demo whose temporary files are in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", *arguments),
        stdout=PIPE,
        stderr=STDOUT,
        cwd=ROOT,
        env={**ENVIRONMENT, "TMPDIR": str(folder)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_said(process: Process, word: str) -> str:
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(30):
        while word not in said:
            line = await process.stdout.readline()
            assert line, f"it ended:\n{said}"
            said += line.decode()
    return said


def things_in(folder: Path) -> set[Path]:
    return set(folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_says_where_it_is_and_whatever_signal_ends_it_it_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with demo(tmp_path, "--port", "0") as process:
        said = await until_said(process, "Ctrl-C")
        (folder,) = things_in(tmp_path)
        process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), 30)

    assert "page     http://127.0.0.1:" in said
    assert folder.name.startswith("soup-gateway-demo-")
    assert re.search(r"try +python\S* -m gateway subscribe ws://127.0.0.1:\d+/mlink/jsonf", said), said
    assert code == 0
    assert things_in(tmp_path) == set()


async def test_what_a_killed_one_leaves_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    async with demo(tmp_path, "--port", "0") as killed, demo(tmp_path, "--port", "0") as beside:
        await until_said(killed, "Ctrl-C")
        await until_said(beside, "Ctrl-C")
        killed.kill()
        await killed.wait()
        both = things_in(tmp_path)
        for each in both:
            os.utime(each, (0, each.stat().st_mtime - 2 * STARTS_WITHIN_S))
        async with demo(tmp_path, "--port", "0") as following:
            await until_said(following, "Ctrl-C")
            left = both & things_in(tmp_path)

    assert len(both) == 2
    assert len(left) == 1, "the one that runs beside it keeps its own"


async def test_a_port_that_is_taken_or_none_is_your_input(tmp_path: Path) -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with taken, demo(tmp_path, "--port", str(port)) as process:
        told = await until_said(process, "\n")
        code = await process.wait()
    async with demo(tmp_path, "--port", "99999") as process:
        none = await until_said(process, "--port")
        none_code = await process.wait()

    assert "somebody does already; stop them, or choose another port (0 takes a free one)" in told
    assert "Traceback" not in none
    assert (code, none_code) == (2, 2)

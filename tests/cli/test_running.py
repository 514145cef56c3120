"""A command's coroutine ends as the command does: done, interrupted, or on its own way out."""

import asyncio
import os
import signal

import pytest

from gateway.cli.running import run_until_interrupted


def test_what_is_done_is_done() -> None:
    async def work() -> None:
        return

    assert run_until_interrupted(work())


def test_a_signal_cuts_it_short() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    assert not run_until_interrupted(work())


def test_whoever_leaves_by_itself_leaves_without_a_trace(capfd: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit) as left:
        run_until_interrupted(work())

    assert left.value.code == 1
    assert capfd.readouterr().err == ""


def test_an_error_stays_an_error() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_until_interrupted(work())

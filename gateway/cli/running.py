"""Run a command's coroutine until it is done or a signal says to end. Knows the process, nothing else."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work`; Ctrl-C and SIGTERM cancel it, and that is a normal end. False when it was cut short so."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(_cancelled_by_signals(work))
        except KeyboardInterrupt:
            return False


async def _cancelled_by_signals(work: Coroutine[Any, Any, None]) -> bool:
    task = asyncio.ensure_future(_without_exit(work))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await asyncio.wait([task])
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    if task.cancelled():
        return False
    if (left := task.result()) is not None:
        raise left
    return True


async def _without_exit(work: Coroutine[Any, Any, None]) -> SystemExit | None:
    """A pipe whose reader has left is an exit to rich; out of a task it would tear the loop down, loudly."""
    try:
        await work
    except SystemExit as exc:
        return exc
    return None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one, the standard loop elsewhere."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


@contextmanager
def quiet_client_log() -> Iterator[None]:
    """For commands that print notices: the client library's log would say each a second time."""
    log = logging.getLogger("gateway.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)

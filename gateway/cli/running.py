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
    task = asyncio.ensure_future(work)
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
    task.result()
    return True


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

"""A real feed on a real journal, with a publisher that remembers, for tests over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.journal import Journal
from gateway.net.feed import Feed
from gateway.settings import EndpointSettings, FeedSettings
from tests.fakes.recording_publisher import RecordingPublisher

# Longer than any test takes, shorter than the patience of whoever runs the suite.
WAIT_S = 20.0
# How often a wait looks; what is waited for is never decided by it.
LOOK_S = 0.005


def feed_settings(*ports: int, **values: Any) -> FeedSettings:
    """Impatient settings, with endpoints named `primary`, `secondary`, `third`."""
    names = ("primary", "secondary", "third")
    endpoints = tuple(
        EndpointSettings(name=name, address=f"127.0.0.1:{port}")
        for name, port in zip(names, ports, strict=False)
    )
    given: dict[str, Any] = {
        "name": "itch",
        "user": "me",
        "password": SecretStr("secret"),
        "heartbeat_s": 0.1,
        "silence_s": 0.5,
        "connect_timeout_s": 2.0,
        "login_timeout_s": 0.3,
        "hold_down_s": 0.2,
        "backoff_first_s": 0.01,
        "backoff_max_s": 0.05,
        "endpoints": endpoints,
    }
    return FeedSettings(**(given | values))


class HeldFeed:
    """What a test looks at."""

    def __init__(self, settings: FeedSettings, journal: Journal, **more: Any) -> None:
        self.journal = journal
        self.publisher = RecordingPublisher(journal)
        self.feed = Feed(settings, journal, self.publisher, **more)
        self.task: asyncio.Task[None] | None = None

    async def until(self, is_so: Callable[[], object], what: str = "") -> None:
        assert self.task is not None
        try:
            async with asyncio.timeout(WAIT_S):
                while not is_so():
                    if self.task.done():
                        self.task.result()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(
                f"never {what}: {self.feed.health}, {[str(each) for each in self.publisher.notices[-8:]]}"
            ) from None

    async def until_has(self, session: str, last_seq: int) -> None:
        await self.until(
            lambda: self.publisher.session == session and (self.publisher.next_seq or 0) > last_seq,
            f"{session}:{last_seq}",
        )

    async def until_told(self, kind: object) -> None:
        await self.until(lambda: kind in self.publisher.kinds(), str(kind))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def holding(folder: Path, settings: FeedSettings, **more: Any) -> AsyncIterator[HeldFeed]:
    """A running feed; leaving logs it out and closes its journal."""
    journal = more.pop("journal", None) or Journal(folder, settings.name)
    held = HeldFeed(settings, journal, **more)
    held.task = asyncio.get_running_loop().create_task(held.feed.run())
    try:
        yield held
        if held.task.done() and not held.task.cancelled():
            held.task.result()
    finally:
        await held.stop()
        journal.close()

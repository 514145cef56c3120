"""What the client's tests share: a scripted gateway, and a connection that tries again at once."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.client import Feed, Notice, connect
from tests.fakes.scripted_gateway import ScriptedGateway


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as gateway:
        yield gateway


@pytest.fixture
def notices() -> list[Notice]:
    return []


@pytest.fixture
async def feed(gateway: ScriptedGateway, notices: list[Notice]) -> AsyncIterator[Feed]:
    async with connect(
        gateway.url, on_notice=notices.append, retry_first_s=0.001, retry_longest_s=0.002
    ) as feed:
        yield feed


@pytest.fixture
def threaded_gateway() -> Iterator[ScriptedGateway]:
    """A scripted gateway in a thread of its own: who reads without async blocks this one.

    Publish before it is read; after that, only from its own loop.
    """
    loop, gateway = asyncio.new_event_loop(), ScriptedGateway()
    gateway.loop = loop
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(gateway.start(), loop).result()
        yield gateway
    finally:
        asyncio.run_coroutine_threadsafe(gateway.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

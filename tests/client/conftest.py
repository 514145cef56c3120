"""What the client's tests share: a scripted gateway, and a connection that tries again at once."""

from collections.abc import AsyncIterator

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

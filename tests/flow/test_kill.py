"""kill -9 of the gateway process at random moments under load: costs time, never a message."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from gateway.journal import JournalReader
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from gateway.values import Position
from tests.flow.pipe import Reader
from tests.flow.process import GatewayProcess, write_config

KILLS = 100
RATE = 4_000.0


@pytest.mark.one_loop
@pytest.mark.timeout(600)
async def test_100_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    market = Market(100, seed)
    reached = 0
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange(messages=market.messages(), pace=by_rate(RATE)))
        gateway = GatewayProcess(write_config(tmp_path, exchange.port))
        stack.push_async_callback(gateway.kill)
        with JournalReader(tmp_path / "journal", "itch") as journal:
            for _ in range(KILLS):
                await gateway.start()
                # Sometimes before it logs in, mostly in the middle of its work.
                await asyncio.sleep(chance.uniform(0.0, 0.3))
                await gateway.kill()
                for verified in journal.verify():
                    assert verified.damages == (), f"seed {seed}: {verified}"
                    assert (verified.first_seq, verified.gaps) == (1, ()), f"seed {seed}: {verified}"
                    assert verified.messages == verified.next_seq - 1, f"seed {seed}: {verified}"
                    assert verified.next_seq >= reached, f"seed {seed}: what was had is gone: {verified}"
                    reached = verified.next_seq

        # A reader of everything, over all those lives, gets what the exchange sent.
        await gateway.start()
        async with connect(f"ws://127.0.0.1:{gateway.port}/mlink/jsonf", max_size=None) as socket:
            reader = Reader(socket)
            await reader.stream("*", resume={"seqN": 1})
            await reader.until_count(reached, timeout_s=60)
        await gateway.kill()

    assert reached > KILLS, f"seed {seed}: under load"
    assert reader.numbers[:reached] == list(range(1, reached + 1)), f"seed {seed}"
    with JournalReader(tmp_path / "journal", "itch") as journal:
        position, had = journal.oldest(), []
        while items := journal.read(position):
            had += [payload for block in items for _, payload in block.payloads()]
            position = Position(items[-1].session, items[-1].next_seq)
    assert had == Market(100, seed).take(len(had)), f"seed {seed}"

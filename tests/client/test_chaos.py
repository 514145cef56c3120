"""The line is cut again and again, anywhere: each number comes once, in order."""

import asyncio
import random

import pytest

from gateway.client import Notice, connect
from tests.fakes.scripted_gateway import ScriptedGateway, until

CUTS = 50


@pytest.mark.parametrize("seed", [1, 2])
async def test_fifty_cuts_at_random_lose_nothing_and_double_nothing(seed: int) -> None:
    draw = random.Random(seed)
    told: list[Notice] = []
    async with ScriptedGateway(batch=7) as gateway:
        gateway.cuts = iter([draw.randrange(1, 12_000) for _ in range(CUTS)])
        expected = [(1, seq) for seq in range(1, 1501)] + [(2, seq) for seq in range(1, 1501)]
        for session, _ in expected:
            if session == 2 and len(gateway.feeds["itch"]) == 1:
                gateway.roll("S2")
            gateway.publish("AddOrder", stock="A", session=session)
        async with connect(
            gateway.url, on_notice=told.append, retry_first_s=0.0001, retry_longest_s=0.001
        ) as feed:
            stream = feed.stream("AddOrder", resume="itch/S1/1")
            got = []
            async for message in stream:
                got.append((message["session"], message.sequence_number))
                if len(got) == len(expected):
                    # Whatever was not cut yet is cut now, and what comes after is still only what is new.
                    break
            while gateway.cuts_done < CUTS:
                gateway.publish("AddOrder", stock="A", session=2)
                expected.append((2, expected[-1][1] + 1))
                message = await anext(stream)
                got.append((message["session"], message.sequence_number))

    assert got == expected
    assert sum(type(notice).__name__ == "Reconnecting" for notice in told) >= CUTS


async def test_cuts_in_a_snapshot_and_in_shared_sockets_lose_nothing_and_double_nothing() -> None:
    draw = random.Random(7)
    async with ScriptedGateway(records=["StockDirectory"], batch=5) as gateway:
        for number in range(100):
            gateway.publish("StockDirectory", stock=f"T{number:03}")
        gateway.cuts = iter([draw.randrange(300, 14_000) for _ in range(CUTS)])
        async with connect(gateway.url, retry_first_s=0.0001, retry_longest_s=0.001) as feed:
            directory, trades = feed.stream("StockDirectory"), feed.stream("Trade")
            # Both begin now, so what is published from here on belongs to both.
            known = [(await anext(directory)).stock for _ in range(100)]
            reading = asyncio.create_task(anext(trades))
            await until(lambda: trades.positions != ())
            first = gateway.publish("Trade", stock="T000")
            seen = [(await reading).sequence_number]
            for _ in range(400):
                gateway.publish("StockDirectory", stock="T001")
                gateway.publish("Trade", stock="T001")
            seen += [(await anext(trades)).sequence_number for _ in range(400)]
            updates = [(await anext(directory)).sequence_number for _ in range(400)]

    assert known == [f"T{number:03}" for number in range(100)]
    assert seen == [first, *range(first + 2, first + 802, 2)]
    assert updates == list(range(first + 1, first + 801, 2))

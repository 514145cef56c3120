"""A stream of records is healed after a cut by a new snapshot: what is conflated can't be resumed."""

import asyncio
from pathlib import Path

from gateway.client import connect
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings


async def test_the_ack_says_when_a_stream_has_the_latest_of_each_key(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as subscriber,
    ):
        await subscriber.stream("StockDirectory", queryID=1)
        latest = await subscriber.until_control("MLinkStreamAck", queryID=1)
        await subscriber.stream("StockDirectory", queryID=2, delivery="every")
        every = await subscriber.until_control("MLinkStreamAck", queryID=2)

    assert latest["delivery"] == "latest"
    assert "delivery" not in every


async def test_records_are_read_on_after_a_cut_although_nobody_said_they_are_records(tmp_path: Path) -> None:
    market = Market(["AAPL", "MSFT", "TSLA"])
    opening = market.opening()
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        connect(f"ws://127.0.0.1:{gateway.port}", retry_first_s=0.01) as feed,
    ):
        exchange.extend(opening)
        stream = feed.stream("StockDirectory")
        async with asyncio.timeout(30):
            first = [(await anext(stream)).stock for _ in range(3)]
            for connection in list(gateway._server._subscribers):
                connection.transport.abort()
            # While nobody listens, or after: either way it comes once.
            exchange.extend([opening[4]])
            changed = await anext(stream)

    assert sorted(first) == ["AAPL", "MSFT", "TSLA"]
    assert changed.stock in first
    assert changed.sequence_number == len(opening) + 1

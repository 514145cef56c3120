"""A generated day, read in eleven stripes over four processes: complete, once, and ordered in each."""

import asyncio
import os
import tomllib
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from gateway.client import for_each_stripe
from gateway.client.sync import SyncStream
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.process import ROOT, GatewayProcess, write_config

STRIPES = ["A", "B", "C", "D", "E", "F", "G", "H", "M", "S", "X"]
MESSAGES = 200_000
PROCESSES = 4
TABLE = tomllib.loads((ROOT / "config" / "stripes.toml").read_text())

# What a worker tells: the number and the ticker of each message, and the process that read them.
Read = tuple[list[int], list[str | None], int]


def read_the_day(stripe: str, stream: SyncStream, up_to: str) -> Read:
    frame = stream.collect(up_to=up_to)
    # A stripe without tickers of this day has no such column.
    tickers = frame.get("stock", [None] * len(frame))
    return (
        frame.sequenceNumber.tolist(),
        [ticker if isinstance(ticker, str) else None for ticker in tickers],
        os.getpid(),
    )


def stripe_of(ticker: str) -> str:
    """By the words of the table, not by the gateway's code."""
    for name, members in TABLE["sets"].items():
        if ticker in members:
            return name[0]
    for name, range_ in TABLE["ranges"].items():
        if range_["first"] <= ticker < range_["end"]:
            return name[0]
    return TABLE["catch_all"]


def tickers_of(day: list[bytes]) -> dict[int, str | None]:
    """The ticker of each number, by the bytes: behind the type stands the locate code, 0 for none."""
    directory = {
        payload[1:3]: payload[11:19].decode().rstrip() for payload in day if payload.startswith(b"R")
    }
    return {number: directory.get(payload[1:3]) for number, payload in enumerate(day, start=1)}


@pytest.mark.one_loop
@pytest.mark.timeout(300)
async def test_a_day_in_stripes_over_four_processes_is_complete_and_ordered(tmp_path: Path) -> None:
    market = Market(400, seed=7)
    day = [*market.opening(), *market.take(MESSAGES), *market.closing()]
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange(messages=iter(day)))
        gateway = GatewayProcess(write_config(tmp_path, exchange.port))
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        # Begun while the day still comes in: partly from the journal, partly live.
        read: dict[str, Read] = await asyncio.to_thread(
            for_each_stripe,
            partial(read_the_day, up_to=f"itch/0000000001/{len(day) + 1}"),
            f"ws://127.0.0.1:{gateway.port}",
            "*",
            stripes=STRIPES,
            processes=PROCESSES,
            resume="itch/0000000001/1",
            coverage=True,
        )

    tickers = tickers_of(day)
    assert len({pid for *_, pid in read.values()}) == PROCESSES
    for stripe, (numbers, seen, _) in read.items():
        expected = [
            number for number, ticker in tickers.items() if ticker is None or stripe_of(ticker) == stripe
        ]
        assert numbers == expected, f"stripe {stripe}"
        assert seen == [tickers[number] for number in numbers], f"stripe {stripe}"
    assert {number for numbers, *_ in read.values() for number in numbers} == set(tickers)

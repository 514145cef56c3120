"""kill -9 in the middle of the market: each ticker's next quote is right, and no quote is lost or doubled.

What is right says a second implementation that is slow and shares nothing with the gateway.
"""

import asyncio
import json
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, health
from tests.flow.process import GatewayProcess, write_config
from tests.views.slow_market import SlowQuotes

KILLS = 5
TICKERS = 12
# What the market makes at most while a gateway lives, however slow the machine: a slow one repeats it.
CHUNK, CHUNKS_MAX = 20, 70
VIEWS = ["StockBookQuote", "StockPrint", "BookDepth5", "Bar1s"]
Quote = tuple[int, dict[str, Any]]


@dataclass
class Joined:
    """What a subscriber got that came anew in one of the gateway's lives."""

    snapshot: list[Quote]
    # All up to and with this number is in the snapshot.
    covers: int
    live: list[Quote]


@pytest.mark.one_loop
@pytest.mark.timeout(300)
async def test_after_every_kill_the_next_quotes_are_right(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    joined: list[Joined] = []
    followed: list[Quote] = []
    starts: list[dict[str, Any]] = []
    market = Market(TICKERS, seed)
    messages = market.opening()

    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange())
        exchange.extend(messages)
        views = f"views = {json.dumps(VIEWS)}"
        gateway = GatewayProcess(write_config(tmp_path, exchange.port, more=views))
        stack.push_async_callback(gateway.kill)

        async def go_on() -> None:
            for _ in range(CHUNKS_MAX):
                messages.extend(chunk := market.take(CHUNK))
                exchange.extend(chunk)
                await asyncio.sleep(0.01)

        for life in range(KILLS + 1):
            trading = asyncio.create_task(go_on())
            await gateway.start()
            starts += [json.loads(line) for line in gateway.said if '"event":"restored"' in line]
            while not life and (await health(gateway.port))[0] != 200:  # noqa: ASYNC110
                # Until it has a session there is none to resume.
                await asyncio.sleep(0.02)
            next_seq = followed[-1][0] + 1 if followed else 1
            url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
            async with connect(url, max_size=None) as one, connect(url, max_size=None) as other:
                follower, newcomer = Reader(one), Reader(other)
                following = asyncio.create_task(
                    read_on(follower, resume={"src": "itch", "ses": exchange.session.name, "seqN": next_seq})
                )
                coming = asyncio.create_task(read_on(newcomer))
                while not (follower.data and newcomer.data and has_state(tmp_path)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                # What is new to both comes while the gateway may be dead at any moment.
                await trading
                trading = asyncio.create_task(go_on())
                await asyncio.sleep(chance.uniform(0.0, 0.8) if life < KILLS else 1.5)
                await gateway.kill()
                await asyncio.gather(trading, following, coming)
            followed += quotes_of(follower)
            joined.append(joined_by(newcomer))

    slow, expected, at = SlowQuotes(), [], 0
    newest: list[dict[str, Quote]] = []
    last = max(followed[-1][0], *(each.live[-1][0] if each.live else each.covers for each in joined))
    for seq, message in enumerate(messages[:last], start=1):
        if (quote := slow.take(seq, message)) is not None:
            expected.append((seq, quote))
        while at < len(joined) and joined[at].covers == seq:
            newest.append(dict(slow.newest))
            at += 1

    assert len(starts) == KILLS, f"seed {seed}"
    for start in starts:
        # The books came with the saved state; only what came after it was read from the journal.
        assert 1 < start["from"] <= start["to"], f"seed {seed}: {start}"
    assert [start["from"] for start in starts] == sorted(start["from"] for start in starts)
    assert starts[-1]["from"] > starts[-1]["to"] / 2, f"seed {seed}: {starts}"
    assert followed == expected[: len(followed)], f"seed {seed}: over all lives, each quote once"
    assert len(followed) > 100 * KILLS, f"seed {seed}: in the middle of a market"
    assert len(newest) == len(joined)
    for each, quotes in zip(joined, newest, strict=True):
        held = {fields["pkey"]["ticker"]["tk"]: (seq, fields) for seq, fields in each.snapshot}
        assert held == quotes, f"seed {seed}: the snapshot at {each.covers}"
        behind = [quote for quote in expected if quote[0] > each.covers]
        assert each.live == behind[: len(each.live)], f"seed {seed}: behind {each.covers}"
    assert sum(len({quote[1]["pkey"]["ticker"]["tk"] for quote in each.live}) for each in joined) > KILLS


def has_state(folder: Path) -> bool:
    """Whether there is a state to start from, as there is from the first life on."""
    return any(folder.glob("**/*.state"))


async def read_on(reader: Reader, **request: Any) -> None:
    """Ask for every quote, and read until the gateway is dead."""
    with suppress(ConnectionClosed):
        await reader.stream("StockBookQuote", delivery="every", **request)
        while True:
            await reader.read()


def joined_by(reader: Reader) -> Joined:
    (complete,) = [each["message"] for each in reader.control if each["message"].get("state") == "Complete"]
    (position,) = complete["positions"]
    quotes = quotes_of(reader)
    sent = position["numMessagesSent"]
    return Joined(quotes[:sent], position["seqN"], quotes[sent:])


def quotes_of(reader: Reader) -> list[Quote]:
    found = []
    for each in reader.data:
        fields = dict(each["message"])
        assert fields.pop("netTimestamp") > 0
        found.append((each["header"]["seqN"], fields))
    return found

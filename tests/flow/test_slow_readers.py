"""A slow reader costs nobody anything: it is served later, from the journal, every message in order."""

import gc
from pathlib import Path

import pytest

from gateway.hub import Stream
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings

COUNT = 60_000


async def test_a_reader_that_stalls_gets_everything_later_and_a_neighbour_notices_nothing(
    tmp_path: Path,
) -> None:
    market = Market(50, seed=3)
    small = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384}
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), heartbeat_s=0.2, **small)
        async with (
            running(configured) as gateway,
            reader(gateway, max_queue=1) as stalled,
            reader(gateway) as neighbour,
        ):
            for each in (stalled, neighbour):
                await each.stream("*")
                await each.until_control("MLinkStreamCheckPt", state="Complete")
            for _ in range(COUNT // 2_000):
                exchange.extend(market.take(2_000))
                # The stalled one reads nothing while its neighbour is served everything.
                await neighbour.until_count(len(neighbour.data) + 2_000)
            exchange.extend(market.take(100))
            await stalled.until_count(COUNT + 100)
            slow = await stalled.until_control("MLinkAdmin", event="Slow")
            await stalled.until_control("MLinkAdmin", event="CaughtUp")
            exchange.extend(market.take(100))
            await stalled.until_count(COUNT + 200)

    assert stalled.numbers == list(range(1, COUNT + 201))
    assert neighbour.numbers[:COUNT] == list(range(1, COUNT + 1))
    assert slow["lagMessages"] > 0


@pytest.mark.one_loop
async def test_a_reader_that_stalls_costs_its_buffers_mark_however_long_it_stalls(tmp_path: Path) -> None:
    """What the process holds for it is counted: its write buffer, and what the hub keeps of the journal."""
    market = Market(50, seed=4)
    small = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384}
    held: list[int] = []
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), heartbeat_s=0.2, **small)
        async with (
            running(configured) as gateway,
            reader(gateway, max_queue=1) as stalled,
            reader(gateway) as neighbour,
        ):
            for each in (stalled, neighbour):
                await each.stream("*")
                await each.until_control("MLinkStreamCheckPt", state="Complete")
            for _ in range(30):
                exchange.extend(market.take(2_000))
                await neighbour.until_count(len(neighbour.data) + 2_000)
                streams = [each for each in gc.get_objects() if type(each) is Stream]
                behind = [each for each in streams if each.fell_behind]
                held += [
                    each.sink.backlog()
                    + sum(len(getattr(item, "raw", b"")) for items in each.ahead.values() for item in items)
                    for each in behind
                ]
            await stalled.until_count(60_000)

    assert stalled.numbers == list(range(1, 60_001))
    assert len(held) >= 15
    assert max(held) < 65_536 + 500 * 400, "the mark, and what one flush may add to it"

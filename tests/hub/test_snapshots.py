"""A snapshot is what was newest when it was asked for, whatever comes before it has been taken."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.hub import Delivery
from gateway.simulator.market import Market
from gateway.views import ViewedCodecs
from tests.hub.rig import CODECS, Rig

VIEWS = ("StockBookQuote", "StockPrint", "BookDepth5", "Bar1s")
MARKET = Market(["AAPL", "AMZN", "SPY"], seed=7)
OPENING, TRADES = MARKET.opening(), MARKET.take(2_000)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, codecs=ViewedCodecs(CODECS, VIEWS))
    rig.roll("DAY1")
    yield rig
    rig.close()


@pytest.mark.parametrize("name", ["StockDirectory", "StockTradingAction", *VIEWS])
def test_it_is_of_the_moment_it_was_asked_for(rig: Rig, name: str) -> None:
    rig.publish(OPENING + TRADES[:1_000])
    channel = rig.hub.channels["itch"]
    names = frozenset({("itch", name)})
    at_once, later = list(channel.records_of(names)), channel.records_of(names)
    rig.publish(TRADES[1_000:] + OPENING)
    rig.roll("DAY2")
    rig.publish(OPENING)

    assert len(at_once) == 3
    assert [each.seq for each in at_once] == sorted(each.seq for each in at_once)
    assert list(later) == at_once


def test_records_of_several_messages_come_in_order_of_number(rig: Rig) -> None:
    rig.publish(OPENING + TRADES + OPENING[:20])
    names = frozenset(("itch", codec.name) for codec in CODECS.by_id if codec is not None)
    records = list(rig.hub.channels["itch"].records_of(names))

    assert len({each.payload[0] for each in records}) > 2
    assert [each.seq for each in records] == sorted(each.seq for each in records)


def test_who_does_not_read_its_snapshot_holds_a_place_in_a_list_for_each_record(rig: Rig) -> None:
    tickers = 5_000
    rig.publish(Market(tickers, seed=1).opening())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        stream = rig.open("StockDirectory", "StockTradingAction", delivery=Delivery.LATEST)
        rig.hub.step(stream)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert stream.snapshot is not None
    assert held < 2 * tickers * 8 + 100_000

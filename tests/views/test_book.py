"""The book equals a slow, obvious one after every message, on real files and on markets at random."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.market import Market
from gateway.views import Engine
from gateway.views.book import Books
from tests.golden.reference_decoder import read_messages
from tests.views.markets import ANY_MESSAGE, add, block_of, engine, message
from tests.views.slow_market import SlowMarket

SIDES = ((0, "B"), (1, "S"))


def assert_same(fast: Engine, slow: SlowMarket, locate: int) -> None:
    for bit, side in SIDES:
        assert fast.books.levels(locate << 1 | bit) == slow.levels(locate, side)
    assert_same_day(fast, slow, locate)


def assert_same_day(fast: Engine, slow: SlowMarket, locate: int) -> None:
    volume, high, low, last, vwap = slow.day(locate)
    day = fast.tape.days.get(locate)
    if day is None:
        assert volume == 0
        return
    assert (day.volume, day.high, day.low, day.last) == (volume, high, low, last)
    assert day.vwap / 1_000_000 == pytest.approx(vwap, abs=0.000_000_51)


def assert_same_queues(fast: Engine, slow: SlowMarket) -> None:
    for locate in fast.books.locates():
        for bit, side in SIDES:
            for price, _, _ in slow.levels(locate, side):
                assert fast.books.queue(locate << 1 | bit, price) == slow.queue(locate, side, price)


@pytest.mark.parametrize("name", ["aapl-20200130-10001.itch", "open-20191230-1000.itch"])
def test_the_book_is_that_of_a_slow_one_after_every_real_message(itch_data: Path, name: str) -> None:
    fast, slow = engine("StockPrint"), SlowMarket()

    for seq, each in enumerate(read_messages(itch_data / name), start=1):
        fast.take(block_of([each], seq))
        slow.take(each)
        locate = int.from_bytes(each[1:3], "big")
        for bit, side in SIDES:
            assert fast.books.levels(locate << 1 | bit) == slow.levels(locate, side)
        if each[:1] in (b"E", b"C", b"P", b"Q", b"B"):
            assert_same_day(fast, slow, locate)

    assert_same_queues(fast, slow)
    assert fast.books.unknown == slow.unknown


def test_the_real_file_joined_late_has_orders_that_nobody_added(itch_data: Path) -> None:
    fast = engine("StockBookQuote")

    fast.take(block_of(list(read_messages(itch_data / "open-20191230-1000.itch"))))

    assert fast.books.unknown > 0
    assert len(fast.books.orders) > 0


def test_the_top_of_the_real_book_after_its_last_message(itch_data: Path) -> None:
    fast = engine("StockBookQuote")
    live: dict[bytes, list[int]] = {}

    for seq, each in enumerate(read_messages(itch_data / "aapl-20200130-10001.itch"), start=1):
        fast.take(block_of([each], seq))
        # [is a buyer's, price, shares] by reference, from the layouts alone.
        kind, reference = each[:1], each[11:19]
        if kind in (b"A", b"F"):
            shares, price = int.from_bytes(each[20:24], "big"), int.from_bytes(each[32:36], "big")
            live[reference] = [each[19] == ord("B"), price, shares]
        elif kind in (b"E", b"C", b"X") and reference in live:
            live[reference][2] -= int.from_bytes(each[19:23], "big")
        elif kind == b"D":
            live.pop(reference, None)
        elif kind == b"U" and reference in live:
            is_buy, *_ = live.pop(reference)
            shares, price = int.from_bytes(each[27:31], "big"), int.from_bytes(each[31:35], "big")
            live[each[19:27]] = [is_buy, price, shares]
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for is_buy, price, shares in live.values():
        side = bids if is_buy else asks
        side[price] = side.get(price, 0) + shares
    best = sorted((price, shares) for price, shares in bids.items() if shares)[:-3:-1]
    offered = sorted((price, shares) for price, shares in asks.items() if shares)[:2]
    ((_, _, _, payload),) = fast.latest("StockBookQuote")
    quote = fast.codecs.views[0].decode(payload(), 0, len(payload()))
    print()
    for name, value in quote.items():
        print(f"{name:>14}  {value}")

    assert seq == 10_001
    assert (best[0], offered[0]) == ((3_201_400, 25), (3_203_000, 100))
    for level, ((bid, bid_size), (ask, ask_size)) in enumerate(zip(best, offered, strict=True), start=1):
        assert (quote[f"bidPrice{level}"], quote[f"bidSize{level}"]) == (Decimal(bid) / 10_000, bid_size)
        assert (quote[f"askPrice{level}"], quote[f"askSize{level}"]) == (Decimal(ask) / 10_000, ask_size)
    assert quote["pkey"] == {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}}


@settings(max_examples=150, deadline=None)
@given(st.lists(ANY_MESSAGE, min_size=1, max_size=60))
def test_the_book_is_that_of_a_slow_one_on_any_market(messages: list[bytes]) -> None:
    fast, slow = engine("StockPrint"), SlowMarket()

    for seq, each in enumerate(messages, start=1):
        fast.take(block_of([each], seq))
        slow.take(each)
        for locate in (1, 2):
            assert_same(fast, slow, locate)

    assert_same_queues(fast, slow)
    assert fast.books.unknown == slow.unknown


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_generated_market_is_never_crossed_and_its_levels_add_up(seed: int) -> None:
    market = Market(6, seed)
    fast = engine("StockBookQuote")
    opening = market.opening()
    fast.take(block_of(opening))

    for seq, each in enumerate(market.take(4_000), start=len(opening) + 1):
        fast.take(block_of([each], seq))
        locate = int.from_bytes(each[1:3], "big")
        bid, _, next_bid, _ = fast.books.top(locate << 1)
        ask, _, next_ask, _ = fast.books.top(locate << 1 | 1)
        assert not (bid and ask) or bid < ask
        assert next_bid < bid or not bid
        assert next_ask > ask or not next_ask

    totals: dict[tuple[int, int], list[int]] = {}
    for reference in fast.books.orders:
        where = fast.books.where(reference)
        assert where is not None
        totals.setdefault(where, []).append(fast.books.orders[reference] & 0xFFFFFFFF)
    seen = 0
    for locate in fast.books.locates():
        for bit in (0, 1):
            levels = fast.books.levels(locate << 1 | bit)
            assert all(better[0] != worse[0] for better, worse in pairwise(levels))
            for price, shares, orders in levels:
                each = totals[locate << 1 | bit, price]
                assert (shares, orders) == (sum(each), len(each))
                assert min(each) > 0
                seen += 1
    assert seen == len(totals)
    assert (fast.books.unknown, fast.books.doubled, fast.books.overdrawn) == (0, 0, 0)


def test_a_replaced_order_goes_to_the_end_of_its_price_and_a_reduced_one_stays() -> None:
    fast = engine("StockBookQuote")
    first, second, third = (add(reference, "B", 100, 500) for reference in (1, 2, 3))
    reduced = message("OrderCancel", orderReferenceNumber=2, cancelledShares=60)
    replaced = message(
        "OrderReplace",
        originalOrderReferenceNumber=1,
        newOrderReferenceNumber=4,
        shares=100,
        price="0.0500",
    )

    fast.take(block_of([first, second, third, reduced, replaced]))

    assert fast.books.queue(2, 500) == [(2, 40), (3, 100), (4, 100)]


def test_what_can_not_be_right_is_counted_and_harms_nothing() -> None:
    books = Books()
    books.add(1, 2, 500, 100)

    books.add(1, 3, 900, 100)
    books.add(2, 2, 500, 0)
    books.reduce(1, 101)
    books.reduce(9, 1)
    books.delete(9)
    books.replace(9, 10, 500, 100)

    assert (books.doubled, books.empty, books.overdrawn, books.unknown) == (1, 1, 1, 3)
    assert books.orders == {}
    assert books.levels(2) == books.levels(3) == []


def test_levels_that_come_and_go_take_no_more_room() -> None:
    books = Books()

    for reference in range(1, 1_000):
        books.add(reference, 2 + reference % 2, reference, 100)
        books.delete(reference)

    assert len(books._totals) == len(books._free) + 1 == 2
    assert books.levels(2) == books.levels(3) == []


def test_a_change_says_how_deep_it_was() -> None:
    books = Books(watched=3)
    prices = (500, 400, 300, 200)

    adds = [books.add(price, 2, price, 100) for price in prices]
    sells = [books.add(price + 1, 3, price, 100) for price in reversed(prices)]

    assert adds == [2 << 8, 2 << 8 | 1, 2 << 8 | 2, -1]
    assert sells == [3 << 8, 3 << 8 | 1, 3 << 8 | 2, -1]
    assert books.reduce(200, 10) == -1
    assert books.reduce(300, 10) == 2 << 8 | 2
    assert books.replace(200, 7, 600, 100) == 2 << 8
    assert books.replace(300, 8, 100, 100) == -1
    assert books.delete(400) == 2 << 8 | 2
    assert books.delete(8) == 2 << 8 | 2
    assert books.add(8, 2, 100, 5) == 2 << 8 | 2
    assert books.add(9, 2, 50, 5) == -1
    # The best goes to where nobody watches, and the second to the third place: what they left was seen.
    assert books.replace(7, 10, 40, 100) == 2 << 8
    assert books.replace(500, 11, 60, 100) == 2 << 8
    assert books.replace(8, 12, 55, 100) == 2 << 8

"""What the views tell: quotes, prints, depth, bars; when, and in which words."""

import zlib
from decimal import Decimal
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.market import Market
from gateway.views import Engine
from gateway.views.engine import View
from tests.views.markets import (
    ANY_MESSAGE,
    RECEIVED_NS,
    add,
    block_of,
    blocks_of,
    decoded,
    engine,
    message,
    told,
)
from tests.views.slow_market import SlowMarket

NAMES = ("StockBookQuote", "StockPrint", "BookDepth3", "BookDepth", "Bar1s", "Bar1m")
NOON = 43_200_000_000_000


def executed(reference: int, shares: int, match: int, time_ns: int = NOON) -> bytes:
    return message(
        "OrderExecuted",
        time_ns=time_ns,
        orderReferenceNumber=reference,
        executedShares=shares,
        matchNumber=match,
    )


def traded(shares: int, price: str, match: int, time_ns: int = NOON) -> bytes:
    return message(
        "Trade", time_ns=time_ns, side="B", shares=shares, stock="AAPL", price=price, matchNumber=match
    )


def broken(match: int, time_ns: int = NOON) -> bytes:
    return message("BrokenTrade", time_ns=time_ns, matchNumber=match)


def test_a_quote_has_two_levels_of_each_side_under_mlinks_names() -> None:
    fast = engine("StockBookQuote")

    *_, (seq, name, quote) = told(
        fast,
        message("SystemEvent", locate=0, eventCode="Q"),
        add(1, "B", 100, 1_500_000),
        add(2, "B", 50, 1_500_000),
        add(3, "B", 10, 1_499_900),
        add(4, "S", 7, 1_500_100, time_ns=NOON + 1),
    )

    assert (seq, name) == (5, "StockBookQuote")
    assert quote == {
        "pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}},
        "updateType": "PrcChange",
        "marketStatus": "Open",
        "bidPrice1": Decimal("150.0000"),
        "bidSize1": 150,
        "askPrice1": Decimal("150.0100"),
        "askSize1": 7,
        "bidPrice2": Decimal("149.9900"),
        "bidSize2": 10,
        "askPrice2": 0,
        "askSize2": 0,
        "srcTimestamp": NOON + 1,
        "netTimestamp": RECEIVED_NS,
    }


def test_a_quotes_json_is_this_text() -> None:
    fast = engine("StockBookQuote")
    ((_, payload),) = fast.take(block_of([add(1, "S", 100, 1_500_001, time_ns=5)]))

    text = fast.codecs.views[0].write(payload, 0, len(payload))

    assert text == (
        '"pkey":{"ticker":{"at":"EQT","ts":"NMS","tk":"AAPL"}},"updateType":"PrcChange",'
        '"marketStatus":"None","bidPrice1":0.0000,"bidSize1":0,"askPrice1":150.0001,"askSize1":100,'
        '"bidPrice2":0.0000,"bidSize2":0,"askPrice2":0.0000,"askSize2":0,"srcTimestamp":5,'
        f'"netTimestamp":{RECEIVED_NS}'
    )


def test_a_quote_is_told_only_when_one_of_the_two_levels_changed() -> None:
    fast = engine("StockBookQuote")
    told(fast, add(1, "B", 100, 300), add(2, "B", 100, 200), add(3, "B", 100, 100))

    third_level = told(
        fast,
        add(4, "B", 5, 100),
        message("OrderCancel", orderReferenceNumber=3, cancelledShares=1),
        message("OrderDelete", orderReferenceNumber=4),
        message("StockTradingAction", stock="AAPL", tradingState="H"),
        first_seq=4,
    )
    same_again = told(
        fast,
        message(
            "OrderReplace",
            originalOrderReferenceNumber=1,
            newOrderReferenceNumber=9,
            shares=100,
            price="0.0300",
        ),
        first_seq=8,
    )
    second_level = told(fast, message("OrderDelete", orderReferenceNumber=2), first_seq=9)

    assert third_level == same_again == []
    ((seq, _, quote),) = second_level
    assert (seq, quote["bidPrice2"], quote["bidSize2"]) == (9, Decimal("0.0100"), 99)


def test_a_quote_says_whether_a_price_or_only_a_size_changed() -> None:
    fast = engine("StockBookQuote")

    changes = [
        quote["updateType"]
        for _, _, quote in told(
            fast, add(1, "B", 100, 300), add(2, "B", 5, 300), executed(1, 10, 1), add(3, "B", 5, 200)
        )
    ]

    assert changes == ["PrcChange", "SizeOnly", "SizeOnly", "PrcChange"]


@pytest.mark.parametrize(
    ("events", "state", "status"),
    [
        ("", "", "None"),
        ("O", "", "Closed"),
        ("OS", "T", "PreOpen"),
        ("OSQ", "T", "Open"),
        ("OSQ", "H", "Halted"),
        ("OSQ", "P", "Halted"),
        ("OSQ", "Q", "PreCross"),
        ("OSQM", "T", "AfterHours"),
        ("OSQME", "T", "Closed"),
        ("OSQMEC", "", "Closed"),
    ],
)
def test_the_market_status_is_that_of_the_day_or_of_the_ticker(events: str, state: str, status: str) -> None:
    fast = engine("StockBookQuote")
    said = [message("SystemEvent", locate=0, eventCode=code) for code in events]
    said += [message("StockTradingAction", stock="AAPL", tradingState=code) for code in state]

    *_, (_, _, quote) = told(fast, *said, add(1, "B", 100, 300))

    assert quote["marketStatus"] == status


def test_a_halt_that_is_over_is_over() -> None:
    fast = engine("StockBookQuote")
    states = [message("StockTradingAction", stock="AAPL", tradingState=code) for code in "HQT"]

    ((_, _, quote),) = told(fast, message("SystemEvent", locate=0, eventCode="Q"), *states, add(1, "B", 1, 1))

    assert quote["marketStatus"] == "Open"


def test_a_print_carries_what_the_day_comes_to() -> None:
    fast = engine("StockPrint")

    prints = told(
        fast,
        add(1, "S", 300, 1_000_000),
        executed(1, 100, 11),
        traded(50, "101.0000", 12),
        message(
            "CrossTrade",
            shares=1000,
            stock="AAPL",
            crossPrice="99.0000",
            matchNumber=13,
            crossType="O",
            time_ns=NOON,
        ),
    )

    assert [(seq, each["prtType"], each["prtNumber"]) for seq, _, each in prints] == [
        (2, "Continuous", 1),
        (3, "Continuous", 2),
        (4, "OpeningCross", 3),
    ]
    assert prints[-1][2] == {
        "pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}},
        "prtType": "OpeningCross",
        "prtNumber": 3,
        "prtPrice": Decimal("99.0000"),
        "prtSize": 1000,
        "matchNumber": 13,
        "prtVolume": 1150,
        "highPrice": Decimal("101.0000"),
        "lowPrice": Decimal("99.0000"),
        "lastPrice": Decimal("99.0000"),
        # (100 × 100 + 50 × 101 + 1000 × 99) / 1150
        "vwap": Decimal("99.173913"),
        "prtTimestamp": NOON,
        "netTimestamp": RECEIVED_NS,
    }


def test_what_is_not_printable_changes_the_book_and_is_no_print() -> None:
    fast = engine("StockPrint", "StockBookQuote")
    priced: dict[str, Any] = {"orderReferenceNumber": 1, "matchNumber": 5, "executionPrice": "99.0000"}
    told(fast, add(1, "S", 300, 1_000_000))

    hidden = told(fast, message("OrderExecutedWithPrice", executedShares=100, printable="N", **priced))
    shown = told(fast, message("OrderExecutedWithPrice", executedShares=100, printable="Y", **priced))

    assert [(name, each.get("askSize1")) for _, name, each in hidden] == [("StockBookQuote", 200)]
    assert [name for _, name, _ in shown] == ["StockBookQuote", "StockPrint"]
    assert shown[1][2]["prtPrice"] == Decimal("99.0000")
    assert shown[1][2]["prtVolume"] == 100


def test_a_cross_in_which_nothing_met_is_no_print() -> None:
    fast = engine("StockPrint")

    assert told(fast, message("CrossTrade", stock="AAPL", crossType="C")) == []


def test_a_broken_trade_is_taken_out_of_all_figures() -> None:
    fast = engine("StockPrint")
    told(fast, traded(100, "10.0000", 1), traded(100, "30.0000", 2), traded(100, "20.0000", 3))

    ((seq, _, high),) = told(fast, broken(2), first_seq=4)
    ((_, _, last),) = told(fast, broken(3), first_seq=5)
    ((_, _, none_left),) = told(fast, broken(1), first_seq=6)
    again = told(fast, broken(1), broken(99), first_seq=7)

    assert (seq, high["prtType"], high["prtNumber"], high["prtPrice"]) == (4, "Broken", 2, Decimal("30.0000"))
    assert (high["prtVolume"], high["highPrice"], high["vwap"]) == (200, Decimal(20), Decimal(15))
    assert (last["lastPrice"], last["highPrice"], last["prtVolume"]) == (Decimal(10), Decimal(10), 100)
    assert [none_left[each] for each in ("prtVolume", "highPrice", "lowPrice", "lastPrice", "vwap")] == [
        0
    ] * 5
    assert again == []
    assert fast.tape.unknown == 2


def test_prints_of_more_shares_than_there_can_be_are_counted_and_left_out() -> None:
    fast = engine("StockPrint", "Bar1s")
    cross: dict[str, Any] = {"stock": "AAPL", "crossPrice": "10.0000", "crossType": "O"}

    prints = told(fast, *(message("CrossTrade", shares=2**61, matchNumber=at, **cross) for at in range(5)))

    assert len(prints) == 4
    assert fast.tape.absurd == 3
    fast.load(fast.dump())


def test_an_execution_of_an_unknown_order_is_no_print_unless_it_says_its_price() -> None:
    fast = engine("StockPrint")
    fast.take(block_of([message("StockDirectory", stock="AAPL")]))

    without = told(fast, executed(1, 100, 1))
    priced = told(
        fast,
        message(
            "OrderExecutedWithPrice",
            orderReferenceNumber=1,
            executedShares=100,
            printable="Y",
            executionPrice="9.0000",
        ),
    )

    assert without == []
    assert [each["prtPrice"] for _, _, each in priced] == [Decimal(9)]
    assert fast.books.unknown == 2


def test_a_bar_lasts_as_long_as_its_name_says_and_is_told_with_each_print() -> None:
    fast = engine("Bar1m")
    minute = 60_000_000_000

    bars = told(
        fast,
        traded(10, "5.0000", 1, NOON + 1),
        traded(10, "7.0000", 2, NOON + minute - 1),
        traded(20, "6.0000", 3, NOON + minute),
        traded(20, "4.0000", 4, NOON + minute + 5),
    )

    fields = ("openPrice", "highPrice", "lowPrice", "closePrice")
    assert [(each["barTime"] - NOON, *(int(each[name]) for name in fields)) for _, _, each in bars] == [
        (0, 5, 5, 5, 5),
        (0, 5, 7, 5, 7),
        (minute, 6, 6, 6, 6),
        (minute, 6, 6, 4, 4),
    ]
    assert [(each["volume"], each["prints"], each["vwap"]) for _, _, each in bars] == [
        (10, 1, 5),
        (20, 2, 6),
        (20, 1, 6),
        (40, 2, 5),
    ]


def test_a_broken_trade_corrects_the_running_bar_and_no_earlier_one() -> None:
    fast = engine("Bar1s")
    second = 1_000_000_000
    told(fast, traded(10, "5.0000", 1), traded(10, "9.0000", 2, NOON + second))
    told(fast, traded(10, "7.0000", 3, NOON + second))

    earlier = told(fast, broken(1, NOON + second))
    ((_, _, running),) = told(fast, broken(2, NOON + second))
    ((_, _, emptied),) = told(fast, broken(3, NOON + second))
    ((_, _, filled),) = told(fast, traded(1, "2.0000", 4, NOON + second))

    assert earlier == []
    assert (running["openPrice"], running["highPrice"], running["volume"]) == (7, 7, 10)
    assert (emptied["prints"], emptied["highPrice"], emptied["barTime"]) == (0, 0, NOON + second)
    assert (filled["openPrice"], filled["lowPrice"], filled["prints"]) == (2, 2, 1)


def test_depth_has_so_many_levels_as_its_name_says_with_their_orders() -> None:
    fast = engine("BookDepth2")
    told(fast, *(add(price, "B", 10, price) for price in (100, 200, 300)), add(1, "B", 5, 200))

    ((_, _, depth),) = told(fast, add(2, "S", 1, 400))
    deeper = told(fast, add(3, "B", 5, 100), add(4, "S", 5, 500), add(5, "S", 5, 600))

    assert depth["bids"] == [
        {"price": Decimal("0.0300"), "size": 10, "orders": 1},
        {"price": Decimal("0.0200"), "size": 15, "orders": 2},
    ]
    assert depth["asks"] == [{"price": Decimal("0.0400"), "size": 1, "orders": 1}]
    assert len(deeper) == 1


def test_the_checksum_is_that_of_the_ten_best_prices_and_sizes() -> None:
    fast = engine("BookDepth")

    *_, (_, _, depth) = told(
        fast, *(add(price, "B", 7, price) for price in range(1, 13)), add(99, "S", 3, 50)
    )

    expected = b"".join(pack(">IQ", price, 7) for price in range(12, 2, -1)) + pack(">IQ", 50, 3)
    assert depth["checksum"] == zlib.crc32(expected)


@settings(max_examples=80, deadline=None)
@given(st.lists(ANY_MESSAGE, min_size=1, max_size=80))
def test_quotes_alone_are_those_of_a_slow_market(messages: list[bytes]) -> None:
    fast, slow = engine("StockBookQuote"), SlowMarket()
    held: dict[str, dict[str, Any]] = {}

    for seq, each in enumerate(messages, start=1):
        quotes = told(fast, each, first_seq=seq)
        before = {locate: slow.two_levels(locate) for locate in (1, 2)}
        slow.take(each)
        changed = [locate for locate in (1, 2) if slow.two_levels(locate) != before[locate]]
        assert len(quotes) == len(changed)
        held.update({record["pkey"]["ticker"]["tk"]: record for _, _, record in quotes})
        for locate, ticker in ((1, "AAPL"), (2, "MSFT")):
            quote = held.get(ticker, {})
            assert [
                (quote.get(f"{side}Price{at}", 0) * 10_000, quote.get(f"{side}Size{at}", 0))
                for side in ("bid", "ask")
                for at in (1, 2)
            ] == slow.two_levels(locate)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_MESSAGE, min_size=1, max_size=80))
def test_who_applies_what_is_told_has_the_books_and_the_days_of_a_slow_market(messages: list[bytes]) -> None:
    fast, slow = engine(*NAMES), SlowMarket()
    held: dict[tuple[str, str], dict[str, Any]] = {}

    for seq, each in enumerate(messages, start=1):
        for _, name, record in told(fast, each, first_seq=seq):
            held[name, record["pkey"]["ticker"]["tk"]] = record
        slow.take(each)
        for locate, ticker in ((1, "AAPL"), (2, "MSFT")):
            bids, asks = slow.levels(locate, "B"), slow.levels(locate, "S")
            quote = held.get(("StockBookQuote", ticker), {})
            for side, levels in (("bid", bids), ("ask", asks)):
                for at, (price, size, _) in enumerate([*levels[:2], *[(0, 0, 0)] * (2 - len(levels))], 1):
                    assert quote.get(f"{side}Price{at}", 0) * 10_000 == price
                    assert quote.get(f"{side}Size{at}", 0) == size
            for name, count in (("BookDepth3", 3), ("BookDepth", 10)):
                depth = held.get((name, ticker), {"bids": [], "asks": []})
                assert plain(depth["bids"]) == bids[:count]
                assert plain(depth["asks"]) == asks[:count]
            volume, high, low, last, _ = slow.day(locate)
            print_ = held.get(("StockPrint", ticker), {})
            assert print_.get("prtVolume", 0) == volume
            for name, price in (("highPrice", high), ("lowPrice", low), ("lastPrice", last)):
                assert print_.get(name, 0) * 10_000 == price


def plain(levels: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    return [(int(each["price"] * 10_000), each["size"], each["orders"]) for each in levels]


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_MESSAGE, min_size=2, max_size=60), st.data())
def test_a_saved_state_goes_on_as_if_nothing_had_happened(messages: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(messages)))
    whole, first, second = engine(*NAMES), engine(*NAMES), engine(*NAMES)

    before, after = messages[:cut], messages[cut:]
    expected = whole.take(block_of(messages))
    got = first.take(block_of(before)) if before else []
    second.load(first.dump())
    got += second.take(block_of(after, cut + 1)) if after else []

    assert got == expected
    assert second.dump() == whole.dump()
    assert newest(second) == newest(whole)


def test_a_state_is_that_of_when_it_was_copied_whenever_it_is_written_down() -> None:
    market = Market(5, 1)
    fast = engine(*NAMES)
    fast.take(block_of(market.opening() + market.take(1_000)))

    expected, copied = fast.dump(), fast.copied()
    fast.take(block_of(market.take(1_000), 2_000))

    assert copied.dump() == expected
    assert fast.dump() != expected


def test_a_large_state_is_read_in_pieces_so_that_others_have_their_turn() -> None:
    fast, again = engine(*NAMES), engine(*NAMES)
    fast.take(block_of([add(at, "B", 100, 100 * (at % 50 + 1)) for at in range(1, 50_001)]))

    pieces = sum(1 for _ in again.loading(fast.dump()))

    assert pieces >= 50_000 // 10_000
    assert again.dump() == fast.dump()


def newest(engine: Engine) -> dict[str, list[tuple[str, int, int, bytes]]]:
    return {
        name: [(key, seq, received_ns, payload()) for key, seq, received_ns, payload in engine.latest(name)]
        for name in engine.views
    }


def test_the_newest_of_each_ticker_is_what_was_told_last() -> None:
    market = Market(5, 1)
    fast = engine(*NAMES)
    last: dict[tuple[str, str], tuple[int, bytes]] = {}

    for block in blocks_of(market.opening() + market.take(3_000)):
        for seq, payload in fast.take(block):
            _, name, record = decoded(fast, seq, payload)
            last[name, record["pkey"]["ticker"]["tk"]] = (seq, payload)

    found = newest(fast)
    assert {(name, key): (seq, raw) for name in found for key, seq, _, raw in found[name]} == last
    for name in NAMES:
        assert [seq for _, seq, _, _ in found[name]] == sorted(seq for _, seq, _, _ in found[name])
        assert [each[0] for each in fast.latest_of(name, ["MSFT", "NONE"])] == [
            key for key, *_ in found[name] if key == "MSFT"
        ]


def test_what_nobody_wants_is_not_made_and_yet_known() -> None:
    wanted, unwanted = engine(*NAMES), engine(*NAMES)
    unwanted.want(NAMES, -1)
    market = Market(3, 2)

    for block in blocks_of(market.opening() + market.take(500)):
        wanted.take(block)
        assert unwanted.take(block) == []

    assert newest(unwanted) == newest(wanted)


@pytest.mark.parametrize("damage", ["cut", "other", "views", "more", "empty"])
def test_a_state_that_can_not_be_read_is_refused(damage: str) -> None:
    fast = engine("StockBookQuote", "StockPrint")
    market = Market(3, 2)
    fast.take(block_of(market.opening() + market.take(300)))
    saved = fast.dump()
    other = engine("StockBookQuote") if damage == "views" else engine("StockBookQuote", "StockPrint")
    wrong = {"cut": saved[:-9], "other": b"{}" + saved, "views": saved, "more": saved + b"1", "empty": b""}

    with pytest.raises(ValueError, match="views"):
        other.load(wrong[damage])


@pytest.mark.parametrize("cut", range(0, 4000, 37))
def test_no_cut_of_a_state_ends_in_anything_but_a_refusal(cut: int) -> None:
    fast = engine(*NAMES)
    market = Market(2, 2)
    fast.take(block_of(market.opening() + market.take(40)))
    saved = fast.dump()

    with pytest.raises(ValueError):
        engine(*NAMES).load(saved[: min(cut, len(saved) - 1)])


def test_a_state_takes_some_twenty_bytes_per_order() -> None:
    fast = engine("StockBookQuote")
    fast.take(block_of([add(at, "B", 100, 100 * (at % 50 + 1)) for at in range(1, 10_001)]))

    assert len(fast.dump()) < 20 * 10_000


def test_messages_of_the_wrong_length_are_left_to_whoever_counts_them() -> None:
    fast = engine("StockBookQuote")

    assert told(fast, add(1, "B", 100, 100)[:-1], b"A", b"", b"\xff" * 40) == []


def test_an_engine_has_only_the_views_it_was_made_for() -> None:
    def kinds(views: dict[str, View]) -> list[str]:
        return sorted(views)

    assert kinds(engine("Bar1s").views) == ["Bar1s"]
    assert engine("Bar1s").tape.days == {}

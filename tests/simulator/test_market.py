"""The simulated market is one a real day could have held, lively, and the same for the same seed."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.market import CLOSE_NS, DAY_NS, Market
from gateway.simulator.symbols import LISTED, choose
from tests.simulator.slow_book import SlowBook, number


@pytest.mark.parametrize(("tickers", "seed", "messages"), [(1, 1, 6_000), (6, 2, 12_000), (60, 3, 12_000)])
def test_every_message_of_a_day_makes_sense_to_a_slow_and_obvious_book(
    tickers: int, seed: int, messages: int
) -> None:
    market, book = Market(tickers, seed), SlowBook()

    for message in [*market.opening(), *market.take(messages), *market.closing()]:
        book.take(message)

    assert len(book.tickers) == tickers
    assert set("SRHYLVIQAFECXDUP") <= set(book.kinds)


def test_halts_pauses_and_rare_news_make_sense_too() -> None:
    market, book = Market(2, 5), SlowBook()

    # Halts are rare, and what must not happen in one is rarer still.
    for message in [*market.opening(), *market.take(400_000)]:
        book.take(message)

    assert book.states == {"H", "P", "Q", "T"}
    assert {"J", "N", "B", "Q", "I"} <= set(book.kinds)


def test_the_same_seed_makes_the_same_day_and_another_seed_another() -> None:
    one, same, other = Market(20, 7), Market(20, 7), Market(20, 8)
    one.opening()  # Whether the opening was asked for makes no difference to what follows.

    assert one.take(5_000) == same.take(5_000)
    assert Market(20, 7).opening() == Market(20, 7).opening()
    assert Market(20, 7).take(100) != other.take(100)


def test_messages_go_on_where_they_were_left() -> None:
    whole, parts = Market(5, 1), Market(5, 1)

    first = list(islice(parts.messages(), 700)) + parts.take(1) + list(islice(parts.messages(), 299))

    assert first == whole.take(1_000)


def test_a_day_begins_and_ends_as_a_real_one_does() -> None:
    market = Market(3, 1)
    opening, closing = market.opening(), market.closing()

    assert (
        opening[0]
        == bytes.fromhex("53 0000 0000 0a3159 1e9800".replace(" ", ""))[:5] + opening[0][5:11] + b"O"
    )
    assert [message[:1] for message in opening[1:4]] == [b"R", b"H", b"Y"]
    events = [chr(message[11]) for message in [*opening, *closing] if message[:1] == b"S"]
    assert events == ["O", "S", "Q", "M", "E", "C"]
    assert number(closing[0], 5, 6) == CLOSE_NS


def test_the_directory_message_has_the_bytes_of_the_specification() -> None:
    directory = next(message for message in Market(["SQQQ"], 1).opening() if message[:1] == b"R")

    assert directory[:5] == b"R\x00\x01\x00\x00"
    assert directory[11:] == b"SQQQ    QN\x00\x00\x00dNQE PNN1Y\x00\x00\x00\x03Y"


def test_messages_have_the_lengths_of_the_specification(itch_data: Path) -> None:
    spec = json.loads((itch_data.parent / "spec" / "itch50.json").read_text())
    lengths = {message["type"]: message["length"] for message in spec["messages"]}
    market = Market(2, 5)

    for message in [*market.opening(), *market.take(200_000), *market.closing()]:
        assert len(message) == lengths[chr(message[0])]


def test_activity_is_skewed_and_yet_every_ticker_moves() -> None:
    market = Market(200, 1)

    counts = Counter(number(message, 1, 2) for message in market.take(100_000))

    assert len(counts) == 200
    assert counts[1] > 20 * counts[200]
    assert counts[1] < 20_000


def test_prices_move_but_stay_plausible() -> None:
    market = Market(3, 4)
    trades: dict[int, list[int]] = {}
    for message in market.take(300_000):
        if message[:1] == b"P":
            trades.setdefault(number(message, 1, 2), []).append(number(message, 32, 4))

    for book in market.books:
        start, seen = book.symbol.dollars * 10_000, trades[number(book.heads["P"], 1, 2)]
        assert start / 2.1 < min(seen) < max(seen) < start * 2.1
        assert max(seen) - min(seen) > start / 500


def test_two_hundred_tickers_touch_every_range_of_the_stripes() -> None:
    firsts = [
        "A",
        "AMZN",
        "COIN",
        "ENQZZ",
        "GOOGL",
        "IWM",
        "LRCX",
        "METAA",
        "NFLX",
        "NVDA",
        "NVDAA",
        "QQQ",
        "QQQA",
        "SPY",
    ]
    firsts += ["SPYA", "TSLAA"]
    names = Market(200, 1).tickers

    for first, end in zip(firsts, [*firsts[1:], "ZZZZZZ"], strict=True):
        assert any(first <= name < end for name in names), f"nothing in [{first}, {end})"
    assert {"SPY", "VXX", "QQQ", "IWM"} <= set(names)


def test_there_are_hundreds_of_real_names_and_made_up_ones_beyond() -> None:
    many = choose(5_000)

    assert len(LISTED) >= 300
    assert many[: len(LISTED)] == LISTED
    assert len({symbol.ticker for symbol in many}) == 5_000
    assert {symbol.ticker[0] for symbol in many[len(LISTED) :]} == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_the_clock_of_a_day_without_end_never_reaches_midnight() -> None:
    market = Market(2, 1, messages_per_s=0.5)

    times = [number(message, 5, 6) for message in [*market.take(60_000), *market.closing()]]

    assert times == sorted(times)
    assert DAY_NS - 10**10 < times[-1] < DAY_NS


@pytest.mark.parametrize(
    ("tickers", "said"),
    [
        (0, "1 to 65,535 tickers, not 0"),
        (65_536, "not 65,536"),
        ([], "not 0"),
        (["AAPL", "MSFT", "AAPL"], "named twice: AAPL"),
        (["TOOLONGNAME"], "TOOLONGNAME"),
        (["A B"], "without a space"),
        (["Ä"], "printable ASCII"),
    ],
)
def test_a_market_that_can_not_be_says_why(tickers: int | list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Market(tickers, 1)


def test_a_market_without_pace_is_refused() -> None:
    with pytest.raises(ConfigError, match="not 0"):
        Market(1, 1, messages_per_s=0)

"""Locate codes answer for the number of the message that carries them, live and in a replay alike."""

import orjson
import pytest

from gateway.decode import Codecs, Directory
from gateway.decode.directory import CHANGES_KEPT_MAX
from gateway.definitions import load_definitions
from gateway.errors import DecodeError

ITCH = Codecs(load_definitions("itch50"))


def listing(locate: int, stock: str) -> bytes:
    return ITCH.by_name["stockdirectory"].encode({"stockLocate": locate, "stock": stock})


def test_a_code_is_known_from_its_directory_message_on() -> None:
    directory = Directory(ITCH)

    assert directory.learn(listing(13, "AAPL"), 5) == (13, "AAPL")
    assert directory.tickers[13] == "AAPL"
    assert directory.last_change_seq == 5
    assert [directory.ticker_at(13, seq) for seq in (4, 5, 6)] == [None, "AAPL", "AAPL"]
    assert directory.ticker_at(14, 9) is None


def test_a_code_that_changes_answers_for_each_number_as_it_was() -> None:
    directory = Directory(ITCH)
    directory.learn(listing(13, "AAPL"), 5)

    directory.learn(listing(13, "MSFT"), 50)

    assert directory.tickers[13] == "MSFT"
    assert directory.last_change_seq == 50
    assert [directory.ticker_at(13, seq) for seq in (5, 49, 50)] == ["AAPL", "AAPL", "MSFT"]


def test_the_same_again_and_what_was_learned_before_is_no_news() -> None:
    directory = Directory(ITCH)
    directory.learn(listing(13, "AAPL"), 5)
    directory.learn(listing(13, "MSFT"), 50)

    assert directory.learn(listing(13, "MSFT"), 60) is None
    assert directory.learn(listing(13, "AAPL"), 5) is None
    assert (directory.tickers[13], directory.last_change_seq) == ("MSFT", 50)


def test_the_last_change_is_the_greatest_number_in_whatever_order_it_was_learned() -> None:
    directory = Directory(ITCH)
    directory.learn(listing(13, "AAPL"), 50)

    directory.learn(listing(14, "MSFT"), 5)

    assert directory.last_change_seq == 50


def test_other_messages_teach_nothing() -> None:
    directory = Directory(ITCH)

    assert directory.learn(ITCH.by_name["addorder"].encode({"stockLocate": 13, "stock": "AAPL"}), 1) is None
    assert directory.learn(b"?", 2) is None
    assert directory.tickers == [None] * 65_536


def test_a_directory_message_that_does_not_fit_teaches_nothing_and_says_so() -> None:
    directory = Directory(ITCH)

    with pytest.raises(DecodeError, match="StockDirectory: expected 39 bytes, got 38"):
        directory.learn(listing(13, "AAPL")[:-1], 5)
    assert directory.tickers[13] is None


def test_a_directory_comes_back_from_json_as_it_was() -> None:
    directory = Directory(ITCH)
    for seq, (locate, stock) in enumerate([(1, "A"), (65_535, "ZVZZT"), (1, "B")], 1):
        directory.learn(listing(locate, stock), seq)
    again = Directory(ITCH)
    again.learn(listing(7, "GONE"), 9)

    again.load(orjson.loads(orjson.dumps(directory.dump())))

    assert again.tickers == directory.tickers
    assert again.last_change_seq == 3
    assert [again.ticker_at(1, seq) for seq in (1, 2, 3)] == ["A", "A", "B"]
    assert again.dump() == directory.dump()


@pytest.mark.parametrize(
    "dumped",
    [
        {"x": [[1, "A"]]},
        {"65536": [[1, "A"]]},
        {"-1": [[1, "A"]]},
        {"1": []},
        {"1": [[1]]},
        {"1": [["1", "A"]]},
        {"1": [[1, 2]]},
        {"1": [[2, "A"], [1, "B"]]},
        {"1": None},
    ],
)
def test_what_is_no_dump_is_a_value_error_and_changes_nothing(dumped: dict[str, object]) -> None:
    directory = Directory(ITCH)
    directory.learn(listing(13, "AAPL"), 5)

    with pytest.raises(ValueError, match="directory: locate"):
        directory.load(dumped)

    assert directory.tickers[13] == "AAPL"


def test_a_code_that_changes_without_end_keeps_only_its_last_tickers() -> None:
    directory = Directory(ITCH)

    for seq in range(1, 1000):
        directory.learn(listing(13, f"T{seq}"), seq)

    assert len(directory.dump()["13"]) == CHANGES_KEPT_MAX
    assert directory.ticker_at(13, 999) == "T999"
    assert directory.ticker_at(13, 1) is None


def test_definitions_without_a_directory_have_an_empty_one() -> None:
    ouch = Codecs(load_definitions("ouch42"))
    directory = Directory(ouch)

    assert directory.learn(ouch.by_name["systemevent"].encode({}), 1) is None
    assert ouch.ticker_name is None

"""MLink's key of a ticker, as one text and as a record, in keys and in filters."""

from typing import Any

import pytest

from gateway.decode import Codecs
from gateway.errors import BadRequest
from gateway.hub.filters import filter_for
from gateway.mlink.view import BadView, parse_view
from gateway.mlink.where import parse_where
from gateway.views import ViewedCodecs, viewable
from gateway.views.ticker_key import parts_of, symbol_in, symbol_of
from tests.views.markets import ITCH, add, block_of, engine

QUOTE, *_ = ViewedCodecs(ITCH, ["StockBookQuote"]).views


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("AAPL-NMS-EQT", ("AAPL", "NMS", "EQT")),
        ("aapl-nms-eqt", ("aapl", "NMS", "EQT")),
        ("BAC-B-NMS-EQT", ("BAC-B", "NMS", "EQT")),
        ("BRK.A-NMS-EQT", ("BRK.A", "NMS", "EQT")),
        ("AAPL", ("AAPL", "NMS", "EQT")),
        ("BAC-B", ("BAC-B", "NMS", "EQT")),
        ("ES-CME-FUT", ("ES", "CME", "FUT")),
        ("", ("", "NMS", "EQT")),
    ],
)
def test_a_key_as_one_text_has_three_parts(text: str, parts: tuple[str, str, str]) -> None:
    assert parts_of(text) == parts


def test_a_key_that_is_none_of_ours_stays_as_it_is_and_finds_nothing() -> None:
    assert symbol_of("AAPL-CME-EQT") == "AAPL-CME-EQT"
    assert QUOTE.read_key("AAPL-NMS-EQT") == "AAPL"
    assert ITCH.by_name["stockdirectory"].read_key("AAPL-NMS-EQT") == "AAPL-NMS-EQT"


@pytest.mark.parametrize(
    "key", [{"pkey": "AAPL-NMS-EQT"}, {"ticker": "AAPL-NMS-EQT"}, {"pkey": {"ticker": "AAPL-NMS-EQT"}}]
)
def test_the_text_may_stand_inside_a_record(key: dict[str, Any]) -> None:
    assert symbol_in(key) == "AAPL"


def wants(where: str, codec: Any, payload: bytes) -> bool:
    found = filter_for(codec, parse_where(where))
    return found.matches(codec.decode_fields(found.fields)(payload, 0, len(payload)))


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("ticker:eq:AAPL-NMS-EQT", True),
        ("Ticker:EQ:AAPL-nms-eqt", True),
        ("pkey:eq:AAPL-NMS-EQT", True),
        ("pkey.ticker:eq:AAPL", True),
        ("ticker:eq:AAPL", True),
        ("ticker:eq:MSFT-NMS-EQT", False),
        ("ticker:eq:AAPL-CME-EQT", False),
        ("ticker:eq:AAPL-NMS-FUT", False),
        ("ticker:ne:AAPL-NMS-EQT", False),
        ("ticker:ne:MSFT-NMS-EQT", True),
        ("ticker:ne:AAPL-CME-EQT", True),
        ("ticker:eq:MSFT-NMS-EQT|ticker:eq:AAPL-NMS-EQT", True),
        ("ticker:eq:AAPL-NMS-EQT & bidPrice1:gt:100", True),
        ("(ticker:ne:MSFT-NMS-EQT & bidPrice1:lt:100) | askSize1:gt:0", False),
        ("ticker.tk:eq:AAPL & ticker.at:eq:EQT & ticker.ts:eq:NMS", True),
        ("ticker.ts:eq:CME", False),
        ("ticker.at:ne:EQT", False),
        ("ticker.tk:sw:AA", True),
        ("pkey.ticker.tk:eq:AAPL", True),
    ],
)
def test_a_filter_asks_for_the_key_in_mlinks_words(where: str, matches: bool) -> None:
    fast = engine("StockBookQuote")
    ((_, payload),) = fast.take(block_of([add(1, "B", 100, 1_500_000)]))

    assert wants(where, fast.codecs.views[0], payload) is matches


@pytest.mark.parametrize(
    ("where", "matches"),
    [("ticker:eq:AAPL-NMS-EQT", True), ("ticker:eq:AAPL", True), ("ticker:ne:AAPL-NMS-EQT", False)],
)
def test_the_feeds_own_messages_are_asked_for_in_the_same_words(where: str, matches: bool) -> None:
    payload = add(1, "B", 100, 500)

    assert wants(where, ITCH.by_name["addorder"], payload) is matches


@pytest.mark.parametrize(
    ("name", "where", "told"),
    [
        ("StockBookQuote", "ticker:sw:AAPL", "position 0: ticker is a key, expected eq or ne, or ticker.tk"),
        ("AddOrder", "ticker:eq:AAPL-CME-FUT", "position 10: expected AAPL-NMS-EQT, got 'AAPL-CME-FUT'"),
        ("AddOrder", "ticker.ts:eq:NMS", "no field 'ticker.ts'"),
    ],
)
def test_a_filter_that_asks_something_else_of_a_key_is_told_what_is_expected(
    name: str, where: str, told: str
) -> None:
    codecs: Codecs = ViewedCodecs(ITCH, ["StockBookQuote"])

    with pytest.raises(BadRequest) as raised:
        filter_for(codecs.by_name[name.casefold()], parse_where(where))

    assert told in str(raised.value)


@pytest.mark.parametrize("view", ["bidPrice1|askPrice1", "ticker|bidprice1", "pkey,ticker.tk|bidPrice1"])
def test_a_view_may_name_the_key_that_is_there_anyway(view: str) -> None:
    parse_view(view).of(viewable(QUOTE))


def test_the_feeds_own_messages_have_no_such_key_to_view() -> None:
    with pytest.raises(BadView, match="no field 'ticker'"):
        parse_view("ticker|price").of(viewable(ITCH.by_name["addorder"]))

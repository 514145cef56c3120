"""Which views there are, and which definitions they can be derived from."""

from pathlib import Path

import pytest

from gateway.cli.examination import examine
from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.errors import ConfigError
from gateway.views import ViewedCodecs, known
from gateway.views.itch import LAYOUTS
from tests.views.markets import ITCH

SHIPPED = Path(__file__).resolve().parents[2] / "gateway" / "definitions" / "itch50.xml"


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("stockbookquote", "StockBookQuote"),
        ("STOCKPRINT", "StockPrint"),
        ("BookDepth", "BookDepth"),
        ("bookdepth5", "BookDepth5"),
        ("BookDepth50", "BookDepth50"),
        ("bar1S", "Bar1s"),
        ("Bar90m", "Bar90m"),
        ("Bar24h", "Bar24h"),
        ("BookDepth51", None),
        ("BookDepth0", None),
        ("BookDepth05", None),
        ("Bar", None),
        ("Bar0s", None),
        ("Bar25h", None),
        ("Bar1d", None),
        ("AddOrder", None),
        ("", None),
    ],
)
def test_a_view_is_known_by_its_name_in_any_case(name: str, spelled: str | None) -> None:
    assert known(name) == spelled


def test_views_are_found_by_name_like_every_message() -> None:
    codecs = ViewedCodecs(ITCH, ["stockbookquote", "Bar1s", "StockBookQuote"])

    assert codecs.by_name["stockbookquote"].definition.kind == "record"
    assert [codec.name for codec in codecs.views] == ["StockBookQuote", "Bar1s"]
    assert codecs.names[-2:] == ("StockBookQuote", "Bar1s")
    assert codecs.by_id == ITCH.by_id


def test_an_upstream_can_not_send_what_a_view_tells() -> None:
    codecs = ViewedCodecs(ITCH, ["StockBookQuote", "StockPrint"])

    assert len({codec.id_byte for codec in codecs.views}) == 2
    assert all(codecs.by_id[codec.id_byte] is None for codec in codecs.views)


def test_an_unknown_view_is_told_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="'StockQuote' is no view; expected StockBookQuote, StockPrint"):
        ViewedCodecs(ITCH, ["StockQuote"])


@pytest.mark.parametrize("name", ["ouch50", "glimpse50"])
def test_views_need_itch(name: str) -> None:
    with pytest.raises(ConfigError, match=r"views need ITCH 5\.0: expected message"):
        ViewedCodecs(Codecs(load_definitions(name)), ["StockBookQuote"])


def test_a_field_in_another_place_is_named(tmp_path: Path) -> None:
    text = SHIPPED.read_text("utf-8")
    at = text.index('id="OrderDelete"')
    moved = text[at:].replace('name="orderReferenceNumber"', 'name="reference"', 1)
    own = tmp_path / "own.xml"
    own.write_text(text[:at] + moved, "utf-8")

    with pytest.raises(ConfigError, match=r"OrderDelete\.orderReferenceNumber at offset 11, got None"):
        ViewedCodecs(Codecs(load_definitions(str(own))), ["StockBookQuote"])


def test_the_layouts_are_those_of_the_shipped_definitions() -> None:
    for kind, (name, length, offsets) in LAYOUTS.items():
        definition = ITCH.by_name[name.casefold()].definition

        assert (definition.id_byte, definition.length) == (ord(kind), length)
        assert {field: definition.offsets[field] for field in offsets} == offsets


@pytest.mark.parametrize(
    "key",
    [
        {"pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}}},
        {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}},
        {"Ticker": {"TK": "AAPL"}},
        {"tk": "AAPL"},
        {"ticker": "AAPL"},
    ],
)
def test_a_key_is_read_as_mlink_writes_it_and_shorter(key: dict[str, object]) -> None:
    (codec,) = ViewedCodecs(ITCH, ["StockBookQuote"]).views

    assert codec.key_text(key) == "AAPL"
    assert codec.ticker_of_key("AAPL") == "AAPL"


def test_a_key_without_a_ticker_is_none() -> None:
    (codec,) = ViewedCodecs(ITCH, ["StockBookQuote"]).views

    with pytest.raises(KeyError, match=r"ticker\.tk"):
        codec.key_text({"stock": "AAPL"})


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        ('views = ["StockBookQuote", "bar5M"]', None),
        ('views = ["Quotes"]', "'Quotes' is no view; expected StockBookQuote, StockPrint, BookDepth"),
        ('views = ["StockPrint"]\ndefinitions = "ouch50"', "views need ITCH 5.0"),
        ('definitions = "ouch50"', None),
    ],
)
def test_check_config_knows_views(tmp_path: Path, feed: str, told: str | None) -> None:
    path = tmp_path / "gateway.toml"
    endpoint = 'endpoints = [{ name = "one", address = "127.0.0.1:9000" }]'
    path.write_text(f'[server]\nopen_access = true\n[[feeds]]\nname = "itch"\n{feed}\n{endpoint}\n')

    problems = [each for each in examine(path, {}).problems if "feeds.itch.views" in each]

    assert len(problems) == (told is not None)
    assert told is None or told in problems[0]

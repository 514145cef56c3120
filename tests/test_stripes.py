"""Each ticker is in exactly one primary stripe, and a wrong table never loads."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest, ConfigError
from gateway.stripes import Gap, StripeTable

SHIPPED = Path(__file__).resolve().parents[1] / "config" / "stripes.toml"
TICKERS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)

# The vendor's table as published: a range's end is not in it.
RANGES = """A1 A AMZN, A2 AMZN COIN, B1 COIN ENQZZ, B2 ENQZZ GOOGL, C1 GOOGL IWM, C2 IWM LRCX, D1 LRCX METAA,
    D2 METAA NFLX, E1 NFLX NVDA, E2 NVDA NVDAA, F1 NVDAA QQQ, F2 QQQ QQQA, G1 QQQA SPY, G2 SPY SPYA,
    H1 SPYA TSLAA, H2 TSLAA ZZZZZZ"""
SETS = {
    "M1": "NDX NDXP RUT RUTW MRUT",
    "M2": "SPY VXX",
    "M3": "QQQ",
    "M4": "IWM",
    "S": "SPX SPXW XSP VIX VIXW",
}


def table(**changes: Any) -> StripeTable:
    data = {
        "catch_all": "X",
        "ranges": {"A1": {"first": "A", "end": "M"}, "A2": {"first": "M", "end": "T"}},
        "sets": {"M2": ["SPY", "VXX"]},
        "sources": {"X": []},
        "compounds": {"A": ["A1", "A2"]},
    }
    return StripeTable.from_mapping(data | changes, "config/stripes.toml")


@pytest.fixture(scope="module")
def shipped() -> StripeTable:
    return StripeTable.load(SHIPPED)


@pytest.mark.parametrize("line", [line.split() for line in RANGES.split(",")], ids=lambda line: line[0])
def test_the_shipped_ranges_are_the_vendors(line: list[str], shipped: StripeTable) -> None:
    name, first, end = line
    in_a_set = {ticker for tickers in SETS.values() for ticker in tickers.split()}

    assert first in in_a_set or shipped.stripe_of(first) == name
    assert shipped.stripe_of(first + "-") == name
    assert shipped.stripe_of(end) != name
    assert shipped.kinds[name] == "range"


@pytest.mark.parametrize("name", SETS)
def test_a_set_wins_over_a_range(name: str, shipped: StripeTable) -> None:
    assert {shipped.stripe_of(ticker) for ticker in SETS[name].split()} == {name}


def test_a_letter_is_the_union_of_its_numbered_stripes(shipped: StripeTable) -> None:
    for letter in "ABCDEFGH":
        assert shipped.members(letter) == {f"{letter}1", f"{letter}2"}
    assert shipped.members("M") == {"M1", "M2", "M3", "M4"}
    assert shipped.members("S") == {"S"}


def test_the_eleven_stripes_of_a_real_client_are_every_ticker(shipped: StripeTable) -> None:
    opened = shipped.members(list("ABCDEFGHMSX"))

    assert {name for name in shipped.primaries if shipped.kinds[name] != "source"} | {"X"} == opened


@settings(deadline=None, max_examples=300)
@given(ticker=TICKERS)
def test_each_ticker_is_in_exactly_one_primary_stripe(ticker: str) -> None:
    shipped = StripeTable.load(SHIPPED)
    holders = [name for name in shipped.primaries if shipped.stripe_of(ticker) == name]

    assert len(holders) == 1
    assert sum(ticker_is_in(shipped, ticker, name) for name in "ABCDEFGHMSX") == 1


def ticker_is_in(shipped: StripeTable, ticker: str, name: str) -> bool:
    return shipped.stripe_of(ticker) in shipped.members(name)


@settings(deadline=None, max_examples=200)
@given(bounds=st.sets(TICKERS.map(str.strip).filter(bool), min_size=2, max_size=12), ticker=TICKERS)
def test_neighbouring_ranges_and_their_gaps_are_everything(bounds: set[str], ticker: str) -> None:
    edges = sorted(bounds)
    pairs = list(zip(edges[:-1:2], edges[1::2], strict=False))
    made = StripeTable.from_mapping(
        {
            "catch_all": "rest",
            "ranges": {f"R{at}": {"first": first, "end": end} for at, (first, end) in enumerate(pairs)},
            "sources": {"rest": []},
        }
    )
    inside = [f"R{at}" for at, (first, end) in enumerate(pairs) if first <= ticker < end]
    in_gaps = [gap for gap in made.gaps if gap.first <= ticker and (gap.end is None or ticker < gap.end)]

    assert made.stripe_of(ticker) == (inside[0] if inside else "rest")
    assert len(inside) + len(in_gaps) == 1
    for at, (first, end) in enumerate(pairs):
        assert made.stripe_of(first) == f"R{at}"
        assert made.stripe_of(end) != f"R{at}"


def test_a_ticker_that_nobody_knows_is_in_the_catch_all(shipped: StripeTable) -> None:
    assert shipped.catch_all == "X"
    assert shipped.stripe_of(None) == "X"
    assert shipped.stripe_of("9984") == "X"
    assert shipped.stripe_of("ZZZZZZ") == "X"
    assert shipped.stripe_of("") == "X"


def test_gaps_are_told_and_not_fatal(shipped: StripeTable) -> None:
    assert shipped.gaps == (Gap("", "A"), Gap("ZZZZZZ", None))
    assert [str(gap) for gap in shipped.gaps] == ["below A", "ZZZZZZ and above"]
    middle = table(ranges={"A1": {"first": "A", "end": "F"}, "A2": {"first": "G", "end": "H"}}).gaps
    assert str(middle[1]) == "F up to G"
    assert [str(gap) for gap in table(ranges={}, compounds={}).gaps] == ["every ticker"]


def test_a_source_is_found_without_case_and_an_unlisted_one_leaves_it_to_the_tickers(
    shipped: StripeTable,
) -> None:
    assert shipped.stripe_of_source("cme") == "X"
    assert shipped.stripe_of_source("CFE") == "V"
    assert shipped.stripe_of_source("NMS") is None
    assert shipped.stripe_of_source("") is None


def test_a_feed_whose_source_is_in_a_stripe_has_all_its_tickers_there(shipped: StripeTable) -> None:
    futures, equities = shipped.of_feed("cfe"), shipped.of_feed("NMS")

    assert [futures.stripe_of(ticker) for ticker in ("AAPL", "SPY", "zzz", None)] == ["V"] * 4
    assert [equities.stripe_of(ticker) for ticker in ("AAPL", "SPY", "zzz", None)] == ["A1", "M2", "X", "X"]
    assert shipped.stripe_of("AAPL") == "A1"
    assert futures.members("A") == shipped.members("A")


def test_names_are_found_without_case_and_keep_their_spelling(shipped: StripeTable) -> None:
    assert shipped.members("a1") == {"A1"}
    assert shipped.members([" m ", "S"]) == {"M1", "M2", "M3", "M4", "S"}
    assert shipped.members([]) == frozenset()
    assert table(catch_all="x").catch_all == "X"
    assert table(compounds={"A": ["a1"]}).members("A") == {"A1"}


def test_an_unknown_name_is_the_subscribers_error_and_tells_what_there_is(shipped: StripeTable) -> None:
    with pytest.raises(BadRequest, match=r"no stripe 'Q9'; there are A1, A2, .*, M$"):
        shipped.members(["A", "Q9"])


def test_compounds_may_hold_compounds() -> None:
    made = table(compounds={"ALL": ["A", "M2", "X"], "A": ["A1", "A2"]})

    assert made.members("all") == {"A1", "A2", "M2", "X"}
    assert made.names == ("A1", "A2", "M2", "X", "ALL", "A")
    assert made.primaries == ("A1", "A2", "M2", "X")


def test_deep_and_repeated_compounds_load_at_once() -> None:
    deep = {"N0": ["A1", "A2"]} | {f"N{at}": [f"N{at - 1}"] * 2 for at in range(1, 900)}

    assert table(compounds=deep).members("N899") == {"A1", "A2"}


def test_each_stripe_can_be_told_in_words(shipped: StripeTable) -> None:
    assert shipped.what("A1") == "A up to AMZN"
    assert shipped.what("M2") == "SPY, VXX"
    assert shipped.what("A") == "A1 + A2"
    assert shipped.what("X") == "sources CME, CBOT, NYMEX, COMEX; and all else"
    assert table().what("X") == "sources (none); and all else"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "overlap": (
        {"ranges": {"L": {"first": "A", "end": "N"}, "R": {"first": "M", "end": "Z"}}},
        "ranges.R = {'first': 'M', 'end': 'Z'}: stripes L and R both hold 'M'",
    ),
    "overlap of two that are not neighbours": (
        {
            "ranges": {
                "L": {"first": "A", "end": "Z"},
                "K": {"first": "B", "end": "C"},
                "R": {"first": "D", "end": "E"},
            }
        },
        "stripes L and R both hold 'D'",
    ),
    "same range twice": (
        {"ranges": {"L": {"first": "A", "end": "N"}, "R": {"first": "A", "end": "N"}}},
        "stripes L and R both hold 'A'",
    ),
    "empty range": ({"ranges": {"L": {"first": "N", "end": "N"}}}, "the range is empty"),
    "range backwards": (
        {"ranges": {"L": {"first": "N", "end": "A"}}},
        "ranges.L = {'first': 'N', 'end': 'A'}",
    ),
    "range as a list": ({"ranges": {"L": ["A", "B"]}}, 'write a range as { first = "A", end = "AMZN" }'),
    "range without end": ({"ranges": {"L": {"first": "A"}}}, "ranges.L"),
    "range with a number": ({"ranges": {"L": {"first": 1, "end": "B"}}}, "tickers in ASCII"),
    "ticker in two sets": (
        {"sets": {"M2": ["SPY"], "M3": ["QQQ", "SPY"]}},
        "sets.M3 = 'SPY': stripes M2 and M3 both hold it",
    ),
    "source in two stripes": (
        {"sources": {"X": ["CME"], "V": ["cme"]}},
        "sources.V = 'cme': stripes X and V both hold it",
    ),
    "set that is no list": ({"sets": {"M2": "SPY"}}, "sets.M2 = 'SPY': write a list"),
    "set with a space": ({"sets": {"M2": ["SPY "]}}, "write a list of names in ASCII"),
    "empty set": ({"sets": {"M2": []}}, "sets.M2 = []: it holds nothing"),
    "unknown member": (
        {"compounds": {"A": ["A1", "A3"]}},
        "compounds.A = 'A3': no such stripe; did you mean 'A",
    ),
    "circle of one": ({"compounds": {"P": ["P"]}}, "compounds.P = 'P → P'"),
    "circle of three": (
        {"compounds": {"P": ["A1", "Q"], "Q": ["R"], "R": ["P"]}},
        "'P → Q → R → P': a compound must not contain itself",
    ),
    "circle behind a door": ({"compounds": {"P": ["Q"], "Q": ["R"], "R": ["Q"]}}, "'Q → R → Q'"),
    "no catch-all": ({"catch_all": None}, "catch_all = None: name the stripe of all other tickers"),
    "empty catch-all": ({"catch_all": ""}, "catch_all = '': name the stripe of all other tickers"),
    "unknown catch-all": ({"catch_all": "Y"}, "catch_all = 'Y': no such stripe; choose one of A1, A2, M2, X"),
    "compound as catch-all": ({"catch_all": "A"}, "catch_all = 'A': it is a compound"),
    "same name without case": (
        {"sets": {"a1": ["SPY"]}},
        "sets.a1 = 'a1': 'A1' in [ranges] has the same name without case; rename one",
    ),
    "name with a space": ({"sets": {"M 2": ["SPY"]}}, "sets.M 2 = 'M 2': a stripe's name is 1 to 16"),
    "name too long": ({"sets": {"M" * 17: ["SPY"]}}, "1 to 16 ASCII letters and digits"),
    "section that is no table": ({"sets": ["SPY"]}, "sets = ['SPY']: make it a table"),
    "unknown section": ({"range": {}}, "range = {}: unknown key; did you mean 'ranges'?"),
    "unknown key": ({"zzz": 1}, "zzz = 1: unknown key; known are catch_all, ranges"),
    "too many": ({"sets": {f"S{at}": [f"T{at}"] for at in range(1_001)}}, "at most 1000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_names_file_key_value_and_remedy(case: str) -> None:
    changes, expected = WRONG[case]

    with pytest.raises(ConfigError) as caught:
        table(**changes)

    assert expected in str(caught.value)
    assert all(line.startswith("config/stripes.toml: ") for line in str(caught.value).splitlines())


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        table(catch_all="Y", ranges={"L": {"first": "N", "end": "A"}}, compounds={"A": ["Q"], "P": ["P"]})

    keys = Counter(line.split(": ")[1].split(" = ")[0] for line in str(caught.value).splitlines())
    assert keys == {"catch_all": 1, "ranges.L": 1, "compounds.A": 1, "compounds.P": 1}


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: can't be read"):
        StripeTable.load(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("catch_all = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml: is not TOML: .*line 1"):
        StripeTable.load(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml: can't be read"):
        StripeTable.load(tmp_path / "binary.toml")


def test_the_error_shown_in_the_documentation_is_the_true_one() -> None:
    data = tomllib.loads(SHIPPED.read_text())
    data["ranges"]["A2"]["first"] = "AMZ"

    with pytest.raises(ConfigError) as caught:
        StripeTable.from_mapping(data, "config/stripes.toml")

    assert f"\n{caught.value}\n" in (SHIPPED.parents[1] / "docs" / "stripes.md").read_text()

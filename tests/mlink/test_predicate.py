"""What a filter means: operators, exact prices, types; the compiled function beside a slow one."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mlink.predicate import Kind, compile_where, type_where
from gateway.mlink.where import (
    AllOf,
    AnyOf,
    BadWhere,
    Clause,
    Node,
    Op,
    Where,
    joined,
    parse_where,
)

KINDS = {
    "stock": "str",
    "shares": "int",
    "price": "price",
    "printable": "bool",
    "ticker.tk": "str",
    "bid.px": "price",
}
MESSAGE = {
    "stock": "AAPL",
    "shares": 100,
    "price": Decimal("150.0001"),
    "printable": True,
    "ticker": {"tk": "AMZN"},
    "bid": {"px": Decimal("10.5")},
}


def matches(text: str, message: Mapping[str, Any] = MESSAGE) -> bool:
    return compile_where(parse_where(text), KINDS)(message)


def clause(name: str, op: Op, *values: str) -> Clause:
    return Clause(name, op, values)


# --- operators


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shares:gt:99", True),
        ("shares:gt:100", False),
        ("shares:ge:100", True),
        ("shares:ge:101", False),
        ("shares:lt:101", True),
        ("shares:lt:100", False),
        ("shares:le:100", True),
        ("shares:le:99", False),
        ("shares:eq:100", True),
        ("shares:eq:+100", True),
        ("shares:eq:101", False),
        ("shares:ne:101", True),
        ("shares:ne:100", False),
        ("shares:gt:-1", True),
        ("stock:sw:AA", True),
        ("stock:sw:PL", False),
        ("stock:ew:PL", True),
        ("stock:ew:AA", False),
        ("stock:cv:AP", True),
        ("stock:cv:XX", False),
        ("stock:nv:XX", True),
        ("stock:nv:AP", False),
        ("stock:eq:AAPL", True),
        ("stock:eq:AAP", False),
        ("stock:ne:MSFT", True),
        ("stock:gt:AAP", True),
        ("stock:lt:AAP", False),
        ("stock:cb:AAPL$AAPL", True),
        ("stock:cb:AAPM$B", False),
        ("shares:cb:100$200", True),
        ("shares:cb:50$100", True),
        ("shares:cb:101$200", False),
        ("price:cb:150$150.0001", True),
        ("printable:eq:true", True),
        ("printable:eq:YES", True),
        ("printable:eq:false", False),
        ("printable:ne:no", True),
        ("ticker.tk:eq:AMZN", True),
        ("TICKER.TK:eq:AAPL", False),
        ("bid.px:ge:10.5", True),
        ("stock:eq:X | shares:eq:100", True),
        ("stock:eq:AAPL & shares:eq:1", False),
        ("stock:eq:X & shares:eq:1 | price:gt:1", True),
        ("stock:eq:X & (shares:eq:1 | price:gt:1)", False),
    ],
)
def test_operators_mean_what_the_page_says(text: str, expected: bool) -> None:
    assert matches(text) is expected


@pytest.mark.parametrize("price", [Decimal("150.0001"), 150.0001], ids=["decimal", "float"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price:eq:150.0001", True),
        ("price:eq:150.00010", True),
        ("price:eq:0150.0001", True),
        ("price:gt:150.0001", False),
        ("price:ge:150.0001", True),
        ("price:lt:150.0001", False),
        ("price:gt:150", True),
        ("price:eq:150.00009999999999", False),
        ("price:lt:150.00010000000001", True),
        ("price:gt:150.00009999999999", True),
        ("price:gt:.5", True),
        ("price:gt:5.", True),
    ],
)
def test_prices_compare_exactly(price: Decimal | float, text: str, expected: bool) -> None:
    assert matches(text, {"price": price}) is expected


@given(st.integers(0, 2_000_000_000), st.integers(0, 2_000_000_000))
@settings(max_examples=200, deadline=None)
def test_every_price_of_four_decimals_compares_like_its_integer(left: int, right: int) -> None:
    text = f"{right // 10_000}.{right % 10_000:04d}"

    for price in (Decimal(left) / 10_000, left / 10_000):
        for op, holds in (("eq", left == right), ("lt", left < right), ("ge", left >= right)):
            assert matches(f"price:{op}:{text}", {"price": price}) is holds


def test_prices_of_eight_decimals_and_twenty_digits_compare_exactly() -> None:
    price = Decimal("184467440737.09551615")

    assert matches("price:eq:184467440737.09551615", {"price": price})
    assert not matches("price:gt:184467440737.09551615", {"price": price})
    assert matches("price:gt:184467440737.09551614", {"price": price})


@pytest.mark.parametrize("op", ["eq", "ne", "lt", "gt", "nv", "cv"])
def test_a_field_the_message_does_not_carry_satisfies_nothing(op: str) -> None:
    assert not matches(f"stock:{op}:A", {})
    assert not matches(f"ticker.tk:{op}:A", {"ticker": "flat"})
    assert not matches(f"ticker.tk:{op}:A", {"ticker": {}})


def test_a_price_that_is_not_a_number_satisfies_nothing() -> None:
    assert not matches("price:gt:0 | price:le:0 | price:ne:1", {"price": float("nan")})


# --- types


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shares:eq:1 & volume:gt:5", "position 14: no field 'volume', expected one of stock, shares, price"),
        ("shares:gt:abc", "position 10: shares: expected a whole number, got 'abc'"),
        ("shares:gt:1.5", "position 10: shares: expected a whole number, got '1.5'"),
        ("shares:gt:1e5", "position 10: shares: expected a whole number, got '1e5'"),
        ("shares:gt:٣", "position 10: shares: expected a whole number"),
        ("shares:gt:" + "1" * 41, "position 10: shares: expected a whole number, got '1111"),
        ("price:gt:abc", "position 9: price: expected a price, got 'abc'"),
        ("price:gt:NaN", "position 9: price: expected a price, got 'NaN'"),
        ("price:gt:1e400", "position 9: price: expected a price"),
        ("price:gt:.", "position 9: price: expected a price"),
        ("printable:eq:maybe", "position 13: printable: expected true or false, got 'maybe'"),
        ("printable:gt:true", "position 0: printable is true or false, expected one of eq, ne, got 'gt'"),
        ("shares:sw:1", "shares is a whole number, expected one of gt, ge, lt, le, eq, ne, cb, got 'sw'"),
        ("price:cv:1", "price is a price, expected one of gt, .*, got 'cv'"),
        ("shares:cb:5$1", "position 10: expected the lower bound first, got 5 and 1"),
    ],
)
def test_a_filter_that_does_not_fit_the_message_says_so(text: str, says: str) -> None:
    with pytest.raises(BadWhere, match=says):
        compile_where(parse_where(text), KINDS)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("price:eq:150", "PRICE:eq:0150.00"),
        ("shares:eq:5", "shares:eq:005"),
        ("printable:eq:Yes", "printable:eq:true"),
    ],
)
def test_filters_of_equal_meaning_are_equal_once_typed(text: str, same: str) -> None:
    left, right = (type_where(parse_where(written), KINDS) for written in (text, same))

    assert left == right
    assert hash(left) == hash(right)


def test_a_field_that_looks_like_code_is_only_a_name() -> None:
    name = "__import__['os']"

    assert compile_where(parse_where(f"{name}:eq:1"), {name: "int"})({name: 1})


# --- properties: print and parse, compiled beside a slow evaluator

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["AAPL", "A&B", "(", '"', "$", " x "]
)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "int": st.integers(-(10**20), 10**20).map(str) | st.integers(-2, 2).map(str),
    "price": st.decimals(-3, 3, places=4).map(lambda value: f"{value:f}"),
    "bool": st.sampled_from(["true", "false", "Yes", "NO"]),
    "str": TEXTS,
}
OPS = {
    "int": [Op.GT, Op.GE, Op.LT, Op.LE, Op.EQ, Op.NE, Op.CB],
    "price": [Op.GT, Op.GE, Op.LT, Op.LE, Op.EQ, Op.NE, Op.CB],
    "bool": [Op.EQ, Op.NE],
    "str": list(Op),
}
SORT_KEYS: dict[str, Callable[[str], Any]] = {"int": int, "price": Decimal, "str": str}


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    name = draw(st.sampled_from(list(KINDS)))
    kind = KINDS[name]
    op = draw(st.sampled_from(OPS[kind]))
    values = draw(st.lists(VALUES[kind], min_size=2, max_size=2))
    return Clause(name, op, tuple(sorted(values, key=SORT_KEYS[kind])) if op is Op.CB else (values[0],))


NODES: st.SearchStrategy[Node] = st.recursive(
    clauses(),
    lambda inner: st.tuples(st.sampled_from([AllOf, AnyOf]), st.lists(inner, min_size=1, max_size=3)).map(
        lambda parts: joined(*parts)
    ),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "stock": TEXTS,
        "shares": st.integers(-2, 2),
        "price": st.decimals(-3, 3, places=4) | st.decimals(-3, 3, places=4).map(float),
        "printable": st.booleans(),
        "ticker": st.fixed_dictionaries({}, optional={"tk": TEXTS}),
        "bid": st.fixed_dictionaries({}, optional={"px": st.decimals(-3, 3, places=4)}),
    },
)


def slowly(node: Node, message: Mapping[str, Any]) -> bool:
    if isinstance(node, AllOf):
        return all(slowly(item, message) for item in node.items)
    if isinstance(node, AnyOf):
        return any(slowly(item, message) for item in node.items)
    value: Any = message
    for step in node.field.split("."):
        value = value.get(step, {})
    if value == {}:
        return False
    read: Callable[[Any], Any] = {
        Kind.INT: int,
        Kind.PRICE: lambda text: Decimal(str(text)),
        Kind.TEXT: str,
        Kind.BOOL: lambda text: str(text).lower() in ("true", "yes"),
    }[Kind(KINDS[node.field])]
    value, first, last = read(value), read(node.values[0]), read(node.values[-1])
    match node.op:
        case Op.GT:
            return bool(value > first)
        case Op.GE:
            return bool(value >= first)
        case Op.LT:
            return bool(value < first)
        case Op.LE:
            return bool(value <= first)
        case Op.EQ:
            return bool(value == first)
        case Op.NE:
            return bool(value != first)
        case Op.SW:
            return bool(value[: len(first)] == first)
        case Op.EW:
            return bool(value[max(0, len(value) - len(first)) :] == first)
        case Op.CV:
            return bool(value.find(first) >= 0)
        case Op.NV:
            return bool(value.find(first) < 0)
        case Op.CB:
            return bool(first <= value and value <= last)


@given(NODES)
@settings(max_examples=300, deadline=None)
def test_a_printed_filter_parses_to_an_equal_one(node: Node) -> None:
    where = Where(node)

    assert parse_where(str(where)) == where


@given(NODES, MESSAGES)
@settings(max_examples=400, deadline=None)
def test_the_compiled_filter_agrees_with_a_slow_evaluator(node: Node, message: dict[str, Any]) -> None:
    assert compile_where(Where(node), KINDS)(message) is slowly(node, message)


@given(NODES)
@settings(max_examples=100, deadline=None)
def test_a_typed_filter_prints_to_one_that_types_to_an_equal_one(node: Node) -> None:
    typed = type_where(Where(node), KINDS)

    assert type_where(parse_where(str(typed)), KINDS) == typed

"""The `where` filter: its grammar, its spelling, its errors and limits."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.mlink.predicate import compile_where, type_where
from gateway.mlink.where import (
    WHERE_CHARS_MAX,
    WHERE_CLAUSES_MAX,
    WHERE_DEPTH_MAX,
    AllOf,
    AnyOf,
    BadWhere,
    Clause,
    Op,
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


# --- grammar


def test_and_binds_tighter_than_or() -> None:
    a, b, c = (clause(name, Op.EQ, "1") for name in "abc")

    assert parse_where("a:eq:1 | b:eq:1 & c:eq:1").root == AnyOf((a, AllOf((b, c))))
    assert parse_where("a:eq:1 & b:eq:1 | c:eq:1").root == AnyOf((AllOf((a, b)), c))
    assert parse_where("(a:eq:1 | b:eq:1) & c:eq:1").root == AllOf((AnyOf((a, b)), c))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Stock:EQ:AAPL", "stock:eq:AAPL"),
        ("  stock : eq : AAPL  ", "stock:eq:AAPL"),
        ("stock:eq:AAPL&shares:gt:5", "stock:eq:AAPL \t&\n shares : GT : 5"),
        ("((stock:eq:AAPL))", "stock:eq:AAPL"),
        ("a:eq:1 & (b:eq:1 & c:eq:1)", "a:eq:1 & b:eq:1 & c:eq:1"),
        ("a:eq:1 | (b:eq:1 | c:eq:1)", "a:eq:1 | b:eq:1 | c:eq:1"),
        ('stock:eq:"AAPL"', "stock:eq:AAPL"),
        ("price:cb: 1 $ 2 ", "price:cb:1$2"),
        ("Ticker.TK:eq:AMZN", "ticker.tk:eq:AMZN"),
    ],
)
def test_requests_that_differ_in_spelling_only_are_equal_and_share_a_hash(text: str, same: str) -> None:
    assert parse_where(text) == parse_where(same)
    assert hash(parse_where(text)) == hash(parse_where(same))


def test_values_keep_their_case() -> None:
    assert parse_where("stock:eq:AAPL") != parse_where("stock:eq:aapl")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("f:eq:SPX-NMS-EQT-2024-03-15-4550-C", ("SPX-NMS-EQT-2024-03-15-4550-C",)),
        ("f:eq:2024-01-01 09:30:00", ("2024-01-01 09:30:00",)),
        ("f:eq:BRK.B", ("BRK.B",)),
        ("f:eq:a$b", ("a$b",)),
        ('f:eq:5" pipe', ('5" pipe',)),
        ('f:eq:"A & B"', ("A & B",)),
        ('f:eq:"(x)|y"', ("(x)|y",)),
        ('f:eq:"say ""hi"""', ('say "hi"',)),
        ('f:eq:" "', (" ",)),
        ('f:eq:""', ("",)),
        ('f:cb:"a$"$"$b"', ("a$", "$b")),
        ("f:eq:é", ("é",)),
    ],
)
def test_values_are_taken_as_written(text: str, values: tuple[str, ...]) -> None:
    (op,) = {Op(text.split(":")[1])}

    assert parse_where(text).root == Clause("f", op, values)


def test_a_filter_tells_which_fields_it_touches() -> None:
    where = parse_where("Price:gt:1 & (stock:eq:A | STOCK:sw:B) | bid.PX:lt:3")

    assert where.fields == {"price", "stock", "bid.px"}
    assert type_where(where, {"Price": "price", "Stock": "str", "Bid.px": "price"}).fields == {
        "Price",
        "Stock",
        "Bid.px",
    }


# --- errors: position and expectation


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "position 0: expected a field name or (, got the end"),
        ("   ", "position 3: expected a field name or (, got the end"),
        ("stock", "position 5: expected : behind the field name, got the end"),
        ("stock=AAPL", "position 10: expected : behind the field name, got the end"),
        ("stock eq AAPL", "position 6: expected : behind the field name, got 'eq AAPL'"),
        (
            "stock:",
            "position 6: expected an operator, one of gt, ge, lt, le, eq, ne, sw, ew, cv, nv, cb, got the",
        ),
        (
            "stock:is:AAPL",
            "position 6: expected an operator, one of gt, ge, lt, le, eq, ne, sw, ew, cv, nv, cb, got 'is'",
        ),
        ("stock:eq", "position 8: expected : behind the operator, got the end"),
        ("stock:eq:", "position 9: expected a value, got the end"),
        ("stock:eq: & a:eq:1", "position 10: expected a value, got '& a:eq:1'"),
        ("stock:eq:A &", "position 12: expected a field name or (, got the end"),
        ("stock:eq:A & & b:eq:1", "position 13: expected a field name or (, got '& b:eq:1'"),
        ("stock:eq:A | | b:eq:1", "position 13: expected a field name"),
        ("(stock:eq:A", "position 11: expected & or | or the ) for the ( at position 0, got the end"),
        ("stock:eq:A)", "position 10: expected & or | or the end, got ')'"),
        ("()", "position 1: expected a field name or (, got ')'"),
        ("stock:eq:A(B", "position 10: expected & or | or the end, got '(B'"),
        ('stock:eq:"A', 'position 9: expected a closing " for this one'),
        ('stock:eq:"A"B', "position 12: expected & or | or the end, got 'B'"),
        ("price:cb:10", "position 11: expected $ and the upper bound, as in cb:10$20, got the end"),
        ("price:cb:$5", "position 9: expected a value"),
        ("price:cb:5$", "position 11: expected a value, got the end"),
        ("price:cb:1$2$3", "position 12: expected & or | or the end, got '$3'"),
        ("a..b:eq:1", "position 1: expected : behind the field name"),
        (".a:eq:1", "position 0: expected a field name"),
        ("a:eq:1 && b:eq:1", "position 8: expected a field name"),
    ],
)
def test_a_wrong_filter_says_position_and_expectation(text: str, says: str) -> None:
    with pytest.raises(BadWhere) as caught:
        parse_where(text)

    assert str(caught.value).startswith(f"where, {says}")


def test_a_filter_has_a_limit_of_length_clauses_and_depth() -> None:
    good = "|".join(["a:eq:1"] * WHERE_CLAUSES_MAX)
    deep = "(" * WHERE_DEPTH_MAX + "a:eq:1" + ")" * WHERE_DEPTH_MAX

    assert parse_where(good)
    assert parse_where(deep)
    with pytest.raises(BadWhere, match="at most 256 clauses"):
        parse_where(f"{good}|a:eq:1")
    with pytest.raises(BadWhere, match="position 32: expected at most 32 parentheses"):
        parse_where(f"({deep})")
    with pytest.raises(BadWhere, match="expected at most 8192"):
        parse_where("a:eq:" + "x" * WHERE_CHARS_MAX)


def test_the_longest_and_deepest_filter_compiles() -> None:
    text = "a:eq:1"
    for depth in range(WHERE_DEPTH_MAX):
        text = f"({text} {'&|'[depth % 2]} a:eq:1)"

    assert compile_where(parse_where(text), {"a": "int"})({"a": 1})
    assert compile_where(parse_where("|".join(["a:eq:1"] * WHERE_CLAUSES_MAX)), {"a": "int"})({"a": 1})


@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            ["stock", "price", ":", "eq", "cb", "&", "|", "(", ")", '"', "$", " ", "1", "\x00", ".", "\ud800"]
        ),
        max_size=20,
    ).map("".join)
)
@settings(max_examples=300, deadline=None)
def test_noise_never_ends_in_another_error(text: str) -> None:
    try:
        where = parse_where(text)
        compile_where(where, KINDS)(MESSAGE)
    except BadRequest:
        return
    assert parse_where(str(where)) == where

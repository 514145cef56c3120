"""REST requests as values: every parameter, every wrong one."""

import pytest

from gateway.errors import BadRequest
from gateway.net.rest.query import LIMIT_MAX, Command, Order, parse_query


def test_parameters_are_without_case_and_have_short_names() -> None:
    long = parse_query(
        "CMD=GetMsgs&msgType=StockDirectory&LIMIT=5&View=stock&WHERE=stock:eq:A&Order=stock:DESC"
    )
    short = parse_query("c=getmsgs&mt=StockDirectory&l=5&v=stock&w=stock:eq:A&o=stock:DESC")

    assert long == short
    assert long.command is Command.GET_MSGS
    assert long.msg_types == ("StockDirectory",)
    assert long.limit == 5


def test_what_is_left_out_has_its_default() -> None:
    query = parse_query("cmd=getmsgs")

    assert query.limit == LIMIT_MAX
    assert query.key is None
    assert (query.msg_types, query.order, query.group, query.measure) == ((), (), (), ())
    assert (query.parsed_where, query.parsed_view) == (None, None)


def test_an_empty_key_is_a_key() -> None:
    assert parse_query("cmd=getmsg&pkey=").key == ""


def test_signs_that_an_address_needs_escaped_arrive_as_written() -> None:
    query = parse_query("cmd=getcount&where=(a:eq:1%20%26%20b:ne:2)%7Cc:sw:%22x+y%22")

    assert query.where == '(a:eq:1 & b:ne:2)|c:sw:"x y"'


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("f:DESC|g:ASC:ABS", (Order("f", True), Order("g", False, True))),
        ("F", (Order("f"),)),
        ("f:desc:abs,g", (Order("f", True, True), Order("g"))),
        (" f : DESC ", (Order("f", True),)),
    ],
)
def test_order_names_fields_with_direction_and_abs(text: str, order: tuple[Order, ...]) -> None:
    assert parse_query(f"cmd=getmsgs&order={text}").order == order


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cmd: ''"),
        ("cmd=drop", "cmd: 'drop', expected one of getmsgtypes, getschema"),
        ("cmd=getmsgs&limit=0", "limit: '0', expected a whole number from 1 to 10000"),
        ("cmd=getmsgs&limit=10001", "limit"),
        ("cmd=getmsgs&limit=-1", "limit"),
        ("cmd=getmsgs&limit=1e3", "limit"),
        ("cmd=getmsgs&limit=" + "9" * 400, "limit"),
        ("cmd=getmsgs&limit=%D9%A1", "limit"),
        ("cmd=getmsgs&order=f:UP", "order: 'f:up', expected field"),
        ("cmd=getmsgs&order=f:ASC:DESC", "order"),
        ("cmd=getmsgs&order=:DESC", "order"),
        ("cmd=getmsgs&order=f||g", "order"),
        ("cmd=getmsgs&order=" + "|".join("abcdefghi"), "order"),
        ("cmd=getmsgs&where=a:xx:1", "where, position"),
        ("cmd=getmsgs&view=a||b", "view, position"),
        ("cmd=getmsgs&limit=1&LIMIT=2", "limit: given twice"),
        ("cmd=getaggregate&group=a|b|c|d|e", "group: 'a|b|c|d|e', expected at most 4"),
        ("cmd=%FF", "UTF-8"),
        ("&".join(f"a{at}=1" for at in range(33)), "at most 32"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as raised:
        parse_query(text)

    assert told.casefold() in str(raised.value).casefold()

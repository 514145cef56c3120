"""The `view`: separators, case, errors."""

import pytest

from gateway.mlink.view import VIEW_NAMES_MAX, BadView, parse_view

FIELDS = ("stockLocate", "stock", "price", "bidPrice")


@pytest.mark.parametrize("text", ["stock|price", "stock,price", " price , STOCK ", "Price|stock|PRICE"])
def test_pipes_and_commas_any_order_any_case_give_an_equal_view(text: str) -> None:
    view = parse_view(text)

    assert view == parse_view("stock|price")
    assert hash(view) == hash(parse_view("stock|price"))
    assert view.of(FIELDS) == {"stock", "price"}


def test_names_come_back_as_the_message_spells_them() -> None:
    assert parse_view("BIDPRICE|stocklocate").of(FIELDS) == {"bidPrice", "stockLocate"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "position 0: expected a field name"),
        ("stock|", "position 6: expected a field name"),
        ("|stock", "position 0: expected a field name"),
        ("stock,,price", "position 6: expected a field name"),
        ("stock|  |price", "position 8: expected a field name"),
        ("a|" * VIEW_NAMES_MAX + "a", "position 512: expected at most 256 names"),
        ("a" * 8193, "8193 characters, expected at most 8192"),
    ],
)
def test_a_wrong_view_says_position_and_expectation(text: str, says: str) -> None:
    with pytest.raises(BadView, match=says):
        parse_view(text)


def test_an_unknown_name_is_told_with_the_names_there_are() -> None:
    with pytest.raises(
        BadView, match="position 7: no field 'volume', expected one of stockLocate, stock, price, bidPri"
    ):
        parse_view("stock, Volume").of(FIELDS)


def test_a_long_list_of_names_is_cut() -> None:
    with pytest.raises(BadView, match=r", …$"):
        parse_view("x").of([f"f{n}" for n in range(100)])

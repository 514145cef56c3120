"""The shipped files say what the specifications' facts say: every message, offset, length and type."""

from typing import Any

import pytest

from gateway.definitions import SHIPPED, Field, MessageDefinition, load_definitions
from gateway.definitions.model import (
    AppendageType,
    CharType,
    DigitsType,
    IntegerType,
    TextType,
    fixed_size,
)
from tests.golden.reference_decoder import ITCH_NAMES, camel_case, load_facts, tag_name

RECORD_KEYS = {
    "StockDirectory": ("stock",),
    "StockTradingAction": ("stock",),
    "RegSHORestriction": ("stock",),
    "MarketParticipantPosition": ("stock", "mpid"),
    "MWCBDeclineLevel": (),
    "MWCBStatus": (),
    "IPOQuotingPeriodUpdate": ("stock",),
    "LULDAuctionCollar": ("stock",),
    "OperationalHalt": ("stock", "marketCode"),
}
DECIMALS = {"price4": 4, "price8": 8, "price4_8": 4, "signed price4": 4}
DIRECTIONS = {"inbound": "incoming", "outbound": "outgoing", None: "outgoing"}


def messages_of(name: str) -> dict[tuple[str, str], MessageDefinition]:
    return {(each.direction, chr(each.id_byte)): each for each in load_definitions(name).messages}


def same_type(field: Field, type_: str, length: int) -> bool:
    """Whether the field's type reads what the facts call `type_`."""
    match field.type:
        case CharType():
            return type_ == "alpha" and length == 1
        case TextType():
            return type_ == "alpha" and field.type.length == length
        case DigitsType():
            return type_ == "ascii numeric" and field.type.length == length
        case IntegerType(width=width, signed=signed, big_endian=big, decimals=decimals):
            numeric = type_ in DECIMALS or type_.startswith("uint") or type_ == "timestamp"
            return (
                numeric
                and width == length
                and (big or width == 1)
                and signed == type_.startswith("signed")
                and decimals == DECIMALS.get(type_, 0)
            )
        case _:
            return False


def check_message(message: MessageDefinition, facts: dict[str, Any]) -> None:
    expected = [each for each in facts["fields"][1:] if each["name"] != "appendage_length"]
    fields = [each for each in message.fields if not isinstance(each.type, AppendageType)]
    at = 1

    for field, fact in zip(fields, expected, strict=True):
        assert field.name == camel_case(fact["name"])
        assert (at, fixed_size(field.type)) == (fact["offset"], fact["length"])
        assert same_type(field, fact["type"], fact["length"]), f"{message.name}.{field.name}"
        assert field.unit == ("ns-since-midnight" if fact["type"] == "timestamp" else field.unit)
        if not field.is_optional:
            assert message.offsets[field.name] == at
        at += fact["length"]


def check_values(field: Field, values: dict[str, str] | None) -> None:
    assert (field.enum is None) == (values is None)
    if field.enum is not None and values is not None:
        assert {each.value for each in field.enum.values} == set(values)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_message_of_the_facts_is_there_and_no_other(name: str) -> None:
    facts = load_facts(name)
    listed = facts.get("messages")
    expected = {(DIRECTIONS[each.get("direction")], each["type"]) for each in facts.get("additional", listed)}
    if name == "glimpse50":
        expected |= {("outgoing", type_) for type_ in "SRHYLAF"}

    assert set(messages_of(name)) == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_every_field_stands_where_the_facts_say(name: str) -> None:
    facts = load_facts(name)
    messages = messages_of(name)

    for fact in facts.get("additional", facts["messages"]):
        check_message(messages[DIRECTIONS[fact.get("direction")], fact["type"]], fact)


@pytest.mark.parametrize("name", ["itch50", "glimpse50"])
def test_itch_messages_have_their_length_name_and_codes(name: str) -> None:
    facts = {each["type"]: each for each in load_facts("itch50")["messages"]}

    for (_, type_), message in messages_of(name).items():
        if type_ == "G":
            continue
        assert message.length == facts[type_]["length"]
        assert message.name == ITCH_NAMES[type_]
        check_message(message, facts[type_])
        for fact in facts[type_]["fields"][4:]:
            values = fact.get("values")
            if type_ == "Q" and fact["name"] == "cross_type":
                values = {
                    code: text for code, text in values.items() if code != "A"
                }  # it exists only in NOII
            check_values(message.field_named(camel_case(fact["name"])), values)


def test_itch_records_are_replaced_by_key_and_all_else_is_an_event() -> None:
    messages = load_definitions("itch50").messages

    assert {each.name: each.key for each in messages if each.kind == "record"} == RECORD_KEYS
    assert {each.name for each in messages if each.kind == "event" and each.key} == set()


@pytest.mark.parametrize("name", ["itch50", "glimpse50"])
def test_the_stock_directory_maps_locate_codes_to_tickers(name: str) -> None:
    definitions = load_definitions(name)

    assert definitions.ticker_name == "stock"
    assert [each.name for each in definitions.messages if each.is_directory] == ["StockDirectory"]
    for message in definitions.messages:
        if message.name != "EndOfSnapshot":
            assert message.locate_field is not None
            assert message.offsets[message.locate_field.name] == 1
        named = [each for each in message.fields if each.name == "stock"]
        assert named == ([message.ticker_field] if message.ticker_field else [])


def test_ouch42_lengths_are_fixed_but_for_the_tail_added_in_2025() -> None:
    for fact in load_facts("ouch42")["messages"]:
        message = messages_of("ouch42")[DIRECTIONS[fact["direction"]], fact["type"]]
        has_tail = message.name == "AIQCanceled"

        assert str(message.lengths) == ("37, 38" if has_tail else str(fact["length"]))


def test_ouch50_lengths_say_whether_the_appendage_may_be_absent() -> None:
    for fact in load_facts("ouch50")["messages"]:
        message = messages_of("ouch50")[DIRECTIONS[fact["direction"]], fact["type"]]
        counted = any(each["name"] == "appendage_length" for each in fact["fields"])
        without = fact["length"] - 2 * counted
        appendage = fact.get("appendage", "")
        if appendage == "required":
            expected = f"{without + 2}+"
        elif appendage.startswith("optional"):
            expected = f"{without}, {without + 2}+"
        else:
            expected = str(fact["length"])

        assert str(message.lengths) == expected


def test_ouch50_appendages_have_the_26_tags_of_the_facts() -> None:
    facts = {each["tag"]: each for each in load_facts("ouch50")["appendage"]["tags"]}
    types = [
        each.type
        for message in load_definitions("ouch50").messages
        for each in message.fields
        if isinstance(each.type, AppendageType)
    ]

    assert len(facts) == 26
    for type_ in types:
        assert set(type_.tags) == set(facts)
        for number, tag in type_.tags.items():
            assert tag.name == tag_name(facts[number]["name"])
            assert fixed_size(tag.type) == facts[number]["size"]
            assert same_type(tag, facts[number]["type"], facts[number]["size"])


@pytest.mark.parametrize(("name", "ticker"), [("ouch42", "stock"), ("ouch50", "symbol")])
def test_ouch_orders_tell_their_ticker(name: str, ticker: str) -> None:
    for message in load_definitions(name).messages:
        has_one = any(each.name == ticker for each in message.fields)

        assert (message.ticker_field is not None) == has_one

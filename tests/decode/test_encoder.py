"""What can be written is written exactly; what can't is an EncodeError that names the field."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.decode import Codecs, EncodeError, MessageCodec
from gateway.definitions import load_definitions, read_definitions
from gateway.errors import LocalProtocolError

XML = b"""<root>
  <records-root><record id="Level"><fields>
    <field name="bid" type="uint_3_be"/><field name="ask" type="int_3" default="-2"/>
  </fields></record></records-root>
  <appendages-root><appendage id="Extras">
    <tag number="2" name="firm" type="str_ascii_n" length="4"/>
  </appendage></appendages-root>
  <messages-root><message id="M" message-id="M" direction="outgoing"><fields>
    <field name="price" type="uint_4_be" decimals="4" default="1.5"/>
    <field name="code" type="char_ascii" default="x"/>
    <field name="name" type="str_ascii_n" length="3"/>
    <field name="number" type="uint_ascii_n" length="3"/>
    <field name="flag" type="boolean"/>
    <field name="top" ref="Level"/>
    <field name="text" type="str_ascii"/>
    <field name="levels" ref="Level" array="true" length_type="byte"/>
    <field name="first" type="byte" optional="true" default="9"/>
    <field name="second" type="byte" optional="true"/>
    <field name="extras" type="appendage:Extras" optional="true"/>
  </fields></message></messages-root>
</root>"""
NOTHING_GIVEN = (
    b"M" + bytes.fromhex("00003a98") + b"x" + b"   " + b"  0" + b"\0" + b"\0\0\0\xfe\xff\xff" + b"\0\0\0"
)


@pytest.fixture(scope="module")
def codec() -> MessageCodec:
    return Codecs(read_definitions(XML, "mine.xml")).by_name["m"]


def test_what_is_not_given_is_the_default_or_nothing(codec: MessageCodec) -> None:
    assert codec.encode({}) == NOTHING_GIVEN
    assert codec.decode(NOTHING_GIVEN, 0, len(NOTHING_GIVEN)) == {
        "price": Decimal("1.5"),
        "code": "x",
        "name": "",
        "number": 0,
        "flag": False,
        "top": {"bid": 0, "ask": -2},
        "text": "",
        "levels": [],
    }


def test_an_optional_field_brings_those_in_front_of_it_along(codec: MessageCodec) -> None:
    assert codec.encode({"first": 1}) == NOTHING_GIVEN + b"\x01"
    assert codec.encode({"second": 2}) == NOTHING_GIVEN + b"\x09\x02"
    assert codec.encode({"extras": {}}) == NOTHING_GIVEN + b"\x09\x00" + b"\x00\x00"
    assert codec.encode({"extras": {"firm": "AB", "tag7": "0aff"}}) == (
        NOTHING_GIVEN + b"\x09\x00" + b"\x00\x0a" + b"\x05\x02AB  " + b"\x03\x07\x0a\xff"
    )


def test_records_are_written_inline_and_in_lists(codec: MessageCodec) -> None:
    payload = codec.encode({"top": {"bid": 0x010203}, "levels": [{"bid": 1, "ask": 1}, {}]})

    assert payload[13:19] == bytes.fromhex("010203 feffff")
    assert payload[21:] == bytes.fromhex("02 000001 010000 000000 feffff")


@pytest.mark.parametrize("price", [Decimal("2.5"), 2.5, "2.5", "2.5000", Decimal("25e-1")])
def test_a_price_may_be_given_in_any_exact_form(codec: MessageCodec, price: Any) -> None:
    assert codec.encode({"price": price})[1:5] == bytes.fromhex("000061a8")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prize": 1}, "no field prize"),
        ({"price": "1.00001"}, "price='1.00001': expected a number with at most 4 decimals"),
        ({"price": "much"}, "price='much': expected a number"),
        ({"price": Decimal("nan")}, "price=.*expected a number"),
        ({"price": Decimal("inf")}, "price=.*expected a number"),
        ({"price": -1}, "price=-1: .*"),
        ({"price": 429497}, "price=429497: .*"),
        ({"code": ""}, "code=''"),
        ({"code": "ab"}, "code='ab'"),
        ({"code": "€"}, "code='€': expected characters of one byte"),
        ({"name": "abcd"}, "name='abcd': expected at most 3 characters"),
        ({"name": 5}, "name=5"),
        ({"number": 1000}, "number=1000: expected a number of at most 3 digits"),
        ({"number": -1}, "number=-1: expected a number"),
        ({"top": {"bid": 1 << 24}}, "top="),
        ({"top": {"ask": 1 << 23}}, "top="),
        ({"top": {"bid": "1"}}, "top="),
        ({"levels": [{"bid": -1}]}, "levels="),
        ({"levels": [{}] * 256}, "levels="),
        ({"levels": 3}, "levels=3"),
        ({"text": "a" * 32_768}, "text="),
        ({"extras": {"firms": 1}}, "extras=.*no tag 'firms'"),
        ({"extras": {"tag256": ""}}, "extras=.*no tag 'tag256'"),
        ({"extras": {"tag7": "0g"}}, "extras="),
        ({"extras": {"tag7": "00" * 255}}, "extras="),
        (
            {"text": "a" * 20_000, "extras": {f"tag{number}": "00" * 254 for number in range(200)}},
            "71226 bytes, expected at most 65534",
        ),
        ({"extras": {f"tag{number}": "00" * 254 for number in range(256)}}, "extras="),
    ],
)
def test_what_does_not_fit_is_an_encode_error_that_names_the_field(
    codec: MessageCodec, values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(EncodeError, match=f"^M: {expected}"):
        codec.encode(values)
    assert issubclass(EncodeError, LocalProtocolError)


def test_every_shipped_message_can_be_written_from_nothing() -> None:
    for name in ("itch50", "glimpse50", "ouch42", "ouch50"):
        for direction in ("outgoing", "incoming"):
            codecs = Codecs(load_definitions(name), direction=direction)
            for codec in codecs.by_name.values():
                payload = codec.encode({})
                assert payload[0] == codec.id_byte
                assert codec.encode(codec.decode(payload, 0, len(payload))) == payload

"""A right file loads as it is meant."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.definitions import DefinitionError, Lengths, load_definitions, read_definitions
from gateway.definitions.model import (
    AppendageType,
    ArrayType,
    BooleanType,
    CharType,
    CountedTextType,
    DigitsType,
    IntegerType,
    RecordType,
    TextType,
)

WHOLE = b"""<root>
  <enums-root>
    <enum id="Side" type="char_ascii">
      <value name="Buy" description="buys">B</value>
      <value name="Blank"> </value>
    </enum>
    <enum id="Venue" type="str_ascii_n"><value name="Nasdaq">XNAS</value></enum>
  </enums-root>
  <fielddef-root>
    <field name="price" type="uint_4_be" decimals="4" default="1.5"/>
    <field name="stock" type="str_ascii_n" length="8" ticker="true"/>
  </fielddef-root>
  <appendages-root>
    <appendage id="Extras"><tag number="2" name="firm" type="str_ascii_n" length="4"/></appendage>
  </appendages-root>
  <records-root>
    <record id="Level">
      <fields><field name="bid" def="price"/><field name="ask" def="price"/></fields>
    </record>
    <record id="Book"><fields>
      <field name="top" ref="Level"/>
      <field name="levels" type="record:Level" array="true"/>
    </fields></record>
  </records-root>
  <messages-root>
    <message id="Listing" message-id="R" direction="outgoing" directory="true" kind="record" key="stock">
      <fields>
        <field name="code" type="uint_2_be" locate="true"/>
        <field def="stock" description="the ticker"/>
      </fields>
    </message>
    <message id="Everything" message-id="9" message-group="g" direction="outgoing" length="26+">
      <fields>
        <field name="code" type="uint_2_be" locate="true"/>
        <field name="side" type="enum:Side" default="B"/>
        <field name="venue" type="enum:Venue" length="4"/>
        <field name="time" type="uint_6_be" unit="ns-since-midnight"/>
        <field name="signed" type="int_3"/>
        <field name="flag" type="boolean" default="true"/>
        <field name="count" type="byte"/>
        <field name="number" type="uint_ascii_n" length="3"/>
        <field name="text" type="str_iso-8859-1"/>
        <field name="lists" type="int_2" array="double" endian="big"/>
        <field name="extras" type="appendage:Extras" optional="true"/>
      </fields>
    </message>
    <message id="Empty" message-id="A" direction="incoming"/>
  </messages-root>
</root>"""


def test_every_part_of_a_file_arrives_in_the_model() -> None:
    definitions = read_definitions(WHOLE, "whole.xml")
    listing, everything, empty = definitions.messages

    assert (listing.id_byte, listing.kind, listing.key, listing.is_directory) == (
        82,
        "record",
        ("stock",),
        True,
    )
    assert listing.offsets == {"code": 1, "stock": 3}
    assert listing.field_named("stock").description == "the ticker"
    assert definitions.ticker_name == "stock"
    assert (everything.id_byte, everything.group, everything.kind) == (9, "g", "event")
    types = {each.name: each.type for each in everything.fields}
    assert types == {
        "code": IntegerType(2),
        "side": CharType("ascii"),
        "venue": TextType(4, "ascii"),
        "time": IntegerType(6),
        "signed": IntegerType(3, signed=True, big_endian=False),
        "flag": BooleanType(),
        "count": IntegerType(1),
        "number": DigitsType(3),
        "text": CountedTextType("iso-8859-1"),
        "lists": ArrayType(ArrayType(IntegerType(2, True, False), IntegerType(2)), IntegerType(2)),
        "extras": types["extras"],
    }
    assert isinstance(types["extras"], AppendageType)
    assert everything.offsets["text"] == 22
    assert "lists" not in everything.offsets
    assert everything.lengths == Lengths((), 26)
    assert everything.field_named("flag").default is True
    assert everything.field_named("time").unit == "ns-since-midnight"
    side = everything.field_named("side").enum
    assert side is not None
    assert [(each.value, each.name, each.description) for each in side.values] == [
        ("B", "Buy", "buys"),
        (" ", "Blank", ""),
    ]
    assert (empty.direction, empty.fields, empty.length) == ("incoming", (), 1)


def test_a_reusable_field_is_copied_whole_and_only_its_name_differs() -> None:
    text = WHOLE.replace(
        b'<field name="levels" type="record:Level" array="true"/>',
        b'<field name="next" type="record:Level"/>',
    ).replace(b'<field name="count" type="byte"/>', b'<field name="book" ref="Book"/>')
    definitions = read_definitions(text.replace(b' length="26+"', b""), "whole.xml")

    book = definitions.messages[1].field_named("book").type

    assert isinstance(book, RecordType)
    top = book.fields[0].type
    assert isinstance(top, RecordType)
    assert [(each.name, each.default) for each in top.fields] == [
        ("bid", Decimal("1.5")),
        ("ask", Decimal("1.5")),
    ]


MESSAGE = '<message id="{}" message-id="{}" direction="{}"/>'


def test_client_and_server_may_use_the_same_id_and_name() -> None:
    text = (
        f"<root><messages-root>{MESSAGE.format('A', '9', 'outgoing')}{MESSAGE.format('A', '9', 'incoming')}"
    )

    definitions = read_definitions(f"{text}</messages-root></root>".encode(), "mine.xml")

    assert [each.id_byte for each in definitions.messages] == [9, 9]


def test_a_file_that_is_not_there_is_told_with_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"itch51.xml: can't be read .* itch50, glimpse50, ouch42, ouch50"
    ):
        load_definitions(tmp_path / "itch51.xml")


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "whole.xml"
    path.write_bytes(WHOLE)

    assert load_definitions(str(path)).file == str(path)
    assert load_definitions(path).messages == read_definitions(WHOLE, "whole.xml").messages

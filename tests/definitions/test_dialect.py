"""The dialect is that of nasdaq-protocols: its files load here, ours without our attributes load there,
and both put the same bytes on the wire."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nasdaq_protocols.common.message import Generator, Parser

from gateway.decode import Codecs
from gateway.definitions import read_definitions
from gateway.definitions.model import ArrayType, IntegerType

# From Python 3.12 on its parser asks an element for its truth.
pytestmark = pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")

# Everything of their dialect that their own generated code can run, and nothing of ours.
DIALECT = """<?xml version="1.0" encoding="UTF-8"?>
<root>
  <enums-root>
    <enum id="Side" type="char_iso-8859-1">
      <value name="Buy" description="buys">B</value>
      <value name="Sell" description="sells">S</value>
    </enum>
    <enum id="State" type="uint_2_be">
      <value name="Open" description="open">1</value>
      <value name="Closed" description="closed">2</value>
    </enum>
  </enums-root>
  <fielddef-root>
    <field name="instrument" type="uint_8"/>
    <field name="price" type="int_8_be"/>
    <field name="info" type="str_iso-8859-1_n" length="12"/>
  </fielddef-root>
  <records-root>
    <record id="Level">
      <fields>
        <field name="bid" def="price"/>
        <field name="ask" def="price"/>
        <field name="size" type="uint_4"/>
      </fields>
    </record>
  </records-root>
  <messages-root>
    <message id="Depth" message-id="D" message-group="1" direction="outgoing">
      <fields>
        <field def="instrument"/>
        <field name="state" type="enum:State"/>
        <field name="levels" type="record:Level" array="true" length_type="uint_2_be"/>
      </fields>
    </message>
    <message id="Plain" message-id="9" direction="outgoing">
      <fields>
        <field name="flag" type="boolean"/>
        <field name="small" type="byte"/>
        <field name="short" type="int_2"/>
        <field name="shortBe" type="int_2_be"/>
        <field name="ushort" type="uint_2"/>
        <field name="number" type="int_4"/>
        <field name="numberBe" type="int_4_be"/>
        <field name="unumber" type="uint_4" default="7"/>
        <field name="long" type="int_8"/>
        <field name="ulongBe" type="uint_8_be"/>
        <field name="letter" type="char_ascii"/>
        <field name="side" type="enum:Side"/>
        <field name="name" type="str_ascii_n" length="8"/>
        <field def="info"/>
        <field name="text" type="str_ascii"/>
        <field name="wide" type="str_iso-8859-1"/>
        <field name="best" ref="Level"/>
      </fields>
    </message>
    <message id="Ping" message-id="80" direction="outgoing"/>
  </messages-root>
</root>
"""

ASCII = st.characters(min_codepoint=33, max_codepoint=126)
LATIN = st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x85\xa0")


def integers(width: int, signed: bool) -> st.SearchStrategy[int]:
    most = 1 << (8 * width - signed)
    return st.integers(-most if signed else 0, most - 1)


LEVELS = st.fixed_dictionaries(
    {"bid": integers(8, True), "ask": integers(8, True), "size": integers(4, False)}
)
DEPTHS = st.fixed_dictionaries(
    {"instrument": integers(8, False), "state": integers(2, False), "levels": st.lists(LEVELS, max_size=4)}
)
PLAINS = st.fixed_dictionaries(
    {
        "flag": st.booleans(),
        "small": integers(1, False),
        "short": integers(2, True),
        "shortBe": integers(2, True),
        "ushort": integers(2, False),
        "number": integers(4, True),
        "numberBe": integers(4, True),
        "unumber": integers(4, False),
        "long": integers(8, True),
        "ulongBe": integers(8, False),
        "letter": ASCII,
        "side": LATIN,
        "name": st.text(ASCII, max_size=8),
        "info": st.text(LATIN, max_size=12),
        "text": st.text(ASCII, max_size=30),
        "wide": st.text(LATIN, max_size=30),
        "best": LEVELS,
    }
)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module that their generator makes of the file."""
    folder = tmp_path_factory.mktemp("generated")
    xml = folder / "dialect.xml"
    xml.write_text(DIALECT, "utf-8")
    generator = Generator(Parser.parse(str(xml)), "itch", "dialect", str(folder), "message_soup_app")
    (generated,) = generator.generate(extra_context={"record_type": "Record"})
    spec = importlib.util.spec_from_file_location("generated_dialect", generated)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ours() -> Codecs:
    return Codecs(read_definitions(DIALECT.encode(), "dialect.xml"))


def message_of(module: ModuleType, name: str, values: dict[str, Any]) -> Any:
    def level(each: dict[str, int]) -> Any:
        return module.Level(dict(each))

    message = getattr(module, name)()
    for field, value in values.items():
        if isinstance(value, dict):
            value = level(value)
        elif isinstance(value, list):
            value = [level(each) for each in value]
        setattr(message, field, value)
    return message


@pytest.mark.parametrize(("name", "strategy"), [("Depth", DEPTHS), ("Plain", PLAINS)])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_write_the_same_bytes_and_read_each_others(
    theirs: ModuleType,
    ours: Codecs,
    name: str,
    strategy: st.SearchStrategy[dict[str, Any]],
    data: st.DataObject,
) -> None:
    values = data.draw(strategy)
    codec = ours.by_name[name.casefold()]

    payload = message_of(theirs, name, values).to_bytes()[1]
    read_by_them = theirs.Message.from_bytes(codec.encode(values))[1].record.as_collection()

    assert codec.encode(values) == payload
    assert codec.decode(payload, 0, len(payload)) == values
    assert read_by_them == values


def test_a_message_without_fields_is_its_id_byte(theirs: ModuleType, ours: Codecs) -> None:
    # Theirs reads such a message but fails to write one.
    assert isinstance(theirs.Message.from_bytes(b"P")[1], theirs.Ping)
    assert ours.by_name["ping"].encode({}) == b"P"
    assert ours.by_name["ping"].decode(b"P", 0, 1) == {}
    assert ours.by_name["ping"].write(b"P", 0, 1) == ""


def test_both_take_the_default_of_a_field_that_is_not_given(theirs: ModuleType, ours: Codecs) -> None:
    assert theirs.Depth().to_bytes()[1] == ours.by_name["depth"].encode({})
    assert (
        ours.by_name["plain"].decode(encoded := ours.by_name["plain"].encode({}), 0, len(encoded))["unumber"]
        == 7
    )


def test_their_parser_reads_what_ours_reads(tmp_path: Path) -> None:
    xml = tmp_path / "dialect.xml"
    xml.write_text(DIALECT, "utf-8")
    read_there = Parser.parse(str(xml))
    read_here = read_definitions(DIALECT.encode(), "dialect.xml")

    assert [(each.name, int(each.id), each.direction, each.group) for each in read_there.messages] == [
        (each.name, each.id_byte, each.direction, each.group) for each in read_here.messages
    ]
    assert [[field.name for field in each.fields] for each in read_there.messages] == [
        [field.name for field in each.fields] for each in read_here.messages
    ]


def test_lists_without_a_type_of_count_have_the_two_bytes_their_documents_say() -> None:
    text = """<root><messages-root><message id="M" message-id="1" direction="incoming"><fields>
      <field name="little" array="single" length="5" type="uint_2"/>
      <field name="big" type="uint_2_be" array="true" endian="big"/>
      <field name="texts" type="str_ascii_n" length="3" array="true"/>
    </fields></message></messages-root></root>"""
    definitions = read_definitions(text.encode(), "lists.xml")
    codec = Codecs(definitions, direction="incoming").by_name["m"]
    counts = [each.type.count for each in definitions.messages[0].fields if isinstance(each.type, ArrayType)]
    payload = b"\x01\x01\x00\x02\x00\x00\x02\x00\x03\x00\x04\x01\x00ab "

    assert counts == [IntegerType(2, big_endian=False), IntegerType(2), IntegerType(2, big_endian=False)]
    assert codec.decode(payload, 0, len(payload)) == {"little": [2], "big": [3, 4], "texts": ["ab"]}
    assert codec.encode({"little": [2], "big": [3, 4], "texts": ["ab"]}) == payload

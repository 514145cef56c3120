"""A wrong file says file, line, element and what was expected, and nothing of it is loaded."""

import pytest

from gateway.definitions import DefinitionError, read_definitions
from gateway.errors import ConfigError


def in_message(fields: str, attributes: str = "", before: str = "") -> bytes:
    """A file with one message, whose fields begin in line 4."""
    return (
        f"<root>{before}<messages-root>\n"
        f'<message id="M" message-id="M" direction="outgoing" {attributes}>\n'
        f"<fields>\n{fields}\n</fields></message></messages-root></root>"
    ).encode()


LEVEL = '<records-root><record id="L"><fields><field name="x" type="byte"/></fields></record></records-root>'
REUSABLE = '<fielddef-root><field name="d" type="byte"/></fielddef-root>'
EXTRAS = (
    '<appendages-root><appendage id="E"><tag number="1" name="t" type="byte"/></appendage></appendages-root>'
)
STOCK = '<field name="stock" type="str_ascii_n" length="8" ticker="true"/>'
CODE = '<field name="code" type="uint_2_be" locate="true"/>'

WRONG_FIELDS = {
    "no name": ('<field type="byte"/>', "<field>", 'expected name="…"'),
    "a name that is no name": ('<field name="a b" type="byte"/>', "a b", "expected a letter"),
    "neither type nor ref": ('<field name="a"/>', '<field name="a">', "exactly one of type"),
    "both type and ref": ('<field name="a" type="byte" ref="L"/>', "a", "exactly one of type"),
    "an unknown type": ('<field name="a" type="uint_9"/>', "a", "unknown type 'uint_9'; expected boolean"),
    "a type with a suffix too many": (
        '<field name="a" type="char_ascii_n" length="1"/>',
        "a",
        "unknown type",
    ),
    "an unknown enum": ('<field name="a" type="enum:X"/>', "a", "not defined before this line"),
    "an unknown record": ('<field name="a" ref="X"/>', "a", "not defined before this line"),
    "an unknown appendage": ('<field name="a" type="appendage:X"/>', "a", "not defined before this line"),
    "more than a name beside a reusable field": (
        '<field name="a" def="d" type="byte"/>',
        "a",
        "type= beside def=; expected only name",
    ),
    "an unknown reusable field": ('<field name="a" def="X"/>', "a", "names no <field>"),
    "a misspelt attribute": ('<field name="a" type="byte" tiker="true"/>', "a", "unknown attribute 'tiker'"),
    "a text without length": ('<field name="a" type="str_ascii_n"/>', "a", 'expected length="…"'),
    "a length of zero": ('<field name="a" type="str_ascii_n" length="0"/>', "a", "whole number from 1"),
    "a length that is no number": ('<field name="a" type="str_ascii_n" length="²"/>', "a", "whole number"),
    "a length where none belongs": ('<field name="a" type="uint_4" length="4"/>', "a", "length= on uint_4"),
    "decimals of a text": (
        '<field name="a" type="char_ascii" decimals="2"/>',
        "a",
        "expected an integer type",
    ),
    "decimals of a record": ('<field name="a" ref="L" decimals="2"/>', "a", "expected an integer type"),
    "more decimals than digits": ('<field name="a" type="byte" decimals="4"/>', "a", "from 0 to 3"),
    "an unknown unit": ('<field name="a" type="uint_4" unit="fortnight"/>', "a", "expected one of ns-since"),
    "a unit of a text": ('<field name="a" type="char_ascii" unit="ns"/>', "a", "on an integer type"),
    "a truth that is none": ('<field name="a" type="byte" optional="yes"/>', "a", "expected true or false"),
    "an endian without list": ('<field name="a" type="byte" endian="big"/>', "a", "without array="),
    "an endian that is none": ('<field name="a" type="byte" array="1" endian="x"/>', "a", "big or little"),
    "a count that is no integer": (
        '<field name="a" type="byte" array="1" length_type="boolean"/>',
        "a",
        "integer",
    ),
    "a default too large": ('<field name="a" type="byte" default="256"/>', "a", "unsigned number of 1 bytes"),
    "a default with too many decimals": (
        '<field name="a" type="uint_4" decimals="2" default="0.001"/>',
        "a",
        "at most 2 decimals",
    ),
    "a default that is no number": ('<field name="a" type="int_2" default="x"/>', "a", "a signed number"),
    "a default that is infinite": ('<field name="a" type="int_2" default="inf"/>', "a", "a signed number"),
    "a default too long": ('<field name="a" type="str_ascii_n" length="2" default="abc"/>', "a", "at most 2"),
    "a default of two characters": ('<field name="a" type="char_ascii" default="ab"/>', "a", "one character"),
    "a default beyond the encoding": ('<field name="a" type="char_ascii" default="é"/>', "a", "of ascii"),
    "a default of a list": (
        '<field name="a" type="byte" array="1" default="1"/>',
        "a",
        "expected none on a list",
    ),
    "a default that is neither true nor false": (
        '<field name="a" type="boolean" default="maybe"/>',
        "a",
        "expected true or false",
    ),
    "something inside a field": (
        '<field name="a" type="byte"><field/></field>',
        "<field>",
        "expected nothing inside",
    ),
    "something that is no field": ("<feld/>", "<feld>", "expected a <field>"),
}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_field_is_named_with_its_line_and_what_was_expected(case: str) -> None:
    field, element, expected = WRONG_FIELDS[case]

    with pytest.raises(DefinitionError) as caught:
        read_definitions(in_message(field, before=REUSABLE + LEVEL + EXTRAS), "mine.xml")

    assert str(caught.value).startswith("mine.xml, line 4: <")
    assert element in caught.value.element
    assert expected in caught.value.problem
    assert isinstance(caught.value, ConfigError)


WRONG_MESSAGES = {
    "a field that differs by case only": (
        '<field name="x" type="byte"/><field name="X" type="byte"/>',
        "",
        "has 'x' and 'X'; expected names that differ by more than case",
    ),
    "two fields of one name": ('<field name="a" type="byte"/>' * 2, "", "two fields 'a'"),
    "a wrong expected length": ('<field name="a" type="uint_4"/>', 'length="4"', "add up to length '5'"),
    "a key that is no field": ('<field name="a" type="byte"/>', 'key="b"', "expected one of a"),
    "a key of an event": ('<field name="a" type="byte"/>', 'key="a" kind="event"', 'expected kind="record"'),
    "a key twice": ('<field name="a" type="byte"/>', 'key="a a"', "names a field twice"),
    "a key that moves": (
        '<field name="a" type="str_ascii"/><field name="b" type="byte"/>',
        'key="b"',
        "at a fixed place",
    ),
    "a key that is a list": ('<field name="a" type="byte" array="1"/>', 'key="a"', "expected a plain field"),
    "an unknown kind": ("", 'kind="thing"', "expected event or record"),
    "a required field behind an optional one": (
        '<field name="a" type="byte" optional="true"/><field name="b" type="byte"/>',
        "",
        "expected optional fields last",
    ),
    "something behind an appendage": (
        '<field name="a" type="appendage:E"/><field name="b" type="byte" optional="true"/>',
        "",
        "expected the appendage last",
    ),
    "a list of appendages": ('<field name="a" type="appendage:E" array="1"/>', "", "a list of appendages"),
    "two tickers": (STOCK + STOCK.replace("stock", "b"), "", "expected at most one"),
    "a ticker that is a number": (
        '<field name="a" type="uint_4" ticker="true"/>',
        "",
        "expected type str_ascii_n",
    ),
    "a ticker that moves": ('<field name="a" type="str_ascii"/>' + STOCK, "", "moves with the data"),
    "a ticker that may be missing": (STOCK.replace("/>", ' optional="true"/>'), "", "moves with the data"),
    "a locate code of four bytes": (CODE.replace("uint_2_be", "uint_4_be"), "", "expected type uint_2_be"),
    "a locate code the other way round": (CODE.replace("uint_2_be", "uint_2"), "", "expected type uint_2_be"),
    "a directory without code": (STOCK, 'directory="true"', 'expected a field with locate="true"'),
    "a misspelt attribute": ("", 'lenght="4"', "unknown attribute 'lenght'"),
    "more than a packet holds": (
        '<field name="a" type="str_ascii_n" length="65000"/>'
        '<field name="b" type="str_ascii_n" length="600"/>',
        "",
        "expected at most 65534",
    ),
}


@pytest.mark.parametrize("case", WRONG_MESSAGES)
def test_a_wrong_message_is_named_with_what_was_expected(case: str) -> None:
    fields, attributes, expected = WRONG_MESSAGES[case]

    with pytest.raises(DefinitionError) as caught:
        read_definitions(in_message(fields, attributes, EXTRAS), "mine.xml")

    assert expected in caught.value.problem
    assert caught.value.line in (2, 4)


MESSAGE = '<message id="{}" message-id="{}" direction="{}"/>'

WRONG_FILES = {
    "an unknown section": ("<root><message-root/></root>", 1, "expected enums-root, fielddef-root"),
    "a section twice": ("<root><messages-root/>\n<messages-root/></root>", 2, "stands here twice"),
    "reusable fields too late": ("<root><messages-root/>\n<fielddef-root/></root>", 2, "expected before"),
    "no message": ("<root>\n</root>", 1, "defines no message"),
    "no XML": ("root", 1, "not well-formed"),
    "an element that is not closed": ("<root>\n<messages-root>\n</root>", 3, "not well-formed"),
    "nothing": ("", 1, "not well-formed"),
    "text between elements": ("<root>\n<messages-root>A</messages-root></root>", 2, "got the text 'A'"),
    "an enum of an unknown type": (
        '<root><enums-root>\n<enum id="E" type="x"/></enums-root></root>',
        2,
        "unknown type",
    ),
    "an enum value that does not fit": (
        '<root><enums-root><enum id="E" type="char_ascii">\n<value name="a">AB</value></enum></enums-root>'
        "</root>",
        2,
        "exactly one character",
    ),
    "an enum value twice": (
        '<root><enums-root><enum id="E" type="byte"><value name="a">1</value>\n'
        '<value name="b">1</value></enum></enums-root></root>',
        2,
        "twice",
    ),
    "a record that stands too late": (
        '<root><records-root><record id="A"><fields>\n<field name="b" ref="B"/></fields></record>'
        '<record id="B"><fields><field name="c" type="byte"/></fields></record></records-root></root>',
        2,
        "not defined before this line",
    ),
    "an empty record": (
        '<root><records-root>\n<record id="A"><fields/></record></records-root></root>',
        2,
        "expected at least one <field>",
    ),
    "a ticker inside a record": (
        f'<root><records-root>\n<record id="A"><fields>{STOCK}</fields></record></records-root></root>',
        2,
        "belong in messages",
    ),
    "a tag above 255": (
        '<root><appendages-root><appendage id="A">\n<tag number="256" name="a" type="byte"/></appendage>'
        "</appendages-root></root>",
        2,
        "from 0 to 255",
    ),
    "a tag twice": (
        '<root><appendages-root><appendage id="A"><tag number="1" name="a" type="byte"/>\n'
        '<tag number="1" name="b" type="byte"/></appendage></appendages-root></root>',
        2,
        "twice",
    ),
    "a tag that differs by case only": (
        '<root><appendages-root><appendage id="A"><tag number="1" name="firm" type="byte"/>\n'
        '<tag number="2" name="Firm" type="byte"/></appendage></appendages-root></root>',
        2,
        "'firm' and 'Firm'; expected names that differ by more than case",
    ),
    "a field of a record that differs by case only": (
        '<root><records-root><record id="A"><fields><field name="bid" type="byte"/>\n'
        '<field name="BID" type="byte"/></fields></record></records-root></root>',
        2,
        "has 'bid' and 'BID'; expected names that differ by more than case",
    ),
    "a field that differs by case only from the ticker that is added": (
        f'<root><messages-root><message id="R" message-id="R" direction="outgoing" directory="true"><fields>'
        f"{CODE}{STOCK}</fields></message>\n"
        f'<message id="P" message-id="P" direction="outgoing"><fields>{CODE}'
        '<field name="Stock" type="byte"/></fields></message></messages-root></root>',
        2,
        "'Stock' beside the directory's 'stock'; expected names that differ by more than case",
    ),
    "a message that is called like a control message": (
        f"<root><messages-root>\n{MESSAGE.format('MLinkStream', 'A', 'outgoing')}</messages-root></root>",
        2,
        "expected a name that does not begin with MLink",
    ),
    "a message that is called like one, whatever the case": (
        f"<root><messages-root>\n{MESSAGE.format('mlinkDepth', 'A', 'outgoing')}</messages-root></root>",
        2,
        "expected a name that does not begin with MLink",
    ),
    "a tag that looks like an undefined one, but for case": (
        '<root><appendages-root><appendage id="A">\n<tag number="1" name="Tag2" type="byte"/></appendage>'
        "</appendages-root></root>",
        2,
        "without a definition",
    ),
    "a tag that looks like an undefined one": (
        '<root><appendages-root><appendage id="A">\n<tag number="1" name="tag2" type="byte"/></appendage>'
        "</appendages-root></root>",
        2,
        "without a definition",
    ),
    "a tag of changing size": (
        '<root><appendages-root><appendage id="A">\n<tag number="1" name="a" type="str_ascii"/></appendage>'
        "</appendages-root></root>",
        2,
        "plain type of 1 to 254 bytes",
    ),
    "a reusable field that nothing uses": (
        '<root><fielddef-root>\n<field name="a" type="x"/></fielddef-root></root>',
        2,
        "unknown type",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_file_is_named_with_the_line_and_what_was_expected(case: str) -> None:
    text, line, expected = WRONG_FILES[case]

    with pytest.raises(DefinitionError) as caught:
        read_definitions(text.encode(), "mine.xml")

    assert (caught.value.file, caught.value.line) == ("mine.xml", line)
    assert expected in caught.value.problem


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("A", "1", "outgoing"), ("B", "1", "outgoing"), "the same id and direction as message 'A'"),
        (("A", "A", "outgoing"), ("B", "65", "outgoing"), "the same id and direction as message 'A'"),
        (("Add", "1", "outgoing"), ("ADD", "2", "outgoing"), "the same name and direction as message 'Add'"),
        (("A", "1", "outgoing"), ("B", "256", "outgoing"), "expected a decimal number from 0 to 255"),
        (("A", "1", "outgoing"), ("B", "AB", "outgoing"), "or one character"),
        (("A", "1", "outgoing"), ("B", "€", "outgoing"), "of one byte"),
        (("A", "1", "outgoing"), ("B", "2", "sideways"), "expected outgoing or incoming"),
    ],
)
def test_ids_and_names_are_unique_for_who_sends_them(
    first: tuple[str, ...], second: tuple[str, ...], expected: str
) -> None:
    text = f"<root><messages-root>{MESSAGE.format(*first)}\n{MESSAGE.format(*second)}</messages-root></root>"

    with pytest.raises(DefinitionError, match=r"mine\.xml, line 2") as caught:
        read_definitions(text.encode(), "mine.xml")

    assert expected in caught.value.problem

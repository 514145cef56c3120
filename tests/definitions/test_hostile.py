"""Files made to harm: they end in a DefinitionError, soon, and reach nothing outside themselves."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.definitions import DefinitionError, load_definitions, read_definitions
from gateway.definitions.document import DEPTH_MAX, ELEMENTS_MAX, FILE_BYTES_MAX
from gateway.definitions.fields import DEPTH_MAX as NESTING_MAX
from gateway.definitions.fields import LEAVES_MAX

ITCH = Path(load_definitions("itch50").file).read_bytes()


def problem_of(data: bytes) -> str:
    with pytest.raises(DefinitionError) as caught:
        read_definitions(data, "mine.xml")
    return caught.value.problem


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE root [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE root [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE root SYSTEM "http://127.0.0.1:9/definitions.dtd">',
        '<!DOCTYPE root [<!ENTITY % more SYSTEM "file:///etc/passwd"> %more;]>',
        '<!DOCTYPE root [<!ATTLIST message direction CDATA "outgoing">]>',
        "<!DOCTYPE root>",
    ],
)
def test_document_types_and_entities_are_refused_before_they_act(prolog: str) -> None:
    assert "are refused" in problem_of(f"{prolog}<root>&secret;</root>".encode())


def test_an_undeclared_entity_is_not_well_formed() -> None:
    assert "not well-formed" in problem_of(b"<root>&secret;</root>")


def test_a_file_above_its_size_is_refused_unread() -> None:
    assert f"at most {FILE_BYTES_MAX}" in problem_of(b"<" * (FILE_BYTES_MAX + 1))


def test_elements_too_deep_or_too_many_are_refused() -> None:
    assert f"deeper than {DEPTH_MAX}" in problem_of(b"<a>" * 10_000)
    assert f"more than {ELEMENTS_MAX}" in problem_of(b"<a>" + b"<b/>" * (ELEMENTS_MAX + 1))


def nested_records(count: int, fields: str) -> bytes:
    """`count` records, each of which holds the one before it in all of `fields`."""
    records = '<record id="R0"><fields><field name="x" type="byte"/></fields></record>'
    for number in range(1, count):
        inner = fields.replace("?", f"R{number - 1}")
        records += f'<record id="R{number}"><fields>{inner}</fields></record>'
    message = (
        '<message id="M" message-id="M" direction="outgoing">'
        f'<fields><field name="all" ref="R{count - 1}"/></fields></message>'
    )
    sections = f"<records-root>{records}</records-root><messages-root>{message}</messages-root>"
    return f"<root>{sections}</root>".encode()


def test_a_few_records_cannot_stand_for_a_billion_fields() -> None:
    doubled = '<field name="a" ref="?"/><field name="b" ref="?"/>'
    many = "".join(f'<field name="f{number}" ref="?"/>' for number in range(32))

    assert f"expected at most {NESTING_MAX}" in problem_of(nested_records(40, doubled))
    assert f"expected at most {LEAVES_MAX}" in problem_of(nested_records(4, many))


def test_records_and_lists_nest_only_so_deep() -> None:
    assert f"expected at most {NESTING_MAX}" in problem_of(nested_records(5_000, '<field name="a" ref="?"/>'))
    assert "expected at most" in problem_of(nested_records(6, '<field name="a" ref="?" array="double"/>'))
    assert read_definitions(nested_records(NESTING_MAX, '<field name="a" ref="?"/>'), "mine.xml").messages


@pytest.mark.parametrize("name", ["x;import os", "a'b", "a\nb", "a}b", "a.b", "é", "1a", "__class__()"])
def test_names_that_could_become_code_or_break_json_are_refused(name: str) -> None:
    text = '<root><messages-root><message id="M" message-id="M" direction="outgoing"><fields><field name='
    quoted = name.replace("\n", "&#10;")

    assert "expected a letter" in problem_of(
        f'{text}"{quoted}" type="byte"/></fields></message>'.encode() + b"</messages-root></root>"
    )


@given(st.integers(0, len(ITCH) - 1), st.integers(1, 40), st.binary(max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_loads_or_is_a_definition_error(at: int, removed: int, put: bytes) -> None:
    damaged = ITCH[:at] + put + ITCH[at + removed :]

    with suppress(DefinitionError):
        assert read_definitions(damaged, "mine.xml").messages


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_definition_error(data: bytes) -> None:
    assert problem_of(data)


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "utf-8"])
def test_a_file_may_have_any_encoding_that_xml_declares(encoding: str) -> None:
    text = ITCH.decode().replace('encoding="UTF-8"', f'encoding="{encoding}"')

    assert read_definitions(text.encode(encoding), "mine.xml").messages == load_definitions("itch50").messages


def test_an_unknown_encoding_is_told() -> None:
    assert "encoding" in problem_of(b'<?xml version="1.0" encoding="klingon"?><root/>')

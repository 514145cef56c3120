"""From a <message> element to a checked MessageDefinition.

Knows what a message demands of its fields: which may be missing, where ticker, locate and key
may stand, how long the whole may be. What a single field is stands in fields.py.
"""

import re
from itertools import pairwise
from types import MappingProxyType
from typing import get_args

from gateway.definitions.document import Element
from gateway.definitions.fields import FieldReader, check_attributes, check_name, only_child
from gateway.definitions.model import (
    MESSAGE_BYTES_MAX,
    AppendageType,
    BooleanType,
    CharType,
    DigitsType,
    Direction,
    Field,
    IntegerType,
    Kind,
    MessageDefinition,
    TextType,
    lengths_of,
    offsets_of,
)
from gateway.definitions.types import truth

_THEIRS = {"id", "message-id", "message-group", "direction"}
_OURS = {"kind", "key", "directory", "length"}
# Control messages begin so, in either direction; no client could tell one from the other.
_CONTROL = "mlink"


def read_message(element: Element, reader: FieldReader) -> MessageDefinition:
    if element.tag != "message":
        element.fail("expected a <message>")
    check_attributes(element, _THEIRS | _OURS)
    name = check_name(element.need("id", "the name of the message"), "id", element)
    if name.casefold().startswith(_CONTROL):
        element.fail(f"id={name!r}; expected a name that does not begin with MLink, as control messages do")
    id_byte = _id_byte(element.need("message-id", "a decimal number or one character"), element)
    fields = reader.fields(only_child(element, "fields"), element)
    key = tuple(re.split(r"[\s,]+", (element.get("key") or "").strip(" ,"))) if element.get("key") else ()
    kind = element.get("kind") or ("record" if key else "event")
    _check_tail(fields, element)
    definition = MessageDefinition(
        name=name,
        id_byte=id_byte,
        direction=_one_of(element.need("direction", "outgoing or incoming"), Direction, "direction", element),
        fields=fields,
        lengths=lengths_of(fields),
        group=element.get("message-group"),
        kind=_one_of(kind, Kind, "kind", element),
        key=key,
        is_directory=truth(element.get("directory"), "directory", element),
        description=element.get("description") or "",
        offsets=MappingProxyType(offsets_of(fields)),
    )
    _check_lengths(definition, element)
    _check_ticker(definition, element)
    _check_key(definition, element)
    return definition


def _id_byte(text: str, element: Element) -> int:
    id_byte = (
        int(text)
        if text.isascii() and text.isdigit() and len(text) <= 3
        else ord(text)
        if len(text) == 1
        else 256
    )
    if id_byte > 255:
        element.fail(
            f"message-id={text!r}; expected a decimal number from 0 to 255, or one character of one byte"
        )
    return id_byte


def _one_of(text: str, literal: object, attribute: str, element: Element):  # type: ignore[no-untyped-def]
    if text not in get_args(literal):
        element.fail(f"{attribute}={text!r}; expected {' or '.join(get_args(literal))}")
    return text


def _check_tail(fields: tuple[Field, ...], element: Element) -> None:
    for before, after in pairwise(fields):
        if before.is_optional and not after.is_optional:
            element.fail(
                f"field {after.name!r} follows the optional {before.name!r}; expected optional fields last"
            )
        if isinstance(before.type, AppendageType):
            element.fail(f"field {after.name!r} follows an appendage; expected the appendage last")


def _check_lengths(definition: MessageDefinition, element: Element) -> None:
    lengths = definition.lengths
    if max([*lengths.fixed, lengths.at_least or 0]) > MESSAGE_BYTES_MAX:
        element.fail(f"{lengths} bytes long; expected at most {MESSAGE_BYTES_MAX}, the most a packet carries")
    expected = element.get("length")
    if expected is not None and ", ".join(re.split(r"[\s,]+", expected.strip())) != str(lengths):
        element.fail(f"its fields and the id byte add up to length {str(lengths)!r}; expected {expected!r}")


def _check_ticker(definition: MessageDefinition, element: Element) -> None:
    for role in ("ticker", "locate"):
        bearers = [each for each in definition.fields if getattr(each, f"is_{role}")]
        if len(bearers) > 1:
            element.fail(f'{len(bearers)} fields with {role}="true"; expected at most one')
        for each in bearers:
            if each.name not in definition.offsets:
                element.fail(f"{role} field {each.name!r} moves with the data; expected it at a fixed place")
            if role == "ticker" and not isinstance(each.type, TextType):
                element.fail(f"ticker field {each.name!r}; expected type str_ascii_n or str_iso-8859-1_n")
            # Codes index a plain list on the hottest way there is, so they have the shape ITCH gives them.
            if role == "locate" and each.type != IntegerType(2):
                element.fail(f"locate field {each.name!r}; expected type uint_2_be")
    if definition.is_directory and not (definition.ticker_field and definition.locate_field):
        element.fail('directory="true"; expected a field with locate="true" and one with ticker="true"')


def _check_key(definition: MessageDefinition, element: Element) -> None:
    if definition.key and definition.kind != "record":
        element.fail(f'key={element.get("key")!r} with kind="event"; expected kind="record" or no kind')
    if len(set(definition.key)) != len(definition.key):
        element.fail(f"key={element.get('key')!r} names a field twice")
    names = [each.name for each in definition.fields]
    for name in definition.key:
        if name not in names:
            element.fail(f"key field {name!r} does not exist; expected one of {', '.join(names)}")
        plain = isinstance(
            definition.field_named(name).type, IntegerType | BooleanType | CharType | TextType | DigitsType
        )
        if name not in definition.offsets or not plain:
            element.fail(f"key field {name!r}; expected a plain field of fixed size at a fixed place")

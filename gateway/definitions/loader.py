"""Loads a definition file whole, or raises a DefinitionError and loads nothing.

Knows the sections and their order, and what must be unique in a file. Reads the one file it
is given; the shipped ones stand beside this module.
"""

from pathlib import Path

from gateway.definitions.document import Element, parse_document
from gateway.definitions.enums import read_enum
from gateway.definitions.errors import DefinitionError
from gateway.definitions.fields import CASE_FREE, FieldReader, check_name
from gateway.definitions.messages import read_message
from gateway.definitions.model import Definitions, MessageDefinition

SHIPPED = ("itch50", "glimpse50", "ouch42", "ouch50")

_SECTIONS = ("enums-root", "fielddef-root", "appendages-root", "records-root", "messages-root")


def load_definitions(name_or_path: str | Path) -> Definitions:
    """A shipped file by its name (`itch50`), any other by its path."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        path = Path(__file__).with_name(f"{name_or_path}.xml")
    try:
        data = path.read_bytes()
    except OSError as error:
        shipped = ", ".join(SHIPPED)
        problem = f"can't be read ({error.strerror}); expected a file, or one of the shipped {shipped}"
        raise DefinitionError(str(path), None, "", problem) from error
    return read_definitions(data, str(path))


def read_definitions(data: bytes, file: str) -> Definitions:
    """The definitions in `data`; `file` is only the name for errors."""
    root = parse_document(data, file)
    sections = _sections(root)
    reader = FieldReader()
    for element in sections["enums-root"]:
        _expect(element, "enum")
        enum, base = read_enum(element)
        if enum.name in reader.enums:
            element.fail("there is an enum of this name already")
        reader.enums[enum.name] = (enum, base)
    for element in sections["appendages-root"]:
        _expect(element, "appendage")
        reader.add_appendage(element)
    for element in sections["fielddef-root"]:
        _read_fielddef(element, reader)
    for element in sections["records-root"]:
        _expect(element, "record")
        reader.add_record(element)
    for element in reader.fielddefs.values():
        reader.field(element)  # one that nothing uses is checked all the same
    messages = tuple(read_message(element, reader) for element in sections["messages-root"])
    if not messages:
        root.fail("defines no message; expected at least one <message> in <messages-root>")
    _check_unique(messages, sections["messages-root"])
    enums = {name: enum for name, (enum, _) in reader.enums.items()}
    ticker = _ticker_name(messages, sections["messages-root"])
    _check_added_ticker(ticker, messages, sections["messages-root"])
    return Definitions(file, messages, enums, ticker)


def _sections(root: Element) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for section in root:
        if section.tag not in _SECTIONS:
            section.fail(f"unknown section; expected {', '.join(_SECTIONS)}")
        if section.tag in found:
            section.fail("this section stands here twice; expected one")
        if section.tag == "fielddef-root" and {"records-root", "messages-root"} & found.keys():
            section.fail("expected before <records-root> and <messages-root>, whose fields refer to it")
        found[section.tag] = section.children
    return {tag: found.get(tag, []) for tag in _SECTIONS}


def _expect(element: Element, tag: str) -> None:
    if element.tag != tag:
        element.fail(f"expected <{tag}>")


def _read_fielddef(element: Element, reader: FieldReader) -> None:
    _expect(element, "field")
    name = check_name(element.need("name", "the name others refer to by def="), "name", element)
    if element.get("def") is not None:
        element.fail("def= inside <fielddef-root>; expected type= or ref=")
    if name in reader.fielddefs:
        element.fail("there is a field of this name already")
    reader.fielddefs[name] = element


def _check_unique(messages: tuple[MessageDefinition, ...], elements: list[Element]) -> None:
    """Names without case, because subscribers spell them as they like; ids within a group and direction."""
    seen: dict[tuple[object, ...], MessageDefinition] = {}
    for message, element in zip(messages, elements, strict=True):
        by_name = ("name", message.direction, message.name.casefold())
        by_id = ("id", message.direction, message.group, message.id_byte)
        for identity in (by_name, by_id):
            if identity in seen:
                element.fail(f"the same {identity[0]} and direction as message {seen[identity].name!r}")
            seen[identity] = message


def _ticker_name(messages: tuple[MessageDefinition, ...], elements: list[Element]) -> str | None:
    name = None
    for message, element in zip(messages, elements, strict=True):
        if message.is_directory and message.ticker_field is not None:
            if name not in (None, message.ticker_field.name):
                element.fail(
                    f"ticker {message.ticker_field.name!r}; expected {name!r} as in the other directory"
                )
            name = message.ticker_field.name
    return name


def _check_added_ticker(
    ticker: str | None, messages: tuple[MessageDefinition, ...], elements: list[Element]
) -> None:
    """The directory's ticker comes to the fields of messages that carry only its code."""
    for message, element in zip(messages, elements, strict=True):
        for each in message.fields:
            if (
                ticker is not None
                and message.locate_field is not None
                and message.ticker_field is None
                and each.name != ticker
                and each.name.casefold() == ticker.casefold()
            ):
                element.fail(f"{each.name!r} beside the directory's {ticker!r}; {CASE_FREE}")

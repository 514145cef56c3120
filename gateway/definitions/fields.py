"""From a <field> element to a checked Field: reusable definitions, types, lists, records, our attributes.

Knows one field and what it may refer to; what a message demands of its fields stands in messages.py.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gateway.definitions.document import Element
from gateway.definitions.model import (
    AppendageType,
    ArrayType,
    Enum,
    Field,
    FieldType,
    IntegerType,
    RecordType,
    fixed_size,
)
from gateway.definitions.types import EXPECTED_TYPES, truth, type_named, value_of, whole_number

# Records nest, so a file of a few lines could stand for billions of fields; none needs this many,
# nor lists of records of lists of … to such a depth.
LEAVES_MAX = 1024
DEPTH_MAX = 8
UNITS = tuple(
    f"{unit}{since}" for since in ("-since-midnight", "-since-epoch", "") for unit in ("ns", "us", "ms", "s")
)

CASE_FREE = "expected names that differ by more than case, as subscribers write them without it"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_THEIRS = {"name", "type", "ref", "def", "array", "length_type", "endian", "length", "default"}
_OURS = {"decimals", "unit", "ticker", "locate", "optional"}


def check_attributes(element: Element, known: Iterable[str]) -> None:
    """A misspelt attribute would do nothing and say nothing. Notes may stand under `description` or `x:y`."""
    for attribute in element.attributes:
        if attribute not in known and attribute != "description" and ":" not in attribute:
            element.fail(f"unknown attribute {attribute!r}; expected {', '.join(sorted(known))}")


def check_name(text: str, attribute: str, element: Element) -> str:
    if not _NAME.fullmatch(text):
        element.fail(f"{attribute}={text!r}; expected a letter or _, then letters, digits and _ only")
    return text


def only_child(element: Element, tag: str) -> list[Element]:
    """The children of the one `tag` inside `element`, which may be absent."""
    for child in element.children[1:] or [each for each in element if each.tag != tag]:
        child.fail(f"expected one <{tag}> inside {element} and nothing else")
    return element.children[0].children if element.children else []


@dataclass(slots=True)
class FieldReader:
    """Reads fields of one file. Enums, records and appendages are added as the file defines them."""

    fielddefs: dict[str, Element] = field(default_factory=dict)
    enums: dict[str, tuple[Enum, str]] = field(default_factory=dict)
    records: dict[str, RecordType] = field(default_factory=dict)
    appendages: dict[str, AppendageType] = field(default_factory=dict)
    _leaves: dict[str, int] = field(default_factory=dict)
    _depths: dict[str, int] = field(default_factory=dict)

    def fields(self, elements: Iterable[Element], owner: Element) -> tuple[Field, ...]:
        """The fields of a record or a message, whose names differ and whose number has a limit."""
        fields: dict[str, Field] = {}
        spelled: dict[str, str] = {}
        for element in elements:
            if element.tag != "field":
                element.fail("expected a <field>")
            each = self.field(element)
            other = spelled.setdefault(each.name.casefold(), each.name)
            if each.name in fields:
                element.fail(f"{owner} has two fields {each.name!r}")
            if other != each.name:
                element.fail(f"{owner} has {other!r} and {each.name!r}; {CASE_FREE}")
            if (depth := self._depth(each.type)) > DEPTH_MAX:
                element.fail(f"records and lists nest {depth} deep; expected at most {DEPTH_MAX}")
            fields[each.name] = each
        leaves = sum(self._leaf_count(each.type) for each in fields.values())
        if leaves > LEAVES_MAX:
            owner.fail(f"{leaves} fields with those of its records; expected at most {LEAVES_MAX}")
        return tuple(fields.values())

    def add_record(self, element: Element) -> None:
        check_attributes(element, {"id"})
        name = check_name(element.need("id", "the name of the record"), "id", element)
        if name in self.records:
            element.fail("there is a record of this name already")
        fields = self.fields(only_child(element, "fields"), element)
        if not fields:
            element.fail("expected at least one <field>")
        for each in fields:
            if each.is_ticker or each.is_locate or each.is_optional or isinstance(each.type, AppendageType):
                element.fail(
                    f"field {each.name!r}: ticker, locate, optional and appendages belong in messages"
                )
        self._leaves[name] = sum(self._leaf_count(each.type) for each in fields)
        self._depths[name] = 1 + max(self._depth(each.type) for each in fields)
        self.records[name] = RecordType(name, fields)

    def add_appendage(self, element: Element) -> None:
        check_attributes(element, {"id"})
        name = check_name(element.need("id", "the name of the appendage"), "id", element)
        if name in self.appendages:
            element.fail("there is an appendage of this name already")
        tags: dict[int, Field] = {}
        for child in element:
            if child.tag != "tag":
                child.fail("expected a <tag>")
            check_attributes(child, {"number", "name", "type", "length", "decimals", "unit", "default"})
            number = whole_number(child.need("number", "0 to 255"), "number", child, 0, 255)
            each = self.field(
                replace(child, attributes={k: v for k, v in child.attributes.items() if k != "number"})
            )
            size = fixed_size(each.type)
            if size is None or size > 254 or isinstance(each.type, RecordType):
                child.fail("expected a plain type of 1 to 254 bytes")
            if re.fullmatch(r"tag\d+", each.name, re.IGNORECASE):
                child.fail(f"name={each.name!r}; expected another, this one is for tags without a definition")
            if number in tags or each.name in {other.name for other in tags.values()}:
                child.fail(f"tag {number} or name {each.name!r} stands here twice")
            for other in tags.values():
                if other.name.casefold() == each.name.casefold():
                    child.fail(f"{other.name!r} and {each.name!r}; {CASE_FREE}")
            tags[number] = each
        self.appendages[name] = AppendageType(name, MappingProxyType(tags))

    def field(self, element: Element) -> Field:
        element = self._expanded(element)
        check_attributes(element, _THEIRS | _OURS)
        for child in element:
            child.fail(f"expected nothing inside {element}")
        name = check_name(element.need("name", "the name of the field"), "name", element)
        type_, enum = self._type(element)
        unit = element.get("unit")
        if unit is not None and (unit not in UNITS or not isinstance(type_, IntegerType)):
            element.fail(f"unit={unit!r}; expected one of {', '.join(UNITS)} on an integer type")
        default = element.get("default")
        return Field(
            name,
            type_,
            default=None if default is None else value_of(default, type_, "default", element),
            enum=enum,
            unit=unit,
            is_ticker=truth(element.get("ticker"), "ticker", element),
            is_locate=truth(element.get("locate"), "locate", element),
            is_optional=truth(element.get("optional"), "optional", element),
            description=element.get("description") or "",
        )

    def _expanded(self, element: Element) -> Element:
        """The element itself, or the one its `def` names, under its own name and at its own line."""
        reference = element.get("def")
        if reference is None:
            return element
        if reference not in self.fielddefs:
            element.fail(f"def={reference!r} names no <field> of a <fielddef-root> that stands before")
        for attribute in element.attributes:
            if attribute not in ("def", "name", "description"):
                element.fail(
                    f"{attribute}= beside def=; expected only name, the rest comes from the definition"
                )
        own = {name: value for name, value in element.attributes.items() if name != "def"}
        return replace(element, attributes={**self.fielddefs[reference].attributes, **own})

    def _type(self, element: Element) -> tuple[FieldType, Enum | None]:
        name, reference, array = element.get("type"), element.get("ref"), element.get("array")
        if (name is None) == (reference is None):
            element.fail(f'expected exactly one of type="…" ({EXPECTED_TYPES}) and ref="…" (a record)')
        item, enum = self._item_type(name if name is not None else f"record:{reference}", element)
        if array is None:
            for attribute in ("length_type", "endian"):
                if element.get(attribute) is not None:
                    element.fail(f"{attribute}= without array=; expected both or none")
            # On a list their own files carry a length that means nothing, so there it is let pass.
            if element.get("length") is not None and (not name or not name.endswith("_n")) and enum is None:
                element.fail(f"length= on {name or 'a record'}; expected it on str_*_n and uint_ascii_n only")
            return item, enum
        if isinstance(item, AppendageType):
            element.fail("a list of appendages; expected at most one appendage, without array=")
        count = self._count_type(element)
        type_ = ArrayType(item, count)
        # In their dialect `double` is a list of lists, each with its own count.
        return (ArrayType(type_, count) if array == "double" else type_), enum

    def _item_type(self, name: str, element: Element) -> tuple[FieldType, Enum | None]:
        sort, colon, reference = name.partition(":")
        if not colon:
            return type_named(name, element), None
        if sort == "enum" and reference in self.enums:
            enum, base = self.enums[reference]
            return type_named(base, element), enum
        if element.get("decimals") is not None:
            element.fail(f"decimals= on {name}; expected an integer type")
        if sort == "record" and reference in self.records:
            return self.records[reference], None
        if sort == "appendage" and reference in self.appendages:
            return self.appendages[reference], None
        element.fail(f"{name!r} is not defined before this line; expected {EXPECTED_TYPES}")

    def _count_type(self, element: Element) -> IntegerType:
        endian = element.get("endian")
        if endian not in (None, "big", "little"):
            element.fail(f"endian={endian!r}; expected big or little")
        name = element.get("length_type")
        if name is None:
            return IntegerType(2, big_endian=endian == "big")
        count = type_named(name, replace(element, attributes={"name": element.attributes["name"]}))
        if not isinstance(count, IntegerType):
            element.fail(f"length_type={name!r}; expected an integer type")
        return count

    def _leaf_count(self, type_: FieldType) -> int:
        match type_:
            case RecordType(name=name):
                return self._leaves[name]
            case ArrayType(item=item):
                return 1 + self._leaf_count(item)
            case _:
                return 1

    def _depth(self, type_: FieldType) -> int:
        match type_:
            case RecordType(name=name):
                return self._depths[name]
            case ArrayType(item=item):
                return 1 + self._depth(item)
            case _:
                return 0

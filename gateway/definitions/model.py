"""What a definition file says, checked: messages, their fields, and the types of the fields.

Knows sizes and offsets, because they follow from the types; knows neither XML nor how a
message is decoded. All values are frozen: whoever has one may keep it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["outgoing", "incoming"]
Kind: TypeAlias = Literal["event", "record"]

ID_SIZE = 1
# SoupBinTCP's length field counts the packet type too, so a payload ends here.
MESSAGE_BYTES_MAX = 65_534


@dataclass(frozen=True, slots=True)
class IntegerType:
    """1 to 8 bytes. With `decimals` its value is the integer divided by ten to that power, exactly."""

    width: int
    signed: bool = False
    big_endian: bool = True
    decimals: int = 0

    @property
    def least(self) -> int:
        return -(1 << (8 * self.width - 1)) if self.signed else 0

    @property
    def greatest(self) -> int:
        return (1 << (8 * self.width - self.signed)) - 1


@dataclass(frozen=True, slots=True)
class BooleanType:
    """One byte; only 01 is true."""


@dataclass(frozen=True, slots=True)
class CharType:
    """One character, never stripped: a blank is a code like any other."""

    encoding: str = "ascii"


@dataclass(frozen=True, slots=True)
class TextType:
    """`length` bytes, left-justified; the spaces on the right are padding and not part of the value."""

    length: int
    encoding: str = "ascii"


@dataclass(frozen=True, slots=True)
class DigitsType:
    """An unsigned integer in `length` ASCII digits, padded with zeros, or with spaces on either side."""

    length: int


@dataclass(frozen=True, slots=True)
class CountedTextType:
    """A signed little-endian two-byte length, then that many bytes."""

    encoding: str = "ascii"


@dataclass(frozen=True, slots=True)
class RecordType:
    """The fields of a record, inline."""

    name: str
    fields: tuple["Field", ...]


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A count, then so many items."""

    item: "FieldType"
    count: IntegerType


@dataclass(frozen=True, slots=True)
class AppendageType:
    """A big-endian two-byte total, then TagValues: one byte length (tag and value), one byte tag, value."""

    name: str
    tags: Mapping[int, "Field"] = field(hash=False)


ScalarType: TypeAlias = IntegerType | BooleanType | CharType | TextType | DigitsType
FieldType: TypeAlias = ScalarType | CountedTextType | RecordType | ArrayType | AppendageType
Value: TypeAlias = object

COUNTED_TEXT_LENGTH = IntegerType(2, signed=True, big_endian=False)
APPENDAGE_TOTAL = IntegerType(2)


@dataclass(frozen=True, slots=True)
class EnumValue:
    value: Value
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Enum:
    """The values a field is known to have. Others decode all the same: exchanges add codes without asking."""

    name: str
    values: tuple[EnumValue, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message, a record or an appendage. The encoder takes `default` for want of a value."""

    name: str
    type: FieldType
    default: Value = None
    enum: Enum | None = None
    unit: str | None = None
    is_ticker: bool = False
    is_locate: bool = False
    is_optional: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The total lengths a message may have, id byte included: `fixed` ones, and any from `at_least` on."""

    fixed: tuple[int, ...]
    at_least: int | None = None

    def __str__(self) -> str:
        """As written in a file: `36`, `37, 38`, `9, 11+`."""
        open_end = [] if self.at_least is None else [f"{self.at_least}+"]
        return ", ".join([*map(str, self.fixed), *open_end])

    def sentence(self) -> str:
        """As told to a person: `36`, `37 or 38`, `9 or at least 11`."""
        open_end = [] if self.at_least is None else [f"at least {self.at_least}"]
        return " or ".join([*map(str, self.fixed), *open_end])


@dataclass(frozen=True, slots=True)
class MessageDefinition:
    """One message. Offsets count from the id byte, which is offset 0 and not among the fields."""

    name: str
    id_byte: int
    direction: Direction
    fields: tuple[Field, ...]
    lengths: Lengths
    group: str | None = None
    kind: Kind = "event"
    key: tuple[str, ...] = ()
    is_directory: bool = False
    description: str = ""
    offsets: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Where each field stands that is always there at the same place."""

    @property
    def length(self) -> int | None:
        """The one length it has, or None when it varies."""
        return self.lengths.fixed[0] if len(self.lengths.fixed) == 1 and not self.lengths.at_least else None

    @property
    def ticker_field(self) -> Field | None:
        return next((each for each in self.fields if each.is_ticker), None)

    @property
    def locate_field(self) -> Field | None:
        return next((each for each in self.fields if each.is_locate), None)

    def field_named(self, name: str) -> Field:
        for each in self.fields:
            if each.name == name:
                return each
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything one file defines."""

    file: str
    messages: tuple[MessageDefinition, ...]
    enums: Mapping[str, Enum]
    ticker_name: str | None = None
    """The name of the directory's ticker field, which messages that carry only a locate code get too."""


def fixed_size(type_: FieldType) -> int | None:
    """How many bytes it has, or None when only the data tell."""
    match type_:
        case IntegerType(width=width):
            return width
        case BooleanType() | CharType():
            return 1
        case TextType(length=length) | DigitsType(length=length):
            return length
        case RecordType(fields=fields):
            sizes = [fixed_size(each.type) for each in fields]
            return None if None in sizes else sum(size for size in sizes if size is not None)
        case _:
            return None


def least_size(type_: FieldType) -> int:
    """How many bytes it has at least."""
    match type_:
        case CountedTextType():
            return COUNTED_TEXT_LENGTH.width
        case ArrayType(count=count):
            return count.width
        case AppendageType():
            return APPENDAGE_TOTAL.width
        case RecordType(fields=fields):
            return sum(least_size(each.type) for each in fields)
        case _:
            size = fixed_size(type_)
            assert size is not None
            return size


def lengths_of(fields: tuple[Field, ...]) -> Lengths:
    """The lengths a message of these fields may have. Optional fields stand last."""
    length = ID_SIZE + sum(least_size(each.type) for each in fields if not each.is_optional)
    if any(fixed_size(each.type) is None for each in fields if not each.is_optional):
        return Lengths((), length)
    fixed = [length]
    for each in fields:
        if each.is_optional:
            length += least_size(each.type)
            if fixed_size(each.type) is None:
                return Lengths(tuple(fixed), length)
            fixed.append(length)
    return Lengths(tuple(fixed))


def offsets_of(fields: tuple[Field, ...]) -> dict[str, int]:
    """Where each field stands, as long as neither length nor presence of those before depends on the data."""
    offsets: dict[str, int] = {}
    at = ID_SIZE
    for each in fields:
        if each.is_optional:
            break
        offsets[each.name] = at
        size = fixed_size(each.type)
        if size is None:
            break
        at += size
    return offsets

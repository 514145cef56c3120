"""Writes messages from values: for simulators, for tests, for what a client sends.

Knows the same layouts as the decoders, and what a field is when no value is given: its default,
or else nothing (0, "", a blank, false, an empty list). The functions are compiled: a message of
fixed size is one call of one precompiled Struct.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from gateway.decode.layout import integer_parts
from gateway.definitions.model import (
    APPENDAGE_TOTAL,
    COUNTED_TEXT_LENGTH,
    MESSAGE_BYTES_MAX,
    AppendageType,
    ArrayType,
    BooleanType,
    CharType,
    CountedTextType,
    DigitsType,
    Field,
    FieldType,
    IntegerType,
    MessageDefinition,
    RecordType,
    TextType,
)
from gateway.errors import LocalProtocolError

# What Python says of values that have the wrong type or size; EncodeError is a ValueError.
_MISFITS = (ValueError, OverflowError, TypeError, AttributeError, struct.error)

Encode: TypeAlias = Callable[[Mapping[str, Any]], bytes]


class EncodeError(LocalProtocolError, ValueError):
    """A value does not fit into its field. The caller gave it, so it is the caller's to mend."""


def compiled_encoder(definition: MessageDefinition) -> Encode:
    """A function from values to the message's bytes. What can't be written raises EncodeError."""
    always = [each for each in definition.fields if not each.is_optional]
    optional = [(each.name, _fields_encoder([each])) for each in definition.fields if each.is_optional]
    encode_always = _fields_encoder(always, prefix=bytes([definition.id_byte]))
    known = frozenset(each.name for each in definition.fields)

    def encode(values: Mapping[str, Any]) -> bytes:
        try:
            if not known.issuperset(values):
                unknown = ", ".join(sorted(set(values) - known))
                raise EncodeError(f"no field {unknown}; expected among {', '.join(sorted(known))}")
            data = encode_always(values)
            if optional:
                # An optional field brings those in front of it along, or it would stand in their place.
                given = [position for position, (name, _) in enumerate(optional, 1) if name in values]
                for _, encode_one in optional[: max(given, default=0)]:
                    data += encode_one(values)
            if len(data) > MESSAGE_BYTES_MAX:
                raise EncodeError(f"{len(data)} bytes, expected at most {MESSAGE_BYTES_MAX}")
        except _MISFITS as error:
            raise EncodeError(f"{definition.name}: {_culprit(definition.fields, values) or error}") from error
        return data

    return encode


def _culprit(fields: Iterable[Field], values: Mapping[str, Any]) -> str | None:
    """Which field's value does not fit: struct does not say, so each is tried by itself."""
    for each in fields:
        if each.name in values:
            try:
                _fields_encoder([each])({each.name: values[each.name]})
            except _MISFITS as error:
                return f"{each.name}={values[each.name]!r}: {error}"
    return None


class _Writer:
    """The source of one function: runs of fixed size become calls of one Struct, the rest of functions."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self.lines: list[str] = []
        self._pieces: list[str] = []
        self._order = ""
        self._codes: list[str] = []
        self._arguments: list[str] = []

    def constant(self, prefix: bytes) -> None:
        if prefix:
            self._codes.append(f"{len(prefix)}s")
            self._arguments.append(repr(prefix))

    def field(self, each: Field, source: str) -> None:
        """`source` is the variable that holds the mapping with the field's value."""
        match each.type:
            case RecordType(fields=fields):
                inner = self._bind({}, "values")
                self.lines.append(f"    {inner} = {source}.get({each.name!r}, {inner}_none)")
                self.namespace[f"{inner}_none"] = {}
                for field in fields:
                    self.field(field, inner)
            case CountedTextType() | ArrayType() | AppendageType():
                self.flush()
                encode = self._bind(_variable_encoder(each.type), "encode")
                self._pieces.append(f"{encode}({self._value(each, source)})")
            case IntegerType():
                self._integer(each, each.type, source)
            case BooleanType() | CharType() | TextType() | DigitsType():
                code, convert = _fixed_converter(each.type)
                self._codes.append(code)
                self._arguments.append(f"{self._bind(convert, 'convert')}({self._value(each, source)})")

    def _integer(self, each: Field, type_: IntegerType, source: str) -> None:
        order = ">" if type_.big_endian else "<"
        if type_.width > 1:
            if self._order not in ("", order):
                self.flush()
            self._order = order
        value = self._value(each, source)
        if type_.decimals:
            scale = self._bind(_scaler(type_.decimals), "scaled")
            value = f"{scale}({value})"
        parts = integer_parts(type_)
        if len(parts) == 1:
            self._arguments.append(value)
        else:
            name = self._bind(None, "number")
            self.lines.append(f"    {name} = {value}")
            top = max(shift for _, shift in parts)
            for code, shift in parts:
                mask = (1 << 8 * struct.calcsize(f">{code}")) - 1
                self._arguments.append(
                    f"{name} >> {shift}" if shift == top else f"{name} >> {shift} & {mask}"
                )
        self._codes += [code for code, _ in parts]

    def _value(self, each: Field, source: str) -> str:
        default = each.default if each.default is not None else _nothing(each.type)
        return f"{source}.get({each.name!r}, {self._bind(default, 'default')})"

    def _bind(self, value: Any, sort: str) -> str:
        name = f"{sort}_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def flush(self) -> None:
        if self._codes:
            pack = self._bind(struct.Struct((self._order or ">") + "".join(self._codes)).pack, "pack")
            self._pieces.append(f"{pack}({', '.join(self._arguments)})")
        self._order, self._codes, self._arguments = "", [], []

    def function(self) -> Encode:
        self.flush()
        lines = ["def encode(values):", *self.lines, f"    return {' + '.join(self._pieces) or repr(b'')}"]
        exec(compile("\n".join(lines), "<encoder>", "exec"), self.namespace)
        encode: Encode = self.namespace["encode"]
        return encode


def _fields_encoder(fields: Iterable[Field], prefix: bytes = b"") -> Encode:
    writer = _Writer()
    writer.constant(prefix)
    for each in fields:
        writer.field(each, "values")
    return writer.function()


def _nothing(type_: FieldType) -> Any:
    match type_:
        case IntegerType() | DigitsType():
            return 0
        case BooleanType():
            return False
        case CharType():
            return " "
        case ArrayType():
            return ()
        case AppendageType() | RecordType():
            return {}
        case _:
            return ""


def _variable_encoder(type_: FieldType) -> Callable[[Any], bytes]:
    match type_:
        case CountedTextType():
            text_length = _fields_encoder([Field("count", COUNTED_TEXT_LENGTH)])

            def encode_text(text: str) -> bytes:
                data = _latin(text)
                return text_length({"count": len(data)}) + data

            return encode_text
        case ArrayType(item=item, count=count):
            array_count = _fields_encoder([Field("count", count)])
            encode_item = _fields_encoder([Field("item", item)])

            def encode_array(items: Any) -> bytes:
                encoded = b"".join(encode_item({"item": each}) for each in items)
                return array_count({"count": len(items)}) + encoded

            return encode_array
        case AppendageType(tags=tags):
            by_name = {tag.name: (number, _fields_encoder([tag])) for number, tag in tags.items()}

            def encode_appendage(values: Mapping[str, Any]) -> bytes:
                data = b""
                for name, value in values.items():
                    if name in by_name:
                        number, encode_tag = by_name[name]
                        encoded = encode_tag({name: value})
                    else:
                        number, encoded = _unknown_tag(name, value)
                    data += bytes([1 + len(encoded), number]) + encoded
                return len(data).to_bytes(APPENDAGE_TOTAL.width, "big") + data

            return encode_appendage
        case _:
            raise AssertionError(f"{type_} has a fixed size")


def _unknown_tag(name: str, value: Any) -> tuple[int, bytes]:
    digits = name.removeprefix("tag")
    if not (name.startswith("tag") and digits.isdigit() and int(digits) < 256):
        raise EncodeError(f"no tag {name!r}; expected a defined one, or tagN with its value in hex")
    return int(digits), bytes.fromhex(value)


def _fixed_converter(type_: FieldType) -> tuple[str, Callable[[Any], Any]]:
    """The struct code of one value, and what makes of a value what struct takes."""
    match type_:
        case BooleanType():
            return "?", bool
        case CharType():
            return "c", _latin
        case TextType(length=length):

            def pad(text: str) -> bytes:
                data = _latin(text)
                if len(data) > length:
                    raise EncodeError(f"expected at most {length} characters, got {text!r}")
                return data.ljust(length)

            return f"{length}s", pad
        case DigitsType(length=length):

            def digits(number: int) -> bytes:
                text = f"{number:d}".rjust(length)
                if number < 0 or len(text) > length:
                    raise EncodeError(f"expected a number of at most {length} digits, got {number}")
                return text.encode("ascii")

            return f"{length}s", digits
        case _:
            raise AssertionError(f"{type_} is no text")


def _latin(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise EncodeError(f"expected characters of one byte, got {text!r}") from error


def _scaler(decimals: int) -> Callable[[Any], int]:
    def scaled(value: Decimal | int | float | str) -> int:
        """Exactly the given number; a float stands for the shortest decimal that reads back as it."""
        try:
            number = Decimal(str(value)).scaleb(decimals)
            if number.is_finite() and number == number.to_integral_value():
                return int(number)
        except InvalidOperation:
            pass
        raise EncodeError(f"expected a number with at most {decimals} decimals, got {value!r}")

    return scaled

"""The names of types, and the values that texts in a file mean for a type.

Knows each type by name and what fits into it; knows nothing of messages or of sections.
"""

import re
from decimal import Decimal, InvalidOperation

from gateway.definitions.document import Element
from gateway.definitions.model import (
    BooleanType,
    CharType,
    CountedTextType,
    DigitsType,
    FieldType,
    IntegerType,
    ScalarType,
    TextType,
    Value,
)

# A text or a number of digits is part of one message, and a message has at most 65,534 bytes.
TEXT_LENGTH_MAX = 65_000
DIGITS_LENGTH_MAX = 64

_INTEGER = re.compile(r"(u?)int_([1-8])(_be)?")
_TEXT = re.compile(r"(char|str)_(ascii|iso-8859-1)(_n)?")
EXPECTED_TYPES = (
    "boolean, byte, int_W, uint_W, int_W_be, uint_W_be (W = 1 to 8 bytes), char_ascii, char_iso-8859-1, "
    "str_ascii, str_iso-8859-1, str_ascii_n, str_iso-8859-1_n, uint_ascii_n, "
    "enum:ID, record:ID or appendage:ID"
)


def type_named(name: str, element: Element) -> ScalarType | CountedTextType:
    """The plain type called `name`; `element` is where it was written, and tells `length` and `decimals`."""
    type_ = _type_named(name, element)
    if not isinstance(type_, IntegerType) and element.get("decimals") is not None:
        element.fail(f'decimals="{element.get("decimals")}" on {name}; expected an integer type')
    return type_


def _type_named(name: str, element: Element) -> ScalarType | CountedTextType:
    if name == "boolean":
        return BooleanType()
    if name == "byte":
        return IntegerType(1, decimals=_decimals(element, 1))
    if name == "uint_ascii_n":
        return DigitsType(_length(name, element, DIGITS_LENGTH_MAX))
    if integer := _INTEGER.fullmatch(name):
        unsigned, width, big = integer.groups()
        decimals = _decimals(element, int(width))
        return IntegerType(int(width), signed=not unsigned, big_endian=bool(big), decimals=decimals)
    if text := _TEXT.fullmatch(name):
        shape, encoding, fixed = text.groups()
        if shape == "char" and not fixed:
            return CharType(encoding)
        if shape == "str":
            return (
                TextType(_length(name, element, TEXT_LENGTH_MAX), encoding)
                if fixed
                else CountedTextType(encoding)
            )
    element.fail(f"unknown type {name!r}; expected {EXPECTED_TYPES}")


def _length(name: str, element: Element, most: int) -> int:
    return whole_number(element.need("length", f"the size of {name} in bytes"), "length", element, 1, most)


def _decimals(element: Element, width: int) -> int:
    text = element.get("decimals")
    # 8 bytes hold 20 digits; more decimals than digits is certainly a slip.
    return 0 if text is None else whole_number(text, "decimals", element, 0, len(str(256**width - 1)))


def whole_number(text: str, attribute: str, element: Element, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        element.fail(f"{attribute}={text!r}; expected a whole number from {least} to {most}")
    return int(text)


def truth(text: str | None, attribute: str, element: Element) -> bool:
    """An attribute of ours that is true or false; absent is false."""
    if text not in (None, "true", "false"):
        element.fail(f"{attribute}={text!r}; expected true or false")
    return text == "true"


def value_of(text: str, type_: FieldType, what: str, element: Element) -> Value:
    """What `text` means for a field of this type, if it fits into one."""
    match type_:
        case IntegerType():
            return _number(text, type_, what, element)
        case BooleanType():
            if text.lower() not in ("true", "false", "1", "0"):
                element.fail(f"{what} {text!r}; expected true or false")
            return text.lower() in ("true", "1")
        case DigitsType(length=length):
            if not (text.isascii() and text.isdigit() and len(text) <= length):
                element.fail(f"{what} {text!r}; expected at most {length} digits")
            return int(text)
        case CharType(encoding=encoding):
            if len(text) != 1 or not _encodes(text, encoding):
                element.fail(f"{what} {text!r}; expected exactly one character of {encoding}")
            return text
        case TextType(length=length, encoding=encoding):
            if len(text) > length or not _encodes(text, encoding):
                element.fail(f"{what} {text!r}; expected at most {length} characters of {encoding}")
            return text.rstrip(" ")
        case CountedTextType(encoding=encoding):
            if len(text) > TEXT_LENGTH_MAX or not _encodes(text, encoding):
                element.fail(f"{what} {text!r}; expected characters of {encoding}")
            return text
        case _:
            element.fail(f"{what} {text!r}; expected none on a list, a record or an appendage")


def _number(text: str, type_: IntegerType, what: str, element: Element) -> Value:
    try:
        number = Decimal(text.strip())
        scaled = number.scaleb(type_.decimals)
        fits = scaled == scaled.to_integral_value() and type_.least <= scaled <= type_.greatest
    except InvalidOperation:
        fits = False
    if not fits:
        decimals = f" with at most {type_.decimals} decimals" if type_.decimals else ""
        sort = "a signed" if type_.signed else "an unsigned"
        element.fail(f"{what} {text!r}; expected {sort} number of {type_.width} bytes{decimals}")
    return number if type_.decimals else int(number)


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True

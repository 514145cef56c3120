"""What a generated function makes of the values it has read: a dict, a flat dict, or JSON text.

Knows how to write each value as Python source; where its bytes are found is known by source.py.
A value is a piece of source: an expression for dicts, the inside of an f-string for JSON.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

from gateway.decode import text
from gateway.decode.appendage import AppendageReader
from gateway.definitions.model import (
    BooleanType,
    CharType,
    DigitsType,
    IntegerType,
    ScalarType,
    TextType,
)

Namespace: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[str, str]

# The name of a value that is a dict whose names take part themselves; no field can be called so.
MERGED = "**"


class Form(Protocol):
    is_flat: ClassVar[bool]

    def __hash__(self) -> int: ...

    def scalar(self, type_: ScalarType, read: str, namespace: Namespace) -> str:
        """The value of what the expression `read` has read."""

    def counted_text(self, read: str) -> str: ...

    def record(self, pairs: Sequence[Pair]) -> str: ...

    def items(self, items: str) -> str:
        """The value of a list whose items were appended to the variable `items`."""

    def item(self, value: str) -> str:
        """The expression to append to a list for one item's value."""

    def result(self, pairs: Sequence[Pair]) -> str:
        """The expression a function returns for the message's fields."""

    def nested(self) -> "Form":
        """The form of what stands inside a list or an appendage."""

    def appendage(self, reader: AppendageReader, path: str) -> Callable[[bytes, int, int], Any]:
        """The function that reads the appendage at `path`."""

    def appendage_pair(self, name: str, value: str) -> Pair: ...


@dataclass(frozen=True, slots=True)
class DictForm:
    """Values as Python has them: int, str, bool, list, dict, and Decimal where there are decimals."""

    is_flat: ClassVar[bool] = False

    def scalar(self, type_: ScalarType, read: str, namespace: Namespace) -> str:
        match type_:
            case IntegerType(decimals=0) | DigitsType():
                return read
            case IntegerType(decimals=decimals):
                namespace[f"decimals_{decimals}"] = text.decimals_of(decimals)
                return f"decimals_{decimals}[{read}]"
            case BooleanType():
                namespace["booleans"] = text.BOOLEANS
                return f"booleans[{read}]"
            case CharType():
                namespace["chars"] = text.CHARS
                return f"chars[{read}]"
            case TextType(length=length) if length <= text.CACHED_TEXT_LENGTH_MAX:
                namespace["texts"] = text.TEXTS
                return f"texts[{read}]"
            case TextType():
                namespace["padded_text"] = text.padded_text
                return f"padded_text({read})"

    def counted_text(self, read: str) -> str:
        return f"{read}.decode('latin-1')"

    def record(self, pairs: Sequence[Pair]) -> str:
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in pairs) + "}"

    def items(self, items: str) -> str:
        return items

    def item(self, value: str) -> str:
        return value

    def result(self, pairs: Sequence[Pair]) -> str:
        return self.record(pairs)

    def nested(self) -> Form:
        return DictForm()

    def appendage(self, reader: AppendageReader, path: str) -> Callable[[bytes, int, int], Any]:
        return reader.to_dict

    def appendage_pair(self, name: str, value: str) -> Pair:
        return name, value


@dataclass(frozen=True, slots=True)
class FlatForm(DictForm):
    """A dict without dicts inside: the fields of records and appendages under dotted names."""

    is_flat: ClassVar[bool] = True

    def record(self, pairs: Sequence[Pair]) -> str:
        merged = (f"**{value}" if name == MERGED else f"{name!r}: {value}" for name, value in pairs)
        return "{" + ", ".join(merged) + "}"

    def appendage(self, reader: AppendageReader, path: str) -> Callable[[bytes, int, int], Any]:
        def read(buffer: bytes, at: int, end: int) -> dict[str, Any]:
            return {f"{path}.{name}": value for name, value in reader.to_dict(buffer, at, end).items()}

        return read

    def appendage_pair(self, name: str, value: str) -> Pair:
        return MERGED, value


@dataclass(frozen=True, slots=True)
class NothingForm(DictForm):
    """Nothing at all: what is left is the check that the message fits its definition."""

    def result(self, pairs: Sequence[Pair]) -> str:
        return "None"


@dataclass(frozen=True, slots=True)
class JsonForm:
    """The JSON text of an object without its outer braces, in ASCII."""

    is_flat: ClassVar[bool] = False

    def scalar(self, type_: ScalarType, read: str, namespace: Namespace) -> str:
        match type_:
            case IntegerType(decimals=0, signed=False, width=1 | 2):
                namespace["shorts"] = text.json_shorts()
                return f"{{shorts[{read}]}}"
            case IntegerType(decimals=0) | DigitsType():
                return f"{{{read}}}"
            case IntegerType(decimals=decimals):
                # Twice as fast as dividing when the price was seen before, as most were.
                namespace[f"decimals_{decimals}"] = text.json_decimals_of(decimals)
                return f"{{decimals_{decimals}[{read}]}}"
            case BooleanType():
                namespace["booleans"] = text.JSON_BOOLEANS
                return f"{{booleans[{read}]}}"
            case CharType():
                namespace["chars"] = text.JSON_CHARS
                return f"{{chars[{read}]}}"
            case TextType(length=length) if length <= text.CACHED_TEXT_LENGTH_MAX:
                namespace["texts"] = text.JSON_TEXTS
                return f"{{texts[{read}]}}"
            case TextType():
                namespace["json_padded_text"] = text.json_padded_text
                return f"{{json_padded_text({read})}}"

    def counted_text(self, read: str) -> str:
        return f"{{json_char_text({read})}}"

    def record(self, pairs: Sequence[Pair]) -> str:
        return "{{" + self._inside(pairs) + "}}"

    def items(self, items: str) -> str:
        return f"[{{comma({items})}}]"

    def item(self, value: str) -> str:
        return f"f'{value}'"

    def result(self, pairs: Sequence[Pair]) -> str:
        return f"f'{self._inside(pairs)}'"

    def nested(self) -> Form:
        return self

    def appendage(self, reader: AppendageReader, path: str) -> Callable[[bytes, int, int], Any]:
        return reader.to_json

    def appendage_pair(self, name: str, value: str) -> Pair:
        return name, f"{{{value}}}"

    def _inside(self, pairs: Sequence[Pair]) -> str:
        # Names are letters, digits and _ (the loader sees to it), so they need no escaping here.
        return ",".join(f'"{name}":{value}' for name, value in pairs)

"""What fields of control messages are made of: numbers, texts, choices, as subscribers write them.

Each type says in one sentence what it expects and what it got. Tolerates what the dialect's real
clients send (an empty string or null for a field that is not set, choices in any case) and nothing
else. Knows no message; those are in `control`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

_SHOWN_CHARS = 40
# What JSON parser and writer both carry: a signed or an unsigned 64-bit integer.
WHOLE_MIN, WHOLE_MAX = -(2**63), 2**64 - 1


def describe(value: Any) -> str:
    """A short word for any value, however large or deep."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]!r}…"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _expected(what: str, got: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "expected {what}, got {got}", {"what": what, "got": got})


def _whole(least: int, most: int, what: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _expected(what, describe(value))
        return value

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _expected("a text", describe(value))
    return value


def _secret(value: Any) -> str:
    # What was sent stays unsaid: errors end up in replies and logs.
    if not isinstance(value, str):
        raise _expected("a text", "something else")
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.casefold() in ("yes", "no", "true", "false"):
        return value.casefold() in ("yes", "true")
    raise _expected("true or false", describe(value))


def _name_or_names(value: Any) -> str | int | tuple[str, ...]:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    got = "a list with something else in it" if isinstance(value, list) and value else describe(value)
    raise _expected("a name or a list of names", got)


def _key(value: Any) -> Any:
    # The dialect has keys as flat text or as a JSON object; either comes back as it was.
    if not isinstance(value, str | dict):
        raise _expected("a key as text or as an object", describe(value))
    return value


Whole = Annotated[int, BeforeValidator(_whole(WHOLE_MIN, WHOLE_MAX, "a whole number"))]
Count = Annotated[int, BeforeValidator(_whole(0, WHOLE_MAX, "a whole number, 0 or more"))]
Milliseconds = Annotated[
    int, BeforeValidator(_whole(0, 2**31 - 1, "milliseconds, a whole number from 0 to 2147483647"))
]
SequenceNumber = Annotated[int, BeforeValidator(_whole(1, 2**63 - 1, "a sequence number, 1 or more"))]
HighwaterNs = Annotated[
    int, BeforeValidator(_whole(-1, WHOLE_MAX, "nanoseconds since the epoch, or -1 for from now on"))
]
Text = Annotated[str, BeforeValidator(_text)]
Secret = Annotated[str, BeforeValidator(_secret)]
Flag = Annotated[bool, BeforeValidator(_flag)]
NameOrNames = Annotated[str | int | tuple[str, ...], PlainValidator(_name_or_names)]
Key = Annotated[Any, PlainValidator(_key)]


def choice(kind: type[StrEnum], none: StrEnum | None = None) -> BeforeValidator:
    """A choice in any case; `none` is what the dialect's own word for "not set" stands for."""
    members: dict[str, StrEnum] = {member.value.casefold(): member for member in kind}
    if none is not None:
        members.setdefault("none", none)
    what = f"one of {', '.join(kind)}"

    def check(value: Any) -> StrEnum:
        try:
            return members[value.casefold()]
        except (AttributeError, KeyError):
            raise _expected(what, describe(value)) from None

    return BeforeValidator(check)


class Fields(BaseModel):
    """A JSON object whose fields have the dialect's own names. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """`""` stands where a number belongs in the vendor's samples; null is as good as absent."""
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise _expected("an object", describe(data))
        return {name: value for name, value in data.items() if value is not None and value != ""}

"""What is wrong with a setting, as one line: file, key, value, remedy.

Knows how pydantic tells an error and how the models are nested. Never shows a secret, nor what may be one
that stands in the wrong place.
"""

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AwareDatetime, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from gateway.settings.types import Section

Loc = tuple[str | int, ...]
ABSENT = object()
SHOWN_MAX = 80
# A key that looks like this may hold a secret, even if it is no key of ours.
SECRET = re.compile(r"pass|secret|sha256|pwd|token|key|(^|_)pin($|_)|auth|credential", re.IGNORECASE)
NOT_SECRET = re.compile(r"(_file|_max|_allowed|^keys)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting. `origin` is a file, or the name of an environment variable."""

    origin: str
    key: str
    value: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.key} = {self.value}: {self.remedy}"


def shown(key: str | int, value: object) -> str:
    """A value as a person may see it: as TOML writes it, shortened, secrets hidden."""
    name = str(key)
    if value is ABSENT:
        return "(absent)"
    if value == "":
        return '""'
    if not NOT_SECRET.search(name) and (SECRET.search(name) or get_close_matches(name, ["password"])):
        return "(hidden)"
    if isinstance(value, Mapping):
        return "(a table)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        # A name and password in front of an @ are a habit from URLs; sgw_… is a subscriber's key.
        text = re.sub(r"[^\s/@\"]+@|sgw_\w+", "(hidden)", str(value))
        return f'"{text}"' if len(text) <= SHOWN_MAX else f'"{text[:SHOWN_MAX]}…"'
    if isinstance(value, Sequence):
        if any(isinstance(each, Mapping | list | tuple) for each in value) or len(value) > 8:
            return f"(a list of {len(value)})"
        return f"[{', '.join(shown('', each) for each in value)}]"
    text = str(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelled name: the nearest one, or all there are."""
    names = list(known)
    near = get_close_matches(word.casefold(), names, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def plain(annotation: Any) -> Any:
    """A field's type without `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def section_in(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The table a field holds, if it holds one, and whether it is a list of them."""
    inner = plain(annotation)
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        return (item, True) if isinstance(item, type) and issubclass(item, Section) else (None, True)
    return (inner, False) if isinstance(inner, type) and issubclass(inner, Section) else (None, False)


def field_at(model: type[Section], loc: Loc) -> FieldInfo | None:
    """The field that `loc` leads to, or leads into, among the models; None where there is none."""
    field: FieldInfo | None = None
    inside: type[Section] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        if inside is None:
            return field
        field = inside.model_fields.get(part)
        if field is None:
            return None
        inside, _ = section_in(field.annotation)
    return field


def expectation(field: FieldInfo, name: str = "") -> str:
    """A sentence that says what a field takes. `name` is the way to it, as in `[[feeds.endpoints]]`."""
    inner = plain(field.annotation)
    bounds = {type(each): each for each in field.metadata}
    lowest, highest = bounds.get(Ge), bounds.get(Le)
    span = f" from {lowest.ge} to {highest.le}" if lowest and highest else ""
    if field.description:
        text = f"write {field.description}"
    elif inner is AwareDatetime:
        text = "write a moment with its zone, as in 2027-01-31T12:00:00Z"
    elif inner is bool:
        text = "write true or false"
    elif inner is int:
        text = f"write a whole number{span}"
    elif inner is float:
        text = f"write a number{span}"
    elif inner is Path:
        text = "write a path as text in quotes"
    elif get_origin(inner) is Literal:
        text = f"write one of {', '.join(get_args(inner))}"
    elif inner in (str, SecretStr):
        most = bounds.get(MaxLen)
        text = "write text in quotes" + (f", at most {most.max_length} characters" if most else "")
    else:
        table, is_list = section_in(inner)
        if is_list:
            sizes = [each for each in (bounds.get(MinLen), bounds.get(MaxLen)) if each]
            text = (
                f"write one or more tables in double brackets, [[{name}]]"
                if table
                else 'write a list, as in ["one", "two"]'
            )
            text += f", at most {sizes[-1].max_length}" if sizes and isinstance(sizes[-1], MaxLen) else ""
            if table:
                return text
        else:
            text = f"make it a table, [{name}]"
    default = field.default
    if default is PydanticUndefined or default is None or isinstance(default, Section | SecretStr):
        return text
    return f"{text} (default {shown('', default)})"


def _tables_with(key: str, model: type[Section], at: str = "") -> Iterator[str]:
    """The tables that have a key of this name, as they are written in the file."""
    for name, field in model.model_fields.items():
        table, is_list = section_in(field.annotation)
        if table is not None:
            way = f"{at}{name}"
            if key in table.model_fields:
                yield f"[[{way}]]" if is_list else f"[{way}]"
            yield from _tables_with(key, table, f"{way}.")


def remedy_for(error: ErrorDetails, model: type[Section]) -> str:
    """What the operator should do about an error that pydantic found."""
    loc, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        parent = field_at(model, loc[:-1]) if len(loc) > 1 else None
        inside = section_in(parent.annotation)[0] if parent else model
        known = inside.model_fields if inside else ()
        near = get_close_matches(str(loc[-1]).casefold(), known, 1)
        places = [] if near else list(_tables_with(str(loc[-1]), model))
        # In TOML a key belongs to the last table above it, so what is right may stand in the wrong place.
        where = f"it belongs to {' or '.join(places)}; write it below that line, above the next table"
        return f"unknown key; {where if places else did_you_mean(str(loc[-1]), known)}"
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    field = field_at(model, loc)
    if field is None:
        return error["msg"]
    text = expectation(field, ".".join(part for part in loc if isinstance(part, str)))
    inner = plain(field.annotation)
    if isinstance(loc[-1], int) and get_origin(inner) is tuple:
        inner = get_args(inner)[0]
        if get_origin(inner) is Literal:
            text = f"write one of {', '.join(get_args(inner))}"
    if kind == "missing":
        return f"it is required; {text}"
    if kind == "literal_error" and isinstance(error["input"], str):
        folded = {choice.casefold(): choice for choice in get_args(inner)}
        near = get_close_matches(error["input"].casefold(), folded, 1)
        return f"{text}; did you mean {folded[near[0]]}?" if near else text
    return text

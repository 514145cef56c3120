"""A REST request as a value: parameters without case, each checked, and nothing looked up yet.

Raises BadRequest with the parameter, what was wrong, and what was expected there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from gateway.errors import BadRequest
from gateway.mlink.view import View, parse_view
from gateway.mlink.where import Where, parse_where

PARAMETERS_MAX = 32
LIMIT_MAX = 10_000
ORDERS_MAX = 8
GROUPS_MAX = 4
MEASURES_MAX = 32
NAMES_MAX = 64
T = TypeVar("T")
_LIST = re.compile(r"[|,]")


class Command(StrEnum):
    GET_MSG_TYPES = "getmsgtypes"
    GET_SCHEMA = "getschema"
    GET_MSG = "getmsg"
    GET_MSGS = "getmsgs"
    GET_COUNT = "getcount"
    GET_AGGREGATE = "getaggregate"


# The dialect's short names.
_SHORT = {
    "c": "cmd",
    "mt": "msgtype",
    "pk": "pkey",
    "l": "limit",
    "v": "view",
    "w": "where",
    "o": "order",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One `field:DESC:ABS`; `field` is without case."""

    field: str
    descending: bool = False
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for."""

    command: Command
    msg_types: tuple[str, ...] = ()
    key: str | None = None
    view: str = ""
    parsed_view: View | None = None
    where: str = ""
    parsed_where: Where | None = None
    order: tuple[Order, ...] = ()
    limit: int = LIMIT_MAX
    group: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()


def parse_query(text: str) -> Query:
    """The part of an address behind the `?`."""
    given = _given(text)
    command = _command(given.get("cmd", ""))
    where, view = given.get("where", "").strip(), given.get("view", "").strip()
    return Query(
        command,
        tuple(_names(given, "msgtype", NAMES_MAX)),
        given.get("pkey"),
        view,
        parse_view(view) if view else None,
        where,
        parse_where(where) if where else None,
        _listed(given, "order", ORDERS_MAX, _order),
        _limit(given.get("limit", "")),
        tuple(name.casefold() for name in _names(given, "group", GROUPS_MAX)),
        tuple(name.casefold() for name in _names(given, "measure", MEASURES_MAX)),
    )


def _given(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX, errors="strict")
    except ValueError as exc:
        raise BadRequest(
            f"the address: {exc}; expected at most {PARAMETERS_MAX} parameters in UTF-8"
        ) from exc
    given: dict[str, str] = {}
    for name, value in pairs:
        folded = name.casefold()
        folded = _SHORT.get(folded, folded)
        if given.setdefault(folded, value) != value:
            raise BadRequest(f"{folded}: given twice, expected it once")
    return given


def _command(text: str) -> Command:
    try:
        return Command(text.strip().casefold())
    except ValueError:
        raise BadRequest(f"cmd: {text[:40]!r}, expected one of {', '.join(Command)}") from None


def _limit(text: str) -> int:
    if not text.strip():
        return LIMIT_MAX
    if re.fullmatch(r"\s*[0-9]{1,5}\s*", text, re.ASCII) is None or not 1 <= int(text) <= LIMIT_MAX:
        raise BadRequest(f"limit: {text[:40]!r}, expected a whole number from 1 to {LIMIT_MAX}")
    return int(text)


def _names(given: dict[str, str], name: str, most: int) -> tuple[str, ...]:
    return _listed(given, name, most, str)


def _listed(given: dict[str, str], name: str, most: int, make: Callable[[str], T]) -> tuple[T, ...]:
    text = given.get(name, "")
    if not text.strip():
        return ()
    parts = [part.strip() for part in _LIST.split(text)]
    if not all(parts) or len(parts) > most:
        raise BadRequest(f"{name}: {text[:40]!r}, expected at most {most} names with | between them")
    return tuple(make(part) for part in parts)


def _order(text: str) -> Order:
    field, *marks = (part.strip().casefold() for part in text.split(":"))
    if not field or not set(marks) <= {"asc", "desc", "abs"} or {"asc", "desc"} <= set(marks):
        raise BadRequest(f"order: {text[:40]!r}, expected field, field:DESC or field:ASC, then :ABS or not")
    return Order(field, "desc" in marks, "abs" in marks)

"""Puts records in the order that was asked for, in slices: no sort of all of them at once."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

from gateway.decode import MessageCodec
from gateway.errors import BadRequest
from gateway.net.rest.query import Order
from gateway.net.rest.records import Found

# Records that are sorted, or merged, in one turn of the loop.
RUN = 500

_ORDERED = (int, Decimal, str, bool)


class _Down:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: "_Down") -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and bool(other.value == self.value)


class Ranking:
    """Takes records as they are found, gives the first of them in order. Equal ones stay as found."""

    def __init__(self, order: Sequence[Order], codecs: Sequence[MessageCodec]) -> None:
        """BadRequest when a message has no such field, or one without an order."""
        self._order = order
        self._names = {codec: [_field(codec, each) for each in order] for codec in codecs}
        self._runs: list[list[tuple[Any, int, str]]] = [[]]
        self._taken = 0

    async def put(self, found: Found) -> None:
        """One more."""
        key = self._key(found.values(), self._names[found.codec])
        self._runs[-1].append((key, self._taken, found.text))
        self._taken += 1
        if len(self._runs[-1]) == RUN:
            self._runs[-1].sort()
            self._runs.append([])
            await asyncio.sleep(0)

    async def first(self, limit: int) -> list[str]:
        """The texts of the first `limit`."""
        self._runs[-1].sort()
        texts: list[str] = []
        for _, _, text in heapq.merge(*self._runs, key=itemgetter(0, 1)):
            if len(texts) == limit:
                break
            texts.append(text)
            if len(texts) % RUN == 0:
                await asyncio.sleep(0)
        return texts

    def _key(self, values: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
        key: list[Any] = []
        for name, order in zip(names, self._order, strict=True):
            value: Any = dug(values, name)
            # A field that a message does not carry stands behind all that do, in either direction.
            key.append(value is None)
            if value is None:
                key.append(0)
                continue
            if order.absolute:
                value = abs(value)
            key.append(_Down(value) if order.descending else value)
        return tuple(key)


def dug(values: Mapping[str, Any], path: str) -> Any:
    """The value of a field, dotted inside others; None where there is none."""
    value: Any = values
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def spelled(codec: MessageCodec, folded: str, parameter: str) -> str:
    """A field's name as the message spells it; BadRequest if it has none of that name."""
    for name in codec.field_types:
        # A view's key is called `ticker.tk`, as in filters.
        if name.casefold() in (folded, f"pkey.{folded}"):
            return name
    raise BadRequest(
        f"{parameter}: {codec.name} has no field {folded[:40]!r}, "
        f"expected one of {', '.join(codec.field_types)}"
    )


def _field(codec: MessageCodec, order: Order) -> str:
    name = spelled(codec, order.field, "order")
    kind = codec.field_types[name]
    if kind not in _ORDERED or (order.absolute and kind not in (int, Decimal)):
        raise BadRequest(f"order: {name} of {codec.name} can't be ordered{' by ABS' * order.absolute}")
    return name

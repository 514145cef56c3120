"""Counts, sums, least, greatest and mean of fields, by groups, over records as they come.

Sums are exact. Bounded: more than GROUPS_MAX groups, or values of one text field in a group, are refused.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

import orjson

from gateway.decode import MessageCodec
from gateway.errors import BadRequest
from gateway.net.rest.ranking import dug, spelled
from gateway.net.rest.records import Found

GROUPS_MAX = 10_000
VALUES_MAX = 1_000
# Enough for the sum of 10,000 numbers of 8 bytes with every digit.
_EXACT = Context(prec=60)
_MEAN = Context(prec=20)


@dataclass(slots=True)
class _Measure:
    """What is known of one field in one group."""

    count: int = 0
    total: Decimal = Decimal(0)
    least: Any = None
    greatest: Any = None
    values: Counter[str] = field(default_factory=Counter)

    def add_number(self, value: int | Decimal) -> None:
        self.count += 1
        self.total = _EXACT.add(self.total, Decimal(value))
        self.least = value if self.least is None else min(self.least, value)
        self.greatest = value if self.greatest is None else max(self.greatest, value)

    def add_text(self, value: str, name: str) -> None:
        self.count += 1
        self.values[value] += 1
        if len(self.values) > VALUES_MAX:
            raise BadRequest(f"measure: {name} has more than {VALUES_MAX} different values in one group")


@dataclass(slots=True)
class _Group:
    count: int = 0
    measures: dict[str, _Measure] = field(default_factory=dict)


class Aggregate:
    """Takes records, gives a message per group and measure: (mTyp, body)."""

    def __init__(self, group: Sequence[str], measure: Sequence[str], codecs: Sequence[MessageCodec]) -> None:
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._by = {codec: [_scalar(codec, each, "group") for each in group] for codec in codecs}
        self._of = {codec: [_scalar(codec, each, "measure") for each in measure] for codec in codecs}

    def put(self, found: Found) -> None:
        """One more; BadRequest when there are too many groups."""
        values = found.values()
        key = tuple(_text(dug(values, name)) for name in self._by[found.codec])
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) == GROUPS_MAX:
                raise BadRequest(f"group: more than {GROUPS_MAX} groups")
            group = self._groups[key] = _Group()
        group.count += 1
        for name in self._of[found.codec]:
            value = dug(values, name)
            measure = group.measures.setdefault(name, _Measure())
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                measure.add_number(value)
            elif value is not None:
                measure.add_text(_text(value), name)

    def messages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """AggregateCount for each group if nothing is measured, else one message for each field of it."""
        for key, group in sorted(self._groups.items()):
            keys = {f"key{at}": part for at, part in enumerate(key, 1)}
            if not group.measures:
                yield "AggregateCount", {**keys, "recCount": group.count}
            for name, measure in group.measures.items():
                head = {**keys, "name": name, "recCount": measure.count}
                if measure.values:
                    values = [{"value": value, "cnt": cnt} for value, cnt in measure.values.most_common()]
                    yield "AggregateString", {**head, "Value": values}
                elif measure.count:
                    numbers = {
                        "min": measure.least,
                        "max": measure.greatest,
                        "sum": measure.total,
                        "avg": _MEAN.divide(measure.total, measure.count),
                    }
                    yield "AggregateNumber", {**head, **{n: _exact(v) for n, v in numbers.items()}}


def _scalar(codec: MessageCodec, folded: str, parameter: str) -> str:
    name = spelled(codec, folded, parameter)
    if codec.field_types[name] is list:
        raise BadRequest(f"{parameter}: {name} of {codec.name} is a list, expected a single value")
    return name


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
    return str(value)


def _exact(value: int | Decimal) -> orjson.Fragment:
    """A number with every digit it has."""
    return orjson.Fragment(f"{value:f}" if isinstance(value, Decimal) else str(value))

"""Batches of messages as columns: what every table here is made of.

Knows messages and columns; knows neither pandas nor polars. A message's dict lives as long as its batch
does: objects that die young cost half of what those cost that wait to become rows.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from gateway.client.column import CATEGORY, Array, Column, Ready
from gateway.client.message import Batch
from gateway.client.rows import HEADER_FIELDS, SENT, SEQ, Part, Rows

# Rows of one form that wait as plain lists until they become a chunk of numpy's.
CHUNK_ROWS = 8_192
# Each table begins with these, as files do; a field of such a name stands as `field.NAME`.
MESSAGE, SRC, SESSION, SEQUENCE_NUMBER, SENT_AT = HEAD = (
    "message",
    "src",
    "session",
    "sequenceNumber",
    "sentAt",
)
# MLink's key stands around the ticker of a view's message; in a `where` it is left out too.
_KEY_PREFIX = "pkey."
_NO_TIME = np.datetime64("NaT", "us")

Body = Mapping[str, Any]
Keys = tuple[str, ...]


class _Form:
    """Rows of messages that have the same fields: of one type, as a rule."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.names = [*HEAD, *map(_name, keys)]
        self.lists: list[list[Any]] = [[] for _ in self.names]
        self.at: list[Array] = []

    @property
    def size(self) -> int:
        return len(self.lists[0])


class Columns:
    """Rows as they come. With `exact`, numbers that have a point are Decimals."""

    def __init__(self, *, exact: bool = False) -> None:
        self.rows = 0
        self._exact = exact
        self._forms: dict[Keys, _Form] = {}
        self._columns: dict[str, Column] = {name: Column() for name in HEAD}
        self._times: list[Array] = []
        # Which row each row of the columns is: they are filled form by form.
        self._order: list[Array] = []
        self._size = 0

    def add(self, batch: Batch) -> None:
        """Append a row for each message."""
        if isinstance(batch, Rows) and not self._exact:
            for part in batch.parts:
                self._add_part(part)
        else:
            self._add(batch.values, batch.texts, np.arange(self.rows, self.rows + len(batch)))
        self.rows += len(batch)

    def columns(self) -> Mapping[str, Column]:
        """All columns so far; `sentAt` is not among them, see `times`. Rows stand as `order` says."""
        for form in self._forms.values():
            self._make_chunk(form)
        return {name: column for name, column in self._columns.items() if name != SENT_AT}

    def times(self) -> Array:
        """When the gateway received each message, datetime64[us], UTC; call `columns` first."""
        return np.concatenate(self._times) if self._times else np.zeros(0, "datetime64[us]")

    def order(self) -> Array | None:
        """The index of each row in the columns, in the order of arrival; None: as they stand."""
        at = np.concatenate(self._order) if self._order else np.zeros(0, np.int64)
        return None if (at[1:] > at[:-1]).all() else np.argsort(at)

    def _add(self, values: Sequence[Body], texts: Sequence[bytes], rows: Array) -> None:
        if not values:
            return
        headers = [value["header"] for value in values]
        if self._exact:
            bodies = [json.loads(text, parse_float=Decimal)["message"] for text in texts]
        else:
            bodies = [value["message"] for value in values]
        if not self._add_alike(headers, bodies, rows):
            self._add_mixed(headers, bodies, rows)

    def _add_part(self, part: Part) -> None:
        rows = part.at + self.rows
        if not part.columns:
            self._add(part.values, (), rows)
            return
        # What came before stands before it, so that columns stand in the order in which they were seen.
        for form in self._forms.values():
            self._make_chunk(form)
        zeros = np.zeros(len(rows), np.int32)
        for name, key in zip((MESSAGE, SRC, SESSION), HEADER_FIELDS, strict=False):
            self._columns[name].take(Ready(CATEGORY, zeros, [part.header[key]]))
        self._columns[SEQUENCE_NUMBER].take(part.columns[SEQ])
        sent = part.columns.get(SENT)
        self._times.append(np.full(len(rows), _NO_TIME) if sent is None else _times(sent.texts)[sent.values])
        for path, ready in part.columns.items():
            if path[0] == "message":
                self._column(_name(".".join(path[1:]).removeprefix(_KEY_PREFIX))).take(ready)
        self._added(rows)

    def _add_alike(self, headers: Sequence[Body], bodies: Sequence[Body], rows: Array) -> bool:
        """The usual way: all of these messages have the same fields, which is found out on the way."""
        first = bodies[0]
        if dict in map(type, first.values()):
            return False
        keys = tuple(first)
        if set(map(len, bodies)) != {len(keys)}:
            return False
        try:
            lists = [[body[key] for body in bodies] for key in keys]
        except KeyError:
            return False
        form = self._forms.get(keys)
        if form is None:
            form = self._forms[keys] = _Form(keys)
        try:
            heads = [[header[key] for header in headers] for key in HEADER_FIELDS]
        except KeyError:
            # Sent without a number, best effort.
            heads = [[header.get(key) for header in headers] for key in HEADER_FIELDS]
        for whole, part in zip(form.lists, heads + lists, strict=True):
            whole += part
        form.at.append(rows)
        if form.size >= CHUNK_ROWS:
            self._make_chunk(form)
        return True

    def _add_mixed(self, headers: Sequence[Body], bodies: Sequence[Body], rows: Array) -> None:
        """Several types together, or objects inside of messages: form by form."""
        flattened = [flat(body) for body in bodies]
        groups: dict[Keys, list[int]] = {}
        for at, body in enumerate(flattened):
            groups.setdefault(tuple(body), []).append(at)
        for members in groups.values():
            self._add_alike([headers[at] for at in members], [flattened[at] for at in members], rows[members])

    def _make_chunk(self, form: _Form) -> None:
        if not form.size:
            return
        for name, values in zip(form.names, form.lists, strict=True):
            if name == SENT_AT:
                self._times.append(_times(values))
            else:
                self._column(name).add(values)
        self._added(np.concatenate(form.at))
        form.lists = [[] for _ in form.names]
        form.at = []

    def _column(self, name: str) -> Column:
        column = self._columns.setdefault(name, Column())
        column.skip(self._size - column.size)
        return column

    def _added(self, rows: Array) -> None:
        """These rows stand in their columns; in all others they have no value."""
        self._order.append(rows)
        self._size += len(rows)
        for name, column in self._columns.items():
            if name != SENT_AT:
                column.skip(self._size - column.size)


def _name(field: str) -> str:
    return f"field.{field}" if field in HEAD else field


def _times(texts: Sequence[str | None]) -> Array:
    # What arrived together has one time: each different text is read once.
    codes: dict[str | None, int] = {}
    for text in texts:
        codes.setdefault(text, len(codes))
    different = np.array([_NO_TIME if text is None else _time(text) for text in codes], "datetime64[us]")
    return different[np.fromiter(map(codes.__getitem__, texts), np.int64, len(texts))]


def _time(text: str) -> Any:
    try:
        return np.datetime64(text, "us")
    except ValueError:
        return _NO_TIME


def flat(body: Body, prefix: str = "") -> dict[str, Any]:
    """Objects inside of objects by dotted names, as a `where` calls them."""
    found: dict[str, Any] = {}
    for key, value in body.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found.update(flat(value, f"{name}."))
        else:
            found[name.removeprefix(_KEY_PREFIX)] = value
    return found

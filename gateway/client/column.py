"""One column of a table that grows: values as they come, in numpy's own types chunk by chunk.

Knows numpy; knows nothing of messages. A column's type follows from its values, for the definitions of the
messages stay with the gateway.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Different texts that a column may have and still be coded. One more, and what follows is kept as it is.
CATEGORIES_MAX = 65_536
# So many different texts are few, however few rows there are; beyond it, half of the rows.
CATEGORIES_SURE = 256

INT, UINT, FLOAT, BOOL = "int", "uint", "float", "bool"
DECIMAL, CATEGORY, TEXT, OBJECT, NOTHING = "decimal", "category", "text", "object", "nothing"
# What may hold whole numbers, and what numbers of which one has a point.
_HOLD = (((INT, np.int64), (UINT, np.uint64)), ((FLOAT, np.float64),))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows: `kind` says what `values` holds; of `category` they are codes, of `nothing` None."""

    kind: str
    size: int
    values: Array | None


@dataclass(frozen=True, slots=True)
class Ready:
    """Values that are in numpy's types already; of `category`, each is an index into `texts`."""

    kind: str
    values: Array
    texts: Sequence[str] = ()


class _Codes(dict[str, int]):
    """A number for each different text, given at its first sight."""

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self)
        return code


class Column:
    """Chunks in the order of the rows."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.size = 0
        self._codes = _Codes()

    def add(self, values: Sequence[Any]) -> None:
        """Append values as JSON gives them; None is none."""
        if not values:
            return
        types = set(map(type, values))
        if type(None) in types:
            # Rare, so it may be slow: the gateway leaves fields out of all messages of a type or of none.
            for is_none, run in groupby(values, lambda value: value is None):
                items = list(run)
                if is_none:
                    self.skip(len(items))
                else:
                    self.add(items)
            return
        self.chunks.append(self._chunk(values, types))
        self.size += len(values)

    def take(self, ready: Ready) -> None:
        """Append values that are ready."""
        kind, values = ready.kind, ready.values
        if kind == CATEGORY and len(self._codes) <= CATEGORIES_MAX:
            values = np.array([self._codes[text] for text in ready.texts], np.int32)[values]
        elif kind == CATEGORY:
            kind, values = TEXT, _objects(ready.texts)[values]
        self.chunks.append(Chunk(kind, len(values), values))
        self.size += len(values)

    def skip(self, size: int) -> None:
        """Append rows without a value."""
        if size:
            self.chunks.append(Chunk(NOTHING, size, None))
            self.size += size

    def _chunk(self, values: Sequence[Any], types: set[type]) -> Chunk:
        size = len(values)
        if types == {str} and len(self._codes) <= CATEGORIES_MAX:
            return Chunk(CATEGORY, size, np.fromiter(map(self._codes.__getitem__, values), np.int32, size))
        if types == {bool}:
            return Chunk(BOOL, size, np.array(values))
        if types <= {int, float}:
            for kind, dtype in _HOLD[float in types]:
                # Left to itself, numpy would make floats of whole numbers on both sides of 2**63.
                with suppress(OverflowError):
                    return Chunk(kind, size, np.array(values, dtype))
            return Chunk(OBJECT, size, _objects(values))
        if Decimal in types and types <= {Decimal, int}:
            return Chunk(DECIMAL, size, _objects(values))
        return Chunk(TEXT if types == {str} else OBJECT, size, _objects(values))

    # What it came to.

    @property
    def categories(self) -> list[str]:
        """The different texts, in the order of their codes."""
        return list(self._codes)

    @property
    def has_missing(self) -> bool:
        """Whether a row has no value."""
        return any(chunk.kind == NOTHING for chunk in self.chunks)

    @property
    def kind(self) -> str:
        """The narrowest kind that holds all rows; `nothing` when none has a value."""
        kinds = {chunk.kind for chunk in self.chunks} - {NOTHING}
        if not kinds:
            return NOTHING
        if kinds == {CATEGORY}:
            return CATEGORY if len(self._codes) <= max(CATEGORIES_SURE, self.size // 2) else TEXT
        if len(kinds) == 1:
            return kinds.pop()
        if kinds == {INT, UINT}:
            return OBJECT if any(map(_is_negative, self.chunks)) else UINT
        for wide, held in ((FLOAT, {INT, UINT}), (DECIMAL, {INT, UINT}), (TEXT, {CATEGORY})):
            if kinds <= held | {wide}:
                return wide
        return OBJECT

    def mask(self) -> Array:
        """True where a row has no value."""
        return _joined([np.full(chunk.size, chunk.kind == NOTHING) for chunk in self.chunks], np.bool_)

    def codes(self) -> Array:
        """Of a `category`: each row's index into `categories`, -1 where there is no value."""
        return _joined(
            [np.full(c.size, -1, np.int32) if c.values is None else c.values for c in self.chunks], np.int32
        )

    def array(self, dtype: Any, missing: Any) -> Array:
        """All rows as this type, `missing` where there is no value."""
        return _joined([self._as(chunk, np.dtype(dtype), missing) for chunk in self.chunks], dtype)

    def objects(self) -> Array:
        """All rows as Python's own values, None where there is none."""
        array = self.array(object, None)
        if self.kind == DECIMAL:
            array = _objects([value if value is None else Decimal(value) for value in array.tolist()])
        return array

    def _as(self, chunk: Chunk, dtype: "np.dtype[Any]", missing: Any) -> Array:
        if chunk.values is None:
            return np.full(chunk.size, missing, dtype)
        if chunk.kind == CATEGORY:
            return _objects(self.categories)[chunk.values]
        return chunk.values.astype(dtype, copy=False)


def _joined(parts: list[Array], dtype: Any) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    for at, value in enumerate(values):
        # One by one: of lists, numpy would make rows and columns.
        array[at] = value
    return array


def _is_negative(chunk: Chunk) -> bool:
    return chunk.kind == INT and chunk.values is not None and bool((chunk.values < 0).any())

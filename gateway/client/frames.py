"""Columns as a DataFrame of pandas or polars, each with the type that its values are.

Knows pandas and polars, loaded when they are asked for; knows nothing of streams.

| values | pandas | polars |
|---|---|---|
| sequence numbers | uint64 | UInt64 |
| whole numbers | int64, uint64 beyond it | Int64, UInt64 |
| numbers with a point | float64; of `exact`: Decimal objects | Float64; Decimal |
| few different texts | category | Categorical |
| times since midnight | timedelta64[ns]; with a day: datetime64[ns] | Duration; Datetime |
| times since 1970, `sentAt` | datetime64[ns, UTC] | Datetime, UTC |
"""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Literal

import numpy as np

from gateway.client import column as kinds
from gateway.client.column import Array, Column
from gateway.client.columns import SENT_AT, SEQUENCE_NUMBER, SESSION, SRC, Columns
from gateway.client.extras import need
from gateway.errors import BadRequest

Into = Literal["pandas", "polars"]
Table = Any

# Fields that hold nanoseconds, by their names; whether since midnight or since 1970 their size tells.
TIME_FIELDS = ("timestamp", "srcTimestamp", "prtTimestamp", "netTimestamp", "barTime")
DAY_NS = 86_400 * 10**9
# What always is a category: the same few for a whole day.
_LABELS = (SRC, SESSION, "message")


class Times:
    """How whole numbers become times: those of `fields`; since midnight of `day`, if that is known."""

    def __init__(self, fields: Sequence[str] = TIME_FIELDS, day: date | str | None = None) -> None:
        self._fields = frozenset(fields)
        try:
            self._day = None if day is None else np.datetime64(day, "D")
        except ValueError as error:
            raise BadRequest(f"day {day!r}: expected a date such as 2026-01-30") from error

    def of(self, name: str, column: Column) -> tuple[str, Array] | None:
        """`duration`, `local` or `utc`, and the values as such; None if the column holds no times."""
        if name not in self._fields or column.kind not in (kinds.INT, kinds.UINT):
            return None
        mask, ns = column.mask(), column.array(np.int64, 0)
        known = ns[~mask]
        # A time since 1970 is 0 only where it was never set.
        if known.size and known.max() >= DAY_NS:
            times = ns.astype("datetime64[ns]")
            times[mask | (ns == 0)] = np.datetime64("NaT", "ns")
            return "utc", times
        since = ns.astype("timedelta64[ns]")
        since[mask] = np.timedelta64("NaT", "ns")
        return ("duration", since) if self._day is None else ("local", self._day + since)


def to_frame(columns: Columns, into: Into, times: Times) -> Table:
    """The rows so far as a table, in the order they arrived."""
    makers: dict[str, Callable[[Columns, Times], Table]] = {"pandas": to_pandas, "polars": to_polars}
    if into not in makers:
        raise BadRequest(f'into {into!r}: expected "pandas" or "polars"')
    return makers[into](columns, times)


def check(into: Into) -> None:
    """BadRequest when the package for such tables is not installed: told before anything is read."""
    if into == "pandas":
        need("pandas", "a pandas DataFrame", "notebook")
    elif into == "polars":
        need("polars", "a polars DataFrame", "polars")
    else:
        raise BadRequest(f'into {into!r}: expected "pandas" or "polars"')


def to_pandas(columns: Columns, times: Times) -> Table:
    """A pandas DataFrame with a plain index from 0."""
    pandas = need("pandas", "a pandas DataFrame", "notebook")
    made: dict[str, Any] = {}
    for name, column in columns.columns().items():
        time = times.of(name, column)
        if time is not None:
            what, values = time
            made[name] = pandas.Series(values)
            if what == "utc":
                made[name] = made[name].dt.tz_localize("UTC")
        else:
            made[name] = _pandas_series(pandas, name, column)
        if name == SEQUENCE_NUMBER:
            made[SENT_AT] = pandas.Series(columns.times().astype("datetime64[ns]")).dt.tz_localize("UTC")
    frame = pandas.DataFrame(made)
    order = columns.order()
    return frame if order is None else frame.take(order).reset_index(drop=True)


def _pandas_series(pandas: Any, name: str, column: Column) -> Any:
    kind = _kind(name, column)
    if kind == kinds.CATEGORY:
        return pandas.Series(pandas.Categorical.from_codes(column.codes(), column.categories))
    if kind in (kinds.INT, kinds.UINT, kinds.BOOL):
        dtype = {kinds.INT: "int64", kinds.UINT: "uint64", kinds.BOOL: "bool"}[kind]
        values = column.array(dtype, 0)
        if not column.has_missing:
            return pandas.Series(values)
        # Nullable types: a float would lose digits of a number where another row has none.
        of = pandas.arrays.BooleanArray if kind == kinds.BOOL else pandas.arrays.IntegerArray
        return pandas.Series(of(values, column.mask()))
    if kind == kinds.FLOAT:
        return pandas.Series(column.array(np.float64, np.nan))
    if kind == kinds.TEXT:
        return pandas.Series(column.objects(), dtype="str" if pandas.__version__ >= "3" else object)
    return pandas.Series(column.objects(), dtype=object)


def to_polars(columns: Columns, times: Times) -> Table:
    """A polars DataFrame."""
    polars = need("polars", "a polars DataFrame", "polars")
    made: dict[str, Any] = {}
    for name, column in columns.columns().items():
        time = times.of(name, column)
        if time is not None:
            what, values = time
            made[name] = polars.Series(name, values)
            if what == "utc":
                made[name] = made[name].dt.replace_time_zone("UTC")
        else:
            made[name] = _polars_series(polars, name, column)
        if name == SEQUENCE_NUMBER:
            sent_at = polars.Series(SENT_AT, columns.times().astype("datetime64[ns]"))
            made[SENT_AT] = sent_at.dt.replace_time_zone("UTC")
    frame = polars.DataFrame(made)
    order = columns.order()
    return frame if order is None else frame[order]


def _polars_series(polars: Any, name: str, column: Column) -> Any:
    kind = _kind(name, column)
    if kind == kinds.CATEGORY:
        # By their codes: a string for each row would have to be made and looked up again.
        names = polars.Series(name, [*column.categories, None], dtype=polars.String)
        return names.cast(polars.Categorical).gather(column.codes() % len(names))
    if kind in (kinds.INT, kinds.UINT, kinds.BOOL, kinds.FLOAT):
        dtype = {kinds.INT: np.int64, kinds.UINT: np.uint64, kinds.BOOL: np.bool_}.get(kind, np.float64)
        series = polars.Series(name, column.array(dtype, 0))
        if column.has_missing:
            series = series.set(polars.Series(column.mask()), None)
        return series
    values = column.objects().tolist()
    if kind == kinds.TEXT:
        return polars.Series(name, values, dtype=polars.String)
    if kind == kinds.DECIMAL:
        scale = max((-value.as_tuple().exponent for value in values if value is not None), default=0)
        return polars.Series(name, values, dtype=polars.Decimal(38, max(scale, 0)))
    if kind == kinds.NOTHING:
        return polars.Series(name, values, dtype=polars.Null)
    try:
        return polars.Series(name, values)
    except (TypeError, polars.exceptions.PolarsError):
        return polars.Series(name, values, dtype=polars.Object)


def _kind(name: str, column: Column) -> str:
    kind = column.kind
    if name == SEQUENCE_NUMBER and kind == kinds.INT:
        return kinds.UINT
    if name in _LABELS and kind in (kinds.TEXT, kinds.NOTHING):
        return kinds.CATEGORY
    return kind

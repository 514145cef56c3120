"""Messages to a file: JSON lines, CSV, or Parquet.

Knows rows and columns; where messages come from is not known here. Loaded only by who writes files.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from gateway.client.message import Message
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from typing import Self

FORMATS = ("jsonl", "csv", "parquet")
# Rows of one Parquet row group: what is held in memory until it is written.
ROW_GROUP_MAX = 50_000
# Each table begins with these, and ends with `more`: fields as JSON that the first messages did not have.
HEAD = ("message", "src", "session", "sequenceNumber", "sentAt")
MORE = "more"


class MessageFile(Protocol):
    """A file that takes messages and is whole once it is closed."""

    def write(self, message: Message) -> None: ...

    def flush(self) -> None: ...

    def __enter__(self) -> "Self": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def format_of(path: Path, wanted: str | None) -> str:
    """The format by its name, else by the file's suffix."""
    name = (wanted or path.suffix.removeprefix(".") or "jsonl").casefold()
    name = {"json": "jsonl", "ndjson": "jsonl", "pq": "parquet"}.get(name, name)
    if name not in FORMATS:
        raise BadRequest(f"output {path}: format {name!r}, expected one of {', '.join(FORMATS)}")
    return name


def open_file(path: Path, wanted: str | None, *, overwrite: bool) -> MessageFile:
    """A new file. One that is there already is only replaced when that is wanted."""
    name = format_of(path, wanted)
    if path.exists() and not overwrite:
        raise BadRequest(f"output {path} is there already; choose another name, or --overwrite")
    try:
        match name:
            case "csv":
                return CsvFile(path)
            case "parquet":
                return ParquetFile(path)
        return JsonLines(path)
    except OSError as error:
        raise BadRequest(f"output {path} can't be written: {error.strerror}") from error


class JsonLines:
    """One message a line, exactly as received."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, message: Message) -> None:
        self._file.write(message.raw + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class CsvFile:
    """A table whose columns are those of the first message; what others have beyond them stands in `more`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._columns: tuple[str, ...] | None = None

    def write(self, message: Message) -> None:
        fields = message.exact_fields()
        if self._columns is None:
            self._columns = tuple(fields)
            self._rows.writerow((*HEAD, *self._columns, MORE))
        cells = [_cell(fields.pop(name, None)) for name in self._columns]
        self._rows.writerow((*_head(message), *cells, _json(fields) if fields else None))

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class ParquetFile:
    """Columns and their types are those of the first row group; what does not fit them stands in `more`.

    Prices are 64-bit floats. The file can be read once it is closed: its index is written last.
    """

    def __init__(self, path: Path, row_group_max: int = ROW_GROUP_MAX) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise BadRequest(
                f"output {path}: Parquet needs pyarrow: pip install 'soup-gateway[parquet]'"
            ) from error
        self._arrow = pyarrow
        self._path = path
        self._max = row_group_max
        self._waiting: list[Message] = []
        self._file = path.open("wb")
        self._writer: Any = None
        self._kinds: dict[str, type] = {}

    def write(self, message: Message) -> None:
        self._waiting.append(message)
        if len(self._waiting) >= self._max:
            self._write_group()

    def flush(self) -> None:
        # A row group per moment would make a file that nobody can read fast.
        pass

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._waiting or self._writer is None:
                self._write_group()
            self._writer.close()
        finally:
            self._file.close()

    def _write_group(self) -> None:
        arrow, waiting = self._arrow, self._waiting
        self._waiting = []
        if self._writer is None:
            self._kinds = _kinds(waiting)
            types = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), str: arrow.string()}
            schema = arrow.schema(
                [(HEAD[0], arrow.string()), (HEAD[1], arrow.string()), (HEAD[2], arrow.string())]
                + [(HEAD[3], arrow.int64()), (HEAD[4], arrow.timestamp("us", "UTC"))]
                + [(name, types[kind]) for name, kind in self._kinds.items()]
                + [(MORE, arrow.string())]
            )
            self._schema = schema
            self._writer = arrow.parquet.ParquetWriter(self._file, schema)
        columns: list[list[Any]] = [[] for _ in self._schema]
        for message in waiting:
            fields = dict(message.fields)
            row = [*_head(message)[:-1], message.sent_at]
            for name, kind in self._kinds.items():
                value = fields.get(name)
                row.append(_fitting(value, kind))
                if value is None or row[-1] is not None:
                    fields.pop(name, None)
            row.append(_json(fields) if fields else None)
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        arrays = [
            self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


def _head(message: Message) -> tuple[Any, ...]:
    return (
        message.type,
        message.src,
        message.session,
        message.sequence_number,
        message.header.get("sTim"),
    )


def _kinds(messages: Iterable[Message]) -> dict[str, type]:
    """The type of each field's column: whole numbers become floats where one of them has a point."""
    kinds: dict[str, type] = {}
    for message in messages:
        for name, value in message.fields.items():
            if value is None:
                continue
            kind = type(value) if isinstance(value, bool | int | float) else str
            had = kinds.setdefault(name, kind)
            if had is not kind:
                kinds[name] = float if {had, kind} == {int, float} else str
    taken = {*HEAD, MORE}
    return {name: kind for name, kind in kinds.items() if name not in taken}


def _fitting(value: Any, kind: type) -> Any:
    """The value as its column has it, None when it does not fit."""
    if value is None:
        return None
    if kind is str:
        return value if isinstance(value, str) else _json(value)
    if kind is bool or isinstance(value, bool):
        return value if type(value) is kind else None
    if kind is float and isinstance(value, int | float):
        return float(value)
    return value if isinstance(value, int) and kind is int and -(2**63) <= value < 2**63 else None


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, dict | list) else value


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()

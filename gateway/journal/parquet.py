"""Messages as a Parquet file: one row per message, one column per field of any message.

Knows columns and their types; pyarrow, which is optional, is loaded here and nowhere else.
"""

import json
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.decode import Codecs, MessageCodec
from gateway.definitions.model import (
    BooleanType,
    CharType,
    CountedTextType,
    DigitsType,
    Field,
    IntegerType,
    TextType,
)
from gateway.errors import ConfigError, DecodeError
from gateway.journal.messages import Messages
from gateway.values import Block

# Rows of one row group: what is in memory at once.
ROWS = 50_000
# Digits of a 64-bit number; a decimal has so many.
DIGITS = 20


class ParquetFile:
    """Takes blocks, writes rows: session, sequence, received, message, then a column per field.

    A field that two messages have in different types has a column for each, named `Message.field`. What
    can't be decoded has its bytes in column `undecodable`. Gaps have no row: the numbers tell.
    """

    def __init__(self, path: Path, codecs: Codecs, messages: Messages, names: Collection[str] = ()) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as exc:
            raise ConfigError("Parquet needs pyarrow: pip install 'soup-gateway[parquet]'") from exc
        chosen = [codec for codec in codecs.by_name.values() if not names or codec.name in names]
        kinds = _kinds(chosen)
        # By message: field → column.
        self._columns = {codec.name: _columns(codec, kinds) for codec in chosen}
        fields = {
            column: _arrow_type(pyarrow, kind)
            for codec in chosen
            for column, kind in _columns_and_kinds(codec, self._columns[codec.name])
        }
        words = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
        self._schema = pyarrow.schema(
            {
                "session": words,
                "sequence": pyarrow.uint64(),
                "received": pyarrow.timestamp("ns", tz="UTC"),
                "message": words,
                **fields,
                "undecodable": pyarrow.binary(),
            }
        )
        self._pyarrow = pyarrow
        self._messages = messages
        self._only_named = bool(names)
        self._rows: list[dict[str, Any]] = []
        self._file = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()

    def put(self, block: Block) -> int:
        """Add the block's messages; returns how many rows that were."""
        before = len(self._rows)
        for seq, payload in block.payloads():
            row: dict[str, Any] = {"session": block.session, "sequence": seq, "received": block.received_ns}
            try:
                codec, values = self._messages.decoded(block.session, seq, payload)
                columns = self._columns.get(codec.name)
                if columns is None:
                    continue
                row["message"] = codec.name
                for name, value in values.items():
                    if isinstance(value, dict | list):
                        value = json.dumps(value, default=str)
                    row[columns[name]] = value
            except DecodeError:
                if self._only_named:
                    continue
                row["undecodable"] = payload
            self._rows.append(row)
        added = len(self._rows) - before
        if len(self._rows) >= ROWS:
            self._flush()
        return added

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._pyarrow.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def _kinds(codecs: Collection[MessageCodec]) -> dict[str, set[str]]:
    """All kinds that a field has in any message."""
    found: dict[str, set[str]] = {}
    for codec in codecs:
        for field in codec.definition.fields:
            found.setdefault(field.name, set()).add(_kind(field))
        if codec.added_ticker is not None:
            found.setdefault(codec.added_ticker, set()).add("text")
    return found


def _columns(codec: MessageCodec, kinds: dict[str, set[str]]) -> dict[str, str]:
    """Field → column of one message."""
    names = [field.name for field in codec.definition.fields]
    if codec.added_ticker is not None:
        names.append(codec.added_ticker)
    taken = ("session", "sequence", "received", "message", "undecodable")
    return {
        name: name if len(kinds[name]) == 1 and name not in taken else f"{codec.name}.{name}"
        for name in names
    }


def _columns_and_kinds(codec: MessageCodec, columns: dict[str, str]) -> list[tuple[str, str]]:
    found = [(columns[field.name], _kind(field)) for field in codec.definition.fields]
    if codec.added_ticker is not None:
        found.append((columns[codec.added_ticker], "text"))
    return found


def _kind(field: Field) -> str:
    match field.type:
        case IntegerType(decimals=decimals) if decimals:
            return f"decimal {decimals}"
        case IntegerType(signed=signed):
            return "signed" if signed else "unsigned"
        case DigitsType(length=length):
            return "unsigned" if length < DIGITS else "decimal 0"
        case BooleanType():
            return "boolean"
        case CharType() | TextType() | CountedTextType():
            return "text"
        case _:
            return "json"


def _arrow_type(pyarrow: Any, kind: str) -> Any:
    if kind.startswith("decimal "):
        return pyarrow.decimal128(DIGITS, int(kind.removeprefix("decimal ")))
    types = {"signed": pyarrow.int64, "unsigned": pyarrow.uint64, "boolean": pyarrow.bool_}
    return types.get(kind, pyarrow.string)()

"""A message's codec: functions compiled once from its definition.

Knows one message. All functions take (buffer, start, end): `start` is the offset of the id byte in
`buffer`, `end` one past the message's last byte; bytes around it are never looked at. A message
that is shorter or longer than its definition allows raises DecodeError.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from gateway.decode.encoder import compiled_encoder
from gateway.decode.forms import DictForm, FlatForm, JsonForm, NothingForm
from gateway.decode.source import compiled
from gateway.decode.text import padded_text
from gateway.definitions.model import (
    AppendageType,
    ArrayType,
    BooleanType,
    DigitsType,
    Field,
    IntegerType,
    MessageDefinition,
    RecordType,
    TextType,
)
from gateway.errors import BadRequest

Decode: TypeAlias = Callable[[bytes, int, int], dict[str, Any]]
Write: TypeAlias = Callable[[bytes, int, int], str]
WriteWithTicker: TypeAlias = Callable[[bytes, int, int, str], str]
Check: TypeAlias = Callable[[bytes, int, int], None]
Key: TypeAlias = Callable[[bytes, int, int], str | None]

# Views and filters are subscribers' wishes. Above this many the oldest is forgotten, and made again if asked.
WISHES_KEPT_MAX = 256

F = TypeVar("F")


class MessageCodec:
    """Reads and writes one message of one definition.

    `decode` gives a dict (numbers with decimals are `Decimal`, exact), `write` the inside of a JSON object.
    `field_types` maps the name of each field, dotted inside records and appendages, to its Python type.
    """

    def __init__(self, definition: MessageDefinition, ticker_name: str | None = None) -> None:
        self.definition = definition
        self.name = definition.name
        self.id_byte = definition.id_byte
        ticker, locate = definition.ticker_field, definition.locate_field
        self.ticker_at: tuple[int, int] | None = None
        if ticker is not None and isinstance(ticker.type, TextType):
            self.ticker_at = definition.offsets[ticker.name], ticker.type.length
        self.locate_at = None if locate is None else definition.offsets[locate.name]
        has_name = any(each.name == ticker_name for each in definition.fields)
        self.added_ticker = None if ticker or not locate or has_name else ticker_name
        """The name under which the directory's ticker is added, for a message that carries only a code."""
        self.field_types: Mapping[str, type] = MappingProxyType(_field_types(definition, self.added_ticker))
        self.decode: Decode = compiled(definition, DictForm())
        self.write: Write = compiled(definition, JsonForm())
        self.write_with_ticker: WriteWithTicker = self._compiled_with_ticker(None)
        self.encode = compiled_encoder(definition)
        self.key: Key = self._compiled_key()
        self.check: Check = compiled(definition, NothingForm(), ())
        self._writers: dict[frozenset[str], Write] = {}
        self._writers_with_ticker: dict[frozenset[str], WriteWithTicker] = {}
        self._decoders: dict[frozenset[str], Decode] = {}

    def __repr__(self) -> str:
        return f"MessageCodec({self.name})"

    def locate(self, buffer: bytes, start: int) -> int | None:
        """The locate code of a message whose length was checked before."""
        if self.locate_at is None:
            return None
        at = start + self.locate_at
        return buffer[at] << 8 | buffer[at + 1]

    def ticker(self, buffer: bytes, start: int) -> str | None:
        """The ticker that the message itself carries; its length was checked before."""
        if self.ticker_at is None:
            return None
        at = start + self.ticker_at[0]
        return padded_text(buffer[at : at + self.ticker_at[1]])

    def writer(self, fields: Collection[str]) -> Write:
        """A `write` of some fields only, in the definition's order; key fields are always among them."""
        names = self._known(fields) | frozenset(self.definition.key)
        return _kept(self._writers, names, lambda: compiled(self.definition, JsonForm(), names))

    def writer_with_ticker(self, fields: Collection[str]) -> WriteWithTicker:
        """As `writer`; the added ticker is written if it is one of `fields`."""
        names = self._known(fields) | frozenset(self.definition.key)
        return _kept(self._writers_with_ticker, names, lambda: self._compiled_with_ticker(names))

    def decode_fields(self, fields: Collection[str]) -> Decode:
        """A `decode` of some fields only, into a flat dict with dotted names; what a filter needs."""
        names = self._known(fields)
        return _kept(self._decoders, names, lambda: compiled(self.definition, FlatForm(), names))

    def ticker_of_key(self, key: str) -> str | None:
        """The ticker in a record's key, None if its key has none."""
        ticker = self.definition.ticker_field
        if ticker is None or ticker.name not in self.definition.key:
            return None
        # Tickers hold no mark between parts, so a plain split finds theirs.
        return key.split("|")[self.definition.key.index(ticker.name)]

    def _known(self, fields: Collection[str]) -> frozenset[str]:
        for name in fields:
            if name not in self.field_types and not any(
                each.startswith(f"{name}.") for each in self.field_types
            ):
                expected = ", ".join(self.field_types)
                raise BadRequest(f"{self.name} has no field {name!r}; expected one of {expected}")
        return frozenset(fields)

    def _compiled_with_ticker(self, names: frozenset[str] | None) -> WriteWithTicker:
        if self.added_ticker is not None and (names is None or self.added_ticker in names):
            return compiled(self.definition, JsonForm(), names, self.added_ticker)
        write = self.write if names is None else self.writer(names)
        return lambda buffer, start, end, ticker_json: write(buffer, start, end)

    def _compiled_key(self) -> Key:
        definition = self.definition
        if definition.kind == "event":
            return lambda buffer, start, end: None
        decode = compiled(definition, DictForm(), definition.key)
        if len(definition.key) == 1:
            (name,) = definition.key
            return lambda buffer, start, end: str(decode(buffer, start, end)[name])

        return lambda buffer, start, end: self.key_text(decode(buffer, start, end))

    def key_text(self, values: Mapping[str, Any]) -> str:
        """The key as `key` gives it, from values of the key fields; KeyError names one that is missing."""
        parts = [str(values[name]) for name in self.definition.key]
        return parts[0] if len(parts) == 1 else "|".join(map(_escaped, parts))

    def read_key(self, text: str) -> str:
        """The key as `key` gives it, from how a subscriber writes it as one text."""
        return text


def _escaped(part: str) -> str:
    """One part of a key in several; what looks like the mark between parts is marked itself."""
    return part.replace("\\", "\\\\").replace("|", "\\|") if "|" in part or "\\" in part else part


def _kept(kept: dict[frozenset[str], F], names: frozenset[str], make: Callable[[], F]) -> F:
    if names not in kept:
        if len(kept) >= WISHES_KEPT_MAX:
            del kept[next(iter(kept))]
        kept[names] = make()
    return kept[names]


def _field_types(definition: MessageDefinition, added: str | None) -> dict[str, type]:
    types: dict[str, type] = {}
    for each in definition.fields:
        _add_types(each, "", types)
    return types | ({added: str} if added else {})


def _add_types(each: Field, prefix: str, types: dict[str, type]) -> None:
    path = prefix + each.name
    match each.type:
        case RecordType(fields=fields):
            for inner in fields:
                _add_types(inner, f"{path}.", types)
        case AppendageType(tags=tags):
            for inner in tags.values():
                _add_types(inner, f"{path}.", types)
        case IntegerType(decimals=decimals):
            types[path] = Decimal if decimals else int
        case DigitsType():
            types[path] = int
        case BooleanType():
            types[path] = bool
        case ArrayType():
            types[path] = list
        case _:
            types[path] = str

"""The messages that views give, as definitions and codecs: to everyone else, messages like all others.

Knows their fields and what MLink calls them; knows nothing of how they come about. A view's message carries
its ticker as MLink's key, `pkey.ticker` with `at`, `ts` and `tk`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.decode import Codecs, MessageCodec
from gateway.decode.codec import Key
from gateway.decode.text import TEXTS
from gateway.definitions.model import (
    ArrayType,
    Field,
    IntegerType,
    MessageDefinition,
    RecordType,
    TextType,
    lengths_of,
    offsets_of,
)
from gateway.errors import ConfigError
from gateway.views import ticker_key
from gateway.views.itch import STOCK_SIZE, check

QUOTE, PRINT, DEPTH, BAR = "StockBookQuote", "StockPrint", "BookDepth", "Bar"
DEPTH_DEFAULT, DEPTH_MAX = 10, 50
UNITS_NS: Mapping[str, int] = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
BAR_MAX_NS = 24 * UNITS_NS["h"]
EXPECTED = (
    f"{QUOTE}, {PRINT}, {DEPTH} or {DEPTH}1 … {DEPTH}{DEPTH_MAX}, and {BAR}1s, {BAR}1m, {BAR}1h or the like"
)

# Behind the id byte: what every view's message begins with.
KEY_FORMAT = "B3s3s8s"
ASSET_TYPE, TICKER_SOURCE = ticker_key.ASSET_TYPE.encode(), ticker_key.TICKER_SOURCE.encode()
TICKER_AT = 1 + 3 + 3

_TICKER = RecordType(
    "TickerKey", (Field("at", TextType(3)), Field("ts", TextType(3)), Field("tk", TextType(STOCK_SIZE)))
)
_KEY = Field("pkey", RecordType("PKey", (Field("ticker", _TICKER),)))
_WORD = TextType(12)
_PRICE = IntegerType(4, decimals=4)
_VWAP = IntegerType(8, decimals=6)
_SHARES = IntegerType(8)
_COUNT = IntegerType(4)
_NS = IntegerType(8)
_RECEIVED = Field("netTimestamp", _NS, unit="ns")
_TIMES = (Field("srcTimestamp", _NS, unit="ns"), _RECEIVED)
_LEVEL = RecordType("Level", (Field("price", _PRICE), Field("size", _SHARES), Field("orders", _COUNT)))
_LEVELS = ArrayType(_LEVEL, IntegerType(1))

_QUOTE_FIELDS = (
    _KEY,
    Field("updateType", _WORD),
    Field("marketStatus", _WORD),
    *(
        Field(f"{side}{what}{level}", type_)
        for level in (1, 2)
        for side in ("bid", "ask")
        for what, type_ in (("Price", _PRICE), ("Size", _SHARES))
    ),
    *_TIMES,
)
QUOTE_FORMAT = f">{KEY_FORMAT}12s12sIQIQIQIQQQ"

_PRINT_FIELDS = (
    _KEY,
    Field("prtType", _WORD),
    Field("prtNumber", _COUNT),
    Field("prtPrice", _PRICE),
    Field("prtSize", _SHARES),
    Field("matchNumber", IntegerType(8)),
    Field("prtVolume", _SHARES),
    Field("highPrice", _PRICE),
    Field("lowPrice", _PRICE),
    Field("lastPrice", _PRICE),
    Field("vwap", _VWAP),
    # MLink's name for a print's `srcTimestamp`.
    Field("prtTimestamp", _NS, unit="ns"),
    _RECEIVED,
)
PRINT_FORMAT = f">{KEY_FORMAT}12sIIQQQIIIQQQ"

_DEPTH_FIELDS = (
    _KEY,
    Field("checksum", IntegerType(4)),
    *_TIMES,
    Field("bids", _LEVELS),
    Field("asks", _LEVELS),
)
DEPTH_FORMAT = f">{KEY_FORMAT}IQQ"

_BAR_FIELDS = (
    _KEY,
    Field("barTime", _NS, unit="ns"),
    Field("openPrice", _PRICE),
    Field("highPrice", _PRICE),
    Field("lowPrice", _PRICE),
    Field("closePrice", _PRICE),
    Field("volume", _SHARES),
    Field("vwap", _VWAP),
    Field("prints", _COUNT),
    *_TIMES,
)
BAR_FORMAT = f">{KEY_FORMAT}QIIIIQQIQQ"

_FIELDS: Mapping[str, tuple[Field, ...]] = {
    QUOTE: _QUOTE_FIELDS,
    PRINT: _PRINT_FIELDS,
    DEPTH: _DEPTH_FIELDS,
    BAR: _BAR_FIELDS,
}
_BAR_NAME = re.compile(r"bar([1-9][0-9]{0,4})([smh])")
_DEPTH_NAME = re.compile(r"bookdepth([1-9][0-9]?)?")


def known(name: str) -> str | None:
    """How a view's name is spelled, whatever the case; None for what is no view."""
    folded = name.casefold()
    for fixed in (QUOTE, PRINT):
        if folded == fixed.casefold():
            return fixed
    if (found := _DEPTH_NAME.fullmatch(folded)) and int(found[1] or 1) <= DEPTH_MAX:
        return DEPTH + (found[1] or "")
    if (found := _BAR_NAME.fullmatch(folded)) and int(found[1]) * UNITS_NS[found[2]] <= BAR_MAX_NS:
        return BAR + found[1] + found[2]
    return None


def depth_of(name: str) -> int:
    """How many levels a side a BookDepth has."""
    return int(name.removeprefix(DEPTH) or DEPTH_DEFAULT)


def interval_of(name: str) -> int:
    """How many nanoseconds a Bar lasts."""
    return int(name[len(BAR) : -1]) * UNITS_NS[name[-1]]


class ViewCodec(MessageCodec):
    """A codec as every other, whose ticker and key stand inside `pkey`."""

    def __init__(self, definition: MessageDefinition) -> None:
        super().__init__(definition)
        self.ticker_at = TICKER_AT, STOCK_SIZE

    def key_text(self, values: Mapping[str, Any]) -> str:
        """The ticker, from MLink's key with or without `pkey` around it; KeyError names what is missing."""
        return ticker_key.symbol_in(values)

    def read_key(self, text: str) -> str:
        """The ticker, from MLink's key as one text or by itself."""
        return ticker_key.symbol_of(text)

    def ticker_of_key(self, key: str) -> str | None:
        return key

    def _compiled_key(self) -> Key:
        def key(buffer: bytes, start: int, end: int) -> str:
            at = start + TICKER_AT
            return TEXTS[buffer[at : at + STOCK_SIZE]]

        return key


def viewable(codec: MessageCodec) -> Iterator[str]:
    """What a `view` may name of a message. A view's key is there in any case, by MLink's name for it too."""
    yield from codec.field_types
    if isinstance(codec, ViewCodec):
        yield from ticker_key.KEY_NAMES


class ViewedCodecs(Codecs):
    """A feed's codecs and, by name only, those of its views. No message of the feed has their id bytes."""

    def __init__(self, codecs: Codecs, names: Sequence[str]) -> None:
        """ConfigError for a name that is no view, and for definitions that views can't read."""
        check(codecs)
        self.definitions = codecs.definitions
        self.ticker_name = codecs.ticker_name
        self.by_id = list(codecs.by_id)
        by_name = dict(codecs.by_name)
        free = (number for number in range(255, -1, -1) if self.by_id[number] is None)
        views: list[ViewCodec] = []
        for name in dict.fromkeys(map(_spelled, names)):
            if name.casefold() in by_name:
                raise ConfigError(f"view {name}: {codecs.definitions.file} has a message of this name")
            codec = ViewCodec(_definition(name, next(free)))
            by_name[name.casefold()] = codec
            views.append(codec)
        self.views = tuple(views)
        self.by_name = MappingProxyType(by_name)
        self.names = tuple(codec.name for codec in by_name.values())


def _spelled(name: str) -> str:
    spelled = known(name)
    if spelled is None:
        raise ConfigError(f"views: {name!r} is no view; expected {EXPECTED}")
    return spelled


def _definition(name: str, id_byte: int) -> MessageDefinition:
    family = next(each for each in _FIELDS if name.startswith(each))
    fields = _FIELDS[family]
    return MessageDefinition(
        name=name,
        id_byte=id_byte,
        direction="outgoing",
        fields=fields,
        lengths=lengths_of(fields),
        kind="record",
        key=("pkey",),
        offsets=MappingProxyType(offsets_of(fields)),
    )

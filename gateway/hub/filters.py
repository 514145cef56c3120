"""A `where` made to fit one message, so that only the fields it asks for are decoded.

Knows filters and codecs; knows nothing of streams.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from gateway.decode import MessageCodec
from gateway.mlink.predicate import Kind, compile_where, type_where
from gateway.mlink.where import Clause, Node, Where

# What MLink calls a ticker: the field that holds it in a message of ours.
TICKER_ALIAS = "ticker.tk"
# Compiled filters; of one forgotten, a new one is made when it is next asked for.
FILTERS_KEPT_MAX = 4096

_KINDS = {int: Kind.INT, Decimal: Kind.PRICE, str: Kind.TEXT, bool: Kind.BOOL}


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """Whether a message is wanted: `matches` takes what `MessageCodec.decode_fields` gives of `fields`."""

    matches: Callable[[Mapping[str, Any]], bool]
    fields: frozenset[str]


@lru_cache(maxsize=FILTERS_KEPT_MAX)
def filter_for(codec: MessageCodec, where: Where) -> Filter:
    """The filter for messages of this codec; BadRequest when it does not fit them."""
    kinds = field_kinds(codec)
    own = _with_own_ticker(where, codec, kinds)
    return Filter(compile_where(own, kinds, flat=True), type_where(own, kinds).fields)


def field_kinds(codec: MessageCodec) -> dict[str, Kind]:
    """What a `where` may ask of a message, the ticker that the directory adds included."""
    return {name: _KINDS[kind] for name, kind in codec.field_types.items() if kind in _KINDS}


def _with_own_ticker(where: Where, codec: MessageCodec, fields: Container[str]) -> Where:
    """The filter with the message's own ticker field, or the one the directory adds, for the alias.

    Unchanged where the message has no ticker, or a field of just that name.
    """
    ticker = codec.definition.ticker_field
    name = ticker.name if ticker is not None else codec.added_ticker
    if name is None and f"pkey.{TICKER_ALIAS}" in fields:
        # A view's message has MLink's own key.
        name = f"pkey.{TICKER_ALIAS}"
    if name is None or TICKER_ALIAS not in where.fields or TICKER_ALIAS in fields:
        return where
    return Where(_renamed(where.root, name.casefold()))


def _renamed(node: Node, name: str) -> Node:
    if not isinstance(node, Clause):
        return replace(node, items=tuple(_renamed(item, name) for item in node.items))
    return replace(node, field=name) if node.field == TICKER_ALIAS else node

"""A `where` made to fit one message, so that only the fields it asks for are decoded.

Knows filters and codecs; knows nothing of streams.
"""

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from gateway.decode import MessageCodec
from gateway.mlink.predicate import Kind, compile_where, type_where
from gateway.mlink.where import AllOf, AnyOf, BadWhere, Clause, Node, Op, Where, joined
from gateway.views import ViewCodec
from gateway.views.ticker_key import ASSET_TYPE, TICKER_SOURCE, parts_of

# What MLink calls a ticker: the field that holds it in a message of ours.
TICKER_ALIAS = "ticker.tk"
# And its whole key, which views' messages have and others are asked for in its words.
_WHOLE = frozenset(("ticker", "pkey", "pkey.ticker"))
_ALIASES = frozenset((TICKER_ALIAS, "ticker.ts", "ticker.at")) | _WHOLE
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


def _with_own_ticker(where: Where, codec: MessageCodec, fields: Collection[str]) -> Where:
    """The filter with the message's own ticker field, or the one the directory adds, for the alias.

    Unchanged where the message has no ticker, or a field of just that name.
    """
    ticker = codec.definition.ticker_field
    name = ticker.name if ticker is not None else codec.added_ticker
    if isinstance(codec, ViewCodec):
        # A view's message has MLink's own key.
        name = f"pkey.{TICKER_ALIAS}"
    own = {each.casefold() for each in fields}
    aliases = (_ALIASES & where.fields) - own
    if name is None or not aliases:
        return where
    return Where(_renamed(where.root, aliases, name.casefold(), is_view=isinstance(codec, ViewCodec)))


def _renamed(node: Node, aliases: Container[str], name: str, *, is_view: bool) -> Node:
    if not isinstance(node, Clause):
        items = [_renamed(item, aliases, name, is_view=is_view) for item in node.items]
        return joined(type(node), items)
    if node.field not in aliases:
        return node
    if node.field == TICKER_ALIAS:
        return replace(node, field=name)
    if node.field in _WHOLE:
        return _taken_apart(node, name, is_view=is_view)
    # Source and asset type, which only a view's message has.
    return replace(node, field=f"pkey.{node.field}") if is_view else node


def _taken_apart(node: Clause, name: str, *, is_view: bool) -> Node:
    """A clause about MLink's whole key, `AAPL-NMS-EQT`, as clauses about its parts."""
    if node.op not in (Op.EQ, Op.NE):
        raise BadWhere(
            node.position, f"{node.field} is a key, expected eq or ne, or ticker.tk, got {node.op.value!r}"
        )
    symbol, source, asset_type = parts_of(str(node.values[0]))
    if is_view:
        parts = {name: symbol, "pkey.ticker.ts": source, "pkey.ticker.at": asset_type}
    elif (source, asset_type) == (TICKER_SOURCE, ASSET_TYPE):
        parts = {name: symbol}
    else:
        expected = f"{symbol}-{TICKER_SOURCE}-{ASSET_TYPE}"
        raise BadWhere(node.value_position, f"expected {expected}, got {str(node.values[0])[:40]!r}")
    clauses: list[Node] = [replace(node, field=field, values=(value,)) for field, value in parts.items()]
    return joined(AllOf if node.op is Op.EQ else AnyOf, clauses)

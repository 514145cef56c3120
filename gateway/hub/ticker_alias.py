"""`ticker.tk`: what MLink calls a ticker, understood as the field that holds it in a message of ours.

Knows filters and codecs; knows nothing of streams.
"""

from collections.abc import Container
from dataclasses import replace

from gateway.decode import MessageCodec
from gateway.mlink.where import Clause, Node, Where

TICKER_ALIAS = "ticker.tk"


def with_own_ticker(where: Where, codec: MessageCodec, fields: Container[str]) -> Where:
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

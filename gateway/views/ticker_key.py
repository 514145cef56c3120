"""MLink's key of a ticker: a record of symbol, source and asset type, or one text, `AAPL-NMS-EQT`.

Knows how both are read. Of a symbol alone it is the symbol.
"""

import re
from collections.abc import Mapping
from typing import Any

ASSET_TYPE, TICKER_SOURCE = "EQT", "NMS"
# What a filter or a `view` may call the key of a view's message.
KEY_NAMES = frozenset(
    prefix + name for prefix in ("", "pkey.") for name in ("ticker", "ticker.at", "ticker.ts", "ticker.tk")
) | {"pkey"}
# As one text. A symbol may have a dash of its own.
_TEXT = re.compile(r"(.+)-([A-Za-z]+)-([A-Za-z]+)")


def parts_of(text: str) -> tuple[str, str, str]:
    """Symbol, source and asset type of a key as one text; of a symbol alone, those that all of ours have."""
    found = _TEXT.fullmatch(text)
    return (found[1], found[2].upper(), found[3].upper()) if found else (text, TICKER_SOURCE, ASSET_TYPE)


def symbol_of(text: str) -> str:
    """The symbol of a key as one text; of a key that none of ours can be, the text, which finds nothing."""
    symbol, *rest = parts_of(text)
    return symbol if rest == [TICKER_SOURCE, ASSET_TYPE] else text


def symbol_in(values: Mapping[str, Any]) -> str:
    """The symbol of a key as a record, with or without `pkey` around it; KeyError names what is missing."""
    folded = {str(name).casefold(): value for name, value in values.items()}
    for name in ("pkey", "ticker", "tk"):
        found = folded.get(name)
        if isinstance(found, Mapping):
            return symbol_in(found)
        if found is not None:
            return str(found) if name == "tk" else symbol_of(str(found))
    raise KeyError("ticker.tk")

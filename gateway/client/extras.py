"""Packages that only some need: loaded when they are used, and missed with the words that install them.

Knows the names of the extras; nothing of what is done with the packages.
"""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.client.arguments import BoardOptions, TableOptions
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.client.collect import Collection
    from gateway.client.live import LiveTable
    from gateway.client.stream import Stream


def need(package: str, what: str, extra: str) -> Any:
    """The package, or BadRequest that says what needs it and how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise BadRequest(f"{what} needs {package}: pip install 'soup-gateway[{extra}]'") from error


def new_collection(options: TableOptions) -> "Collection":
    """For `collect`, which is the first that needs numpy and what is built on it."""
    need("numpy", "collect", "polars" if options.get("into") == "polars" else "notebook")
    from gateway.client.collect import Collection

    return Collection(options)


def new_live_table(stream: "Stream", tickers: Sequence[str], options: BoardOptions) -> "LiveTable":
    """For `live`, which needs pandas for its frame."""
    need("pandas", "live", "notebook")
    from gateway.client.live import LiveTable

    return LiveTable(stream, tickers, options)

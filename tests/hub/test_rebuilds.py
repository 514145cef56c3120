"""What becomes of an engine that stops half-way."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.hub.limits import HubLimits
from gateway.hub.rebuilds import Rebuilds
from gateway.values import Position
from gateway.views import Engine, ViewedCodecs

NAMES = frozenset(["StockBookQuote"])
CODECS = ViewedCodecs(Codecs(load_definitions("itch50")), sorted(NAMES))


def half_a_state() -> Iterator[None]:
    yield
    raise ValueError("views: the saved state ends inside a part")


def test_an_engine_whose_state_can_not_be_read_serves_nobody() -> None:
    rebuilds, position = Rebuilds(), Position("S1", 50)

    def nearer(who: str, loading: Any = half_a_state) -> None:
        rebuilds.prepare(
            who,
            NAMES,
            position,
            10,
            lambda seq: (Engine(CODECS), loading()),
            lambda at, size: [],
            HubLimits(),
        )

    nearer("one")
    nearer("other")
    with pytest.raises(ValueError, match="ends inside"):
        nearer("one")

    assert len(rebuilds) == 0

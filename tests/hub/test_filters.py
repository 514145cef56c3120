"""A filter decodes the fields that it, or another beside it, asks for, and decides as on all of them."""

import random
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.hub.filters import field_kinds, filter_for
from gateway.hub.spec import StreamSpec
from gateway.hub.targets import Route, Target
from gateway.mlink.predicate import compile_where
from gateway.mlink.where import parse_where
from gateway.simulator.market import Market
from tests.hub.rig import CODECS

MESSAGES = Market(["AAPL", "MSFT"], seed=1).opening() + Market(["AAPL", "MSFT"], seed=1).take(500)
WISHES = ["shares:gt:300", "stock:sw:A", "price:cb:90$110.5", "side:eq:B | shares:lt:200 & price:ne:7"]


def test_it_decides_as_on_all_that_is_in_the_message() -> None:
    decided = 0
    for codec in CODECS.by_id:
        for text in WISHES:
            try:
                filter_ = filter_for(codec, parse_where(text)) if codec else None
            except BadRequest:
                continue
            if codec is None or filter_ is None:
                continue
            slowly = compile_where(parse_where(text), field_kinds(codec))
            decode = codec.decode_fields(filter_.fields)
            for payload in (each for each in MESSAGES if each[0] == codec.id_byte):
                end = len(payload)
                ticker: dict[str, Any] = {codec.added_ticker: "AAPL"} if codec.added_ticker else {}
                values = decode(payload, 0, end) | ticker
                decided += 1
                assert filter_.matches(values) is slowly(codec.decode(payload, 0, end) | ticker)
    assert decided > 1_000


@pytest.mark.parametrize("seed", range(5))
def test_filters_that_come_and_go_decide_as_each_alone(seed: int) -> None:
    chance = random.Random(seed)
    codec = CODECS.by_name["addorder"]
    route = Route("itch", codec, learns=False)
    orders = [each for each in MESSAGES if each[:1] == b"A"]
    there: list[Target] = []
    for _ in range(60):
        if there and chance.random() < 0.4:
            route.remove(there.pop(chance.randrange(len(there))))
        else:
            spec = StreamSpec(
                True, frozenset({("itch", "AddOrder")}), where=parse_where(chance.choice(WISHES))
            )
            there.append(Target(spec, append=[].append))
            route.add(there[-1], "DAY1")
        payload = chance.choice(orders)
        if None not in route.plans:
            route.plans[None] = route.planned(None, "DAY1")
        for plan in route.plans[None].values():
            values = plan.values(payload, 0, len(payload), None)
            for filter_, target in plan.choosers:
                assert target in there
                assert filter_ is not None
                assert target.spec.where is not None
                slowly = compile_where(target.spec.where, field_kinds(codec))
                assert filter_.matches(values) is slowly(codec.decode(payload, 0, len(payload)))
            assert len(plan.choosers) == len(there)

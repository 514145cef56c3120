"""What may be asked for at random, and the messages it is asked of, for comparisons with the plain model."""

from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from gateway.simulator.market import Market
from tests.flow.plain_model import FIELDS, RECORD_KEYS, Both, Clause, Wish

TICKERS = ["AAPL", "AMZN", "MSFT", "NDX", "SPY", "TSLA"]
EVENTS = ["AddOrder", "OrderExecuted", "OrderDelete", "OrderReplace", "Trade", "SystemEvent", "NOII"]


@cache
def pool() -> tuple[bytes, ...]:
    """A day's messages. Some directory messages come late, after messages that use their codes."""
    market = Market(TICKERS, seed=11)
    opening, rest = market.opening(), market.take(700)
    late = [each for each in opening if each[:1] == b"R"][::2]
    messages = [each for each in opening if each not in late]
    for at, each in enumerate(rest):
        # States and market makers again and again: records that change.
        messages.append(each)
        if at % 4 == 0:
            messages.append(opening[1 + at % (len(opening) - 1)])
        if at in (60, 140, 260):
            messages.append(late.pop())
    return tuple(messages)


numbers = st.sampled_from([1, 2, 3, 100, 200, 500])
clauses = st.one_of(
    st.builds(Clause, st.just("stockLocate"), st.sampled_from(["eq", "ne", "gt", "ge", "lt", "le"]), numbers),
    st.builds(Clause, st.just("stockLocate"), st.just("cb"), st.integers(0, 3), st.integers(3, 6)),
    st.builds(
        Clause,
        st.sampled_from(["stock", "ticker.tk"]),
        st.sampled_from(["eq", "ne", "sw", "ew", "cv", "nv", "lt", "ge"]),
        st.sampled_from(["AAPL", "SPY", "A", "Y", "S", "MSFT"]),
    ),
    st.builds(Clause, st.just("side"), st.sampled_from(["eq", "ne"]), st.sampled_from(["B", "S"])),
    st.builds(Clause, st.just("shares"), st.sampled_from(["gt", "le", "eq"]), numbers),
    st.builds(
        Clause,
        st.just("price"),
        st.sampled_from(["gt", "le"]),
        st.sampled_from([Decimal("100"), Decimal("250.5"), Decimal("600.0001")]),
    ),
)
filters = st.recursive(
    clauses, lambda inner: st.builds(Both, st.sampled_from("&|"), inner, inner), max_leaves=3
)
views = st.frozensets(
    st.sampled_from(["stock", "price", "shares", "side", "stockLocate", "marketMakerMode"]), min_size=1
)
wishes = st.builds(
    Wish,
    names=st.one_of(
        st.just(("*",)),
        st.lists(st.sampled_from(EVENTS + list(RECORD_KEYS)), min_size=1, max_size=4, unique=True).map(tuple),
        st.lists(st.sampled_from(list(RECORD_KEYS)), min_size=1, max_size=3, unique=True).map(tuple),
    ),
    where=st.none() | filters,
    view=st.none() | views,
    stripe=st.sampled_from(["", "", "", "A", "A1", "M", "M2", "X", "D"]),
    delivery=st.sampled_from(["", "", "every"]),
    polled=st.sampled_from([False, False, True]),
)


def can_be_asked(wish: Wish) -> bool:
    """Some message has all the fields that filter and view name; otherwise the answer is an Error."""
    names = list(FIELDS) if "*" in wish.names else wish.names
    fitting = [name for name in names if wish.where is None or wish.where.fits(name)]
    known = {each for name in fitting for each in FIELDS[name]}
    return bool(fitting) and (wish.view is None or wish.view <= known)


def assert_same(got: list[Any], expected: list[Any]) -> None:
    """Compares item by item, for a difference of two long lists takes minutes to be shown."""
    for at, (one, other) in enumerate(zip(got, expected, strict=False)):
        assert one == other, f"item {at}"
    assert len(got) == len(expected), (got[len(expected) :] or expected[len(got) :])[0]

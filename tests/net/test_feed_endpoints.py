"""Which address is next, with times passed in; and the delay before it."""

import random
from itertools import pairwise

import pytest

from gateway.net.backoff import Backoff
from gateway.net.feed_endpoints import STRIKES_MAX, Endpoints

HOLD_S = 60.0


def endpoints(count: int, hold_down_s: float = HOLD_S) -> Endpoints:
    return Endpoints(count, hold_down_s, probe_s_min=30.0)


def failing(these: Endpoints, times: int, now: float = 0.0) -> list[int]:
    """The order in which addresses are dialled when all of them fail."""
    order = []
    for at in range(times):
        which = these.choose(now + at)
        assert which is not None
        order.append(which)
        these.failed(which, now + at)
    return order


@pytest.mark.parametrize("hold_down_s", [0.0, 1.0, HOLD_S])
def test_dead_addresses_are_tried_in_turn_in_order_of_preference(hold_down_s: float) -> None:
    three = failing(endpoints(3, hold_down_s), 9)
    assert three[:3] == [0, 1, 2]
    assert set(three[3:]) == {0, 1, 2}
    assert all(one != next_one for one, next_one in pairwise(three))
    assert failing(endpoints(2, hold_down_s), 5) == [0, 1, 0, 1, 0]
    assert failing(endpoints(1, hold_down_s), 3) == [0, 0, 0]


def test_a_lost_primary_is_left_for_the_next_and_not_dialled_before_its_hold_down() -> None:
    these = endpoints(2)
    these.failed(0, now=100.0, up_s=1000.0)

    assert these.choose(100.0) == 1
    assert these.preferred_to(1, 159.9) is None
    assert these.return_at(1) == 160.0
    assert these.preferred_to(1, 160.0) == 0


def test_a_third_address_is_tried_before_a_primary_that_is_held_down() -> None:
    these = endpoints(3)
    these.failed(0, now=100.0)
    these.worked()
    these.failed(1, now=110.0)

    assert these.choose(110.0) == 2


def test_nothing_is_preferred_to_the_preferred() -> None:
    these = endpoints(2)

    assert these.preferred_to(0, 1e9) is None
    assert these.return_at(0) == float("inf")


def test_a_primary_that_fails_soon_after_each_return_is_held_down_longer_and_longer() -> None:
    these = endpoints(2)
    now, waits = 0.0, []
    for _ in range(STRIKES_MAX + 1):
        these.failed(0, now, up_s=1.0)
        waits.append(these.return_at(1) - now)
        now = these.return_at(1)

    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 960.0]


def test_a_primary_that_held_for_long_starts_again_with_one_hold_down() -> None:
    these = endpoints(2)
    for _ in range(3):
        these.failed(0, 0.0, up_s=1.0)

    these.failed(0, 1000.0, up_s=HOLD_S + 1)

    assert these.return_at(1) == 1000.0 + HOLD_S


def test_without_hold_down_a_dead_primary_is_still_not_probed_all_the_time() -> None:
    these = endpoints(2, hold_down_s=0.0)
    these.failed(0, now=0.0)

    assert these.return_at(1) == 30.0


def test_an_address_that_did_not_authorize_us_is_dialled_no_more_until_pardoned() -> None:
    these = endpoints(2)
    these.bar(0)

    assert failing(these, 3) == [1, 1, 1]
    assert these.preferred_to(1, 1e9) is None
    these.bar(1)
    assert these.choose(0.0) is None
    assert these.all_barred
    these.pardon()
    assert these.choose(1e6) == 0


def test_an_address_refused_beside_another_is_dialled_once_that_one_is_lost() -> None:
    these = endpoints(2)
    these.bar_beside(0)

    assert these.preferred_to(1, 1e9) is None
    these.failed(1, 10.0)
    these.alone()
    assert these.choose(10.0) == 0
    assert these.preferred_to(1, 1e9) == 0


def test_delays_grow_to_the_limit_and_start_again_after_a_reset() -> None:
    backoff = Backoff(0.5, 30.0, 0.0, random.uniform)

    assert [backoff.next_delay() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_delay() == 0.5


@pytest.mark.parametrize(("dice", "expected"), [(-1, [0.7, 1.4, 2.1]), (1, [1.3, 2.6, 3.0])])
def test_jitter_moves_a_delay_by_its_share_but_never_above_the_limit(
    dice: int, expected: list[float]
) -> None:
    backoff = Backoff(1.0, 3.0, 0.3, lambda low, high: low if dice < 0 else high)

    assert [backoff.next_delay() for _ in range(3)] == pytest.approx(expected)


def test_an_address_that_has_just_failed_is_not_dialled_twice_in_a_row_when_there_is_another() -> None:
    these = endpoints(2)
    these.failed(0, now=0.0)
    these.worked()
    these.failed(1, now=5.0)
    assert these.choose(5.0) == 0
    these.failed(0, now=6.0)

    assert these.choose(6.0) == 1

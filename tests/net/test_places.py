"""Places by address and by key, without sockets: who may come, who gives way, what is free when."""

import asyncio
from dataclasses import replace

from gateway.net.access import OPEN_ACCESS, Access
from gateway.net.places import PASSING_MAX, TOLD_MAX, Places

DESK = Access("key:desk", "desk", connections_max=2)


class Someone:
    """A connection that answers a ping, or does not."""

    def __init__(self, answering: bool = True) -> None:
        self.answering = answering
        self.asked = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.evicted = False

    async def answers(self, timeout_s: float) -> bool:
        self.asked.set()
        await self.may_go_on.wait()
        return self.answering

    def evict(self) -> None:
        self.evicted = True


def seated(places: Places, *people: Someone, address: str = "a") -> None:
    for each in people:
        assert places.arrive(each, address)
        assert places.sit_down(each)


async def test_a_key_has_as_many_places_as_its_limit_while_all_are_alive() -> None:
    places = Places(10, 10, 1.0)
    one, two, three = Someone(), Someone(), Someone()
    seated(places, one, two, three)

    answers = [await places.charge(each, DESK) for each in (one, two, three)]

    assert answers == [True, True, False]
    assert [one.evicted, two.evicted] == [False, False]


async def test_only_as_many_ghosts_give_way_as_needed_the_oldest_first() -> None:
    places = Places(10, 10, 1.0)
    one, two, three = Someone(answering=False), Someone(answering=False), Someone()
    seated(places, one, two, three)
    for each in (one, two, three):
        assert await places.charge(each, DESK)

    assert (one.evicted, two.evicted) == (True, False)
    assert len(places) == 2


async def test_two_that_come_at_once_do_not_both_get_the_place_of_one_ghost() -> None:
    places = Places(10, 10, 1.0)
    ghost, alive, left, right = Someone(answering=False), Someone(), Someone(), Someone()
    seated(places, ghost, alive, left, right)
    for each in (ghost, alive):
        await places.charge(each, DESK)

    answers = await asyncio.gather(places.charge(left, DESK), places.charge(right, DESK))

    assert sorted(answers) == [False, True]


async def test_who_leaves_while_it_waits_for_a_place_does_not_get_it() -> None:
    places = Places(10, 10, 1.0)
    ghost, alive, late = Someone(answering=False), Someone(), Someone()
    seated(places, ghost, alive, late)
    for each in (ghost, alive):
        await places.charge(each, DESK)
    ghost.may_go_on.clear()
    waiting = asyncio.create_task(places.charge(late, DESK))
    await ghost.asked.wait()
    places.leave(late)
    ghost.may_go_on.set()

    assert not await waiting
    newcomer = Someone()
    seated(places, newcomer)
    assert await places.charge(newcomer, DESK)


async def test_a_place_that_is_left_is_free_at_once() -> None:
    places = Places(10, 10, 1.0)
    one, two, three = Someone(), Someone(), Someone()
    seated(places, one, two, three)
    for each in (one, two):
        await places.charge(each, DESK)
    places.leave(one)
    places.leave(one)

    assert await places.charge(three, DESK)


async def test_a_second_logon_moves_the_place_to_the_other_key() -> None:
    places = Places(10, 10, 1.0)
    single = replace(DESK, connections_max=1)
    one, two = Someone(), Someone()
    seated(places, one, two)
    assert await places.charge(one, single)
    assert await places.charge(one, single)
    assert await places.charge(one, OPEN_ACCESS)

    assert await places.charge(two, single)


def test_above_the_limit_of_an_address_some_are_told_and_the_rest_is_cut() -> None:
    places = Places(10, 2, 1.0)
    crowd = [Someone() for _ in range(2 + TOLD_MAX)]
    other = Someone()

    admitted = [places.arrive(each, "a") for each in crowd]

    assert all(admitted)
    assert [places.is_crowded(each) for each in crowd] == [False] * 2 + [True] * TOLD_MAX
    assert not places.arrive(Someone(), "a")
    assert places.arrive(other, "b")
    assert not places.is_crowded(other)


def test_the_sum_of_connections_is_limited_whatever_their_addresses() -> None:
    places = Places(1, 1, 1.0)

    admitted = [places.arrive(Someone(), str(at)) for at in range(PASSING_MAX + 2)]

    assert admitted == [True] * (PASSING_MAX + 1) + [False]


def test_subscribers_are_limited_and_a_place_given_back_is_free() -> None:
    places = Places(1, 10, 1.0)
    one, two = Someone(), Someone()
    for each in (one, two):
        places.arrive(each, "a")
    assert places.sit_down(one)
    assert not places.sit_down(two)
    places.stand_up(one)

    assert places.sit_down(two)
    assert not places.sit_down(Someone()), "it never arrived"


def test_a_proxys_connection_counts_for_whom_it_speaks() -> None:
    places = Places(10, 1, 1.0)
    one, two, three = Someone(), Someone(), Someone()
    assert all(places.arrive(each, None) for each in (one, two, three))
    places.speaks_for(one, "a")
    places.speaks_for(two, "a")
    places.speaks_for(three, "b")

    assert [places.is_crowded(each) for each in (one, two, three)] == [False, True, False]

    places.leave(one)
    places.leave(two)
    assert not places.is_crowded(two)
    late = Someone()
    assert places.arrive(late, "a")
    assert not places.is_crowded(late)


def test_a_proxys_connection_that_is_gone_before_it_has_asked_leaves_nothing() -> None:
    places = Places(1, 1, 1.0)
    gone, there = Someone(), Someone()
    assert places.arrive(gone, None)
    places.leave(gone)
    places.speaks_for(gone, "a")

    assert places.arrive(there, "a")
    assert not places.is_crowded(there)


def test_the_sum_of_connections_is_limited_behind_a_proxy_too() -> None:
    places = Places(1, 1, 1.0)

    admitted = [places.arrive(Someone(), None) for _ in range(PASSING_MAX + 2)]

    assert admitted == [True] * (PASSING_MAX + 1) + [False]

"""Messages are handed out when they are due, never before, in order, and never in a flood."""

from math import inf, nan

import pytest

from gateway.errors import ConfigError
from gateway.simulator.player import Pace, Player, at_once, by_rate, by_time_stamp, promptly


def stamped(*seconds: float) -> list[bytes]:
    return [
        b"S" + bytes(4) + round(second * 1e9).to_bytes(6, "big") + b"%d" % at
        for at, second in enumerate(seconds)
    ]


def numbers(batch: list[bytes]) -> list[int]:
    return [int(message[11:]) for message in batch]


def test_messages_go_as_time_stamped() -> None:
    player = Player(stamped(100, 100, 101.5, 103), by_time_stamp(), now=7.0)

    assert numbers(player.take(7.0)) == [0, 1]
    assert player.deadline() == pytest.approx(8.5)
    assert player.take(8.4) == []
    assert numbers(player.take(8.5)) == [2]
    assert not player.done
    assert numbers(player.take(10.0)) == [3]
    assert player.done
    assert player.deadline() == inf
    assert player.taken == 4


def test_a_speed_divides_the_times() -> None:
    player = Player(stamped(0, 3600), by_time_stamp(7200), now=0.0)

    player.take(0.0)

    assert player.deadline() == pytest.approx(0.5)


def test_a_time_stamp_far_in_the_past_does_not_pass_for_lateness() -> None:
    player = Player(stamped(36_000, 10, 36_001), by_time_stamp(), now=1000.0)

    assert numbers(player.take(1000.0, limit=1)) == [0]
    assert numbers(player.take(1000.0)) == [1]
    assert player.delayed_s == 0
    assert player.deadline() == pytest.approx(1001.0)


def test_a_rate_spreads_the_messages_evenly() -> None:
    player = Player(stamped(*[0] * 10), by_rate(4), now=1.0)

    assert numbers(player.take(1.0)) == [0]
    assert numbers(player.take(1.5)) == [1, 2]
    assert numbers(player.take(2.0)) == [3, 4]
    assert player.deadline() == pytest.approx(2.25)


def test_at_once_is_only_bounded_by_the_batch() -> None:
    player = Player(stamped(*range(5)), at_once, now=0.0, batch_max=2)

    assert [numbers(player.take(0.0)) for _ in range(4)] == [[0, 1], [2, 3], [4], []]
    assert player.done
    assert player.taken == 5


@pytest.mark.parametrize("pace", [at_once, by_rate(1000)])
def test_who_takes_may_ask_for_fewer(pace: Pace) -> None:
    player = Player(stamped(*range(5)), pace, now=0.0)

    assert [numbers(player.take(0.5, limit)) for limit in (0, 1, 3, inf)] == [[], [0], [1, 2, 3], [4]]


def test_what_a_day_opens_with_goes_promptly() -> None:
    player = Player(stamped(0, 30, 40, 41), promptly(2, by_time_stamp()), now=0.0)

    assert numbers(player.take(0.0)) == [0, 1, 2]
    assert player.deadline() == pytest.approx(1.0)
    assert promptly(2, at_once) is at_once


def test_a_batch_has_a_limit_and_the_rest_is_due_at_once() -> None:
    player = Player(stamped(*[0] * 5), by_time_stamp(), now=3.0, batch_max=3)

    assert numbers(player.take(3.0)) == [0, 1, 2]
    assert player.deadline() == 3.0
    assert numbers(player.take(3.0)) == [3, 4]


def test_a_time_stamp_that_runs_backwards_or_is_missing_changes_no_order() -> None:
    player = Player([*stamped(10, 11, 9), b"short", *stamped(12)], by_time_stamp(), now=0.0)

    assert numbers(player.take(0.5)) == [0]
    assert player.take(1.0)[1:] == [stamped(10, 11, 9)[2], b"short"]
    assert player.deadline() == pytest.approx(2.0)


def test_a_pause_of_the_taker_is_not_made_up_for_by_a_flood() -> None:
    player = Player(stamped(*[0] * 1000), by_rate(100), now=0.0, behind_max_s=0.5)
    player.take(0.0)

    batch = player.take(6.0)

    assert len(batch) == 51
    assert player.delayed_s == pytest.approx(5.49)
    assert len(player.take(6.105)) == 10


def test_nothing_is_read_ahead_but_one_message() -> None:
    drawn: list[int] = []

    def source():
        for at in range(100):
            drawn.append(at)
            yield b"%d" % at

    player = Player(source(), by_rate(1), now=0.0)
    player.take(0.0)

    assert drawn == [0, 1]


@pytest.mark.parametrize("wrong", [0, -1, inf, nan])
def test_a_pace_that_can_not_be_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="more than 0"):
        by_rate(wrong)
    with pytest.raises(ConfigError, match="more than 0"):
        by_time_stamp(wrong)

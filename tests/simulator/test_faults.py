"""Each fault comes when it was asked for, once, and leaves the others their turn."""

from math import inf

import pytest

from gateway.errors import ConfigError
from gateway.simulator.faults import (
    GARBAGE,
    ConnectionFaults,
    Cut,
    FaultPlan,
    Faults,
    Garbage,
    Grant,
    Ignore,
    Refuse,
    Silence,
)


def stream_of(faults: ConnectionFaults, messages: int) -> list[object]:
    """What a connection sends: numbers of messages in between deeds, up to the first that ends it."""
    story: list[object] = []
    left = messages
    while True:
        while (deed := faults.due()) is not None:
            story.append(deed)
            if not isinstance(deed, Garbage):
                return story
        if not left:
            return story
        count = int(min(left, faults.room))
        faults.sent(count)
        left -= count
        story.append(count)


def test_without_faults_nothing_goes_wrong() -> None:
    connection = FaultPlan().connection()

    assert not connection.drops_on_connect()
    assert connection.login(7) == Grant(7)
    assert not connection.in_stream
    assert connection.room == inf
    assert connection.due() is None
    assert not connection.drops_at_end()
    assert FaultPlan().roll is None


def test_each_fault_of_a_login_spoils_one_login_in_turn() -> None:
    plan = FaultPlan(
        Faults(
            drop_on_connect=True,
            ignore_login=True,
            drop_before_accepted=True,
            cut_inside_accepted=True,
            reject="S",
            rewind=3,
            skip=5,
        )
    )

    assert plan.connection().drops_on_connect()
    answers = [plan.connection().login(10) for _ in range(7)]
    assert answers == [Ignore(), Cut(False), Cut(True), Refuse("S"), Grant(7), Grant(15), Grant(10)]
    assert not plan.connection().drops_on_connect()


def test_rewind_waits_for_a_login_that_can_be_rewound_and_stops_at_1() -> None:
    plan = FaultPlan(Faults(rewind=100))

    assert plan.connection().login(1) == Grant(1)
    assert plan.connection().login(40) == Grant(1)
    assert plan.connection().login(40) == Grant(40)


def test_faults_of_the_stream_come_in_the_order_of_their_numbers() -> None:
    plan = FaultPlan(Faults(drop_after=20, garbage_after=5, silent_after=30))

    assert stream_of(plan.connection(), 100) == [5, Garbage(GARBAGE), 15, Cut(False)]
    # What the drop left undone waits for the next connection, and counts from its start.
    assert stream_of(plan.connection(), 100) == [30, Silence()]
    assert stream_of(plan.connection(), 100) == [100]


def test_faults_at_the_same_number_come_garbage_first_and_silence_last() -> None:
    plan = FaultPlan(Faults(drop_after=0, garbage_after=0, silent_after=0, garbage=b"?"))

    assert stream_of(plan.connection(), 9) == [Garbage(b"?"), Cut(False)]
    assert stream_of(plan.connection(), 9) == [Silence()]


def test_a_fault_that_happened_on_one_connection_does_not_happen_on_the_other() -> None:
    plan = FaultPlan(Faults(drop_after=10))
    one, other = plan.connection(), plan.connection()
    assert one.room == other.room == 10

    one.sent(10)

    assert one.due() == Cut(False)
    assert other.room == inf
    assert not other.in_stream


def test_with_repeat_a_fault_comes_once_on_each_connection() -> None:
    plan = FaultPlan(Faults(garbage_after=2, drop_after=4, reject="A", repeat=True))

    for _ in range(3):
        assert plan.connection().login(1) == Refuse("A")
        assert stream_of(plan.connection(), 9) == [2, Garbage(GARBAGE), 2, Cut(False)]


def test_a_cut_inside_a_packet_goes_with_the_drop_and_has_a_number_of_its_own_without() -> None:
    assert stream_of(FaultPlan(Faults(drop_after=3, cut_inside_packet=True)).connection(), 9) == [
        3,
        Cut(True),
    ]
    alone = FaultPlan(Faults(cut_inside_packet=True)).connection()
    assert stream_of(alone, 5_000) == [1_000, Cut(True)]


def test_a_schedule_gives_each_connection_its_own_faults() -> None:
    plan = FaultPlan([Faults(drop_after=1), Faults(rewind=2), Faults(), Faults(silent_after=0)])
    connections = [plan.connection() for _ in range(5)]

    assert stream_of(connections[0], 5) == [1, Cut(False)]
    assert connections[1].login(9) == Grant(7)
    assert stream_of(connections[2], 5) == [5]
    assert stream_of(connections[3], 5) == [Silence()]
    assert stream_of(connections[4], 5) == [5]


def test_the_session_rolls_once_or_each_time_or_as_scheduled() -> None:
    once, each = FaultPlan(Faults(roll_session_after=5)), FaultPlan(Faults(roll_session_after=5, repeat=True))
    listed = FaultPlan(
        [Faults(roll_session_after=5), Faults(), Faults(roll_session_after=7, roll_silently=True)]
    )

    def rolls(plan: FaultPlan) -> list[int | None]:
        found = []
        for _ in range(3):
            found.append(plan.roll.roll_session_after if plan.roll else None)
            if plan.roll:
                plan.rolled()
        return found

    assert rolls(once) == [5, None, None]
    assert rolls(each) == [5, 5, 5]
    assert rolls(listed) == [5, 7, None]


def test_a_slow_connection_is_always_slow_and_a_drop_at_the_end_comes_once() -> None:
    plan = FaultPlan(Faults(slow_bytes_s=10, drop_at_end=True))

    assert [plan.connection().slow_bytes_s for _ in range(2)] == [10, 10]
    assert plan.connection().drops_at_end()
    assert not plan.connection().drops_at_end()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reject": "X"}, "reject is 'X', expected A"),
        ({"drop_after": -1}, "drop_after is -1, expected 0 or more"),
        ({"rewind": 0}, "rewind is 0, expected 1 or more"),
        ({"roll_session_after": 0}, "roll_session_after is 0, expected 1 or more"),
        ({"slow_bytes_s": 0}, "slow_bytes_s is 0, expected more than 0"),
    ],
)
def test_a_fault_that_can_not_be_says_why(wrong: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Faults(**wrong)

"""A stream that joins others: each message once, and counted as its own only from there on."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from gateway.hub import HubLimits, State
from gateway.simulator.market import Market
from gateway.values import Position
from tests.hub.rig import PretendedSink, Rig, numbers

MESSAGES = list(islice(Market(["AAPL", "MSFT"], 1).messages(), 40))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.roll("DAY1")
    yield rig
    rig.close()


def test_what_was_published_in_the_turn_in_which_a_stream_joins_is_not_sent_twice(rig: Rig) -> None:
    first = rig.open()
    rig.run(first)
    rig.publish(MESSAGES[:5])
    rig.turn()
    late = rig.open(resume={"itch": Position("DAY1", 1)})

    # Published but not flushed when the late one reads the journal to its end and joins.
    rig.publish(MESSAGES[5:8])
    while rig.hub.step(late):
        pass
    rig.publish(MESSAGES[8:10])
    rig.turn()

    assert late.is_live
    assert numbers(late.sink) == numbers(first.sink) == list(range(1, 11))


def test_a_stream_counts_what_it_was_sent_not_what_its_group_was_sent_before(rig: Rig) -> None:
    first = rig.open()
    rig.run(first)
    rig.publish(MESSAGES[:5])
    rig.turn()
    late = rig.open(newer_than_ns=-1)
    rig.run(late)
    rig.publish(MESSAGES[5:7])
    rig.turn()

    assert [(each.seq, each.sent) for each in rig.hub.coverage(late)] == [(7, 2)]
    assert [(each.seq, each.sent) for each in rig.hub.coverage(first)] == [(7, 7)]
    rig.hub.close(late)
    assert late.sent == 2, "it stays told after the end"


def test_those_behind_join_at_their_turn_though_messages_come_between_any_two(tmp_path: Path) -> None:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1")
    rig.publish(MESSAGES[:1])
    streams = [rig.open(resume={"itch": Position("DAY1", 1)}) for _ in range(20)]

    for at, stream in enumerate(streams, 1):
        rig.publish(MESSAGES[at : at + 1])
        rig.hub.step(stream)
        rig.turn()
    rig.close()

    assert all(stream.is_live for stream in streams), "one turn for each was enough"
    assert all(numbers(stream.sink) == list(range(1, 22)) for stream in streams)


@pytest.mark.parametrize("how", ["closed", "too slow"])
def test_for_a_group_whose_last_live_stream_has_gone_nothing_is_collected(rig: Rig, how: str) -> None:
    stream, other = rig.open("AddOrder"), rig.open()
    rig.run(stream, other)
    sink = stream.sink
    assert isinstance(sink, PretendedSink)
    if how == "closed":
        rig.hub.close(stream)
    else:
        sink.stalled = True
        for at in range(0, 30, 5):
            rig.publish(MESSAGES[at : at + 5])
            rig.turn()
        assert stream.state is State.BEHIND
    rig.publish(MESSAGES[:5])

    assert other.group.waiting
    assert not stream.group.waiting

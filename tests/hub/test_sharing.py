"""Those who read the same part of the journal get the same bytes object: it is encoded once."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from gateway.hub import HubLimits, Stream
from gateway.hub.group import Group
from gateway.hub.sharing import EVERY, PIECE_BYTES, Piece, Sharing
from gateway.simulator.market import Market
from gateway.values import Position
from tests.hub.rig import PretendedSink, Rig, numbers

COUNT = 2_000
MESSAGES = list(islice(Market(["AAPL", "MSFT"], 1).messages(), COUNT))


class KeepingSink(PretendedSink):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.kept.append(data)
        super().write(data)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1")
    for at in range(0, COUNT, 50):
        rig.publish(MESSAGES[at : at + 50])
    rig.turn()
    yield rig
    rig.close()


def behind(rig: Rig, seq: int, *names: str) -> Stream:
    return rig.open(*names, resume={"itch": Position("DAY1", seq)}, sink=KeepingSink())


def test_streams_that_began_anywhere_soon_get_the_same_objects(rig: Rig) -> None:
    streams = [behind(rig, seq) for seq in (1, 1, 40, 300)]
    rig.run(*streams)

    first = {id(data) for data in streams[0].sink.kept}
    for stream, seq in zip(streams, (1, 1, 40, 300), strict=True):
        assert numbers(stream.sink) == list(range(seq, COUNT + 1))
        assert stream.is_live
        assert stream.sent == COUNT + 1 - seq
        # But for the way to the first common place, and the end, which is only where the feed stands now.
        own = [data for data in stream.sink.kept if id(data) not in first]
        assert len(own) <= 2
    assert len(first) > COUNT // EVERY


def test_a_shared_piece_is_exactly_what_would_have_been_written(rig: Rig) -> None:
    alone = behind(rig, 1, "AddOrder")
    rig.run(alone)
    rig.hub.close(alone)
    two = [behind(rig, 1, "AddOrder"), behind(rig, 1, "AddOrder")]
    rig.run(*two)

    assert alone.sink.messages() == two[0].sink.messages() == two[1].sink.messages()
    assert alone.sent == two[1].sent
    assert alone.sent_bytes == two[1].sent_bytes
    assert rig.hub.coverage(two[0]) == rig.hub.coverage(two[1])


def test_other_selections_share_nothing(rig: Rig) -> None:
    streams = [behind(rig, 1, "AddOrder"), behind(rig, 1, "AddOrder"), behind(rig, 1, "OrderDelete")]
    rig.run(*streams)

    assert {value["header"]["mTyp"] for value in streams[2].sink.messages()} == {"OrderDelete"}


def test_under_a_new_table_of_stripes_nothing_old_is_given(rig: Rig) -> None:
    streams = [behind(rig, 1), behind(rig, 1)]
    rig.run(streams[0])

    rig.hub.restripe()
    rig.run(streams[1])

    assert not {id(data) for data in streams[0].sink.kept} & {id(data) for data in streams[1].sink.kept}
    assert numbers(streams[1].sink) == list(range(1, COUNT + 1))


def test_what_is_kept_is_bounded_and_the_least_used_goes_first(rig: Rig) -> None:
    group = Group(rig.spec("*"))
    sharing = Sharing(3 * (PIECE_BYTES + 10))
    places = [Position("DAY1", seq) for seq in range(4)]
    for place in places[:3]:
        sharing.keep(group, "itch", place, Piece(bytes(10), 1, place, 0))
    sharing.keep(group, "itch", places[0], Piece(bytes(10), 1, places[0], 0))

    assert sharing.find(group, "itch", places[1])
    sharing.keep(group, "itch", places[3], Piece(bytes(10), 1, places[3], 0))

    assert [bool(sharing.find(group, "itch", place)) for place in places] == [True, True, False, True]

"""Reading on from the journal: several feeds, sessions long over, trouble in the middle of a piece."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.hub import Delivery, HubLimits, State, Stream, StreamSpec
from gateway.hub.group import Group
from gateway.journal import Journal
from gateway.net.restoring import restore
from gateway.simulator.market import Market
from gateway.values import Block, Gap, Position
from tests.hub.rig import CODECS, PretendedSink, Rig, notices, numbers

MARKET = Market(["AAPL", "AMZN", "SPY"], seed=7)
OPENING, TRADES = MARKET.opening(), MARKET.take(2_000)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1")
    yield rig
    rig.close()


def sink_of(stream: Stream) -> PretendedSink:
    assert isinstance(stream.sink, PretendedSink)
    return stream.sink


def restarted(rig: Rig, folder: Path, *, without_states: bool = False) -> Rig:
    """The same journal in a new process."""
    rig.close()
    for state in (folder / "itch").glob("*.state") if without_states else ():
        state.unlink()
    again = Rig(folder, limits=HubLimits())
    restore(again.hub.channels["itch"], again.hub, again.journals["itch"])
    return again


def of_both_feeds() -> StreamSpec:
    names = [codec.name for codec in CODECS.by_id if codec is not None]
    return StreamSpec(True, frozenset((feed, name) for feed in ("one", "two") for name in names))


def test_no_feed_of_a_stream_waits_for_ever_behind_another_that_never_rests(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "one", "two", limits=HubLimits())
    for feed in ("one", "two"):
        rig.roll("DAY1", feed)
        rig.publish(TRADES[:400], feed)
    sink = PretendedSink()
    resume = {feed: Position("DAY1", 1) for feed in ("one", "two")}
    stream = rig.hub.open(sink, of_both_feeds(), Delivery.EVERY, None, resume=resume)
    for at in range(30):
        # Between any two of its turns there is something new in both.
        for feed in ("one", "two"):
            rig.publish(TRADES[400 + at : 401 + at], feed)
        rig.hub.step(stream)
        rig.turn()
    rig.close()
    by_feed = {
        feed: [each["header"]["seqN"] for each in sink.messages() if each["header"]["src"] == feed]
        for feed in ("one", "two")
    }

    assert stream.is_live
    assert by_feed == {"one": list(range(1, 431)), "two": list(range(1, 431))}


def test_a_feed_that_brings_more_than_a_piece_at_a_time_does_not_keep_the_other_waiting(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, "one", "two", limits=HubLimits(catch_up_bytes=2_000))
    for feed in ("one", "two"):
        rig.roll("DAY1", feed)
        rig.publish(TRADES, feed)
    sink = PretendedSink()
    resume = {feed: Position("DAY1", 1) for feed in ("one", "two")}
    stream = rig.hub.open(sink, of_both_feeds(), Delivery.EVERY, None, resume=resume)
    for _ in range(40):
        for feed in ("one", "two"):
            rig.publish(TRADES[:60], feed)
        rig.hub.step(stream)
        rig.turn()
    covered = {each.feed: each.seq for each in rig.hub.coverage(stream)}
    rig.close()

    assert not stream.is_live, "they bring more than it can read"
    assert min(covered.values()) > 0.8 * max(covered.values())


def test_a_session_long_over_is_read_after_a_restart_as_it_was(rig: Rig, tmp_path: Path) -> None:
    watching = rig.open("OrderDelete")
    rig.run(watching)
    rig.publish(OPENING + TRADES)
    rig.turn()
    rig.roll("DAY2")
    again = restarted(rig, tmp_path)
    replay = again.open("OrderDelete", resume={"itch": Position("DAY1", 1)})
    again.run(replay)
    again.close()

    told = [each["message"] for each in sink_of(watching).messages() if "seqN" in each["header"]]
    assert len(told) > 100
    assert [each["message"] for each in sink_of(replay).messages() if "seqN" in each["header"]] == told


@pytest.mark.parametrize("first_seq", [1, 500])
def test_where_no_state_was_saved_the_directory_is_found_again_a_slice_at_a_time(
    tmp_path: Path, first_seq: int
) -> None:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1", first_seq=first_seq)
    watching = rig.open("OrderDelete")
    rig.run(watching)
    seq = first_seq
    for at in range(30):
        some = (OPENING if at == 20 else []) + TRADES[:500]
        rig.publish(some, first_seq=seq)
        seq += len(some)
        rig.turn()
    rig.roll("DAY2")
    again = restarted(rig, tmp_path, without_states=True)
    reads: list[int] = []
    journal = again.journals["itch"]
    again.hub.channels["itch"].past._reader = _Counting(journal, reads)
    replays = [again.open("OrderDelete", resume={"itch": Position("DAY1", first_seq)}) for _ in range(2)]
    turns = 0
    while not all(replay.is_live for replay in replays):
        for replay in replays:
            turns += 1
            reads.append(0)
            again.hub.step(replay)
    again.close()

    for replay in replays:
        got = [each["message"] for each in sink_of(replay).messages() if "seqN" in each["header"]]
        assert got == [each["message"] for each in sink_of(watching).messages() if "seqN" in each["header"]]
    assert sum(reads) > 3 * max(reads), "no turn reads it all"
    assert sum(reads) < 30 * 40 * 600, "and both together read it once"


class _Counting:
    """A reader that notes how many bytes it gave."""

    def __init__(self, journal: Journal, reads: list[int]) -> None:
        self._journal = journal
        self._reads = reads
        self.first_seq = journal.first_seq
        self.next_session = journal.next_session
        self.state_at_end = journal.state_at_end

    def read(self, position: Position, bytes_max: int) -> Sequence[Block | Gap]:
        items = self._journal.read(position, bytes_max)
        self._reads[-1] += sum(len(each.raw) for each in items if isinstance(each, Block))
        return items


def test_a_saved_state_that_can_not_be_understood_is_made_anew(rig: Rig, tmp_path: Path) -> None:
    rig.publish(OPENING + TRADES[:300])
    channel = rig.hub.channels["itch"]
    at_end = channel.position
    rig.roll("DAY2")
    rig.journals["itch"].save_checkpoint(at_end, b'{"directory":{"1":"what is this"},"records":{}}')
    again = restarted(rig, tmp_path)
    replay = again.open("OrderDelete", resume={"itch": Position("DAY1", 1)})
    again.run(replay)
    again.close()

    got = [each["message"]["stock"] for each in sink_of(replay).messages() if "seqN" in each["header"]]
    assert set(got) == {"AAPL", "AMZN", "SPY"}


class _FailingAt:
    """A reader that can't read one session."""

    def __init__(self, journal: Journal, session: str) -> None:
        self._journal = journal
        self._session = session
        self.first_seq = journal.first_seq
        self.next_session = journal.next_session

    def read(self, position: Position, bytes_max: int) -> Sequence[Block | Gap]:
        return self._journal.read(position, bytes_max)

    def state_at_end(self, session: str) -> bytes | None:
        if session == self._session:
            raise JournalError("the disk does not answer")
        return self._journal.state_at_end(session)


def test_what_a_stream_is_told_to_have_was_written_though_what_follows_can_not_be_read(
    rig: Rig, tmp_path: Path
) -> None:
    """It was told to have the notices, and never got them, when the next session could not be read."""
    rig.publish(OPENING)
    for day in ("DAY2", "DAY3", "DAY4"):
        rig.roll(day)
    rig.publish(OPENING)
    rig.roll("DAY5")
    again = restarted(rig, tmp_path)
    channel = again.hub.channels["itch"]
    channel.reader = channel.past._reader = _FailingAt(again.journals["itch"], "DAY4")
    replay = again.open(resume={"itch": Position("DAY1", 1)})
    with pytest.raises(JournalError):
        again.run(replay)
    (covered,) = again.hub.coverage(replay)
    again.close()

    assert numbers(sink_of(replay)) == list(range(1, len(OPENING) + 1))
    assert (covered.session, len(notices(sink_of(replay)))) in [("DAY1", 0), ("DAY3", 2), ("DAY4", 3)]


def test_one_who_has_read_half_of_what_came_at_once_is_not_told_to_have_all_of_that_moment(rig: Rig) -> None:
    rig.publish(OPENING)
    rig.publish([*TRADES[:600], *OPENING])
    received_ns = rig.now_ns
    stream = rig.open("StockDirectory", resume={"itch": Position("DAY1", 1)}, delivery=Delivery.EVERY)
    marks = []
    while rig.hub.step(stream):
        marks.append((stream.positions["itch"].next_seq, rig.hub.highwater_ns(stream)))

    assert any(len(OPENING) + 1 < seq < len(OPENING) + 601 for seq, _ in marks)
    assert all(high_ns < received_ns for seq, high_ns in marks if seq <= len(OPENING) + 601)
    assert rig.hub.highwater_ns(stream) == received_ns


def test_a_polled_stream_that_has_all_says_so(rig: Rig) -> None:
    rig.publish(OPENING)
    stream = rig.open("StockDirectory", polled=True)
    rig.run(stream)
    rig.publish(TRADES[:10])
    rig.hub.ready(stream)
    rig.run(stream)

    assert stream.state is State.PARKED
    assert rig.hub.highwater_ns(stream) == rig.now_ns


def test_a_group_that_is_gone_is_not_kept_by_what_was_encoded_for_it(rig: Rig) -> None:
    rig.publish(TRADES)
    groups: list[weakref.ref[Group]] = []
    for shares in range(20):
        names = ("AddOrder",)
        pair = [
            rig.open(*names, view=frozenset({f"field{shares}"}), resume={"itch": Position("DAY1", 1)})
            for _ in range(2)
        ]
        groups.append(weakref.ref(pair[0].group))
        rig.hub.step(pair[0])
        for stream in pair:
            rig.hub.close(stream)
    del pair, stream
    gc.collect()

    assert not [group for group in groups if group() is not None]


def test_a_gap_wider_than_any_piece_is_one_step(rig: Rig) -> None:
    rig.publish(TRADES[:10])
    rig.lose(100_000)
    rig.publish(TRADES[:10])
    stream = rig.open(resume={"itch": Position("DAY1", 1)})
    steps = 0
    while rig.hub.step(stream):
        steps += 1

    assert numbers(sink_of(stream)) == [*range(1, 11), *range(100_011, 100_021)]
    assert steps <= 2

"""Where a stream stands: positions, doubles, snapshots and proofs, without a socket."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client import FeedPosition, Incomplete
from gateway.client.tracker import Tracker
from gateway.errors import RemoteProtocolError
from gateway.mlink.choices import StreamState
from gateway.mlink.control import StreamPosition

ACTIVE, BEGIN, COMPLETE = StreamState.ACTIVE, StreamState.BEGIN, StreamState.COMPLETE


def data(seq: int | None, src: str = "itch", ses: str = "S1", m_typ: str = "AddOrder") -> dict:
    number = {} if seq is None else {"seqN": seq}
    return {"header": {"mTyp": m_typ, "src": src, "ses": ses, **number}, "message": {"shares": 1}}


def at(seq: int, sent: int, src: str = "itch", ses: str = "S1") -> StreamPosition:
    return StreamPosition(queryID=1, src=src, ses=ses, seqN=seq, numMessagesSent=sent)


def taken(tracker: Tracker, *values: dict) -> list[tuple[str, int]]:
    """Session and number of each message that the tracker lets pass."""
    tracker.types.add("AddOrder")
    runs: list[tuple[int, int]] = []
    assert tracker.take(values, 0, runs) == len(values)
    passed = [value for start, end in runs for value in values[start:end]]
    return [(value["header"]["ses"], value["header"].get("seqN")) for value in passed]


def live(resume: str = "itch/S1/1") -> Tracker:
    tracker = Tracker((FeedPosition.parse(resume),))
    tracker.start()
    return tracker


def positions(tracker: Tracker) -> list[str]:
    return [str(position) for position in tracker.positions()]


def test_the_position_is_one_past_the_last_message() -> None:
    tracker = live()

    taken(tracker, data(1), data(4), data(9))

    assert positions(tracker) == ["itch/S1/10"]


def test_a_checkpoint_moves_the_position_over_what_does_not_match() -> None:
    tracker = live()
    taken(tracker, data(1))

    tracker.checkpoint(None, [at(40, sent=1)])

    assert positions(tracker) == ["itch/S1/41"]


def test_a_checkpoint_never_moves_the_position_back() -> None:
    tracker = live()
    taken(tracker, data(50))

    tracker.checkpoint(None, [at(40, sent=1)])

    assert positions(tracker) == ["itch/S1/51"]


def test_a_checkpoint_of_a_new_request_does_not_move_the_position_back_either() -> None:
    tracker = live()
    taken(tracker, data(50))
    tracker.start()

    tracker.checkpoint(BEGIN, [at(40, sent=0)])

    assert positions(tracker) == ["itch/S1/51"]


def test_what_was_had_is_dropped_and_counted() -> None:
    tracker = live()
    taken(tracker, data(1), data(2), data(3))
    tracker.start()

    again = taken(tracker, data(2), data(3), data(4), data(4), data(5))

    assert again == [("S1", 4), ("S1", 5)]
    assert tracker.doubles == 3


def test_a_message_without_a_number_passes_each_time_and_counts_for_nothing() -> None:
    tracker = live()

    assert taken(tracker, data(1), data(None), data(None), data(2)) == [
        ("S1", 1),
        ("S1", None),
        ("S1", None),
        ("S1", 2),
    ]
    tracker.checkpoint(None, [at(2, sent=2)])


def test_a_new_session_starts_its_numbers_anew() -> None:
    tracker = live()

    passed = taken(tracker, data(7), data(8), data(1, ses="S2"), data(2, ses="S2"))

    assert passed == [("S1", 7), ("S1", 8), ("S2", 1), ("S2", 2)]
    assert positions(tracker) == ["itch/S2/3"]


def test_a_past_session_that_comes_again_is_dropped_and_does_not_move_the_position() -> None:
    tracker = live()
    taken(tracker, data(8), data(1, ses="S2"))

    assert taken(tracker, data(8), data(2, ses="S2")) == [("S2", 2)]
    assert positions(tracker) == ["itch/S2/3"]


def test_each_feed_has_its_own_position() -> None:
    tracker = Tracker((FeedPosition("a", "S1", 1), FeedPosition("b", "T1", 5)))
    tracker.start()

    taken(tracker, data(1, "a"), data(5, "b", "T1"), data(2, "a"))

    assert positions(tracker) == ["a/S1/3", "b/T1/6"]


def test_a_feed_that_has_said_nothing_keeps_the_position_asked_for() -> None:
    tracker = Tracker((FeedPosition("a", "S1", 1), FeedPosition("b", "T1", 5)))
    tracker.start()

    taken(tracker, data(1, "a"))

    assert sorted(positions(tracker)) == ["a/S1/2", "b/T1/5"]


def test_a_resume_without_a_name_is_replaced_by_the_feed_that_answers() -> None:
    tracker = live("//1")
    assert positions(tracker) == ["//1"]

    taken(tracker, data(1))

    assert positions(tracker) == ["itch/S1/2"]


def test_numbers_of_a_snapshot_are_no_position() -> None:
    tracker = Tracker()
    assert tracker.start() == ()

    taken(tracker, data(3), data(20))
    assert positions(tracker) == []

    tracker.checkpoint(ACTIVE, [at(100, sent=2)])
    assert positions(tracker) == []

    taken(tracker, data(30))
    tracker.checkpoint(COMPLETE, [at(100, sent=3)])
    assert positions(tracker) == ["itch/S1/101"]


def test_a_broken_snapshot_is_asked_for_again_and_gives_only_what_is_new() -> None:
    tracker = Tracker()
    tracker.start()
    tracker.checkpoint(BEGIN, [at(100, sent=0)])
    # Not in order of number: nothing here may rely on that.
    taken(tracker, data(30), data(3))

    assert tracker.start() == ()
    again = taken(tracker, data(30), data(3), data(20), data(110))

    assert again == [("S1", 20), ("S1", 110)]


def test_a_live_message_below_the_checkpoint_is_not_a_double_unless_it_was_had() -> None:
    # A conflated record may still wait in the gateway when a checkpoint already counts its number as seen.
    tracker = Tracker()
    tracker.start()
    tracker.checkpoint(COMPLETE, [at(100, sent=0)])

    assert taken(tracker, data(99)) == [("S1", 99)]


def test_the_latest_of_each_key_is_taken_from_a_new_snapshot_not_from_a_replay() -> None:
    tracker = Tracker(latest=True)
    tracker.start()
    taken(tracker, data(3))
    tracker.checkpoint(COMPLETE, [at(10, sent=1)])
    taken(tracker, data(12), data(15))

    assert tracker.start() == ()
    assert taken(tracker, data(15), data(3), data(20), data(18)) == [("S1", 20), ("S1", 18)]


@pytest.mark.parametrize("sent", [2, 4])
def test_a_count_that_does_not_add_up_is_incomplete_and_names_the_last_proven_position(sent: int) -> None:
    tracker = live()
    taken(tracker, data(1))
    tracker.checkpoint(None, [at(5, sent=1)])
    taken(tracker, data(6), data(8))

    with pytest.raises(Incomplete, match=f"the gateway sent {sent} messages, 3 arrived") as caught:
        tracker.checkpoint(None, [at(9, sent=sent)])

    assert [str(position) for position in caught.value.positions] == ["itch/S1/6"]


def test_doubles_count_as_arrived() -> None:
    tracker = live()
    taken(tracker, data(1), data(2))
    tracker.start()
    taken(tracker, data(1), data(2), data(3))

    tracker.checkpoint(None, [at(3, sent=3)])


@pytest.mark.parametrize(
    "broken",
    [
        {"header": {"mTyp": "AddOrder", "seqN": 2}, "message": {}},
        {"header": {"mTyp": "AddOrder", "src": "itch", "ses": "S1", "seqN": "2"}, "message": {}},
        {"header": {"mTyp": "AddOrder", "src": "itch", "ses": "S1", "seqN": 2}},
        {"header": {"mTyp": "AddOrder", "src": "itch", "ses": "S1", "seqN": 2}, "message": 7},
        {"header": None, "message": {}},
        [],
        3,
    ],
)
def test_what_is_good_in_front_of_a_broken_envelope_is_kept(broken: object) -> None:
    tracker = live()
    tracker.types.add("AddOrder")
    runs: list[tuple[int, int]] = []

    with pytest.raises(RemoteProtocolError, match="expected an object with header, mTyp and message"):
        tracker.take([data(1), broken, data(3)], 0, runs)

    assert runs == [(0, 1)]
    assert positions(tracker) == ["itch/S1/2"]
    assert tracker.received == 1


def test_taking_stops_at_another_streams_message() -> None:
    tracker = live()
    tracker.types.add("AddOrder")
    runs: list[tuple[int, int]] = []

    assert tracker.take([data(1), data(2, m_typ="Trade"), data(3)], 0, runs) == 1
    assert runs == [(0, 1)]


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    breaks=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=6),
)
def test_each_number_passes_once_and_in_order_however_the_line_breaks(
    lengths: list[int], breaks: list[tuple[int, int]]
) -> None:
    whole = [(f"S{session}", seq) for session, n in enumerate(lengths, 1) for seq in range(1, n + 1)]
    tracker = live("itch/S1/1")
    passed: list[tuple[str, int]] = []
    # Each run of the stream ends after `got` messages; the next may begin `again` numbers too early.
    for got, again in [*breaks, (len(whole), 0)]:
        (resume,) = tracker.positions()
        from_at = next(
            (i for i, (ses, seq) in enumerate(whole) if ses == resume.session and seq == resume.next_seq),
            sum(lengths[: int(resume.session[1:])]),
        )
        from_at = max(0, from_at - again)
        passed += taken(tracker, *(data(seq, ses=ses) for ses, seq in whole[from_at : from_at + got]))
        tracker.start()

    assert passed == whole

"""What the hub promises to groups, to streams behind, at each change of session; driven without a loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import LocalProtocolError
from gateway.hub import Coverage, Delivery, HubLimits, State, Stream, StreamSpec
from gateway.hub.wire import MESSAGE_BYTES_MAX
from gateway.mlink.where import parse_where
from gateway.simulator.market import Market
from gateway.values import Position
from tests.hub.rig import PretendedSink, Rig, block_of, notices, numbers, websocket_payloads

MARKET = Market(["AAPL", "AMZN", "SPY"], seed=7)
OPENING, TRADES = MARKET.opening(), MARKET.take(400)
DIRECTORY = [each for each in OPENING if each[:1] == b"R"]
REST = [each for each in OPENING if each[:1] != b"R"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.roll("DAY1")
    yield made
    made.close()


def sink_of(stream: Stream) -> PretendedSink:
    assert isinstance(stream.sink, PretendedSink)
    return stream.sink


def without_encoding_time(stream: Stream) -> list[dict[str, Any]]:
    values = sink_of(stream).messages()
    for value in values:
        del value["header"]["encT"]
    return values


def live(rig: Rig, *names: str, **more: object) -> Stream:
    stream = rig.open(*names, **more)  # type: ignore[arg-type]
    rig.run(stream)
    assert stream.is_live
    return stream


def test_streams_that_want_the_same_share_one_write_of_the_same_bytes(rig: Rig) -> None:
    one = live(rig, "AddOrder", where=parse_where("shares:gt:5"))
    other = live(rig, "AddOrder", where=parse_where(" Shares : GT : 5 "))
    rig.publish(OPENING + TRADES)
    rig.turn()

    assert rig.hub.groups == 1
    assert sink_of(one).messages() == sink_of(other).messages() != []


def test_a_message_nobody_wants_is_not_written_as_json(rig: Rig) -> None:
    stream = live(rig, "StockDirectory")
    rig.hub.close(stream)
    rig.publish(OPENING)
    rig.turn()

    assert rig.hub.groups == 0
    assert numbers(sink_of(stream)) == []


def test_joining_and_leaving_change_nothing_for_the_others(rig: Rig) -> None:
    staying = live(rig, "AddOrder", "Trade")
    total = 0
    for at, payload in enumerate(OPENING + TRADES):
        guest = live(rig, "AddOrder" if at % 2 else "Trade", framed=bool(at % 3))
        rig.publish([payload])
        if at % 5 == 0:
            rig.turn()
        rig.hub.close(guest)
        total += len(numbers(sink_of(guest)))
    rig.turn()
    expected = [at for at, each in enumerate(OPENING + TRADES, 1) if each[:1] in (b"A", b"P")]

    assert numbers(sink_of(staying)) == expected
    assert 0 < total < len(expected)


@pytest.mark.parametrize("at", range(0, len(OPENING), 3))
@pytest.mark.parametrize("delivery", list(Delivery))
def test_between_any_two_messages_snapshot_and_live_leave_no_gap_and_no_double(
    tmp_path: Path, at: int, delivery: Delivery
) -> None:
    rig = Rig(tmp_path)
    rig.roll("DAY1")
    rig.publish(OPENING)
    rig.publish(DIRECTORY[: at % 4] or OPENING[:1])
    before = len(OPENING) + max(1, at % 4 and len(DIRECTORY[: at % 4]))
    stream = rig.open("StockDirectory", "StockTradingAction", "RegSHORestriction", delivery=delivery)
    # A slice of the snapshot is written between any two messages that arrive meanwhile.
    for payload in OPENING[at:] + OPENING:
        rig.publish([payload])
        rig.hub.step(stream)
    rig.run(stream)
    if stream.outbox is not None:
        while len(stream.outbox):
            rig.hub.take_latest(stream)
    rig.close()
    wanted = [
        (seq, each[:1] + each[11:19])
        for seq, each in enumerate(OPENING + (DIRECTORY[: at % 4] or OPENING[:1]) + OPENING[at:] + OPENING, 1)
        if each[:1] in b"RHY"
    ]
    newest = sorted({key: seq for seq, key in wanted if seq <= before}.values())
    after = [seq for seq, _ in wanted if seq > before]
    got = numbers(sink_of(stream))

    assert got[: len(newest)] == newest
    if delivery is Delivery.EVERY:
        assert got[len(newest) :] == after
    else:
        assert got[len(newest) :] == sorted(set(got[len(newest) :]))
        assert set(got[len(newest) :]) == set({key: seq for seq, key in wanted if seq > before}.values())


def test_what_one_turn_brings_is_joined_up_to_the_clients_buffers(tmp_path: Path) -> None:
    rig = Rig(tmp_path, limits=HubLimits(flush_messages=10**6))
    rig.roll("DAY1")
    stream = live(rig)
    rig.publish(OPENING + TRADES)
    rig.turn()
    rig.close()
    sizes = [len(payload) for payload in websocket_payloads(bytes(sink_of(stream)._taken))]

    assert sink_of(stream).writes == 1
    assert len(sizes) == 1 + sum(sizes) // MESSAGE_BYTES_MAX
    assert max(sizes) <= MESSAGE_BYTES_MAX


def test_a_stream_that_stalls_holds_its_mark_and_one_flush_and_gets_everything_later(rig: Rig) -> None:
    stalled, healthy = live(rig), live(rig)
    sink_of(stalled).stalled = True
    for at in range(0, len(TRADES), 20):
        rig.publish(TRADES[at : at + 20])
        rig.turn()
    held = sink_of(stalled).backlog()
    assert stalled.state is State.BEHIND
    assert stalled.fell_behind
    assert sink_of(stalled).woken
    assert rig.hub.lag(stalled)[0] > 300
    assert stalled.ahead == {}, "no piece of the journal is held for one who does not read"
    sink_of(stalled).read_on()
    rig.run(stalled)

    assert held < 2_000 + 20 * 400
    assert stalled.is_live
    assert numbers(sink_of(stalled)) == numbers(sink_of(healthy)) == list(range(1, len(TRADES) + 1))


def test_a_session_change_and_a_gap_stand_at_their_place_live_behind_and_conflated(rig: Rig) -> None:
    watching, behind = live(rig), live(rig)
    newest = rig.open("StockDirectory", delivery=Delivery.LATEST)
    rig.run(newest)
    sink_of(behind).stalled = True
    rig.publish(OPENING[:20])
    rig.turn()
    rig.lose(5)
    rig.publish(DIRECTORY)
    rig.roll("DAY2")
    rig.publish(DIRECTORY[:1])
    rig.turn()
    sink_of(behind).read_on()
    rig.run(behind)
    while newest.outbox:
        rig.hub.take_latest(newest)
    order = [
        value["message"].get("event") or (value["header"]["ses"], value["header"]["seqN"])
        for value in sink_of(watching).messages()
    ]

    assert order[19:] == [
        ("DAY1", 20),
        "SequenceGap",
        *[("DAY1", 26 + at) for at in range(len(DIRECTORY))],
        "SessionChange",
        ("DAY2", 1),
    ]
    assert [value["message"] for value in sink_of(behind).messages() if "event" not in value["message"]] == [
        value["message"] for value in sink_of(watching).messages() if "event" not in value["message"]
    ]
    assert notices(sink_of(behind)) == notices(sink_of(newest)) == ["SequenceGap", "SessionChange"]
    assert newest.sent == len(numbers(sink_of(newest))), "notices are not counted"


def test_coverage_says_what_is_complete_and_how_much_that_was(rig: Rig) -> None:
    stream = live(rig, "AddOrder")
    rig.publish(TRADES[:100])
    orders = sum(each[:1] == b"A" for each in TRADES[:100])

    assert rig.hub.coverage(stream) == [Coverage("itch", "DAY1", 100, orders)]
    assert len(numbers(sink_of(stream))) == orders, "it was written before it was said"
    assert stream.sent_bytes == len(sink_of(stream)._taken)


def test_with_coverage_each_write_of_messages_ends_with_its_text(rig: Rig) -> None:
    said: list[tuple[int, int]] = []
    stream = live(rig, "AddOrder", framed=False)

    def text(coverage: object) -> str:
        (each,) = coverage  # type: ignore[misc]
        said.append((each.seq, each.sent))
        return '{"header":{"mTyp":"MLinkStreamCheckPt"},"message":{}}'

    stream.covered = text
    sink_of(stream).stalled = True
    for at in range(0, 200, 5):
        rig.publish(TRADES[at : at + 5])
        rig.turn()
    sink_of(stream).read_on()
    rig.run(stream)
    seen, checked = 0, 0
    last = ""
    for value in sink_of(stream).messages():
        last = value["header"]["mTyp"]
        if last == "AddOrder":
            seen += 1
        else:
            assert said[checked][1] == seen
            checked += 1

    assert last == "MLinkStreamCheckPt"
    assert checked == len(said) > 5
    assert [seq for seq, _ in said] == sorted(seq for seq, _ in said)


def test_a_replay_gives_what_live_readers_got_when_the_directory_came_late(rig: Rig) -> None:
    watching = live(rig, stripes=frozenset({"A1", "X"}))
    late = REST[:20] + TRADES[:60] + DIRECTORY[:1] + TRADES[60:120] + DIRECTORY[1:] + TRADES[120:]
    for at in range(0, len(late), 33):
        rig.publish(late[at : at + 33])
        rig.turn()
    replay = rig.open(stripes=frozenset({"A1", "X"}), resume={"itch": Position("DAY1", 1)})
    rig.run(replay)

    assert without_encoding_time(replay) == without_encoding_time(watching)
    known = {value["message"].get("stock") for value in sink_of(watching).messages()}
    assert None in known, "before the directory a code has no ticker, and is in the catch-all stripe"
    assert "AAPL" in known


def test_a_code_of_the_session_before_does_not_mean_what_it_means_today(rig: Rig) -> None:
    rig.publish(DIRECTORY + TRADES[:50])
    swapped = [each[:1] + b"\x00" + bytes([4 - each[2]]) + each[3:] for each in DIRECTORY]
    rig.roll("DAY2")
    rig.publish(swapped + TRADES[:50])
    for first in ("DAY1", "DAY2", "DAY1"):
        replay = rig.open("OrderDelete", resume={"itch": Position(first, 1)})
        rig.run(replay)
        by_session: dict[str, list[str]] = {}
        for value in sink_of(replay).messages():
            if value["header"]["mTyp"] == "OrderDelete":
                by_session.setdefault(value["header"]["ses"], []).append(value["message"]["stock"])
        if first == "DAY1":
            other = {"AAPL": "SPY", "SPY": "AAPL", "AMZN": "AMZN"}
            assert [other[each] for each in by_session["DAY1"]] == by_session["DAY2"]
        assert by_session["DAY2"]


def test_a_polled_stream_waits_until_it_is_ready_and_then_has_everything(rig: Rig) -> None:
    stream = rig.open("AddOrder", polled=True)
    rig.run(stream)
    rig.publish(TRADES[:100])
    rig.run(stream)
    state, had = stream.state, numbers(sink_of(stream))
    rig.hub.ready(stream)
    rig.run(stream)

    assert (state, had) == (State.PARKED, [])
    assert stream.state is State.PARKED
    assert numbers(sink_of(stream)) == [at for at, each in enumerate(TRADES[:100], 1) if each[:1] == b"A"]
    assert not stream.is_live


def test_unsequenced_data_keeps_the_name_of_the_session_of_numbered_messages(rig: Rig) -> None:
    """Its session was noted in a router that replayed another one, whose plans then had the wrong name."""
    rig.publish(OPENING)
    rig.roll("DAY2")
    watching = live(rig, "StockDirectory")
    replay = rig.open("StockDirectory", resume={"itch": Position("DAY1", 1)})
    rig.hub.step(replay)
    rig.hub.publish_unsequenced("itch", DIRECTORY[0], 5)
    rig.run(replay, watching)
    rig.publish(DIRECTORY)
    rig.run(replay, watching)

    got = [value["header"]["ses"] for value in sink_of(replay).messages() if "seqN" in value["header"]]
    assert got == ["DAY1"] * len(DIRECTORY) + ["DAY2"] * len(DIRECTORY)
    assert [value["header"].get("unsequenced") for value in sink_of(watching).messages()] == [
        True,
        *[None] * len(DIRECTORY),
    ]
    assert watching.sent == len(DIRECTORY)


def test_a_stream_that_began_before_a_feed_joined_its_session_late_reads_on_from_there(rig: Rig) -> None:
    rig.roll("DAY2", first_seq=500)
    parked, waiting = rig.open(polled=True), rig.open()
    rig.publish(TRADES[:10], first_seq=500)
    rig.run(waiting)
    rig.run(parked)
    rig.hub.ready(parked)
    rig.run(parked)

    assert numbers(sink_of(parked)) == numbers(sink_of(waiting)) == list(range(500, 510))


def test_the_lag_counts_all_sessions_that_are_still_to_be_read(rig: Rig) -> None:
    stream = live(rig)
    sink_of(stream).stalled = True
    rig.publish(TRADES[:50])
    rig.turn()
    stood = stream.positions["itch"].next_seq
    rig.publish(TRADES[50:100])
    rig.roll("DAY2")
    rig.publish(TRADES[:30])
    rig.roll("DAY3")
    rig.publish(TRADES[:7])

    messages, seconds = rig.hub.lag(stream)
    assert messages == 101 - stood + 30 + 7
    assert 0 < seconds < 1


def test_one_block_is_cut_so_that_no_piece_is_long(rig: Rig) -> None:
    rig.publish(OPENING + TRADES)
    stream = rig.open(resume={"itch": Position("DAY1", 1)})
    steps = 0
    while rig.hub.step(stream):
        steps += 1

    assert steps > 30
    assert sink_of(stream).largest < 8_000
    assert numbers(sink_of(stream)) == list(range(1, len(OPENING + TRADES) + 1))


def test_many_small_blocks_go_in_one_piece_and_each_is_read_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1")
    for payload in TRADES:
        rig.publish([payload])
    stream = rig.open(resume={"itch": Position("DAY1", 1)})
    steps = 0
    while rig.hub.step(stream):
        steps += 1
    rig.close()

    assert steps <= 4
    assert numbers(sink_of(stream)) == list(range(1, len(TRADES) + 1))


def test_those_behind_take_turns_at_one_piece_each_per_turn_of_the_loop(rig: Rig) -> None:
    done: list[str] = []
    for name in "abc":
        rig.hub.turns.ask(lambda name=name: done.append(name))  # type: ignore[misc]
    rig.turn()
    first = list(done)
    rig.hub.turns.ask(lambda: done.append("d"))
    for _ in range(4):
        rig.turn()

    assert first == ["a"]
    assert done == ["a", "b", "c", "d"]
    assert len(rig.hub.turns) == 0


def test_a_block_out_of_order_is_our_own_error(rig: Rig) -> None:
    rig.publish(TRADES[:3])

    with pytest.raises(LocalProtocolError, match="starts at 3, expected 4"):
        rig.hub.publish("itch", block_of("DAY1", 3, TRADES[:1], 0))


def test_what_was_journaled_and_not_published_is_not_given_to_those_behind(tmp_path: Path) -> None:
    rig = Rig(tmp_path, limits=HubLimits())
    rig.roll("DAY1")
    rig.publish(TRADES[:10])
    early = rig.journals["itch"]
    early.append(block_of("DAY1", 11, TRADES[10:15], rig.now_ns))
    early.commit()
    stream = rig.open(resume={"itch": Position("DAY1", 4)})
    rig.run(stream)
    rig.hub.publish("itch", block_of("DAY1", 11, TRADES[10:15], rig.now_ns))
    rig.turn()
    rig.close()

    assert numbers(sink_of(stream)) == list(range(4, 16))


def test_two_feeds_of_the_same_records_do_not_replace_each_other(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "one", "two")
    sink = PretendedSink()
    for feed in ("one", "two"):
        rig.roll("DAY1", feed)
    spec = rig.spec("StockDirectory", feed="one")
    both = type(spec)(True, spec.messages | rig.spec("StockDirectory", feed="two").messages)
    stream = rig.hub.open(sink, both, Delivery.LATEST, None)
    rig.run(stream)
    for feed in ("one", "two"):
        rig.publish(DIRECTORY[:1], feed)
    rig.turn()
    rig.hub.take_latest(stream)
    rig.close()

    assert [value["header"]["src"] for value in sink.messages()] == ["one", "two"]


def test_a_directory_that_names_code_0_makes_no_market_wide_message_a_tickers(rig: Rig) -> None:
    """Live readers would have got it in one stripe, and a replay in all."""
    watching = live(rig, stripes=frozenset({"H2"}))
    zero = DIRECTORY[0][:1] + b"\x00\x00" + DIRECTORY[0][3:]
    event = next(each for each in OPENING if each[:1] == b"S")
    rig.publish([zero, event])
    rig.publish(DIRECTORY)
    replay = rig.open(stripes=frozenset({"H2"}), resume={"itch": Position("DAY1", 1)})
    rig.run(replay)

    assert numbers(sink_of(watching)) == numbers(sink_of(replay)) == [2]


def test_a_conflated_stream_covers_what_has_left_and_nothing_that_waits_or_was_dropped(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, limits=HubLimits(snapshot_records=2, latest_keys_max=4))
    rig.roll("DAY1")
    rig.publish(DIRECTORY)
    stream = rig.open("StockDirectory", "StockTradingAction", delivery=Delivery.LATEST)
    covered = [rig.hub.coverage(stream)[0].seq]
    rig.run(stream)
    covered.append(rig.hub.coverage(stream)[0].seq)
    rig.publish(DIRECTORY)
    covered.append(rig.hub.coverage(stream)[0].seq)
    while rig.hub.take_latest(stream):
        covered.append(rig.hub.coverage(stream)[0].seq)
    covered.append(rig.hub.coverage(stream)[0].seq)
    seen_ns = rig.hub.highwater_ns(stream)
    rig.publish(OPENING)
    rig.close()

    assert covered == [0, 3, 3, 3, 6]
    assert stream.outbox is not None
    assert stream.outbox.overflowed
    assert not len(stream.outbox)
    assert rig.hub.coverage(stream)[0].seq == 6, "what was dropped was not sent"
    assert rig.hub.highwater_ns(stream) == seen_ns


def test_a_feed_without_a_session_is_named_in_the_coverage_at_number_0(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "itch", "other")
    rig.roll("DAY1")
    rig.publish(OPENING[:2])
    spec = StreamSpec(True, frozenset({("itch", "AddOrder"), ("other", "AddOrder")}))
    stream = rig.hub.open(PretendedSink(), spec, Delivery.EVERY, None)
    rig.run(stream)
    before = [(each.feed, each.session, each.seq) for each in rig.hub.coverage(stream)]
    rig.roll("DAY7", "other")
    rig.publish(OPENING[:3], "other")
    after = [(each.feed, each.session, each.seq) for each in rig.hub.coverage(stream)]
    rig.close()

    assert before == [("itch", "DAY1", 2), ("other", "", 0)]
    assert after == [("itch", "DAY1", 2), ("other", "DAY7", 3)]

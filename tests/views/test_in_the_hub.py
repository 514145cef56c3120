"""Views go the way of all messages: live, late, behind, conflated, filtered, saved and restored."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.decode import Codecs
from gateway.hub import Delivery, HubLimits, Stream
from gateway.mlink.where import parse_where
from gateway.simulator.market import Market
from gateway.values import Block, Position
from gateway.views import Engine, ViewedCodecs
from tests.hub.rig import CODECS, SMALL, PretendedSink, Rig, notices, numbers

NAMES = ("StockBookQuote", "StockPrint", "BookDepth5", "Bar1s")
VIEWED = ViewedCodecs(CODECS, NAMES)
# Nothing recent is kept, so that whoever is late has the books rebuilt; and by one engine at a time.
REBUILT = replace(SMALL, recent_views=1, view_engines=1)


def market(count: int, seed: int = 5, tickers: int = 4) -> list[bytes]:
    made = Market(tickers, seed)
    return made.opening() + made.take(count)


def received(sink: PretendedSink) -> list[dict[str, Any]]:
    """Everything but the time of encoding, which alone may differ between live and replay."""
    messages = sink.messages()
    for each in messages:
        each["header"].pop("encT", None)
        if "seqN" not in each["header"]:
            # A notice is written anew.
            del each["header"]["sTim"]
    return messages


def held(messages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["message"]["pkey"]["ticker"]["tk"]: each["message"] for each in messages}


def of_engine(engine: Engine, name: str) -> dict[str, dict[str, Any]]:
    codec = next(each for each in engine.codecs.views if each.name == name)
    found = {}
    for key, _, _, payload in engine.latest(name):
        found[key] = codec.decode(payload(), 0, len(payload()))
    return found


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Any]:
    made: list[Rig] = []

    def rig(limits: HubLimits = SMALL, folder: str = "one", codecs: Codecs = VIEWED) -> Rig:
        (tmp_path / folder).mkdir(exist_ok=True)
        made.append(Rig(tmp_path / folder, limits=limits, codecs=codecs))
        return made[-1]

    yield rig
    for each in made:
        each.close()


def engine_of(rig: Rig) -> Engine:
    views = rig.hub.channels["itch"].views
    assert views is not None
    return views.live


def restore(rig: Rig) -> None:
    """Bring a new hub to where the journal ends: by the saved state, and what came after it."""
    channel, journal = rig.hub.channels["itch"], rig.journals["itch"]
    saved = journal.load_checkpoint()
    if saved is not None:
        channel.load(*saved)
    else:
        (session,) = journal.sessions()
        channel.start_session(session.session)
        channel.begin(session.first_seq)
    while items := journal.read(channel.position, 10_000):
        for item in items:
            assert isinstance(item, Block)
            rig.hub.publish("itch", item)


def publish(rig: Rig, messages: list[bytes], size: int = 20) -> None:
    for at in range(0, len(messages), size):
        rig.publish(messages[at : at + size])
        rig.turn()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limits", [SMALL, REBUILT], ids=["recent", "rebuilt"])
def test_whoever_comes_late_gets_what_live_readers_got(rigs: Any, name: str, limits: HubLimits) -> None:
    rig = rigs(limits)
    rig.roll("S1")
    live = rig.open(name)
    rig.run(live)
    whole = market(400)
    for at in range(0, len(whole), 90):
        publish(rig, whole[at : at + 90])
        rig.hub.channels["itch"].dump()
    rig.lose(3)
    publish(rig, Market(4, 8).take(30))

    everything = received(live.sink)
    assert len(numbers(live.sink)) > 10
    for begin in (1, 2, 100, 181, 300, len(whole) + 2):
        late = rig.open(name, resume={"itch": Position("S1", begin)})
        rig.run(late)
        assert late.is_live
        assert [each for each in received(late.sink) if "seqN" in each["header"]] == [
            each for each in everything if each["header"].get("seqN", 0) >= begin
        ]
        rig.hub.close(late)


def test_books_are_rebuilt_from_the_nearest_saved_state_and_over_gaps(rigs: Any) -> None:
    rig = rigs(REBUILT)
    rig.roll("S1")
    whole = market(400)
    publish(rig, whole[:300])
    saved_at = rig.hub.channels["itch"].position
    rig.hub.channels["itch"].dump()
    rig.lose(2)
    publish(rig, whole[300:])
    reads: list[int] = []
    journal = rig.hub.channels["itch"].reader
    read = journal.read
    journal.read = lambda position, bytes_max: reads.append(position.next_seq) or read(position, bytes_max)

    late = rig.open("StockBookQuote", resume={"itch": Position("S1", 350)})
    rig.run(late)

    assert late.is_live
    assert min(reads) == saved_at.next_seq


def test_states_of_an_ended_session_are_not_those_of_the_next(rigs: Any) -> None:
    rig = rigs(REBUILT)
    rig.roll("S1")
    live = rig.open("StockBookQuote")
    rig.run(live)
    publish(rig, market(200))
    rig.hub.channels["itch"].dump()
    rig.roll("S2")
    publish(rig, market(300, seed=9))

    late = rig.open("StockBookQuote", resume={"itch": Position("S2", 250)})
    rig.run(late)

    everything = [each for each in received(live.sink) if each["header"].get("ses") == "S2"]
    assert received(late.sink) == [each for each in everything if each["header"]["seqN"] >= 250]


def test_readers_of_old_messages_share_few_engines_and_all_arrive(rigs: Any) -> None:
    rig = rigs(REBUILT)
    rig.roll("S1")
    live = rig.open("StockBookQuote")
    rig.run(live)
    publish(rig, market(300))
    late = [rig.open("StockBookQuote", resume={"itch": Position("S1", begin)}) for begin in (1, 50, 200)]

    turns = 0
    while not all(stream.is_live for stream in late):
        for stream in late:
            rig.hub.step(stream)
        turns += 1
        assert len(rig.hub.channels["itch"].views.rebuilds) <= 1
        assert turns < 5_000

    everything = received(live.sink)
    for stream, begin in zip(late, (1, 50, 200), strict=True):
        assert received(stream.sink) == [each for each in everything if each["header"]["seqN"] >= begin]
    assert len(rig.hub.channels["itch"].views.rebuilds) == 0


@pytest.mark.parametrize("name", NAMES)
def test_all_who_come_back_after_a_restart_have_the_books_rebuilt_once(rigs: Any, name: str) -> None:
    limits = replace(SMALL, recent_views=300)
    rig = rigs(limits)
    rig.roll("S1")
    live = rig.open(name)
    rig.run(live)
    whole = market(900)
    publish(rig, whole[:500])
    channel = rig.hub.channels["itch"]
    rig.journals["itch"].save_checkpoint(channel.position, channel.dump())
    publish(rig, whole[500:])
    everything = received(live.sink)
    rig.close()

    again = rigs(limits)
    restore(again)
    rebuilds = again.hub.channels["itch"].views.rebuilds
    begins = [len(whole) - 7 * at for at in range(1, 31)]
    random.Random(1).shuffle(begins)
    stripe = again.hub.channels["itch"].context.stripe_of_raw[Market(4, 5).tickers[0].encode().ljust(8)]
    late = [again.open(name, resume={"itch": Position("S1", begin)}) for begin in begins]
    # Others want a part of the same: they are of another group, the books are the same.
    late += [
        again.open(name, resume={"itch": Position("S1", begin)}, stripes=frozenset({stripe}))
        for begin in begins
    ]
    in_turns(again, late)
    later = again.open(name, resume={"itch": Position("S1", begins[0])})
    again.run(later)

    assert next(rebuilds._numbers) == 1, "the first was the only one"
    assert len(rebuilds) == rebuilds.waiting == 0
    for stream, begin in zip([*late[: len(begins)], later], [*begins, begins[0]], strict=True):
        assert received(stream.sink) == [each for each in everything if each["header"]["seqN"] >= begin]


def in_turns(rig: Rig, streams: list[Stream], turns_max: int = 20_000) -> None:
    """Let streams go on one step each, round after round, until all are live."""
    turns = 0
    while behind := [stream for stream in streams if not stream.is_live]:
        for stream in behind:
            rig.hub.step(stream)
        turns += 1
        assert turns < turns_max


@pytest.mark.parametrize("before", range(1, 30))
def test_who_comes_a_little_before_what_is_kept_of_a_rebuild_misses_nothing(rigs: Any, before: int) -> None:
    rig = rigs(replace(SMALL, recent_views=10))
    rig.roll("S1")
    live = rig.open("StockBookQuote")
    rig.run(live)
    publish(rig, market(500))
    first = rig.open("StockBookQuote", resume={"itch": Position("S1", 300)})
    while not first.sink.messages():
        rig.hub.step(first)

    second = rig.open("StockBookQuote", resume={"itch": Position("S1", 300 - before)})
    in_turns(rig, [second, first])

    everything = received(live.sink)
    for stream, begin in ((first, 300), (second, 300 - before)):
        assert received(stream.sink) == [each for each in everything if each["header"]["seqN"] >= begin]


def test_readers_far_from_each_other_do_not_take_each_others_books(rigs: Any) -> None:
    rig = rigs(replace(SMALL, recent_views=5, view_engines=2))
    rig.roll("S1")
    live = rig.open("StockBookQuote")
    rig.run(live)
    publish(rig, market(600))
    rebuilds = rig.hub.channels["itch"].views.rebuilds
    begins = (1, 300, 301, 302, 500)
    late = [rig.open("StockBookQuote", resume={"itch": Position("S1", begin)}) for begin in begins]

    in_turns(rig, late)

    everything = received(live.sink)
    for stream, begin in zip(late, begins, strict=True):
        assert received(stream.sink) == [each for each in everything if each["header"]["seqN"] >= begin]
    assert next(rebuilds._numbers) <= 10
    assert len(rebuilds) == 0


@pytest.mark.parametrize("seed", range(12))
def test_readers_that_come_stall_and_go_at_random_get_what_live_ones_got(rigs: Any, seed: int) -> None:
    chance = random.Random(seed)
    rig = rigs(
        replace(
            SMALL,
            recent_views=chance.choice((1, 5, 40, 1_000)),
            view_engines=chance.choice((1, 2, 4)),
            view_states_bytes=chance.choice((1, 50_000, 1 << 20)),
            shared_pieces_bytes=chance.choice((0, 3_000, 1 << 20)),
        )
    )
    rig.roll("S1")
    live = {name: rig.open(name) for name in NAMES[:3]}
    rig.run(*live.values())
    made = Market(4, seed)
    publish(rig, made.opening(), size=chance.choice((7, 60)))
    late: list[tuple[str, Position, Stream]] = []

    def come() -> None:
        name = chance.choice(NAMES[:3])
        session, next_seq = chance.choice([("S1", ends["S1"]), *ends.items()])
        begin = Position(session, chance.randint(max(1, next_seq - chance.choice((10, 500))), next_seq))
        late.append((name, begin, rig.open(name, resume={"itch": begin})))

    ends: dict[str, int] = {}
    for turn in range(250):
        ends[rig.journals["itch"].position().session] = position_of(rig)
        match chance.choice("ppccssssssssdxlr" if turn < 200 else "s"):
            case "p":
                publish(rig, made.take(chance.randint(1, 60)), size=chance.choice((1, 7, 60)))
            case "c":
                come()
            case "d":
                rig.hub.channels["itch"].dump()
            case "l" if chance.random() < 0.3:
                rig.lose(chance.randint(1, 5))
            case "r" if chance.random() < 0.1 and len(ends) == 1:
                rig.roll("S2")
            case "x" if late:
                _, _, stream = late.pop(chance.randrange(len(late)))
                rig.hub.close(stream)
            case _:
                for _, _, stream in chance.sample(late, min(len(late), 3)):
                    stream.sink.stalled = not stream.is_live and chance.random() < 0.2
                    if not stream.sink.stalled:
                        stream.sink.read_on()
                        rig.hub.step(stream)
    for _, _, stream in late:
        stream.sink.read_on()
    in_turns(rig, [stream for _, _, stream in late])
    publish(rig, made.take(30))

    everything = {name: records(stream.sink) for name, stream in live.items()}
    for name, begin, stream in late:
        behind = [each for each in everything[name] if place_of(each) >= (begin.session, begin.next_seq)]
        assert records(stream.sink) == behind, (name, begin)
    assert len(rig.hub.channels["itch"].views.rebuilds) == 0
    assert rig.hub.channels["itch"].views.rebuilds.waiting == 0


def position_of(rig: Rig) -> int:
    return int(rig.hub.channels["itch"].position.next_seq)


def records(sink: PretendedSink) -> list[dict[str, Any]]:
    """What was received, without notices."""
    return [each for each in received(sink) if "seqN" in each["header"]]


def place_of(message: dict[str, Any]) -> tuple[str, int]:
    return message["header"]["ses"], message["header"]["seqN"]


def test_an_engine_whose_reader_has_stopped_is_given_to_who_waits(rigs: Any) -> None:
    rig = rigs(REBUILT)
    rig.roll("S1")
    publish(rig, market(200))
    stuck, other = (rig.open("StockBookQuote", resume={"itch": Position("S1", 1)}) for _ in range(2))
    while not stuck.sink.messages():
        rig.hub.step(stuck)

    rig.run(other)
    rig.run(stuck)

    assert other.is_live
    assert stuck.is_live
    assert received(stuck.sink) == received(other.sink)


def test_a_replay_goes_on_into_the_next_session_with_new_books(rigs: Any) -> None:
    rig = rigs(REBUILT)
    rig.roll("S1")
    live = rig.open("BookDepth5")
    rig.run(live)
    publish(rig, market(120))
    rig.roll("S2")
    publish(rig, market(150, seed=9))

    late = rig.open("BookDepth5", resume={"itch": Position("S1", 100)})
    rig.run(late)

    first = [each["header"].get("ses") for each in received(live.sink)].index("S2")
    from_there = [
        each
        for at, each in enumerate(received(live.sink))
        if at >= first or each["header"].get("seqN", 0) >= 100 or "seqN" not in each["header"]
    ]
    assert received(late.sink) == from_there
    assert {each["header"]["ses"] for each in from_there if "ses" in each["header"]} == {"S1", "S2"}
    assert len(notices(late.sink)) == 1


@pytest.mark.parametrize("limits", [SMALL, REBUILT], ids=["recent", "rebuilt"])
def test_a_reader_that_stalls_is_served_the_same_later(rigs: Any, limits: HubLimits) -> None:
    rig = rigs(limits)
    rig.roll("S1")
    live, slow = rig.open("StockBookQuote"), rig.open("StockBookQuote")
    rig.run(live, slow)
    whole = market(500)
    publish(rig, whole[:200])
    slow.sink.stalled = True
    publish(rig, whole[200:450])
    assert not slow.is_live

    slow.sink.read_on()
    rig.run(slow)
    publish(rig, whole[450:])

    assert slow.is_live
    assert received(slow.sink) == received(live.sink)


@pytest.mark.parametrize("name", ["StockBookQuote", "BookDepth5", "StockPrint"])
def test_a_snapshot_and_what_follows_are_the_gateways_book_at_every_join_point(rigs: Any, name: str) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    joined: list[Stream] = []

    for each in market(60, tickers=2):
        rig.publish([each])
        rig.turn()
        stream = rig.open(name)
        rig.run(stream)
        assert held(stream.sink.messages()) == of_engine(engine_of(rig), name)
        joined.append(stream)

    for stream in joined:
        assert held(stream.sink.messages()) == of_engine(engine_of(rig), name)
        assert len(numbers(stream.sink)) == len(set(numbers(stream.sink)))


@pytest.mark.parametrize("name", NAMES)
def test_a_conflated_reader_has_the_newest_of_each_ticker(rigs: Any, name: str) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    publish(rig, market(100))
    stream = rig.open(name, delivery=Delivery.LATEST)
    rig.run(stream)
    before = len(stream.sink.messages())

    publish(rig, Market(4, 5).take(400)[100:])
    while rig.hub.take_latest(stream):
        pass

    after = stream.sink.messages()[before:]
    assert held(stream.sink.messages()) == of_engine(engine_of(rig), name)
    assert 0 < len(after) <= 4


def test_single_tickers_are_had_by_key(rigs: Any) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    publish(rig, market(200))
    (ticker, *_) = of_engine(engine_of(rig), "StockBookQuote")
    keys = {("StockBookQuote", ticker), ("StockBookQuote", "NONE")}

    stream = rig.open("StockBookQuote", delivery=Delivery.LATEST, keys=keys)
    rig.run(stream)

    assert held(stream.sink.messages()) == {ticker: of_engine(engine_of(rig), "StockBookQuote")[ticker]}


def test_filters_views_and_stripes_are_those_of_every_message(rigs: Any) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    plain = rig.open("StockBookQuote")
    tickers = Market(4, 5).tickers
    by_ticker = rig.open("StockBookQuote", where=parse_where(f"ticker.tk:eq:{tickers[0]}"))
    by_price = rig.open("StockBookQuote", where=parse_where("bidPrice1:gt:100"))
    fields = rig.open("StockBookQuote", view=frozenset({"bidprice1"}))
    stripe = rig.hub.channels["itch"].context.stripe_of_raw[tickers[0].encode().ljust(8)]
    striped = rig.open("StockBookQuote", stripes=frozenset({stripe}))
    rig.run(plain, by_ticker, by_price, fields, striped)

    publish(rig, market(300))

    everything = received(plain.sink)
    of_ticker = [each for each in everything if each["message"]["pkey"]["ticker"]["tk"] == tickers[0]]
    assert 0 < len(of_ticker) < len(everything)
    assert received(by_ticker.sink) == of_ticker
    dear = [each for each in everything if each["message"]["bidPrice1"] > 100]
    assert 0 < len(dear) < len(everything)
    assert received(by_price.sink) == dear
    assert [set(each["message"]) for each in received(fields.sink)] == [{"pkey", "bidPrice1"}] * len(
        everything
    )
    assert of_ticker[0] in received(striped.sink)
    assert len(received(striped.sink)) < len(everything)


@pytest.mark.parametrize("saved_at", [0, 40, 160, 300])
def test_restarted_in_the_middle_the_next_records_are_right(rigs: Any, saved_at: int) -> None:
    whole = market(400)
    uncut, before = rigs(folder="uncut"), rigs(folder="cut")
    for rig in (uncut, before):
        rig.roll("S1")
    live = {name: uncut.open(name) for name in NAMES}
    uncut.run(*live.values())
    publish(uncut, whole)
    publish(before, whole[:saved_at])
    if saved_at:
        channel = before.hub.channels["itch"]
        before.journals["itch"].save_checkpoint(channel.position, channel.dump())
    publish(before, whole[saved_at:300])
    before.close()

    after = rigs(folder="cut")
    restore(after)
    streams = {name: after.open(name, newer_than_ns=-1) for name in NAMES}
    after.run(*streams.values())
    publish(after, whole[300:])

    for name in NAMES:
        # Blocks are received at other times in another life.
        got, expected = (
            [(each["header"]["seqN"], without_time(each)) for each in received(stream.sink)]
            for stream in (streams[name], live[name])
        )
        assert got == [each for each in expected if each[0] > 300]
        assert of_engine(engine_of(after), name).keys() == of_engine(engine_of(uncut), name).keys()


def without_time(each: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in each["message"].items() if name != "netTimestamp"}


def test_a_saved_state_is_not_read_again_from_the_days_start(rigs: Any) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    publish(rig, market(300))
    channel = rig.hub.channels["itch"]
    saved, position, books = channel.dump(), channel.position, engine_of(rig).dump()

    other = rigs(SMALL, folder="other").hub.channels["itch"]
    other.load(position, saved)

    assert other.position == position
    assert other.views.live.dump() == books


def test_a_state_saved_for_other_views_is_refused_whole(rigs: Any) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    publish(rig, market(50))
    channel = rig.hub.channels["itch"]
    quotes = ViewedCodecs(CODECS, ["StockBookQuote"])
    other = rigs(folder="other", codecs=quotes).hub.channels["itch"]
    without = rigs(folder="without", codecs=CODECS).hub.channels["itch"]

    with pytest.raises(ValueError, match="expected StockBookQuote"):
        other.load(channel.position, channel.dump())
    without.load(channel.position, channel.dump())
    with pytest.raises(ValueError, match="views: the saved state starts with"):
        channel.load(without.position, without.dump())
    assert other.position == Position("", 1)


def test_a_session_joined_late_is_replayed_from_where_it_was_joined_after_a_restart(rigs: Any) -> None:
    whole = market(300)
    rig = rigs(REBUILT)
    rig.roll("S1", first_seq=101)
    live = rig.open("StockBookQuote")
    rig.run(live)
    publish(rig, whole[100:200])
    channel = rig.hub.channels["itch"]
    rig.journals["itch"].save_checkpoint(channel.position, channel.dump())
    publish(rig, whole[200:])
    expected = received(live.sink)
    rig.close()

    again = rigs(REBUILT)
    restore(again)
    late = again.open("StockBookQuote", resume={"itch": Position("S1", 101)})
    again.run(late)

    assert received(late.sink) == expected


def test_views_that_nobody_asked_for_keep_nothing(rigs: Any) -> None:
    rig = rigs(SMALL)
    rig.roll("S1")
    publish(rig, market(100))
    views = rig.hub.channels["itch"].views

    stream = rig.open("StockBookQuote")
    assert len(views._recent) == 1
    rig.hub.close(stream)

    assert views._recent == {}
    assert all(view.wanted == 0 for view in views.live.views.values())


def test_saved_states_stay_within_their_limit(rigs: Any) -> None:
    rig = rigs(replace(SMALL, view_states_bytes=20_000))
    rig.roll("S1")
    views = rig.hub.channels["itch"].views

    for each in market(600):
        rig.publish([each])
        rig.hub.channels["itch"].dump()

    assert views.state_bytes[1] <= 20_000
    kept = sorted(views._states)
    assert sum(map(len, views._states.values())) <= 20_000
    assert kept[-1] == rig.hub.channels["itch"].position.next_seq


def test_the_feeds_own_messages_are_as_they_were_without_views(rigs: Any) -> None:
    viewed, plain = rigs(), rigs(folder="plain", codecs=CODECS)
    whole = market(200)
    got = []
    for rig in (viewed, plain):
        rig.roll("S1")
        stream = rig.open("*")
        rig.run(stream)
        publish(rig, whole)
        got.append(received(stream.sink))

    assert got[0] == got[1]
    assert len(whole) == len(got[0])

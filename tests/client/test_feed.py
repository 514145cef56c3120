"""One stream over real sockets: what is asked for, what comes, where it resumes, what it tells."""

from gateway.client import (
    Feed,
    FeedPosition,
    Message,
    Notice,
    Stream,
)
from gateway.client import notices as kinds
from tests.fakes.scripted_gateway import ScriptedGateway


async def numbers(stream: Stream, count: int) -> list[int | None]:
    return [(await anext(stream)).sequence_number for _ in range(count)]


async def test_a_stream_begins_with_the_latest_records_and_goes_on_live(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gateway.records = {"StockDirectory"}
    for ticker in ("A", "B", "A"):
        gateway.publish("StockDirectory", stock=ticker)
    stream = feed.stream("StockDirectory", "AddOrder")

    assert await numbers(stream, 2) == [2, 3]
    gateway.publish("AddOrder", stock="A", price=1.5)
    message = await anext(stream)

    assert (message.type, message.src, message.session, message.sequence_number) == (
        "AddOrder",
        "itch",
        "S1",
        4,
    )
    assert message.price == 1.5
    assert [type(notice).__name__ for notice in notices] == ["SnapshotComplete"]


async def test_the_request_carries_what_was_asked_for(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream(
        "AddOrder",
        stripe="A",
        where="shares:gt:10",
        view=["price", "shares"],
        resume="itch/S1/1",
        latency_ms=5,
        delivery="every",
        coverage=True,
        label="mine",
    )

    await anext(stream)

    assert gateway.requests == [
        {
            "mTyp": "MLinkStream",
            "msgName": "AddOrder",
            "sessionID": 1,
            "queryID": 1,
            "activeLatency": 5,
            "stripeFilter": "A",
            "where": "shares:gt:10",
            "view": "price|shares",
            "delivery": "every",
            "coverage": True,
            "queryLabel": "mine",
            "resume": {"src": "itch", "ses": "S1", "seqN": 1},
        }
    ]


async def test_a_stream_of_several_feeds_resumes_each_where_it_stands(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    for src in ("a", "b", "b"):
        gateway.publish("Trade", src, stock="A")
    stream = feed.stream("*", resume=["a/S1/1", {"src": "b", "ses": "S1", "seqN": 2}])
    assert {(m.src, m.sequence_number) for m in [await anext(stream), await anext(stream)]} == {
        ("a", 1),
        ("b", 2),
    }

    await gateway.close_all(1001)
    gateway.publish("Trade", "a", stock="A")
    gateway.publish("Trade", "b", stock="A")
    again = [await anext(stream), await anext(stream)]

    assert {(message.src, message.sequence_number) for message in again} == {("a", 2), ("b", 3)}
    assert sorted(gateway.requests[1]["resume"], key=lambda each: each["src"]) == [
        {"src": "a", "ses": "S1", "seqN": 2},
        {"src": "b", "ses": "S1", "seqN": 3},
    ]


async def test_a_restart_of_the_gateway_with_a_new_session_loses_nothing_and_is_told(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    assert await numbers(stream, 1) == [1]

    await gateway.stop()
    gateway.publish("AddOrder", stock="A")
    gateway.roll("S2")
    gateway.publish("AddOrder", stock="A")
    await gateway.start()
    after = [await anext(stream), await anext(stream)]

    assert [(message.session, message.sequence_number) for message in after] == [("S1", 2), ("S2", 1)]
    kinds = {type(notice).__name__ for notice in notices}
    assert kinds == {"Reconnecting", "Reconnected", "SessionChange"}
    assert stream.positions == (FeedPosition("itch", "S2", 2),)


async def test_notices_stand_at_their_place_between_the_messages(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="A")
    gateway.roll("S2")
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")

    seen = []
    async for item in stream.with_notices():
        seen.append(item.session if isinstance(item, Message | kinds.SessionChange) else None)
        if len(seen) == 3:
            break

    assert seen == ["S1", "S2", "S2"]


async def test_every_notice_of_the_wire_has_its_own_type(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)
    for event, more in {
        "SequenceGap": {"ses": "S1", "fromSeqN": 5, "toSeqN": 9},
        "FeedDown": {},
        "FeedUp": {},
        "Stale": {},
        "Slow": {"lagMessages": 7, "lagSeconds": 1.5},
        "CaughtUp": {},
    }.items():
        await gateway.tell({"state": "Active", "event": event, "src": "itch", "detail": "why", **more})
    await gateway.tell({"state": "GoodNight", "secondsLeft": 3.0})
    gateway.publish("AddOrder", stock="A")
    await anext(stream)

    assert notices == [
        kinds.SequenceGap("why", "itch", "S1", 5, 9),
        kinds.FeedDown("why", "itch"),
        kinds.FeedUp("why", "itch"),
        kinds.Stale("why", "itch"),
        kinds.Slow("why", "itch", 7, 1.5),
        kinds.CaughtUp("why", "itch"),
        kinds.GoodNight("", 3.0),
    ]


async def test_a_gap_that_is_told_again_after_a_reconnect_is_told_once(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gap = {"state": "Active", "event": "SequenceGap", "src": "itch", "ses": "S1", "fromSeqN": 5, "toSeqN": 9}
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    await gateway.tell(gap)
    await gateway.tell(gap)
    gateway.publish("AddOrder", stock="A")
    await anext(stream)

    assert [type(notice).__name__ for notice in notices] == ["SequenceGap"]

"""Several streams: sharing a socket or not, back-pressure, stripes, and ending one of them."""

import asyncio

import pytest

from gateway.client import (
    Feed,
    FeedPosition,
    Notice,
    Stream,
    connect,
)
from gateway.errors import BadRequest
from tests.fakes.scripted_gateway import ScriptedGateway, until


async def numbers(stream: Stream, count: int) -> list[int | None]:
    return [(await anext(stream)).sequence_number for _ in range(count)]


async def test_streams_of_different_messages_share_a_socket(gateway: ScriptedGateway, feed: Feed) -> None:
    adds, trades = (feed.stream(name, resume="itch/S1/1") for name in ("AddOrder", "Trade"))
    for _ in range(3):
        gateway.publish("AddOrder", stock="A")
        gateway.publish("Trade", stock="A")

    assert await numbers(adds, 3) == [1, 3, 5]
    assert await numbers(trades, 3) == [2, 4, 6]
    assert gateway.handshakes == 1
    assert [request["queryID"] for request in gateway.requests] == [1, 2]


@pytest.mark.parametrize("second", ["addorder", "*", "4711"])
async def test_streams_whose_messages_could_not_be_told_apart_have_a_socket_each(
    gateway: ScriptedGateway, feed: Feed, second: str
) -> None:
    gateway.publish("AddOrder", stock="A")
    first, other = feed.stream("AddOrder", resume="itch/S1/1"), feed.stream(second, resume="itch/S1/1")
    await anext(first)
    reading = asyncio.create_task(anext(other))
    await until(lambda: gateway.handshakes == 2)

    assert gateway.connections == 2
    reading.cancel()
    await asyncio.wait([reading])


async def test_a_stream_that_nobody_reads_moves_to_its_own_socket_and_holds_nobody_up(
    gateway: ScriptedGateway, notices: list[Notice]
) -> None:
    async with connect(gateway.url, buffer_messages=20, on_notice=notices.append) as feed:
        slow, quick = (feed.stream(name, resume="itch/S1/1") for name in ("AddOrder", "Trade"))
        for _ in range(500):
            gateway.publish("AddOrder", stock="A")
            gateway.publish("Trade", stock="A")
        assert await numbers(slow, 1) == [1]

        assert await numbers(quick, 500) == list(range(2, 1001, 2))
        assert gateway.handshakes == 2
        assert await numbers(slow, 499) == list(range(3, 1000, 2))
        assert slow.doubles == quick.doubles == 0
    assert "OwnSocket" in {type(notice).__name__ for notice in notices}


async def test_a_full_buffer_stops_the_reading_and_loses_nothing(gateway: ScriptedGateway) -> None:
    async with connect(gateway.url, buffer_messages=100) as feed:
        for _ in range(20_000):
            gateway.publish("AddOrder", stock="A", filler="x" * 100)
        stream = feed.stream("AddOrder", resume="itch/S1/1")
        assert await numbers(stream, 1) == [1]
        for _ in range(200):
            await asyncio.sleep(0)

        assert stream.waiting <= 100 + gateway.batch
        assert await numbers(stream, 19_999) == list(range(2, 20_001))


async def test_a_stream_that_is_closed_ends_and_leaves_its_neighbour_alone(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    adds, trades = (feed.stream(name, resume="itch/S1/1") for name in ("AddOrder", "Trade"))
    gateway.publish("AddOrder", stock="A")
    gateway.publish("Trade", stock="A")
    await anext(adds)
    await anext(trades)

    await adds.aclose()
    gateway.publish("Trade", stock="A")

    assert [message async for message in adds] == []
    assert await numbers(trades, 1) == [3]
    assert gateway.requests[-1]["unsubscribe"] == "Yes"


async def test_leaving_the_connection_ends_its_streams_and_sockets(gateway: ScriptedGateway) -> None:
    async with connect(gateway.url) as feed:
        gateway.publish("AddOrder", stock="A")
        stream = feed.stream("AddOrder", resume="itch/S1/1")
        await anext(stream)
    await until(lambda: gateway.connections == 0)

    assert [message async for message in stream] == []
    with pytest.raises(BadRequest, match="inside of"):
        await anext(feed.stream("AddOrder"))


async def test_the_position_is_that_of_the_reader_not_of_the_socket(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    for _ in range(10):
        gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")

    assert await numbers(stream, 4) == [1, 2, 3, 4]
    assert stream.positions == (FeedPosition("itch", "S1", 5),)
    assert [message.sequence_number for message in await stream.next_batch()] == [5, 6, 7, 8, 9, 10]
    assert stream.positions == (FeedPosition("itch", "S1", 11),)


async def test_batches_are_the_same_messages(gateway: ScriptedGateway, feed: Feed) -> None:
    for _ in range(120):
        gateway.publish("AddOrder", stock="A")

    seen: list[int | None] = []
    async for batch in feed.stream("AddOrder", resume="itch/S1/1").batches():
        seen += [message.sequence_number for message in batch]
        if len(seen) == 120:
            break

    assert seen == list(range(1, 121))


async def test_stripes_have_a_socket_each_and_what_belongs_to_all_comes_once(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    for number in range(60):
        gateway.publish("AddOrder", stock="ABC"[number % 3])
        gateway.publish("SystemEvent", eventCode="Q")
    stream = feed.stream("*", stripes=["A", "B", "C"], resume="itch/S1/1")

    seen = [await anext(stream) for _ in range(120)]

    assert sorted(message.sequence_number for message in seen) == list(range(1, 121))
    for ticker in "ABC":
        of_one = [message.sequence_number for message in seen if message.get("stock") == ticker]
        assert of_one == sorted(of_one)
    assert gateway.handshakes == 3
    assert stream.doubles == 120
    assert stream.positions == (FeedPosition("itch", "S1", 121),)


async def test_a_stripe_without_a_session_yet_stands_before_all_others(gateway: ScriptedGateway) -> None:
    for number in range(10):
        gateway.publish("AddOrder", stock="AB"[number % 2])
    # One of them is not let in at first; the other is.
    gateway.statuses = [503]
    async with connect(gateway.url, retry_first_s=60) as feed:
        stream = feed.stream("AddOrder", stripes=["A", "B"], resume="itch//1")
        await numbers(stream, 3)
        positions = stream.positions

    # Whoever resumed behind these would miss what the other stripe has not had yet.
    assert positions == (FeedPosition("itch", "", 1),)

"""Every way a stream breaks or ends, told apart by who has to act."""

import asyncio
import logging

import pytest

from gateway.client import (
    Feed,
    FeedPosition,
    Incomplete,
    KeyRefused,
    Notice,
    RequestRefused,
    Stream,
    Unreachable,
    connect,
)
from gateway.client.notices import Reconnecting
from gateway.client.receiver import REFUSALS_MAX
from gateway.errors import BadRequest, RemoteProtocolError
from tests.fakes.scripted_gateway import ScriptedGateway, until


async def numbers(stream: Stream, count: int) -> list[int | None]:
    return [(await anext(stream)).sequence_number for _ in range(count)]


async def test_a_wrong_key_is_for_its_owner_to_mend(gateway: ScriptedGateway) -> None:
    gateway.key = "right"
    async with connect(gateway.url, key="wrong") as feed:
        with pytest.raises(KeyRefused, match="401: unknown key") as caught:
            await anext(feed.stream("AddOrder"))

    assert "wrong" not in str(caught.value)


async def test_a_key_is_sent_as_a_message_when_the_handshake_did_not_bring_it(
    gateway: ScriptedGateway,
) -> None:
    gateway.admin = {"state": "WaitingLogon"}
    gateway.publish("AddOrder", stock="A")
    async with connect(gateway.url, key="k") as feed:
        gateway.key = ""
        with pytest.raises(KeyRefused, match="LogonFailed: by message"):
            await numbers(feed.stream("AddOrder", resume="itch/S1/1"), 2)

    assert {"mTyp": "MLinkLogon", "apiKey": "k"} in gateway.requests


async def test_a_gateway_that_wants_a_key_says_so_to_who_has_none(gateway: ScriptedGateway) -> None:
    gateway.admin = {"state": "WaitingLogon"}
    async with connect(gateway.url) as feed:
        with pytest.raises(KeyRefused, match="wants a key"):
            await anext(feed.stream("AddOrder"))


@pytest.mark.parametrize("code", [4004, 4005, 4006])
async def test_a_key_that_is_revoked_while_connected_ends_the_stream(
    gateway: ScriptedGateway, feed: Feed, code: int
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    await gateway.close_all(code, "the key was revoked")

    with pytest.raises(KeyRefused, match="the key was revoked"):
        await anext(stream)


@pytest.mark.parametrize("result", ["Error", "UnkwnMsgType", "UnauthMsgType"])
async def test_a_refused_request_gives_the_gateways_own_words(
    gateway: ScriptedGateway, feed: Feed, result: str
) -> None:
    gateway.refuse = lambda body: (result, "position 6: expected an operator")

    with pytest.raises(RequestRefused, match="position 6: expected an operator") as caught:
        await anext(feed.stream("AddOrder", where="stock:is:A"))

    assert caught.value.result.value == result


async def test_one_refused_stream_leaves_its_neighbour_alone(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.refuse = lambda body: ("UnkwnMsgType", "no such message") if body["msgName"] == "Nope" else None
    gateway.publish("AddOrder", stock="A")
    good, bad = feed.stream("AddOrder", resume="itch/S1/1"), feed.stream("Nope")
    assert await numbers(good, 1) == [1]

    with pytest.raises(RequestRefused):
        await anext(bad)
    gateway.publish("AddOrder", stock="A")

    assert await numbers(good, 1) == [2]
    assert gateway.handshakes == 1


async def test_a_warning_is_told_and_the_stream_goes_on(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gateway.refuse = lambda body: ("Warn", "latency is ignored for events")
    gateway.publish("AddOrder", stock="A")

    assert await numbers(feed.stream("AddOrder", resume="itch/S1/1"), 1) == [1]
    assert [notice.detail for notice in notices] == ["latency is ignored for events"]


async def test_a_refused_resume_of_our_own_is_tried_again_before_it_is_incomplete(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    gateway.refuse = lambda body: ("Error", "oldest is itch/S1/900")
    await gateway.close_all(1001)

    with pytest.raises(Incomplete, match=r"can't go on at itch/S1/2.*oldest is itch/S1/900") as caught:
        await anext(stream)
    assert caught.value.positions == (FeedPosition("itch", "S1", 2),)
    assert len(gateway.requests) == 1 + REFUSALS_MAX


async def test_a_resume_that_is_refused_while_the_journal_opens_heals(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)
    answers = [("Error", "not yet"), ("Error", "not yet"), None]

    gateway.refuse = lambda body: answers.pop(0)
    await gateway.close_all(1001)
    gateway.publish("AddOrder", stock="A")

    assert await numbers(stream, 1) == [2]


async def test_a_message_that_never_arrived_is_found_by_the_next_heartbeat(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.swallowed = {3}
    for _ in range(5):
        gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    assert await numbers(stream, 4) == [1, 2, 4, 5]

    await gateway.heartbeat()

    with pytest.raises(Incomplete, match="sent 5 messages, 4 arrived") as caught:
        await anext(stream)
    assert caught.value.positions == (FeedPosition("itch", "S1", 1),)
    # Asked again it says the same, and does not hang.
    with pytest.raises(Incomplete):
        await anext(stream)


async def test_a_heartbeat_moves_the_position_of_a_stream_that_matches_nothing(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    stream = feed.stream("Trade", resume="itch/S1/1")
    for _ in range(7):
        gateway.publish("AddOrder", stock="A")
    reading = asyncio.create_task(anext(stream))
    while stream.positions != (FeedPosition("itch", "S1", 8),):
        await gateway.heartbeat()
        await asyncio.sleep(0)

    await gateway.close_all(1001)
    await until(lambda: len(gateway.requests) == 2)

    assert gateway.requests[-1]["resume"]["seqN"] == 8
    reading.cancel()
    await asyncio.wait([reading])


async def test_no_gateway_for_longer_than_allowed_is_unreachable() -> None:
    async with ScriptedGateway() as gateway:
        url = gateway.url
    async with connect(url, retry_first_s=0.001, retry_longest_s=0.01, give_up_after_s=0.05) as feed:
        with pytest.raises(Unreachable, match=r"no line for 0\.05 s; last: can't reach ws://"):
            await anext(feed.stream("AddOrder"))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_gateway_that_is_busy_is_dialled_again(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice], status: int
) -> None:
    gateway.statuses = [status, status]
    gateway.publish("AddOrder", stock="A")

    assert await numbers(feed.stream("AddOrder", resume="itch/S1/1"), 1) == [1]
    assert gateway.handshakes == 3
    assert f"HTTP {status}" in notices[0].detail


async def test_waits_grow_until_messages_flow_again_not_until_a_connection_stands(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice]
) -> None:
    gateway.publish("AddOrder", stock="A")
    gateway.cuts = iter([150, 150, 150])

    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)
    await gateway.close_all(1001)
    gateway.publish("AddOrder", stock="A")
    await anext(stream)

    waits = [notice.attempt for notice in notices if isinstance(notice, Reconnecting)]
    assert waits == [1, 2, 3, 1]


async def test_a_gateway_that_says_when_to_come_back_is_believed(gateway: ScriptedGateway) -> None:
    gateway.statuses, gateway.retry_after = [429], "7200"
    async with connect(gateway.url, retry_first_s=0.001, give_up_after_s=60) as feed:
        with pytest.raises(Unreachable):
            await anext(feed.stream("AddOrder"))


async def test_an_address_that_is_no_gateways_is_the_callers_to_mend(gateway: ScriptedGateway) -> None:
    gateway.statuses = [404]
    async with connect(gateway.url) as feed:
        with pytest.raises(RequestRefused, match=r"404.*expected a gateway's address"):
            await anext(feed.stream("AddOrder"))


@pytest.mark.parametrize("junk", [b"\r\nJ00000000003{]}", b"hello", b"[]", b'{"header":{}}', b""])
async def test_bytes_that_are_no_message_break_the_line_and_the_stream_goes_on(
    gateway: ScriptedGateway, feed: Feed, notices: list[Notice], junk: bytes
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    await gateway.send_raw(junk)
    gateway.publish("AddOrder", stock="A")

    assert await numbers(stream, 1) == [2]
    assert "the gateway sent" in notices[0].detail


async def test_bytes_that_can_never_be_read_end_the_stream(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    async def spoil() -> None:
        while True:
            await gateway.send_raw(b"not JSON")
            await asyncio.sleep(0)

    spoiling = asyncio.create_task(spoil())
    with pytest.raises(RemoteProtocolError, match="what is not JSON"):
        await anext(stream)
    spoiling.cancel()
    await asyncio.wait([spoiling])


async def test_a_control_message_that_is_not_understood_is_logged_and_passed_over(
    gateway: ScriptedGateway, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    with caplog.at_level(logging.WARNING, "gateway.client"):
        await gateway.tell({"state": "Sleepwalking"})
        gateway.publish("AddOrder", stock="A")
        assert await numbers(stream, 1) == [2]

    assert "unreadable control message" in caplog.text


async def test_a_silent_line_is_cut_and_dialled_again(gateway: ScriptedGateway) -> None:
    gateway.publish("AddOrder", stock="A")
    async with connect(gateway.url, silence_s=0.02, retry_first_s=0.001) as feed:
        stream = feed.stream("AddOrder", resume="itch/S1/1")
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await until(lambda: gateway.handshakes >= 3)
        gateway.publish("AddOrder", stock="A")

        assert (await reading).sequence_number == 2


async def test_a_stream_that_the_gateway_ends_is_asked_for_again(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="A")
    stream = feed.stream("AddOrder", resume="itch/S1/1")
    await anext(stream)

    body = (
        b'{"header":{"mTyp":"MLinkStreamCheckPt"},"message":{"sessionID":1,"queryID":1,"state":"Terminated"}}'
    )
    await gateway.send_raw(body)
    gateway.publish("AddOrder", stock="A")

    assert await numbers(stream, 1) == [2]
    assert gateway.handshakes == 2


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        ((), {}, "expected at least one"),
        (("",), {}, "expected at least one"),
        (("A",), {"latency_ms": 0}, "expected 1 or more"),
        (("A",), {"delivery": "some"}, 'expected "every" or "latest"'),
        (("A",), {"stripe": "A", "stripes": ["B"]}, "expected one of them"),
        (("A",), {"stripes": ["A", "a"]}, "named twice"),
        (("A",), {"resume": "itch/1"}, "expected SRC/SES/SEQ"),
        (("A",), {"resume": "itch/S1/0"}, "from 1"),
        (("A",), {"resume": ["a/S1/1", "a/S2/1"]}, "names a feed twice"),
        (("A",), {"resume": {"src": "a", "seqN": True}}, "1 or more"),
    ],
)
def test_a_wrong_request_is_found_before_a_socket_opens(names: tuple, options: dict, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        connect("localhost").stream(*names, **options)

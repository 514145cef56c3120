"""Frames and envelope over a real socket: their bytes, their limits, their times, what is left out."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flow.pipe import frames_in
from tests.mlink.conversation import PATHS, PLAIN, Talk, conversation

# What is said does not depend on the loop.
pytestmark = pytest.mark.one_loop

WEBSOCKET_MESSAGE_MAX = 65_535


async def payloads(talk: Talk) -> list[bytes]:
    """What the next WebSocket message holds, as it came."""
    message = await talk.socket.recv()
    assert isinstance(message, bytes)
    return frames_in(message) if talk.framed else [message]


async def payload_with(talk: Talk, what: bytes) -> bytes:
    while True:
        for payload in await payloads(talk):
            if what in payload:
                return payload


async def test_a_frame_larger_than_a_websocket_message_may_be_travels_alone(tmp_path: Path) -> None:
    items = [{"msgName": "Nothing", "msgPKey": f"K{at}"} for at in range(1_000)]
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("*", resume={"seqN": 1}, queryID=1)
        await talk.ask("MLinkSubscribe", Subscribe=items)
        await talk.stream("*", resume={"seqN": 1}, queryID=2)
        messages: list[bytes] = []
        while not messages or b'"queryID":2' not in messages[-1]:
            message = await talk.socket.recv()
            assert isinstance(message, bytes)
            messages.append(message)

    (large,) = [each for each in messages if len(each) > WEBSOCKET_MESSAGE_MAX]
    (payload,) = frames_in(large)
    assert len(json.loads(payload)["message"]["Subscribe"]) == 1_000


@pytest.mark.parametrize("path", PATHS)
async def test_line_breaks_are_escaped_whoever_they_come_from(tmp_path: Path, path: str) -> None:
    label, stock = 'a\r\nJ00000000002{}"\\\u2028é\x00', "A\r\nJB"
    async with conversation(tmp_path, path) as scene:
        await scene.talk.stream("StockDirectory", queryLabel=label, delivery="every")
        ack = await payload_with(scene.talk, b"MLinkStreamAck")
        record = bytearray(scene.opening[1])
        record[11:19] = stock.encode().ljust(8)
        await scene.published([bytes(record)])
        data = await payload_with(scene.talk, b'"A\\')

    for payload in (ack, data):
        assert b"\r" not in payload
        assert b"\n" not in payload
    assert json.loads(ack)["message"]["queryLabel"] == label
    assert json.loads(data)["message"]["stock"] == stock


async def test_message_numbers_are_00000_and_one_frame_never_straddles_two_messages(tmp_path: Path) -> None:
    numbers: set[bytes] = set()
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("*", resume={"seqN": 1})
        await scene.published(scene.market.take(2_000))
        last = b""
        while b'"seqN":%d,' % (len(scene.opening) + 2_000) not in last:
            message = await scene.talk.socket.recv()
            assert isinstance(message, bytes)
            at = 0
            while at < len(message):
                numbers.add(message[at + 3 : at + 8])
                at += 14 + int(message[at + 8 : at + 14])
            assert at == len(message)
            assert len(message) <= WEBSOCKET_MESSAGE_MAX
            last = message

    assert numbers == {b"00000"}


async def test_without_frames_each_message_is_one_object(tmp_path: Path) -> None:
    async with conversation(tmp_path, PLAIN) as scene:
        await scene.talk.stream("StockDirectory")
        seen = [json.loads(each) for _ in range(8) for each in await payloads(scene.talk)]

    assert all(each.keys() == {"header", "message"} for each in seen)


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time is nine hours ahead."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def is_now(text: str) -> bool:
    said = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return abs(datetime.now(UTC) - said) < timedelta(hours=1)


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize("path", PATHS)
async def test_all_times_are_utc_wherever_the_machine_stands(tmp_path: Path, path: str) -> None:
    sent_at = "2026-01-02 03:04:05.678901"
    request: dict[str, Any] = {
        "header": {"mTyp": "MLinkStream", "sTim": sent_at},
        "message": {"msgName": "StockDirectory", "queryID": 1},
    }
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.socket.send(json.dumps(request))
        ack = await talk.answer("MLinkStreamAck")
        complete = await talk.checkpoint("Complete")
        heartbeat = await talk.heartbeat()

    assert ack["querySendTs"] == 1_767_323_045_678_901_000, "the client's own time, as nanoseconds"
    assert is_now(complete["timestamp"])
    assert is_now(heartbeat["timestamp"])
    for each in talk.all:
        assert is_now(each["header"]["sTim"]), each
        assert is_now(each["header"]["encT"]), each
        assert each["header"]["sTim"] <= each["header"]["encT"]


async def test_an_upstreams_message_tells_feed_session_and_number_and_ours_do_not(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("*", resume={"seqN": 3})
        await scene.talk.until_count(5)

    own = {"src": "itch", "ses": scene.exchange.session.name}
    for at, each in enumerate(scene.talk.data, start=3):
        assert each["header"].items() >= {**own, "seqN": at}.items()
    for each in scene.talk.control:
        assert each["header"].keys() == {"mTyp", "sTim", "encT"}


async def test_fields_at_their_default_are_left_out(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.ask("MLinkStream", msgName="AddOrder")
        ack = await scene.talk.answer("MLinkStreamAck")
        await scene.talk.ask("MLinkSubscribe")
        subscribed = await scene.talk.answer("MLinkSubscribeAck")

    assert ack == {"msgName": "AddOrder", "result": "OK"}
    assert subscribed == {"succeeded": "Yes"}

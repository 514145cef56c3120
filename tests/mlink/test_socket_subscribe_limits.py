"""MLinkSubscribe over a real socket, at its edges: limits, latency, several at once, signals, the end."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.raw_subscriber import TEXT, raw_subscriber
from tests.fakes.raw_subscriber import frame as websocket_frame
from tests.flow.pipe import frame
from tests.mlink.conversation import FRAMED, PATHS, TICKERS, Talk, conversation
from tests.mlink.test_socket_subscribe import asked

# What is said does not depend on the loop.
pytestmark = pytest.mark.one_loop

ALL: list[dict[str, Any]] = [{"msgName": "StockDirectory", "msgPKey": ticker} for ticker in TICKERS]


def checkpoints(talk: Talk) -> list[tuple[str, int]]:
    return [
        (each["message"]["state"], each["message"].get("subscribeID", 0))
        for each in talk.all
        if each["header"]["mTyp"] == "MLinkSubscribeCheckPt"
    ]


async def test_more_keys_than_one_connection_may_have_are_refused_one_by_one(tmp_path: Path) -> None:
    keys = [f"K{at}" for at in range(150)]
    async with conversation(tmp_path, keys_max=100) as scene:
        items = [{"msgName": "StockDirectory", "msgPKey": key} for key in keys]
        ack = await asked(scene.talk, Subscribe=items)
        again = await asked(scene.talk, Subscribe=items[:1])
        fewer = await asked(scene.talk, Unsubscribe=items[:1], Subscribe=items[-1:])

    results = [each["result"] for each in ack["Subscribe"]]
    assert results == ["OK"] * 100 + ["UnauthPKey"] * 50
    assert ack["numActiveSubscriptions"] == 100
    assert ack["Subscribe"][-1]["detail"] == "100 keys are subscribed on this connection, no more are allowed"
    assert again["Subscribe"][0]["result"] == "OK", "it is subscribed already"
    assert fewer["Subscribe"][0]["result"] == "OK", "one has made room"


async def test_more_sets_of_subscriptions_than_streams_may_run_are_refused(tmp_path: Path) -> None:
    async with conversation(tmp_path, streams_max=3) as scene:
        for session in range(3):
            await asked(scene.talk, sessionID=session, subscribeID=1, Subscribe=ALL[:1])
        refused = await asked(scene.talk, sessionID=3, subscribeID=7, Subscribe=ALL[:1])
        taken = await asked(scene.talk, sessionID=2, Subscribe=ALL)

    assert (refused["succeeded"], refused["sessionID"], refused["subscribeID"]) == ("No", 3, 7)
    assert refused["errorMsg"] == "3 sessionIDs with subscriptions on this connection, no more are allowed"
    assert "Subscribe" not in refused
    assert taken["succeeded"] == "Yes"


@pytest.mark.parametrize("path", PATHS)
async def test_two_requests_at_once_are_each_begun_and_each_told_when_they_are_active(
    tmp_path: Path, path: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        for number, item in ((1, ALL[0]), (2, ALL[2])):
            await talk.ask("MLinkSubscribe", subscribeID=number, activeLatency=1, Subscribe=[item])
        await talk.answer("MLinkSubscribeCheckPt", state="Active", subscribeID=1)
        await talk.answer("MLinkSubscribeCheckPt", state="Active", subscribeID=2)

    assert sorted(checkpoints(talk)) == [("Active", 1), ("Active", 2), ("Begin", 1), ("Begin", 2)]
    assert [each["message"]["stock"] for each in talk.data] == ["AAPL", "SPY"]


async def test_two_frames_in_one_message_are_each_told_when_they_are_active(tmp_path: Path) -> None:
    texts = [
        json.dumps(
            {"header": {"mTyp": "MLinkSubscribe"}, "message": {"subscribeID": at, "Subscribe": [item]}}
        )
        for at, item in ((1, ALL[0]), (2, ALL[2]))
    ]
    async with conversation(tmp_path, FRAMED) as scene:
        await scene.talk.socket.send("".join(f"\r\nJ{len(text):011d}{text}" for text in texts))
        for number in (1, 2):
            await scene.talk.answer("MLinkSubscribeCheckPt", state="Active", subscribeID=number)

    assert len(scene.talk.data) == 2


async def test_the_newest_of_a_key_comes_at_most_once_per_latency(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await asked(talk, activeLatency=300, Subscribe=ALL)
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        last = 0
        for _ in range(20):
            last = await scene.published([scene.opening[1]] * 50)
        while talk.numbers[-1] < last:
            await talk.read()

    assert talk.numbers[3:] == sorted(set(talk.numbers[3:]))
    assert len(talk.data) < 100, "most were left out"


async def test_what_waits_for_a_signal_is_not_sent_once_it_is_unsubscribed(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await asked(talk, Subscribe=ALL)
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        talk.data.clear()
        await scene.published([scene.opening[1], scene.opening[4]])
        await asked(talk, Unsubscribe=ALL[:1])
        await talk.ask("MLinkSignalReady", signalID=1)
        await talk.answer("MLinkSubscribeCheckPt", signalID=1)

    assert [each["message"]["stock"] for each in talk.data] == ["AMZN"]


async def test_a_key_without_a_record_is_taken_and_gets_its_first_one(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        ack = await asked(
            talk, activeLatency=1, Subscribe=[{"msgName": "StockDirectory", "msgPKey": "LATER"}]
        )
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        record = bytearray(scene.opening[1])
        record[11:19] = b"LATER   "
        last = await scene.published([scene.opening[1], bytes(record)])
        await talk.until_count(1)

    assert ack["Subscribe"][0]["result"] == "OK"
    assert talk.numbers == [last]


@pytest.mark.parametrize(
    "key",
    ["AAPL", "", " AAPL ", 'a"\\/|\r\n\u2028é\x00', {"stock": "AAPL"}, {"b": [1, {"c": None}], "a": 1.5}],
)
async def test_a_key_comes_back_as_it_was(tmp_path: Path, key: Any) -> None:
    async with conversation(tmp_path) as scene:
        item = {"msgName": "StockDirectory", "msgPKey": key}
        ack = await asked(scene.talk, Subscribe=[item], Unsubscribe=[item])

    for each in (*ack["Subscribe"], *ack["Unsubscribe"]):
        assert json.dumps(each.get("msgPKey", ""), default=float) == json.dumps(key)


@pytest.mark.parametrize("text", ["", '""', "null"])
async def test_nothing_where_a_number_belongs_is_its_default(tmp_path: Path, text: str) -> None:
    def field(name: str) -> str:
        return f'"{name}":{text},' if text else ""

    names = ("sessionID", "subscribeID", "activeLatency", "compression", "doReset")
    request = (
        '{"header":{"mTyp":"mlinksubscribe"},"message":{'
        + "".join(map(field, names))
        + '"Subscribe":[{'
        + field("highwaterTs")
        + '"msgName":"STOCKDIRECTORY","msgPKey":"AAPL","more":1}]}}'
    )
    signal = (
        '{"header":{"mTyp":"mlinksignalready"},"message":{'
        + "".join(map(field, ("sessionID", "signalID", "readyScan")))
        + '"more":1}}'
    )
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.socket.send(request)
        ack = await talk.answer("MLinkSubscribeAck")
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        last = await scene.published([scene.opening[1]])
        await talk.socket.send(signal)
        await talk.answer("MLinkSubscribeCheckPt", state="Active")

    assert ack["Subscribe"] == [{"msgName": "STOCKDIRECTORY", "msgPKey": "AAPL", "result": "OK"}]
    assert talk.numbers == [2, last]


async def test_a_signal_is_for_the_subscriptions_of_its_session_or_for_all(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        for session, item in ((1, ALL[0]), (2, ALL[1])):
            await asked(talk, sessionID=session, Subscribe=[item])
            await talk.answer("MLinkSubscribeCheckPt", state="Active", sessionID=session)
        await scene.published([scene.opening[1], scene.opening[4]])
        talk.data.clear()
        await talk.ask("MLinkSignalReady", sessionID=2, signalID=5)
        await talk.answer("MLinkSubscribeCheckPt", signalID=5, sessionID=2)
        of_one = [each["message"]["stock"] for each in talk.data]
        await talk.ask("MLinkSignalReady", sessionID=-1, signalID=6)
        for session in (1, 2):
            await talk.answer("MLinkSubscribeCheckPt", signalID=6, sessionID=session)

    assert of_one == ["AMZN"]
    assert [each["message"]["stock"] for each in talk.data] == ["AMZN", "AAPL"]
    answered = [each["message"].get("signalID") for each in talk.all if each["message"].get("signalID")]
    assert answered == [5, 6, 6]


async def test_good_night_ends_subscriptions_with_a_word(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        for session in (1, 2):
            await asked(talk, sessionID=session, subscribeID=session + 4, Subscribe=ALL)
            await talk.answer("MLinkSubscribeCheckPt", state="Active", sessionID=session)
        scene.gateway.stop()
        await talk.answer("MLinkAdmin", state="GoodNight")
        ended = [await talk.answer("MLinkSubscribeCheckPt", state="Terminated") for _ in (1, 2)]

    assert [(each["sessionID"], each["subscribeID"]) for each in ended] == [(1, 5), (2, 6)]


@pytest.mark.parametrize("receive_buffer_bytes", [0, 16_384])
async def test_keys_do_not_wait_for_a_replay_on_the_same_connection(
    tmp_path: Path, receive_buffer_bytes: int
) -> None:
    """However slowly it is read: whoever asked for a record waits for some pieces, not for the day."""
    count = 30_000
    small = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384}
    requests = [
        frame("MLinkStream", msgName="*", queryID=1, resume={"seqN": 1}),
        frame("MLinkSubscribe", subscribeID=7, Subscribe=ALL[:1]),
    ]
    async with conversation(tmp_path, **small) as scene:
        for _ in range(count // 1_000):
            await scene.published(scene.market.take(1_000))
        async with raw_subscriber(scene.gateway.port, receive_buffer_bytes=receive_buffer_bytes) as raw:
            assert await raw.upgraded() == 101
            await raw.send(b"".join(websocket_frame(TEXT, each.encode()) for each in requests))
            sent = 0
            while True:
                _, payload = await raw.frame()
                sent += payload.count(b'"src":"itch"')
                if b'"mTyp":"MLinkSubscribeCheckPt"' in payload and b'"state":"Active"' in payload:
                    break

    assert sent < count // 2

"""How streams begin anew and end over a real socket: replaced, unsubscribed, polled; and when they stop."""

from pathlib import Path
from typing import Any

import pytest

from tests.mlink.conversation import PATHS, Talk, conversation

# What is said does not depend on the loop.
pytestmark = pytest.mark.one_loop


def of_streams(talk: Talk) -> list[tuple[str, Any]]:
    """Acks and checkpoints in their order, each with its state or result."""
    return [
        (each["header"]["mTyp"], each["message"].get("state", each["message"].get("result")))
        for each in talk.all
        if each["header"]["mTyp"] in ("MLinkStreamAck", "MLinkStreamCheckPt")
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_an_equal_request_replaces_its_stream_at_a_stated_number(tmp_path: Path, path: str) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.stream("AddOrder", sessionID=4, queryID=7)
        await talk.checkpoint("Complete")
        orders = [each for each in scene.market.take(400) if each[:1] == b"A"]
        number = await scene.published(orders[:50])
        await talk.until_count(50)
        talk.all.clear()
        await talk.stream("AddOrder", sessionID=4, queryID=7, view="price")
        replaced = await talk.checkpoint("Replaced")
        begin = await talk.checkpoint("Begin")
        await talk.checkpoint("Complete")
        await scene.published(orders[50:60])
        await talk.until_count(60)

    assert of_streams(talk) == [
        ("MLinkStreamCheckPt", "Replaced"),
        ("MLinkStreamAck", "OK"),
        ("MLinkStreamCheckPt", "Begin"),
        ("MLinkStreamCheckPt", "Active"),
        ("MLinkStreamCheckPt", "Complete"),
    ]
    assert (replaced["sessionID"], replaced["queryID"]) == (4, 7)
    assert replaced["numMessagesSent"] == 50
    assert replaced["positions"][0]["seqN"] == begin["positions"][0]["seqN"] == number
    assert all(each["message"].keys() == {"price"} for each in talk.data[50:])


async def test_a_request_that_is_refused_replaces_nothing(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("AddOrder", queryID=7)
        await talk.checkpoint("Complete")
        await talk.stream("AddOrder", queryID=7, where="no:eq:1")
        refused = await talk.answer("MLinkStreamAck")
        orders = [each for each in scene.market.take(200) if each[:1] == b"A"]
        await scene.published(orders)
        await talk.until_count(len(orders))

    assert refused["result"] == "Error"


@pytest.mark.parametrize(
    ("asked", "ended"),
    [
        ({"msgName": "Trade", "queryID": 2}, [2]),
        ({"msgName": "TRADE"}, [2, 3]),
        ({}, [1, 2, 3]),
        ({"sessionID": 9}, [4]),
        ({"queryID": 5}, []),
    ],
)
async def test_unsubscribe_is_of_a_query_or_of_a_name_or_of_all_of_its_session(
    tmp_path: Path, asked: dict[str, Any], ended: list[int]
) -> None:
    wishes = [("AddOrder", 0, 1), ("Trade", 0, 2), ("Trade", 0, 3), ("Trade", 9, 4)]
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        for name, session, query in wishes:
            await talk.stream(name, sessionID=session, queryID=query)
            await talk.checkpoint("Complete", queryID=query)
        await talk.ask("MLinkStream", unsubscribe="Yes", **asked)
        ack = await talk.answer("MLinkStreamAck", unsubscribe="Yes")
        left = [each["queryID"] for each in (await talk.heartbeat())["positions"]]

    gone = [
        value["message"]["queryID"] for value in talk.all if value["message"].get("state") == "Terminated"
    ]
    assert gone == ended
    assert left == [query for _, _, query in wishes if query not in ended]
    assert ack["result"] == ("OK" if ended else "Warn")


@pytest.mark.parametrize("absent", [{}, {"activeLatency": ""}, {"activeLatency": 0}, {"activeLatency": None}])
@pytest.mark.parametrize("name", ["StockDirectory", "AddOrder"])
async def test_without_a_latency_nothing_follows_complete_until_the_client_is_ready(
    tmp_path: Path, name: str, absent: dict[str, Any]
) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.ask("MLinkStream", msgName=name, unsubscribe="No", **absent)
        await talk.checkpoint("Complete")
        had = len(talk.data)
        more = [scene.opening[1], *(each for each in scene.market.take(100) if each[:1] == b"A")]
        await scene.published(more)
        await talk.beat()
        nothing = len(talk.data) - had
        await talk.ask("MLinkSignalReady", signalID=1)
        await talk.checkpoint("Active", signalID=1)

    assert nothing == 0
    assert len(talk.data) - had == (1 if name == "StockDirectory" else len(more) - 1)


@pytest.mark.parametrize("ours", [{"delivery": "every"}, {"resume": {"seqN": 1}}])
async def test_what_only_we_have_needs_no_signal(tmp_path: Path, ours: dict[str, Any]) -> None:
    """A client that asks for every message, or for old ones, has not been written for latency 0."""
    async with conversation(tmp_path) as scene:
        await scene.talk.ask("MLinkStream", msgName="AddOrder", **ours)
        await scene.talk.checkpoint("Complete")
        orders = [each for each in scene.market.take(100) if each[:1] == b"A"]
        await scene.published(orders)
        await scene.talk.until_count(len(orders))


@pytest.mark.parametrize("path", PATHS)
async def test_bytes_sent_are_those_on_the_wire(tmp_path: Path, path: str) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.stream("AddOrder")
        await talk.checkpoint("Complete")
        size, data = 0, 0
        await scene.published([each for each in scene.market.take(500) if each[:1] == b"A"])
        await talk.ask("MLinkSignalReady", signalID=1)
        while True:
            message = await talk.socket.recv()
            assert isinstance(message, bytes)
            if b'"mTyp":"AddOrder"' in message:
                # The WebSocket's own header: two bytes, and two more from 126 on.
                size += len(message) + (2 if len(message) < 126 else 4)
                data += message.count(b'"mTyp":"AddOrder"')
            if b'"signalID":1' in message:
                break

    assert b'"numBytesSent":%d,' % size in message
    assert b'"numMessagesSent":%d,' % data in message


async def test_checkpoints_that_answer_tell_where_the_time_went_and_others_do_not(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory", queryID=1, activeLatency=0)
        begin = await talk.checkpoint("Begin")
        answers = [await talk.checkpoint(state) for state in ("Active", "Complete")]
        await scene.published([scene.opening[1]])
        await talk.ask("MLinkSignalReady", signalID=3)
        answers.append(await talk.checkpoint("Active", signalID=3))
        await talk.stream("AddOrder", queryID=2, coverage=True)
        await talk.checkpoint("Complete")
        await scene.published([each for each in scene.market.take(50) if each[:1] == b"A"])
        batch = await talk.checkpoint("Active", queryID=2)
        await talk.ask("MLinkStream", queryID=2, unsubscribe="Yes")
        ended = await talk.checkpoint("Terminated")

    for each in answers:
        waited, sending, whole = (float(each[f"{part}Elapsed"]) for part in ("wait", "send", "query"))
        assert whole == pytest.approx(waited + sending, abs=2e-6)
        assert 0 < sending <= whole
    for each in (begin, batch, ended):
        assert not [name for name in each if name.endswith("Elapsed")]

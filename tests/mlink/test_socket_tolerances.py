"""What the dialect's real clients send, in every form they send it; and the answers to what is none of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mlink.conversation import FRAMED, PATHS, PLAIN, conversation


def envelope(header: dict[str, Any] | None = None, **message: Any) -> str:
    return json.dumps({"header": {"mTyp": "MLinkStream", **(header or {})}, "message": message})


ASK = envelope(msgName="StockDirectory", queryID=1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("framed", [f"\r\nJ{len(ASK):011d}{ASK}", f"\r\nJ00007{len(ASK):06d}{ASK}", ASK])
@pytest.mark.one_loop
async def test_input_is_framed_or_not_in_text_or_binary_on_both_paths(
    tmp_path: Path, path: str, kind: str, framed: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        await scene.talk.socket.send(framed if kind == "text" else framed.encode())
        ack = await scene.talk.answer("MLinkStreamAck")

    assert (ack["result"], ack["queryID"]) == ("OK", 1)


@pytest.mark.parametrize(
    "text",
    [
        envelope({"sTim": "2026-01-02 03:04:05.678901", "encT": "x"}, msgName="StockDirectory"),
        envelope({"sTim": 1_700_000_000_000_000_000}, msgName="StockDirectory"),
        envelope({"sTim": None, "encT": []}, msgName="StockDirectory"),
        envelope({"sTim": ""}, msgName="StockDirectory"),
        envelope(msgName="STOCKDIRECTORY", sessionID="", queryID="", activeLatency="", highwaterTs=""),
        envelope(msgName="StockDirectory", whatever={"deep": [1]}, unsubscribe=""),
        envelope({"mTyp": "mlinkstream", "more": 1}, msgName="stockDirectory"),
        envelope(msgName="StockDirectory", where="", view="", stripeFilter=""),
    ],
)
@pytest.mark.one_loop
async def test_forms_that_are_taken(tmp_path: Path, text: str) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.socket.send(text)
        ack = await scene.talk.answer("MLinkStreamAck")
        await scene.talk.checkpoint("Complete")

    assert ack["result"] == "OK"
    assert len(scene.talk.data) == 3


@pytest.mark.parametrize("path", PATHS)
async def test_a_missing_comma_between_two_items_of_a_subscribe_list(tmp_path: Path, path: str) -> None:
    text = (
        '{"header":{"mTyp":"MLinkSubscribe"},"message":{"subscribeID":1,"Subscribe":['
        '{"msgName":"StockDirectory","msgPKey":"AAPL"}{"msgName":"StockDirectory","msgPKey":"SPY"}]}}'
    )
    async with conversation(tmp_path, path) as scene:
        await scene.talk.socket.send(text)
        ack = await scene.talk.answer("MLinkSubscribeAck")

    assert [each["msgPKey"] for each in ack["Subscribe"]] == ["AAPL", "SPY"]


async def test_several_frames_in_one_websocket_message(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        texts = [envelope(msgName="StockDirectory", queryID=query) for query in (1, 2, 3)]
        await scene.talk.socket.send("".join(f"\r\nJ{len(text):011d}{text}" for text in texts))
        acks = [await scene.talk.answer("MLinkStreamAck") for _ in texts]

    assert [ack["queryID"] for ack in acks] == [1, 2, 3]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ("\r\nJ00000000999{}", "FrameError"),
        ("\r\nJ0000000000x{}", "FrameError"),
        ("{", "JsonError"),
        ("[1,2]", "JsonError"),
        ('{"header":{}}', "ProtoError"),
        ('{"header":{"mTyp":"StockDirectory"},"message":{"stock":"AAPL"}}', "InvldMsgType"),
        ('{"header":{"mTyp":"MLinkSignalReady"},"message":{"readyScan":"Some"}}', "ProtoError"),
    ],
)
@pytest.mark.one_loop
async def test_what_can_not_be_taken_is_a_data_ack_and_the_connection_goes_on(
    tmp_path: Path, path: str, sent: str, result: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        await scene.talk.socket.send(sent)
        refused = await scene.talk.answer("MLinkDataAck")
        await scene.talk.stream("StockDirectory")
        await scene.talk.checkpoint("Complete")

    assert refused["result"] == result
    assert refused["detail"]


def test_both_paths_are_tested() -> None:
    assert PATHS == [FRAMED, PLAIN]

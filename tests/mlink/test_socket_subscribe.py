"""MLinkSubscribe over a real socket: single records by key, every result, views, changed fields, signals."""

from pathlib import Path
from typing import Any

import pytest

from tests.mlink.conversation import PATHS, TICKERS, Talk, conversation
from tests.mlink.test_socket_logon import add_key


async def asked(talk: Talk, **request: Any) -> dict[str, Any]:
    await talk.ask("MLinkSubscribe", **request)
    return await talk.answer("MLinkSubscribeAck")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.one_loop
async def test_a_key_is_acknowledged_then_begin_its_record_active_and_what_becomes_of_it(
    tmp_path: Path, path: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.heartbeat()
        talk.all.clear()
        ack = await asked(
            talk,
            sessionID=2,
            subscribeID=8,
            activeLatency=1,
            Subscribe=[{"msgName": "stockdirectory", "msgPKey": "AMZN"}],
        )
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        last = await scene.published([scene.opening[1], scene.opening[4]])
        await talk.until_count(2)

    assert ack == {
        "sessionID": 2,
        "subscribeID": 8,
        "succeeded": "Yes",
        "numActiveSubscriptions": 1,
        "Subscribe": [{"msgName": "stockdirectory", "msgPKey": "AMZN", "result": "OK"}],
    }
    told = [(each["header"]["mTyp"], each["message"].get("state")) for each in talk.all]
    assert [each for each in told if each[0] != "MLinkHeartbeat"] == [
        ("MLinkSubscribeAck", None),
        ("MLinkSubscribeCheckPt", "Begin"),
        ("StockDirectory", None),
        ("MLinkSubscribeCheckPt", "Active"),
        ("StockDirectory", None),
    ]
    assert [each["message"]["stock"] for each in talk.data] == ["AMZN", "AMZN"]
    assert talk.numbers[-1] == last


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.one_loop
async def test_every_result_of_a_subscribe_item(tmp_path: Path, path: str) -> None:
    key = add_key(
        tmp_path, messages=["StockDirectory", "MarketParticipantPosition", "AddOrder"], stripes=["A"]
    )
    items: list[tuple[str, Any, str]] = [
        ("StockDirectory", "AAPL", "OK"),
        ("AddOrder", "AAPL", "InvldMsgType"),
        ("", "AAPL", "InvldMsgType"),
        ("OptionNbboQuote", "AAPL", "UnkwnMsgType"),
        ("RegSHORestriction", "AAPL", "UnauthMsgType"),
        ("StockDirectory", "", "MissingPKey"),
        ("MarketParticipantPosition", "AAPL", "InvldPKey"),
        ("MarketParticipantPosition", {"stock": "AAPL"}, "InvldPKey"),
        ("MarketParticipantPosition", {"STOCK": "AAPL", "mpid": "NITE"}, "OK"),
        ("MarketParticipantPosition", "AMZN|NITE", "OK"),
        ("StockDirectory", "SPY", "UnauthPKey"),
    ]
    async with conversation(tmp_path, path, open_access=False, bearer=key) as scene:
        ack = await asked(
            scene.talk, Subscribe=[{"msgName": name, "msgPKey": each} for name, each, _ in items]
        )
        gone = await asked(scene.talk, Unsubscribe=[{"msgName": "StockDirectory", "msgPKey": "AMZN"}])
        views = await asked(
            scene.talk,
            View=[
                {"msgName": "StockDirectory", "view": "roundLotSize"},
                {"msgName": "StockDirectory", "view": "prize"},
                {"msgName": "Nothing", "view": "prize"},
            ],
        )

    assert [each["result"] for each in ack["Subscribe"]] == [result for _, _, result in items]
    assert [each.get("msgPKey", "") for each in ack["Subscribe"]] == [each for _, each, _ in items]
    assert all(each["result"] == "OK" or each["detail"] for each in ack["Subscribe"])
    assert ack["numActiveSubscriptions"] == 3
    assert [each["result"] for each in gone["Unsubscribe"]] == ["UnkwnPKey"]
    assert [each["result"] for each in views["View"]] == ["OK", "ViewErr", "UnkwnMsgType"]


@pytest.mark.one_loop
async def test_the_one_record_of_a_message_without_key_fields_has_the_empty_key(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        ack = await asked(
            scene.talk,
            Subscribe=[
                {"msgName": "MWCBDeclineLevel", "msgPKey": ""},
                {"msgName": "MWCBDeclineLevel", "msgPKey": "x"},
            ],
        )
        await scene.talk.answer("MLinkSubscribeCheckPt", state="Active")

    assert [each["result"] for each in ack["Subscribe"]] == ["OK", "InvldPKey"]
    assert scene.talk.names == ["MWCBDeclineLevel"]


@pytest.mark.one_loop
async def test_unsubscribe_of_one_key_of_all_keys_and_reset(tmp_path: Path) -> None:
    items = [{"msgName": "StockDirectory", "msgPKey": ticker} for ticker in TICKERS]
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await asked(talk, activeLatency=1, Subscribe=items)
        one = await asked(talk, activeLatency=1, Unsubscribe=items[:1])
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        talk.data.clear()
        await scene.published([scene.opening[1], scene.opening[4]])
        await talk.until_count(1)
        await talk.beat()
        assert [each["message"]["stock"] for each in talk.data] == ["AMZN"]
        every = await asked(talk, activeLatency=1, Unsubscribe=[{"msgName": "StockDirectory", "msgPKey": ""}])
        await asked(talk, activeLatency=1, Subscribe=items)
        reset = await asked(talk, activeLatency=1, doReset="Yes", Subscribe=items[2:])
        talk.data.clear()
        await scene.published([scene.opening[1], scene.opening[4]])
        await talk.beat()

    assert one["numActiveSubscriptions"] == 2
    assert "numActiveSubscriptions" not in every, "none is left, and a field at its default is left out"
    assert (reset["didReset"], reset["numActiveSubscriptions"]) == ("Yes", 1)
    assert {each["message"]["stock"] for each in talk.data} <= {"SPY"}


@pytest.mark.one_loop
async def test_field_changes_only_sends_the_key_and_what_changed_and_a_full_scan_all(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await asked(
            talk,
            activeLatency=0,
            compression="FieldChangesOnly",
            Subscribe=[{"msgName": "StockDirectory", "msgPKey": "AAPL"}],
        )
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        changed = bytearray(scene.opening[1])
        changed[21:25] = (50).to_bytes(4, "big")
        await scene.published([bytes(changed)])
        await talk.ask("MLinkSignalReady", signalID=1)
        await talk.answer("MLinkSubscribeCheckPt", signalID=1)
        await talk.ask("MLinkSignalReady", signalID=2, readyScan="FullScan")
        await talk.answer("MLinkSubscribeCheckPt", signalID=2)

    whole, changes, again = (each["message"] for each in talk.data)
    assert changes == {"stock": "AAPL", "roundLotSize": 50}
    assert again == {**whole, "roundLotSize": 50}


@pytest.mark.one_loop
async def test_a_view_of_a_subscription_holds_for_what_is_running_and_what_comes(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await asked(talk, activeLatency=1, Subscribe=[{"msgName": "StockDirectory", "msgPKey": "AAPL"}])
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        talk.data.clear()
        await asked(
            talk,
            activeLatency=1,
            View=[{"msgName": "StockDirectory", "view": "roundLotSize"}],
            Subscribe=[{"msgName": "StockDirectory", "msgPKey": "SPY"}],
        )
        await talk.answer("MLinkSubscribeCheckPt", state="Active")

    assert [each["message"] for each in talk.data] == [
        {"stock": "AAPL", "roundLotSize": 100},
        {"stock": "SPY", "roundLotSize": 100},
    ]


@pytest.mark.one_loop
async def test_highwater_of_an_item(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        for highwater, expected in ((-1, 0), (2**62, 0), (1, 1)):
            scene.talk.data.clear()
            item = {"msgName": "StockDirectory", "msgPKey": "AAPL", "highwaterTs": highwater}
            await asked(scene.talk, doReset="Yes", Subscribe=[item])
            await scene.talk.answer("MLinkSubscribeCheckPt", state="Active")
            assert len(scene.talk.data) == expected, highwater


@pytest.mark.one_loop
async def test_subscribing_again_sends_the_record_again_and_once(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        item = {"msgName": "StockDirectory", "msgPKey": "AAPL"}
        await asked(talk, Subscribe=[item])
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        last = await scene.published([scene.opening[1]])
        await talk.beat()
        await asked(talk, Subscribe=[item])
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
        await talk.ask("MLinkSignalReady", signalID=3)
        await talk.answer("MLinkSubscribeCheckPt", signalID=3)

    assert talk.numbers == [2, last], "what waited for the signal is not sent a second time"

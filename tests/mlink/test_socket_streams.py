"""MLinkStream over a real socket: its life, its acks and checkpoints, every field of it."""

from pathlib import Path
from typing import Any

import pytest

from gateway.mlink.limits import SessionLimits
from gateway.settings import ServerSettings
from tests.mlink.conversation import PATHS, PLAIN, TICKERS, conversation, subscriber
from tests.mlink.test_socket_logon import add_key


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_of_records_is_begin_records_active_complete_then_live(
    tmp_path: Path, path: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory", queryID=7, sessionID=3, queryLabel="mine")
        await talk.until_control("MLinkStreamCheckPt", state="Complete")
        last = await scene.published([scene.opening[1]])
        await talk.until_count(len(TICKERS) + 1)

    told = [
        (each["header"]["mTyp"], each["message"].get("state"))
        for each in talk.all
        if each["header"]["mTyp"] != "MLinkHeartbeat"
    ]
    assert told == [
        ("MLinkAdmin", "LoggedOn"),
        ("MLinkStreamAck", None),
        ("MLinkStreamCheckPt", "Begin"),
        *[("StockDirectory", None)] * len(TICKERS),
        ("MLinkStreamCheckPt", "Active"),
        ("MLinkStreamCheckPt", "Complete"),
        ("StockDirectory", None),
    ]
    ack, begin, active = [
        each["message"]
        for each in talk.control
        if each["header"]["mTyp"] in ("MLinkStreamAck", "MLinkStreamCheckPt")
    ][:3]
    echoed = {
        "sessionID": 3,
        "queryID": 7,
        "queryLabel": "mine",
        "msgName": "StockDirectory",
        "result": "OK",
    }
    assert ack.items() >= echoed.items()
    assert (begin["sessionID"], begin["queryID"]) == (3, 7)
    assert active["numMessagesSent"] == len(TICKERS)
    assert active["numBytesSent"] > 100 * len(TICKERS)
    assert active["highwaterTs"] > 1_600_000_000_000_000_000
    assert [each["message"]["stock"] for each in talk.data] == [*TICKERS, TICKERS[0]]
    assert talk.numbers[-1] == last


@pytest.mark.parametrize("path", PATHS)
async def test_every_result_of_a_stream_ack(tmp_path: Path, path: str) -> None:
    wishes: list[tuple[dict[str, Any], str, str]] = [
        ({"msgName": "AddOrder"}, "OK", ""),
        ({"msgName": "aDDoRDER", "queryID": 2}, "OK", ""),
        ({"msgName": ""}, "InvldMsgType", "expected a name"),
        ({"msgName": "OptionNbboQuote"}, "UnkwnMsgType", "no message 'OptionNbboQuote'; there are"),
        ({"msgName": 3000}, "UnkwnMsgType", "no message '3000'"),
        ({"msgName": "AddOrder", "where": "price:is:5"}, "Error", "where, position 6: expected an operator"),
        ({"msgName": "AddOrder", "where": "prize:gt:5"}, "Error", "where, position 0: no field 'prize'"),
        ({"msgName": "AddOrder", "where": "shares:gt:1 & price:gt:x"}, "Error", "where, position 23: price"),
        ({"msgName": "AddOrder", "view": "stock|prize"}, "Error", "view, position 6: no field 'prize'"),
        ({"msgName": "AddOrder", "stripeFilter": "Q9"}, "Error", "Q9"),
        ({"msgName": "AddOrder", "delivery": "latest"}, "Error", "needs messages with a key"),
        ({"msgName": "AddOrder", "delivery": "some"}, "Error", "delivery"),
        ({"msgName": "AddOrder", "activeLatency": "soon"}, "Error", "activeLatency"),
        ({"msgName": "StockDirectory", "resume": {"seqN": 1}}, "Error", "needs every message"),
        ({"msgName": "AddOrder", "queryID": 99, "unsubscribe": "Yes"}, "Warn", "no such stream"),
    ]
    async with conversation(tmp_path, path) as scene:
        for wish, result, detail in wishes:
            await scene.talk.ask("MLinkStream", **wish)
            ack = await scene.talk.answer("MLinkStreamAck")

            assert ack["result"] == result, wish
            assert detail in ack.get("detail", ""), wish
            assert ack.get("msgName", "") == wish["msgName"], "as spelled by the client"


async def test_a_message_a_key_may_not_see_is_unauthorized(tmp_path: Path) -> None:
    key = add_key(tmp_path, messages=["AddOrder"])
    async with conversation(tmp_path, open_access=False, bearer=key) as scene:
        await scene.talk.ask("MLinkStream", msgName="Trade")
        refused = await scene.talk.answer("MLinkStreamAck")
        await scene.talk.ask("MLinkStream", msgName="AddOrder")
        taken = await scene.talk.answer("MLinkStreamAck")

    assert (refused["result"], taken["result"]) == ("UnauthMsgType", "OK")


@pytest.mark.parametrize("path", PATHS)
async def test_unsubscribe_ends_one_stream_at_a_stated_number_and_leaves_the_others(
    tmp_path: Path, path: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        for query in (1, 2):
            await talk.stream("AddOrder", queryID=query)
            await talk.checkpoint("Complete", queryID=query)
        await talk.ask("MLinkStream", queryID=1, unsubscribe="Yes", msgName="AddOrder")
        ack = await talk.answer("MLinkStreamAck")
        ended = await talk.checkpoint("Terminated")
        orders = [each for each in scene.market.take(300) if each[:1] == b"A"]
        last = await scene.published(orders)
        await talk.until_count(len(orders))
        await talk.beat()

    assert (ack["unsubscribe"], ack["queryID"], ack["result"]) == ("Yes", 1, "OK")
    assert ended["queryID"] == 1
    assert ended["positions"][0]["seqN"] == len(scene.opening)
    assert talk.numbers == list(range(last - len(orders) + 1, last + 1)), "the other one's, each once"


async def test_streams_without_a_query_id_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """As the vendor's own client opens them."""
    async with conversation(tmp_path) as scene:
        await scene.talk.ask("MLinkStream", msgName="StockDirectory", activeLatency=1)
        await scene.talk.ask("MLinkStream", msgName="RegSHORestriction", activeLatency=1)
        for _ in range(2):
            await scene.talk.checkpoint("Complete")

        assert sorted(scene.talk.names) == ["RegSHORestriction"] * 3 + ["StockDirectory"] * 3


async def test_what_is_for_the_vendors_own_routing_is_taken_and_not_used(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "sysEnvironment": "V8",
        "sysRealm": "NMS",
        "schemaHash": 12345678901234567890,
        "localMsgName": "MyOrder",
        "localMsgType": 3000,
    }
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("StockDirectory", **fields)
        ack = await scene.talk.answer("MLinkStreamAck")
        await scene.talk.checkpoint("Complete")

    assert ack["result"] == "OK"
    assert scene.talk.names == ["StockDirectory"] * 3, "the name of a message is its own"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("stock:eq:AAPL", ["AAPL"]),
        ("ticker.tk:eq:AMZN", ["AMZN"]),
        ("TICKER.TK:EQ:AMZN", ["AMZN"]),
        ("stock:ne:AAPL", ["AMZN", "SPY"]),
        ("stock:gt:AAPL", ["AMZN", "SPY"]),
        ("stock:ge:AMZN & stock:lt:SPY", ["AMZN"]),
        ("stock:le:AMZN", ["AAPL", "AMZN"]),
        ("stock:sw:A", ["AAPL", "AMZN"]),
        ("stock:ew:Y", ["SPY"]),
        ("stock:cv:P", ["AAPL", "SPY"]),
        ("stock:nv:P", ["AMZN"]),
        ("stockLocate:cb:2$3", ["AMZN", "SPY"]),
        ("stock:eq:AAPL | stock:eq:SPY & stockLocate:gt:5", ["AAPL"]),
        ("(stock:eq:AAPL | stock:eq:SPY) & stockLocate:gt:2", ["SPY"]),
        (" Stock : eq : SPY ", ["SPY"]),
    ],
)
@pytest.mark.one_loop
async def test_where(tmp_path: Path, where: str, expected: list[str]) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("StockDirectory", where=where)
        await scene.talk.checkpoint("Complete")

    assert [each["message"]["stock"] for each in scene.talk.data] == expected


async def test_of_several_messages_a_filter_gives_those_that_have_its_fields(tmp_path: Path) -> None:
    wish: dict[str, Any] = {"delivery": "every", "resume": {"seqN": 1}}
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("*", where="roundLotSize:gt:0 | imbalanceDirection:ne:X", **wish)
        ack = await talk.answer("MLinkStreamAck")
        await talk.stream("*", queryID=2, where="roundLotSize:gt:0", **wish)
        some = await talk.answer("MLinkStreamAck")
        await talk.until_count(3)
        await talk.beat()

    assert ack["result"] == "Error", "no message has both"
    assert some["result"] == "OK"
    assert talk.names == ["StockDirectory"] * 3


async def test_where_asks_for_the_ticker_of_a_message_that_carries_only_a_code(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("OrderDelete", where="ticker.tk:eq:AMZN")
        await scene.talk.checkpoint("Complete")
        deletes = [each for each in scene.market.take(2_000) if each[:1] == b"D"]
        expected = [int.from_bytes(each[11:19], "big") for each in deletes if each[1:3] == b"\x00\x02"]
        await scene.published(deletes)
        await scene.talk.until_count(len(expected))
        await scene.talk.beat()

    assert [each["message"]["orderReferenceNumber"] for each in scene.talk.data] == expected
    assert {each["message"]["stock"] for each in scene.talk.data} == {"AMZN"}


@pytest.mark.parametrize(
    ("view", "fields"),
    [
        ("roundLotSize", {"stock", "roundLotSize"}),
        ("roundlotsize,MARKETCATEGORY", {"stock", "roundLotSize", "marketCategory"}),
        ("stock | stockLocate", {"stock", "stockLocate"}),
    ],
)
async def test_a_view_gives_its_fields_and_always_the_key(
    tmp_path: Path, view: str, fields: set[str]
) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("StockDirectory", view=view)
        await scene.talk.checkpoint("Complete")

    assert all(set(each["message"]) == fields for each in scene.talk.data)


async def test_a_stripe_filter_by_name_of_one_a_compound_or_several(tmp_path: Path) -> None:
    expected = {"A1": ["AAPL"], "a": ["AAPL", "AMZN"], "M": ["SPY"], "D": []}
    async with conversation(tmp_path) as scene:
        for stripe, tickers in expected.items():
            scene.talk.data.clear()
            await scene.talk.stream("StockDirectory", stripeFilter=stripe)
            await scene.talk.checkpoint("Complete")
            assert [each["message"]["stock"] for each in scene.talk.data] == tickers, stripe
        scene.talk.data.clear()
        await scene.talk.stream("StockDirectory", stripeFilter=["M2", "A2"])
        await scene.talk.checkpoint("Complete")

    assert [each["message"]["stock"] for each in scene.talk.data] == ["AMZN", "SPY"]


async def test_highwater_minus_one_is_without_the_records_and_a_time_is_those_later(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory")
        high = (await talk.checkpoint("Active"))["highwaterTs"]
        await scene.published([scene.opening[1]])
        await talk.until_count(4)
        for highwater, expected in ((-1, 0), (high, 1), (high - 10**12, 3), (0, 3)):
            await talk.stream("StockDirectory", highwaterTs=highwater)
            active = await talk.checkpoint("Active")
            assert active.get("numMessagesSent", 0) == expected, highwater


@pytest.mark.parametrize("path", PATHS)
async def test_latency_0_sends_nothing_after_complete_until_the_client_is_ready(
    tmp_path: Path, path: str
) -> None:
    directory = [1, 4, 7]
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory", activeLatency=0)
        await talk.checkpoint("Complete")
        for at in (directory[0], directory[1], directory[0]):
            await scene.published([scene.opening[at]])
        await talk.beat()
        assert len(talk.data) == 3, "nothing follows"

        await talk.ask("MLinkSignalReady", signalID=21)
        ended = await talk.checkpoint("Active", signalID=21)
        assert [each["message"]["stock"] for each in talk.data[3:]] == ["AMZN", "AAPL"], "newest of each"
        assert ended["numMessagesSent"] == 5
        await talk.ask("MLinkSignalReady", signalID=22, sessionID=-1, readyScan="Incremental")
        await talk.checkpoint("Active", signalID=22)
        assert len(talk.data) == 5, "nothing has changed"
        await talk.ask("MLinkSignalReady", signalID=23, readyScan="FullScan")
        await talk.checkpoint("Active", signalID=23)
        assert sorted(each["message"]["stock"] for each in talk.data[5:]) == TICKERS
        await talk.ask("MLinkSignalReady", signalID=24, sessionID=5)
        await talk.beat()
        assert not [each for each in talk.control if each["message"].get("signalID") == 24]


async def test_latency_0_of_events_gives_every_one_at_each_signal(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("AddOrder", activeLatency=0)
        await talk.checkpoint("Complete")
        orders = [each for each in scene.market.take(400) if each[:1] == b"A"]
        for signal, part in enumerate((orders[:60], orders[60:]), start=1):
            await scene.published(part)
            await talk.ask("MLinkSignalReady", signalID=signal)
            await talk.checkpoint("Active", signalID=signal)
            assert len(talk.data) == (60 if signal == 1 else len(orders))

    assert [each["message"]["orderReferenceNumber"] for each in talk.data] == [
        int.from_bytes(each[11:19], "big") for each in orders
    ]


async def test_delivery_every_of_records_leaves_none_out(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("StockDirectory", delivery="every", activeLatency=0)
        await scene.talk.checkpoint("Complete")
        last = await scene.published([scene.opening[1]] * 500)
        await scene.talk.until_count(503)

    assert scene.talk.numbers[3:] == list(range(last - 499, last + 1))


async def test_records_are_conflated_at_most_once_per_latency_and_the_newest_wins(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory", activeLatency=300)
        await talk.checkpoint("Complete")
        last = 0
        for _ in range(20):
            last = await scene.published([scene.opening[1]] * 50)
        while not talk.numbers or talk.numbers[-1] < last:
            await talk.read()

    assert talk.numbers[3:] == sorted(set(talk.numbers[3:]))
    assert talk.numbers[-1] == last
    assert len(talk.data) < 100, "most were left out"


@pytest.mark.parametrize("path", PATHS)
async def test_a_new_session_stands_in_a_stream_of_records_between_the_old_and_the_new(
    tmp_path: Path, path: str
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await talk.stream("StockDirectory")
        await talk.checkpoint("Complete")
        talk.all.clear()
        await scene.published([scene.opening[1]])
        await talk.until_count(4)
        scene.exchange.roll()
        session = scene.exchange.session.name
        await scene.until(0, session)
        await scene.published([scene.opening[1]])
        await talk.until_count(5)

    told = [
        (each["message"].get("event"), each["message"].get("ses", each["header"].get("ses")))
        for each in talk.all
        if each in talk.data or each["message"].get("event") == "SessionChange"
    ]
    assert told == [(None, "0000000001"), ("SessionChange", session), (None, session)]


async def test_coverage_ends_every_batch_with_a_checkpoint(tmp_path: Path) -> None:
    async with conversation(tmp_path, PLAIN) as scene, subscriber(scene.gateway, PLAIN) as quiet:
        talk = scene.talk
        for each, coverage in ((talk, True), (quiet, False)):
            await each.stream("AddOrder", coverage=coverage)
            await each.checkpoint("Complete")
            each.control.clear()
        for _ in range(5):
            await scene.published(scene.market.take(20))
        await talk.beat()
        await quiet.beat()

    since = [
        each
        for each in talk.all[next(at for at, each in enumerate(talk.all) if each in talk.data) :]
        if each["header"]["mTyp"] in ("AddOrder", "MLinkStreamCheckPt")
    ]
    assert since[-1]["header"]["mTyp"] == "MLinkStreamCheckPt"
    sent = 0
    for each in since:
        if each["header"]["mTyp"] == "AddOrder":
            sent, last = sent + 1, each["header"]["seqN"]
        else:
            (position,) = each["message"]["positions"]
            assert each["message"]["state"] == "Active"
            assert position["numMessagesSent"] == sent
            assert position["seqN"] >= last
    assert not [each for each in quiet.control if each["header"]["mTyp"] == "MLinkStreamCheckPt"]
    assert quiet.numbers == talk.numbers


def test_heartbeats_come_every_5_seconds() -> None:
    """A real client drops the line at 10."""
    assert ServerSettings().heartbeat_s == SessionLimits().heartbeat_s == 5


async def test_heartbeats_count_up_and_tell_how_far_each_stream_is_complete(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        for query, name in ((1, "AddOrder"), (2, "Trade")):
            await talk.stream(name, queryID=query)
            await talk.checkpoint("Complete", queryID=query)
        last = await scene.published(scene.market.take(100))
        first, second = await talk.heartbeat(), await talk.heartbeat()
        while second["positions"][0]["seqN"] < last:
            first, second = second, await talk.heartbeat()

    assert second["seqNum"] == first["seqNum"] + 1
    assert {each["queryID"]: each["numMessagesSent"] for each in second["positions"]} == {
        1: talk.names.count("AddOrder"),
        2: talk.names.count("Trade"),
    }
    assert all((each["src"], each["seqN"]) == ("itch", last) for each in second["positions"])

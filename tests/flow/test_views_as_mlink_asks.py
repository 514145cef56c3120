"""Requests for quotes and prints in the words of MLink's own samples, and REST's, answered from ITCH.

What is right says a second implementation that is slow and shares nothing with the gateway.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import raw_subscriber
from tests.flow.pipe import feed_settings, frames_in, reader, running, settings
from tests.views.markets import message
from tests.views.slow_market import SlowQuotes

VIEWS = ("StockBookQuote", "StockPrint")
# Those that MLink's striped sample opens a socket for each.
ELEVEN = ("A", "B", "C", "D", "E", "F", "G", "H", "M", "S", "X")
TICKERS = ("AAPL", "AMZN", "MSFT", "QQQ", "SPY")
MARKET = Market(TICKERS, seed=7)
OPENING = MARKET.opening()
DAY = MARKET.take(1_200)
# A ticker that is halted while its book changes.
HALT = message("StockTradingAction", locate=1, stock="AAPL", tradingState="H")
MESSAGES = [*OPENING, *DAY[:600], HALT, *DAY[600:]]
SLOW = SlowQuotes()
QUOTES = [(seq, found) for seq, each in enumerate(MESSAGES, 1) if (found := SLOW.take(seq, each))]
NEWEST = {ticker: fields for ticker, (_, fields) in SLOW.newest.items()}


@asynccontextmanager
async def gateway_with(
    folder: Path, messages: list[bytes] = MESSAGES
) -> AsyncIterator[tuple[Gateway, Exchange]]:
    """A gateway that has taken these messages in."""
    async with Exchange() as exchange:
        exchange.extend(messages)
        feed = feed_settings(exchange.port, views=VIEWS)
        async with running(settings(folder, feed)) as gateway:
            async with reader(gateway) as each:
                await each.stream("*", resume={"src": "itch", "seqN": 1})
                await each.until_count(len(messages))
            yield gateway, exchange


def plain(each: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(each["message"])
    fields.pop("netTimestamp", None)
    return fields


def of_ticker(ticker: str) -> list[dict[str, Any]]:
    return [fields for _, fields in QUOTES if fields["pkey"]["ticker"]["tk"] == ticker]  # type: ignore[index]


@pytest.mark.parametrize(
    "where",
    [
        "ticker:eq:AMZN-NMS-EQT",
        "ticker.tk:eq:AMZN",
        "ticker.tk:eq:AMZN & ticker.at:eq:EQT & ticker.ts:eq:NMS",
        "ticker:eq:AMZN-NMS-EQT & bidPrice1:gt:1",
    ],
)
async def test_the_samples_filters_give_one_tickers_quotes(tmp_path: Path, where: str) -> None:
    async with gateway_with(tmp_path, MESSAGES[:700]) as (gateway, exchange), reader(gateway) as each:
        # As the sample has it: the latest of each key.
        await each.stream("StockBookQuote", queryLabel="ExampleStockNbbo", where=where)
        await each.until_control("MLinkStreamCheckPt", state="Complete")
        first = plain(each.data[0])
        exchange.extend(MESSAGES[700:])
        while plain(each.data[-1]) != NEWEST["AMZN"]:
            await each.read()

    assert first in of_ticker("AMZN")
    numbers = [one["header"]["seqN"] for one in each.data]
    assert numbers == sorted(set(numbers))
    assert [plain(one) for one in each.data] == [
        fields for seq, fields in QUOTES if seq in numbers and fields in of_ticker("AMZN")
    ]


async def test_quotes_and_prints_on_one_socket_in_small_letters(tmp_path: Path) -> None:
    async with gateway_with(tmp_path) as (gateway, _), reader(gateway) as each:
        await each.stream("stockprint", where="ticker:eq:AMZN-NMS-EQT", queryID=1)
        await each.stream("stockbookquote", where="ticker:eq:AAPL-NMS-EQT", queryID=2)
        for query in (1, 2):
            await each.until_control("MLinkStreamCheckPt", state="Complete", queryID=query)

    found = {one["header"]["mTyp"]: plain(one) for one in each.data}
    assert found["StockPrint"]["pkey"]["ticker"]["tk"] == "AMZN"
    assert found["StockBookQuote"] == NEWEST["AAPL"]
    assert found["StockBookQuote"]["marketStatus"] == "Halted"
    assert len(each.data) == 2


async def test_without_a_latency_quotes_come_when_they_are_asked_for(tmp_path: Path) -> None:
    async with gateway_with(tmp_path, MESSAGES[:700]) as (gateway, exchange), reader(gateway) as each:
        await each.stream("StockBookQuote", activeLatency=0, where="ticker:eq:AAPL-NMS-EQT")
        await each.until_control("MLinkStreamCheckPt", state="Complete")
        before = len(each.data)
        exchange.extend(MESSAGES[700:])
        async with reader(gateway) as other:
            await other.stream("*", resume={"src": "itch", "seqN": 1})
            await other.until_count(len(MESSAGES))
        await each.ask("MLinkSignalReady", signalID=5)
        await each.until_control("MLinkStreamCheckPt", signalID=5)

    assert before == 1
    assert [plain(one) for one in each.data[1:]] == [NEWEST["AAPL"]]


async def test_the_samples_subscription_by_key_and_view(tmp_path: Path) -> None:
    async with gateway_with(tmp_path, MESSAGES[:700]) as (gateway, exchange), reader(gateway) as each:
        await each.ask(
            "MLinkSubscribe",
            sessionID=3,
            activeLatency=1,
            doReset="No",
            View=[{"msgName": "StockBookQuote", "view": "askPrice1|bidPrice1"}],
            Subscribe=[
                {"msgName": "StockBookQuote", "msgPKey": "AAPL-NMS-EQT"},
                {"msgName": "StockBookQuote", "msgPKey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "SPY"}}},
            ],
        )
        ack = await each.until_control("MLinkSubscribeAck")
        await each.until_control("MLinkSubscribeCheckPt", state="Active")
        first = [plain(one) for one in each.data]
        exchange.extend(MESSAGES[700:])
        last = {}
        while last != {ticker: viewed(NEWEST[ticker]) for ticker in ("AAPL", "SPY")}:
            await each.read()
            last = {plain(one)["pkey"]["ticker"]["tk"]: plain(one) for one in each.data}
        await each.ask(
            "MLinkSubscribe",
            sessionID=3,
            Unsubscribe=[{"msgName": "StockBookQuote", "msgPKey": "SPY-NMS-EQT"}],
        )
        gone = await each.until_control("MLinkSubscribeAck", numActiveSubscriptions=1)

    assert ack["View"][0]["result"] == "OK"
    assert [(item["result"], item["msgPKey"]) for item in ack["Subscribe"]] == [
        ("OK", "AAPL-NMS-EQT"),
        ("OK", {"ticker": {"at": "EQT", "ts": "NMS", "tk": "SPY"}}),
    ]
    assert {one["pkey"]["ticker"]["tk"] for one in first} == {"AAPL", "SPY"}
    assert {frozenset(one) for one in first} == {frozenset(("pkey", "bidPrice1", "askPrice1"))}
    assert gone["Unsubscribe"][0]["result"] == "OK"


def viewed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("pkey", "bidPrice1", "askPrice1")}


async def test_only_what_changed_of_a_quote_is_enough_to_keep_it(tmp_path: Path) -> None:
    async with gateway_with(tmp_path, MESSAGES[:700]) as (gateway, exchange), reader(gateway) as each:
        await each.ask(
            "MLinkSubscribe",
            sessionID=3,
            activeLatency=1,
            compression="FieldChangesOnly",
            Subscribe=[{"msgName": "StockBookQuote", "msgPKey": f"{ticker}-NMS-EQT"} for ticker in TICKERS],
        )
        await each.until_control("MLinkSubscribeCheckPt", state="Active")
        exchange.extend(MESSAGES[700:])
        held: dict[str, dict[str, Any]] = {}
        at = 0
        while held != NEWEST:
            await each.read()
            for one in each.data[at:]:
                fields = plain(one)
                held.setdefault(fields["pkey"]["ticker"]["tk"], {}).update(fields)
            at = len(each.data)

    assert any(len(one["message"]) < len(NEWEST["AAPL"]) for one in each.data), "something was left out"
    assert all("pkey" in one["message"] for one in each.data)


async def test_a_long_latency_gives_the_newest_of_each_ticker(tmp_path: Path) -> None:
    async with gateway_with(tmp_path, MESSAGES[:700]) as (gateway, exchange), reader(gateway) as each:
        await each.stream("StockBookQuote", activeLatency=300)
        await each.until_control("MLinkStreamCheckPt", state="Complete")
        at = len(each.data)
        exchange.extend(MESSAGES[700:])
        held: dict[str, dict[str, Any]] = {}
        while held != NEWEST:
            await each.read()
            held = {plain(one)["pkey"]["ticker"]["tk"]: plain(one) for one in each.data}

    # One quote of each ticker per batch, of hundreds that there were.
    assert len(each.data) - at <= 4 * len(TICKERS)


@pytest.mark.one_loop
async def test_the_eleven_stripes_together_have_each_quote_once(tmp_path: Path) -> None:
    found: list[tuple[int, dict[str, Any]]] = []
    async with gateway_with(tmp_path) as (gateway, _), reader(gateway) as each:
        for number, stripe in enumerate(ELEVEN, 1):
            resume = {"src": "itch", "seqN": 1}
            await each.stream(
                "StockBookQuote", stripeFilter=stripe, delivery="every", resume=resume, queryID=number
            )
        await each.until_count(len(QUOTES))
        found = [(one["header"]["seqN"], plain(one)) for one in each.data]

    assert sorted(found, key=lambda one: one[0]) == QUOTES


async def rest(gateway: Gateway, **parameters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
    async with raw_subscriber(gateway.port) as client:
        await client.send(f"GET /rest/jsonf?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await client.status() == 200
        return [json.loads(each, parse_float=Decimal) for each in frames_in(await client.body())]


async def test_rest_finds_counts_orders_and_adds_up_quotes(tmp_path: Path) -> None:
    async with gateway_with(tmp_path) as (gateway, _):

        async def asked(**parameters: str) -> list[dict[str, Any]]:
            *answers, result = await rest(gateway, msgType="StockBookQuote", **parameters)
            assert result["message"]["result"] == "OK"
            return answers

        one = await asked(cmd="getmsg", pkey="AAPL-NMS-EQT")
        short = await asked(cmd="getmsg", pkey="AAPL")
        filtered = await asked(cmd="getmsgs", where="ticker:eq:SPY-NMS-EQT|ticker:eq:QQQ-NMS-EQT")
        few = await asked(cmd="getmsgs", view="ticker|bidprice1", order="bidPrice1:DESC", limit="2")
        by_name = await asked(cmd="getmsgs", order="ticker.tk:DESC")
        (count,) = await asked(cmd="getcount")
        (halted,) = await asked(cmd="getcount", where="marketStatus:eq:Halted")
        sums = await asked(cmd="getaggregate", group="marketStatus", measure="bidSize1|askPrice1")
        each = await asked(cmd="getaggregate", group="ticker.tk", measure="bidSize1")

    assert [plain(found) for found in one] == [plain(found) for found in short] == [NEWEST["AAPL"]]
    assert {plain(found)["pkey"]["ticker"]["tk"] for found in filtered} == {"SPY", "QQQ"}
    dearest = sorted(NEWEST.values(), key=lambda fields: -fields["bidPrice1"])[:2]  # type: ignore[operator]
    assert [plain(found) for found in few] == [
        {name: fields[name] for name in ("pkey", "bidPrice1")} for fields in dearest
    ]
    assert [plain(found)["pkey"]["ticker"]["tk"] for found in by_name] == sorted(TICKERS, reverse=True)
    assert count["message"]["recCount"] == len(TICKERS)
    assert halted["message"]["recCount"] == 1
    open_sizes = [fields["bidSize1"] for fields in NEWEST.values() if fields["marketStatus"] == "Open"]
    open_sums = [found["message"] for found in sums if found["message"]["key1"] == "Open"]
    assert [(found["name"], found["recCount"]) for found in open_sums] == [
        ("bidSize1", len(TICKERS) - 1),
        ("askPrice1", len(TICKERS) - 1),
    ]
    assert open_sums[0]["sum"] == sum(open_sizes)  # type: ignore[arg-type]
    assert {found["message"]["key1"]: found["message"]["sum"] for found in each} == {
        ticker: fields["bidSize1"] for ticker, fields in NEWEST.items()
    }

"""Views over the whole pipe: who asks for StockBookQuote of a stripe gets it, from an ITCH feed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.app import Gateway
from gateway.client import connect
from gateway.errors import ConfigError
from gateway.net.access.keys import hash_of
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.stripes import StripeTable
from tests.fakes.raw_subscriber import raw_subscriber
from tests.flow.pipe import ROOT, Reader, feed_settings, frames_in, reader, running, settings
from tests.views.markets import block_of, decoded, engine

VIEWS = ("StockBookQuote", "StockPrint", "BookDepth5", "Bar1s")
SMALL = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384}
STRIPES = StripeTable.load(ROOT / "config" / "stripes.toml")


@asynccontextmanager
async def viewed(folder: Path, exchange: Exchange, **server: Any) -> AsyncIterator[Gateway]:
    async with running(settings(folder, feed_settings(exchange.port, views=VIEWS), **server)) as gateway:
        yield gateway


def expected(messages: list[bytes], name: str) -> list[tuple[int, dict[str, Any]]]:
    """What an engine of the test's own tells of these messages, but for the time of receipt."""
    own = engine(name)
    found = []
    for seq, payload in own.take(block_of(messages)):
        _, _, fields = decoded(own, seq, payload)
        del fields["netTimestamp"]
        found.append((seq, fields))
    return found


def got(each: Reader) -> list[tuple[int, dict[str, Any]]]:
    values = []
    for one in each.data:
        fields = dict(one["message"])
        assert fields.pop("netTimestamp") > 0
        values.append((one["header"]["seqN"], fields))
    return values


def ticker_of(fields: dict[str, Any]) -> str:
    return str(fields["pkey"]["ticker"]["tk"])


async def test_a_client_asks_for_quotes_of_a_stripe_and_gets_them(tmp_path: Path) -> None:
    market = Market(30, seed=3)
    messages = market.opening() + market.take(2_000)
    quotes = [
        each
        for each in expected(messages, "StockBookQuote")
        if STRIPES.stripe_of(ticker_of(each[1])) in ("A1", "A2")
    ]
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as each:
        # The latest of each ticker is what a stream of records gives, unless every one is asked for.
        await each.stream("stockbookquote", stripeFilter="A", delivery="every")
        await each.until_control("MLinkStreamCheckPt", state="Complete")
        exchange.extend(messages)
        await each.until_count(len(quotes))

    assert len(quotes) > 50
    assert got(each) == quotes
    assert {one["header"]["mTyp"] for one in each.data} == {"StockBookQuote"}


@pytest.mark.parametrize("name", VIEWS)
async def test_a_late_joiner_gets_identical_records(tmp_path: Path, name: str) -> None:
    market = Market(10, seed=4)
    messages = market.opening() + market.take(1_500)
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as live:
        await live.stream(name, delivery="every")
        await live.until_control("MLinkStreamCheckPt", state="Complete")
        exchange.extend(messages)
        await live.until_count(len(expected(messages, name)))
        async with reader(gateway) as late:
            session = live.data[0]["header"]["ses"]
            await late.stream(name, delivery="every", resume={"src": "itch", "ses": session, "seqN": 1})
            await late.until_count(len(live.data))

    def same(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "header": {**each["header"], "encT": ""}} for each in values]

    assert got(live) == expected(messages, name)
    assert same(late.data) == same(live.data)


async def test_a_filter_by_mlinks_ticker_and_by_price(tmp_path: Path) -> None:
    market = Market(10, seed=4)
    messages = market.opening() + market.take(800)
    quotes = [each for each in expected(messages, "StockBookQuote") if each[1]["bidPrice1"] > 100]
    (_, fields), *_ = quotes
    ticker = ticker_of(fields)
    wanted = [each for each in quotes if ticker_of(each[1]) == ticker]
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as each:
        await each.stream(
            "StockBookQuote", delivery="every", where=f"ticker.tk:eq:{ticker} & bidPrice1:gt:100"
        )
        await each.until_control("MLinkStreamCheckPt", state="Complete")
        exchange.extend(messages)
        await each.until_count(len(wanted))

    assert got(each) == wanted


async def test_killed_and_restarted_the_next_quotes_are_right(tmp_path: Path) -> None:
    market = Market(8, seed=6)
    messages = market.opening() + market.take(3_000)
    cut = 2_000
    quotes = expected(messages, "StockBookQuote")
    async with Exchange() as exchange:
        async with viewed(tmp_path, exchange) as gateway, reader(gateway) as before:
            await before.stream("StockBookQuote", delivery="every")
            await before.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(messages[:cut])
            await before.until_count(sum(seq <= cut for seq, _ in quotes))
        async with viewed(tmp_path, exchange) as gateway, reader(gateway) as after:
            await after.stream("StockBookQuote", delivery="every", highwaterTs=-1)
            await after.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(messages[cut:])
            await after.until_count(sum(seq > cut for seq, _ in quotes))

    assert got(before) + got(after) == quotes


async def test_single_records_by_mlinks_key(tmp_path: Path) -> None:
    market = Market(10, seed=4)
    messages = market.opening() + market.take(500)
    *_, (_, last) = expected(messages, "StockBookQuote")
    key = {"ticker": {"at": "EQT", "ts": "NMS", "tk": ticker_of(last)}}
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as each:
        await each.stream("SystemEvent")
        exchange.extend([*messages, *Market(1, 1).opening()[:1]])
        await each.until_count(4)
        each.data.clear()
        await each.ask(
            "MLinkSubscribe",
            sessionID=7,
            activeLatency=1,
            Subscribe=[{"msgName": "StockBookQuote", "msgPKey": key}],
        )
        ack = await each.until_control("MLinkSubscribeAck")
        await each.until_count(1)

    assert ack["Subscribe"][0]["result"] == "OK"
    assert ack["Subscribe"][0]["msgPKey"] == key
    assert got(each)[0][1] == last


async def test_rest_answers_with_views(tmp_path: Path) -> None:
    market = Market(10, seed=4)
    messages = market.opening() + market.take(500)
    quotes = {ticker_of(fields): fields for _, fields in expected(messages, "StockBookQuote")}
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as each:
        await each.stream("*")
        exchange.extend(messages)
        await each.until_count(len(messages))
        types = await rest(gateway, cmd="getmsgtypes")
        found = await rest(gateway, cmd="getmsgs", msgType="StockBookQuote")
        one = await rest(gateway, cmd="getmsg", msgType="StockBookQuote", pkey=next(iter(quotes)))
        schema = await rest(gateway, cmd="getschema", msgType="BookDepth5")

    assert {each["message"]["msgName"] for each in types[:-1]} >= set(VIEWS)
    answered = {ticker_of(each["message"]): each["message"] for each in found[:-1]}
    for fields in answered.values():
        del fields["netTimestamp"]
    assert answered == quotes
    assert ticker_of(one[0]["message"]) == next(iter(quotes))
    assert {"pkey.ticker.tk", "checksum", "bids.price"} <= {each["message"].get("name") for each in schema}


async def rest(gateway: Gateway, **parameters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
    async with raw_subscriber(gateway.port) as client:
        await client.send(f"GET /rest/jsonf?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await client.status() == 200
        return [json.loads(each, parse_float=Decimal) for each in frames_in(await client.body())]


async def test_a_view_wants_a_stream_of_its_own_and_is_not_part_of_everything(tmp_path: Path) -> None:
    market = Market(3, seed=4)
    messages = market.opening() + market.take(50)
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway, reader(gateway) as each:
        await each.stream(["StockBookQuote", "StockPrint"], queryID=1)
        ack = await each.until_control("MLinkStreamAck", queryID=1)
        await each.stream("*", queryID=2)
        exchange.extend(messages)
        await each.until_count(len(messages))

    assert ack["result"] == "Error"
    assert "StockBookQuote needs a stream of its own" in ack["detail"]
    assert each.numbers == list(range(1, len(messages) + 1))


async def test_a_key_sees_views_of_its_stripes_only(tmp_path: Path) -> None:
    market = Market(30, seed=3)
    messages = market.opening() + market.take(1_000)
    quotes = expected(messages, "StockBookQuote")
    mine = [each for each in quotes if STRIPES.stripe_of(ticker_of(each[1])) == "A1"]
    (elsewhere, *_) = [ticker_of(each[1]) for each in quotes if each not in mine]
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nid = "desk"\nname = "desk"\nsha256 = "{hash_of("sgw_desk")}"\n'
        'created = 2026-01-01T00:00:00Z\nmessages = ["StockBookQuote"]\nstripes = ["A1"]\n'
    )
    headers = {"Authorization": "Bearer sgw_desk"}
    async with (
        Exchange() as exchange,
        viewed(tmp_path, exchange, open_access=False) as gateway,
        reader(gateway, additional_headers=headers) as each,
    ):
        await each.stream("StockPrint", queryID=1)
        refused = await each.until_control("MLinkStreamAck", queryID=1)
        await each.stream("StockBookQuote", queryID=2, delivery="every")
        await each.until_control("MLinkStreamCheckPt", queryID=2, state="Complete")
        exchange.extend(messages)
        await each.until_count(len(mine))
        item = {"msgName": "StockBookQuote", "msgPKey": {"ticker": {"tk": elsewhere}}}
        await each.ask("MLinkSubscribe", sessionID=7, activeLatency=1, Subscribe=[item])
        ack = await each.until_control("MLinkSubscribeAck")

    assert refused["result"] == "UnauthMsgType"
    assert got(each) == mine
    assert ack["Subscribe"][0]["result"] == "UnauthPKey"


@pytest.mark.one_loop
async def test_a_slow_reader_of_quotes_gets_every_one_later(tmp_path: Path) -> None:
    market = Market(20, seed=3)
    messages = market.opening() + market.take(30_000)
    count = len(expected(messages, "StockBookQuote"))
    async with (
        Exchange() as exchange,
        viewed(tmp_path, exchange, heartbeat_s=0.2, **SMALL) as gateway,
        reader(gateway, max_queue=1) as slow,
        reader(gateway) as quick,
    ):
        for each in (slow, quick):
            await each.stream("StockBookQuote", delivery="every")
            await each.until_control("MLinkStreamCheckPt", state="Complete")
        for at in range(0, len(messages), 2_000):
            exchange.extend(messages[at : at + 2_000])
            upto = sum(1 for _ in expected(messages[: at + 2_000], "StockBookQuote"))
            await quick.until_count(upto)
        await slow.until_count(count)

    assert got(slow) == got(quick)


async def test_the_python_client_follows_a_view(tmp_path: Path) -> None:
    market = Market(5, seed=3)
    messages = market.opening() + market.take(600)
    quotes = expected(messages, "StockBookQuote")
    async with Exchange() as exchange, viewed(tmp_path, exchange) as gateway:
        exchange.extend(messages)
        async with connect(f"ws://127.0.0.1:{gateway.port}") as feed:
            found = []
            stream = feed.stream("StockBookQuote", delivery="every", resume="itch//1")
            async for each in stream:
                found.append(each.sequence_number)
                if len(found) == len(quotes):
                    break

    assert found == [seq for seq, _ in quotes]


def test_a_view_nobody_knows_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'Quotes' is no view; expected StockBookQuote"):
        Gateway(settings(tmp_path, feed_settings(1, views=("Quotes",))))

"""REST over a real socket: each command, each way to be refused, and a large answer in slices."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.app import Gateway
from gateway.net.access.keys import hash_of
from gateway.net.rest.service import REQUESTS_MAX
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import raw_subscriber
from tests.flow.pipe import feed_settings, frames_in, reader, running, settings

TICKERS = 30
KEYS = """
[[keys]]
id = "desk"
name = "desk"
sha256 = "{desk}"
created = 2026-01-01T00:00:00Z
messages = ["StockDirectory"]
stripes = ["A1"]

[[keys]]
id = "elsewhere"
name = "elsewhere"
sha256 = "{elsewhere}"
created = 2026-01-01T00:00:00Z
feeds = ["other"]

[[keys]]
id = "seldom"
name = "seldom"
sha256 = "{seldom}"
created = 2026-01-01T00:00:00Z
requests_per_second = 0.1
"""


@asynccontextmanager
async def filled(folder: Path, **server: Any) -> AsyncIterator[tuple[Gateway, list[dict[str, Any]]]]:
    """A gateway with a market's opening in it, and the directory as a stream gave it."""
    (folder / "keys.toml").write_text(
        KEYS.format(**{name: hash_of(f"sgw_{name}") for name in ("desk", "elsewhere", "seldom")})
    )
    opening = Market(TICKERS, seed=5).opening()
    async with Exchange() as exchange:
        configured = settings(folder, feed_settings(exchange.port), **{"query_key_allowed": True, **server})
        async with running(configured) as gateway, reader(gateway) as watching:
            await watching.stream("*")
            await watching.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(opening)
            await watching.until_count(len(opening))
            yield gateway, watching.data


async def ask(
    gateway: Gateway, path: str = "/rest/json", headers: dict[str, str] | None = None, **parameters: Any
) -> tuple[int, list[dict[str, Any]]]:
    """Status and messages, prices as decimals."""
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    async with raw_subscriber(gateway.port) as client:
        await client.send(f"GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        status = await client.status()
        body = await client.body()
    assert client.headers["content-type"] == "application/json"
    if path == "/rest/jsonf":
        return status, [json.loads(each, parse_float=Decimal) for each in frames_in(body)]
    return status, json.loads(body, parse_float=Decimal)


def of(messages: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each["message"] for each in messages if each["header"]["mTyp"] == name]


@pytest.mark.parametrize("path", ["/rest/json", "/rest/jsonf"])
async def test_getmsgs_gives_the_latest_records_as_a_stream_does(tmp_path: Path, path: str) -> None:
    async with filled(tmp_path) as (gateway, streamed):
        status, messages = await ask(gateway, path, cmd="getmsgs", msgType="StockDirectory")

    *records, result = messages
    assert status == 200
    assert [each["message"] for each in records] == of(streamed, "StockDirectory")
    assert [each["header"]["seqN"] for each in records] == sorted(each["header"]["seqN"] for each in records)
    assert result["header"]["mTyp"] == "QueryResult"
    assert result["message"]["numMessagesSent"] == TICKERS
    assert result["message"]["result"] == "OK"
    assert result["message"]["queryElapsed"] >= 0


async def test_where_view_order_and_limit(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, streamed):
        _, messages = await ask(
            gateway,
            cmd="getmsgs",
            msgtype="stockdirectory",
            where="stockLocate:gt:5 & stockLocate:le:25",
            view="roundLotSize",
            order="roundLotSize:ASC|stock:DESC",
            limit=7,
        )

    expected = sorted(
        (each for each in of(streamed, "StockDirectory") if 5 < each["stockLocate"] <= 25),
        key=lambda each: each["stock"],
        reverse=True,
    )
    expected.sort(key=lambda each: each["roundLotSize"])
    assert [each["message"] for each in messages[:-1]] == [
        {name: each[name] for name in ("stock", "roundLotSize")} for each in expected[:7]
    ]
    assert messages[-1]["message"]["detail"] == "cut at the limit of 7"


async def test_where_knows_the_ticker_by_the_name_that_mlink_has_for_it(tmp_path: Path) -> None:
    """In each command that filters."""
    wanted = "MarketParticipantPosition"
    async with filled(tmp_path) as (gateway, streamed):
        ticker = of(streamed, "StockDirectory")[4]["stock"]
        where = {"msgType": "StockDirectory", "where": f"TICKER.tk:eq:{ticker}"}
        _, records = await ask(gateway, cmd="getmsgs", **where)
        _, record = await ask(gateway, cmd="getmsg", pkey=ticker, **where)
        _, ranked = await ask(gateway, cmd="getmsgs", order="stock:DESC", **where)
        _, counted = await ask(gateway, cmd="getcount", **where)
        _, summed = await ask(gateway, cmd="getaggregate", measure="stockLocate", **where)
        _, others = await ask(gateway, cmd="getcount", msgType=wanted, where=f"ticker.tk:ne:{ticker}")
        streamed_others = [each for each in of(streamed, wanted) if each["stock"] != ticker]

    for found in (records, record, ranked):
        assert [each["stock"] for each in of(found, "StockDirectory")] == [ticker]
    assert of(counted, "AggregateCount") == [{"recCount": 1}]
    assert [each["recCount"] for each in of(summed, "AggregateNumber")] == [1]
    assert of(others, "AggregateCount") == [{"recCount": len(streamed_others)}]


async def test_order_by_the_size_of_a_number(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, _):
        _, messages = await ask(
            gateway, cmd="getmsgs", msgType="StockDirectory", order="stockLocate:DESC:ABS"
        )

    locates = [each["message"]["stockLocate"] for each in messages[:-1]]
    assert locates == sorted(locates, reverse=True)


async def test_getmsg_gives_the_record_of_a_key(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, streamed):
        one = of(streamed, "StockDirectory")[3]
        status, messages = await ask(gateway, cmd="getmsg", msgType="StockDirectory", pkey=one["stock"])
        missing, nothing = await ask(gateway, cmd="getmsg", msgType="StockDirectory", pkey="NONE")
        several = await ask(gateway, cmd="getmsgs", msgType="StockDirectory", pkey=one["stock"])

    assert status == 200
    assert [each["message"] for each in several[1][:-1]] == [one], "getmsgs with a key is the same"
    assert [each["message"] for each in messages[:-1]] == [one]
    assert missing == 404
    assert nothing[-1]["message"] == {
        "numMessagesSent": 0,
        "queryElapsed": 0,
        "result": "Error",
        "detail": "pkey: no record 'NONE'",
    }


async def test_getmsgtypes_and_getschema_tell_what_the_definitions_say(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, _):
        _, types = await ask(gateway, cmd="getmsgtypes")
        _, schema = await ask(gateway, cmd="getschema", msgType="AddOrder")

    by_name = {each["message"]["msgName"]: each["message"] for each in types[:-1]}
    assert len(by_name) == 23
    assert by_name["StockDirectory"]["pKey"] == "stock"
    assert by_name["AddOrder"]["kind"] == "event"
    fields = {each["message"]["name"]: each["message"] for each in schema[:-1]}
    assert list(fields)[:3] == ["stockLocate", "trackingNumber", "timestamp"]
    assert fields["price"]["fType"] == "price"
    assert fields["price"]["decimals"] == 4
    assert fields["stock"] == {**fields["stock"], "fType": "string", "sLen": 8, "isPkey": "No"}


async def test_getcount_counts_what_matches(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, _):
        _, everything = await ask(gateway, cmd="getcount", msgType="StockDirectory")
        _, some = await ask(gateway, cmd="getcount", msgType="StockDirectory", where="stockLocate:le:7")

    assert of(everything, "AggregateCount") == [{"recCount": TICKERS}]
    assert of(some, "AggregateCount") == [{"recCount": 7}]


async def test_getaggregate_by_groups(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, streamed):
        _, counts = await ask(gateway, cmd="getaggregate", msgType="StockDirectory", group="marketCategory")
        _, numbers = await ask(
            gateway, cmd="getaggregate", msgType="StockDirectory", measure="stockLocate|marketCategory"
        )

    directory = of(streamed, "StockDirectory")
    categories = [each["marketCategory"] for each in directory]
    assert {each["key1"]: each["recCount"] for each in of(counts, "AggregateCount")} == {
        each: categories.count(each) for each in categories
    }
    locates = [each["stockLocate"] for each in directory]
    assert of(numbers, "AggregateNumber") == [
        {
            "name": "stockLocate",
            "recCount": TICKERS,
            "min": min(locates),
            "max": max(locates),
            "sum": sum(locates),
            "avg": Decimal(sum(locates)) / TICKERS,
        }
    ]
    (texts,) = of(numbers, "AggregateString")
    assert {each["value"]: each["cnt"] for each in texts["Value"]} == {
        each: categories.count(each) for each in categories
    }


@pytest.mark.parametrize(
    ("parameters", "status", "detail"),
    [
        ({"cmd": "getmsgs"}, 400, "msgType: missing"),
        ({"cmd": "getmsgs", "msgType": "Nothing"}, 404, "no message 'Nothing'; there are"),
        (
            {"cmd": "getmsgs", "msgType": "AdOrder"},
            404,
            "no message 'AdOrder'; did you mean AddOrder? There are",
        ),
        ({"cmd": "getmsgs", "msgType": "AddOrder"}, 400, "has no key"),
        ({"cmd": "getmsgs", "msgType": "StockDirectory", "where": "x:eq:1"}, 400, "no field 'x'"),
        ({"cmd": "getmsgs", "msgType": "StockDirectory", "view": "x"}, 400, "no field 'x'"),
        ({"cmd": "getmsgs", "msgType": "StockDirectory", "order": "x"}, 400, "no field 'x'"),
        (
            {"cmd": "getmsgs", "msgType": "StockDirectory", "order": "stock:ABS"},
            400,
            "can't be ordered by ABS",
        ),
        ({"cmd": "getmsgs", "msgType": "StockDirectory", "limit": 0}, 400, "limit"),
        ({"cmd": "getmsg", "msgType": "StockDirectory"}, 400, "pkey: missing, expected stock"),
        (
            {"cmd": "getaggregate", "msgType": "StockDirectory", "group": "x"},
            400,
            "group: StockDirectory has no",
        ),
        ({"cmd": "nothing"}, 400, "expected one of getmsgtypes"),
        ({}, 400, "cmd"),
        ({"cmd": "getmsgs", "msgType": "\0"}, 404, "no message"),
    ],
)
@pytest.mark.one_loop
async def test_what_can_not_be_answered_is_an_error_with_its_status(
    tmp_path: Path, parameters: dict[str, Any], status: int, detail: str
) -> None:
    async with filled(tmp_path) as (gateway, _):
        found, messages = await ask(gateway, **parameters)

    assert found == status
    assert len(messages) == 1
    assert messages[0]["header"]["mTyp"] == "QueryResult"
    assert messages[0]["message"]["result"] == "Error"
    assert detail in messages[0]["message"]["detail"]


async def test_a_key_sees_what_it_may_and_nothing_else(tmp_path: Path) -> None:
    desk = {"Authorization": "Bearer sgw_desk"}
    asked = {"cmd": "getmsgs", "msgType": "StockDirectory"}
    async with filled(tmp_path, open_access=True) as (gateway, streamed):
        _, everything = await ask(gateway, **asked)
        _, own = await ask(gateway, headers=desk, **asked)
        _, in_address = await ask(gateway, apiKey="sgw_desk", **asked)
        types = await ask(gateway, headers=desk, cmd="getmsgtypes")
        hidden = await ask(gateway, headers=desk, cmd="getmsgs", msgType="StockTradingAction")
        elsewhere = await ask(gateway, headers={"Authorization": "Bearer sgw_elsewhere"}, **asked)
        outside = next(
            each["stock"] for each in of(streamed, "StockDirectory") if not "A" <= each["stock"] < "AMZN"
        )
        other_stripe = await ask(gateway, headers=desk, cmd="getmsg", msgType="StockDirectory", pkey=outside)

    stocks = [each["stock"] for each in of(everything, "StockDirectory")]
    assert [each["stock"] for each in of(own, "StockDirectory")] == [s for s in stocks if "A" <= s < "AMZN"]
    assert of(in_address, "StockDirectory") == of(own, "StockDirectory")
    assert [each["msgName"] for each in of(types[1], "MsgType")] == ["StockDirectory"]
    assert hidden[0] == 403
    assert elsewhere[0] == 403
    assert other_stripe[0] == 404


async def test_row_38_requests_a_second_of_a_key_are_limited_over_all_its_connections(tmp_path: Path) -> None:
    async with filled(tmp_path) as (gateway, _):
        answers = [
            await ask(gateway, headers={"Authorization": f"Bearer sgw_{key}"}, cmd="getmsgtypes")
            for key in ("seldom", "seldom", "desk", "desk")
        ]

    assert [status for status, _ in answers] == [200, 429, 200, 200]
    result = answers[1][1][-1]["message"]
    assert result["detail"] == "0.1 requests a second are allowed with this key"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sgw_a-guess"}])
async def test_without_a_good_key_it_is_401(tmp_path: Path, headers: dict[str, str]) -> None:
    (tmp_path / "keys.toml").write_text("")
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), open_access=False)) as gateway,
    ):
        status, messages = await ask(gateway, headers=headers, cmd="getmsgtypes")
        in_address, _ = await ask(gateway, cmd="getmsgtypes", apikey="sgw_a-guess")

    assert (status, in_address) == (401, 401)
    assert messages[0]["message"]["result"] == "Error"


async def test_pages_of_other_origins_get_nothing_and_allowed_ones_may_read_it(tmp_path: Path) -> None:
    async with filled(tmp_path, allowed_origins=("https://desk.example",)) as (gateway, _):
        foreign, _ = await ask(gateway, headers={"Origin": "https://evil.example"}, cmd="getmsgtypes")
        async with raw_subscriber(gateway.port) as client:
            await client.send(
                b"GET /rest/json?cmd=getmsgtypes HTTP/1.1\r\nHost: localhost\r\n"
                b"Origin: https://desk.example\r\n\r\n"
            )
            allowed = await client.status()

    assert (foreign, allowed) == (403, 200)
    assert client.headers["access-control-allow-origin"] == "https://desk.example"


@pytest.mark.one_loop
async def test_a_large_answer_lets_others_have_their_turn(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as watching:
            await watching.stream("StockDirectory", delivery="every")
            await watching.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(Market(3_000, seed=5).opening())
            await watching.until_count(3_000)
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count_turns())
            status, messages = await ask(gateway, cmd="getmsgs", msgType="StockDirectory", order="stock:DESC")
            counting.cancel()

    assert status == 200
    assert len(messages) == 3_001
    assert turns > 3_000 / 100


@pytest.mark.one_loop
async def test_more_requests_than_are_worked_on_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as watching:
            await watching.stream("StockDirectory", delivery="every")
            await watching.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(Market(3_000, seed=5).opening())
            await watching.until_count(3_000)
            asked = {"cmd": "getaggregate", "msgType": "StockDirectory", "group": "stock"}
            answers = await asyncio.gather(*(ask(gateway, **asked) for _ in range(3 * REQUESTS_MAX)))
            after, _ = await ask(gateway, **asked)

    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= REQUESTS_MAX
    assert after == 200

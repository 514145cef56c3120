"""What /stats answers, and to whom."""

import asyncio
import json
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.net.access.keys import hash_of
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings

KEY = "sgw_" + "s" * 43


async def ask(gateway: Gateway, *headers: str) -> tuple[int, Any]:
    stream, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    lines = ["GET /stats HTTP/1.1", "Host: localhost", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await stream.read()).partition(b"\r\n\r\n")
    writer.close()
    status = int(head.split()[1])
    return status, json.loads(body) if status == 200 else body.decode()


async def test_counts_of_feeds_and_stripes_grow_with_what_comes(tmp_path: Path) -> None:
    market = Market(["AAPL", "SPY"], seed=2)
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as subscriber,
    ):
        opening = market.opening()
        exchange.extend(opening)
        await subscriber.stream("*", resume={"src": "itch", "ses": "0000000001", "seqN": 1})
        await subscriber.until_count(len(opening))
        _, before = await ask(gateway)
        exchange.extend(market.take(500))
        await subscriber.until_count(len(opening) + 500)
        _, after = await ask(gateway)

    was, now = before["feeds"]["itch"], after["feeds"]["itch"]
    assert (now["session"], now["nextSeq"]) == ("0000000001", len(opening) + 501)
    assert now["messages"] - was["messages"] == now["counted"] - was["counted"] == 500
    assert now["bytes"] > was["bytes"]
    assert sum(now["stripes"].values()) == 500
    assert set(now["stripes"]) == {"A1", "M2"}
    assert after["startedMs"] == before["startedMs"]
    assert after["monotonicMs"] > before["monotonicMs"]
    assert {"A1", "M2", "X"} <= set(after["stripes"]["primaries"])
    assert "A" in after["stripes"]["compounds"]


async def test_subscribers_are_told_by_number_with_their_streams_and_their_lag(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as first,
        reader(gateway) as second,
    ):
        exchange.extend(Market(["AAPL"], seed=2).opening())
        await first.stream(["AddOrder", "Trade"], stripeFilter="A1", queryID=1)
        await first.stream("*", queryID=2)
        await first.until_control("MLinkStreamCheckPt", state="Complete", queryID=2)
        await second.until_control("MLinkAdmin")
        _, told = await ask(gateway)

    assert told["subscriberCount"] == 2
    one, other = sorted(told["subscribers"], key=lambda each: -len(each["streams"]))
    assert one["id"] != other["id"]
    assert other["streams"] == []
    narrow, whole = one["streams"]
    assert (narrow["messages"], narrow["stripe"]) == (["AddOrder", "Trade"], "A1")
    assert (narrow["state"], narrow["lagMessages"], narrow["lagS"]) == ("live", 0, 0.0)
    assert whole["stripe"] == "all stripes"
    assert set(one) == {"id", "seconds", "streams"}, "nothing says who it is"


async def test_a_key_is_needed_and_shows_only_its_own_feeds(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nid = "aaaa"\nname = "desk"\nsha256 = "{hash_of(KEY)}"\n'
        'created = 2026-01-01T00:00:00Z\nfeeds = ["other"]\n'
    )
    async with Exchange() as exchange:
        exchange.extend(Market(["AAPL"], seed=2).opening())
        feeds = [feed_settings(exchange.port, name=name) for name in ("itch", "other")]
        async with running(settings(tmp_path, *feeds, open_access=False)) as gateway:
            none, said = await ask(gateway)
            wrong, _ = await ask(gateway, "Authorization: Bearer nonsense")
            async with reader(gateway):
                right, told = await ask(gateway, f"Authorization: Bearer {KEY}")

    assert (none, wrong, right) == (401, 401, 200)
    assert "a key is needed" in said
    assert list(told["feeds"]) == ["other"]
    assert told["subscribers"] == [], "what others read is for those who may read all of it"

"""Real ITCH messages through simulator, gateway and WebSocket, checked by an independent decoder."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.exchange import Exchange
from tests.flow.pipe import feed_settings, frame, reader, running, settings
from tests.golden.reference_decoder import ITCH_NAMES, ReferenceDecoder, load_facts, read_messages

FILES = {"aapl-20200130-10001.itch": 10_001, "open-20191230-1000.itch": 1_000}
ELEVEN = ["A", "B", "C", "D", "E", "F", "G", "H", "M", "S", "X"]
CARRIES_NO_TICKER = set("SVW")


def expected(messages: list[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, body) of each message, by the facts alone; codes get the ticker of the directory so far."""
    decoder = ReferenceDecoder(load_facts("itch50"))
    stocks: dict[int, str] = {}
    for message in messages:
        body = decoder.decode(message)
        if message[:1] == b"R":
            stocks[body["stockLocate"]] = body["stock"]
        elif "stock" not in body and body["stockLocate"] in stocks:
            body["stock"] = stocks[body["stockLocate"]]
        yield ITCH_NAMES[chr(message[0])], body


@pytest.mark.parametrize("name", FILES)
async def test_every_message_of_a_real_file_arrives_as_the_facts_say(
    itch_data: Path, tmp_path: Path, name: str
) -> None:
    messages = list(read_messages(itch_data / name))
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as whole,
    ):
        await whole.stream("*")
        await whole.until_control("MLinkStreamCheckPt", state="Complete")
        exchange.extend(messages)
        await whole.until_count(FILES[name])

    assert whole.numbers == list(range(1, FILES[name] + 1))
    for got, (m_typ, body) in zip(whole.data, expected(messages), strict=True):
        assert got["header"]["mTyp"] == m_typ
        assert got["header"]["src"] == "itch"
        assert got["header"]["ses"] == exchange.session.name
        assert got["message"] == body
        assert list(got["message"])[: len(body)] == list(body), "fields stand in the specification's order"


@pytest.mark.parametrize("name", FILES)
async def test_eleven_striped_sockets_together_have_the_whole_feed(
    itch_data: Path, tmp_path: Path, name: str
) -> None:
    messages = list(read_messages(itch_data / name))
    wanted = {seq: body for seq, (_, body) in enumerate(expected(messages), start=1)}
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), heartbeat_s=0.2)) as gateway,
        AsyncExitStack() as stack,
    ):
        readers = {stripe: await stack.enter_async_context(reader(gateway)) for stripe in ELEVEN}
        for stripe, each in readers.items():
            await each.stream("*", stripeFilter=stripe)
            await each.until_control("MLinkStreamCheckPt", state="Complete")
        exchange.extend(messages)
        for each in readers.values():
            # A heartbeat says up to which number everything that matches was sent.
            while not any(
                position["seqN"] == FILES[name]
                for control in each.control
                for position in control["message"].get("positions", ())
            ):
                await each.read()

    owners: dict[int, list[str]] = defaultdict(list)
    stripes_of: dict[str, set[str]] = defaultdict(set)
    for stripe, each in readers.items():
        assert each.numbers == sorted(set(each.numbers)), "in order, none twice"
        for value in each.data:
            owners[value["header"]["seqN"]].append(stripe)
            assert value["message"] == wanted[value["header"]["seqN"]]
            if ticker := value["message"].get("stock"):
                stripes_of[ticker].add(stripe)
        last = each.control[-1]["message"]["positions"][0]
        assert last["numMessagesSent"] == len(each.data), "the reader can prove it"
    assert sorted(owners) == list(range(1, FILES[name] + 1)), "together they are the whole feed"
    assert all(len(stripes) == 1 for stripes in stripes_of.values()), "no ticker is in two stripes"
    for seq, stripes in owners.items():
        market_wide = chr(messages[seq - 1][0]) in CARRIES_NO_TICKER
        assert stripes == (ELEVEN if market_wide else stripes[:1])


async def test_both_paths_carry_the_same_messages(itch_data: Path, tmp_path: Path) -> None:
    messages = list(read_messages(itch_data / "open-20191230-1000.itch"))[:200]
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as framed,
        reader(gateway, "/mlink/json") as plain,
    ):
        await framed.stream("*")
        await framed.until_control("MLinkStreamCheckPt", state="Complete")
        await plain.socket.send(frame("MLinkStream", msgName="*", activeLatency=1)[14:])
        while b"Complete" not in (await plain.socket.recv(decode=False)):
            pass
        exchange.extend(messages)
        await framed.until_count(len(messages))
        async with asyncio.timeout(10):
            unframed = [await plain.socket.recv() for _ in messages]

    assert all(isinstance(each, bytes) for each in unframed), "output is binary on both paths"
    assert [json.loads(each, parse_float=Decimal) for each in unframed] == framed.data

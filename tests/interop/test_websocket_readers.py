"""Streams read by other WebSocket implementations: every byte valid, every message once and in order.

The gateway writes data frames straight to the transport, control frames go through the library;
here both are on one line, with pings, pongs and closes from either side in between.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, frame, frames_in, reader, running, settings

NODE = Path(__file__).resolve().parents[1] / "node"
WAIT_S = 60.0
COUNT = 20_000
STREAM = frame("MLinkStream", msgName="*", activeLatency=1, queryID=1)


@asynccontextmanager
async def gateway_on(exchange: Exchange, folder: Path, **server: Any) -> AsyncIterator[Gateway]:
    busy = {"heartbeat_s": 0.1, "ping_interval_s": 0.1, **server}
    async with running(settings(folder, feed_settings(exchange.port), **busy)) as gateway:
        yield gateway


async def burst(exchange: Exchange, market: Market, count: int) -> None:
    """Messages in pieces of many sizes, so that the loop joins few and many."""
    for size in (1, 7, 100, 1_000):
        exchange.extend(market.take(size))
        await asyncio.sleep(0.002)
        count -= size
    while count > 0:
        exchange.extend(market.take(min(2_000, count)))
        count -= 2_000
        await asyncio.sleep(0)


class WsprotoReader:
    """A subscriber on wsproto, which checks all that RFC 6455 asks of a server's bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._message = b""
        self.numbers: list[int] = []
        self.seen: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.bytes_read = 0
        self.close: CloseConnection | None = None
        self.extensions: list[Any] = []

    def send(self, event: Event) -> None:
        self._writer.write(self._protocol.send(event))

    async def read(self) -> bool:
        """What one read brings; False at the end."""
        async with asyncio.timeout(WAIT_S):
            data = await self._reader.read(65_536)
        self.bytes_read += len(data)
        self._protocol.receive_data(data or None)
        for event in self._protocol.events():
            self._take(event)
        return bool(data) and self.close is None

    def _take(self, event: Event) -> None:
        self.seen[type(event).__name__] += 1
        match event:
            case AcceptConnection():
                self.extensions = event.extensions
            case BytesMessage():
                self._message += event.data
                if event.message_finished:
                    self.sizes.append(len(self._message))
                    for payload in frames_in(self._message):
                        header = json.loads(payload)["header"]
                        self.seen[header["mTyp"]] += 1
                        if "seqN" in header:
                            self.numbers.append(header["seqN"])
                    self._message = b""
            case Ping():
                self.send(event.response())
            case CloseConnection():
                self.close = event
                if self._protocol.state.name == "REMOTE_CLOSING":
                    self.send(event.response())
            case TextMessage():
                raise AssertionError("output is binary")

    async def until_count(self, count: int) -> None:
        while len(self.numbers) < count:
            assert await self.read(), self.close


@asynccontextmanager
async def wsproto_reader(gateway: Gateway, **more: Any) -> AsyncIterator[WsprotoReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        subscriber = WsprotoReader(reader, writer)
        subscriber.send(Request(host="localhost", target="/mlink/jsonf", **more))
        while not subscriber.seen["AcceptConnection"]:
            assert await subscriber.read()
        yield subscriber
    finally:
        writer.transport.abort()


async def test_wsproto_reads_every_message_with_control_frames_in_between(tmp_path: Path) -> None:
    market = Market(50, seed=11)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path) as gateway,
        wsproto_reader(gateway) as subscriber,
    ):
        # A request in fragments, with a ping between them.
        subscriber.send(TextMessage(data=STREAM[:9], message_finished=False))
        subscriber.send(Ping(payload=b"between"))
        subscriber.send(TextMessage(data=STREAM[9:], message_finished=True))
        while not subscriber.seen["MLinkStreamCheckPt"] >= 3:
            assert await subscriber.read()
        sending = asyncio.create_task(burst(exchange, market, COUNT))
        pings = 0
        while len(subscriber.numbers) < COUNT:
            assert await subscriber.read()
            # Far below what is allowed at once.
            if pings < 30:
                pings += 1
                subscriber.send(Ping(payload=b"x" * (pings % 126)))
                subscriber.send(Pong(payload=b"unasked"))
        await sending
        while subscriber.seen["Pong"] < pings + 1 or not subscriber.seen["Ping"]:
            assert await subscriber.read()
        subscriber.send(CloseConnection(code=1000, reason="enough"))
        while await subscriber.read():
            pass

    assert subscriber.numbers == list(range(1, COUNT + 1))
    assert max(subscriber.sizes) <= 65_535
    assert subscriber.close is not None
    assert subscriber.close.code == 1000


async def test_wsproto_reads_a_close_in_the_midst_of_data(tmp_path: Path) -> None:
    market = Market(50, seed=12)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path) as gateway,
        wsproto_reader(gateway) as subscriber,
    ):
        subscriber.send(TextMessage(data=STREAM))
        while not subscriber.seen["MLinkStreamCheckPt"] >= 3:
            assert await subscriber.read()
        sending = asyncio.create_task(burst(exchange, market, COUNT))
        await subscriber.until_count(1_000)
        gateway.stop()
        while await subscriber.read():
            pass
        await sending

    assert subscriber.numbers == list(range(1, len(subscriber.numbers) + 1))
    assert subscriber.seen["MLinkAdmin"] == 2, "LoggedOn and GoodNight"
    assert subscriber.seen["MLinkStreamCheckPt"] == 4, "Begin, Active, Complete, Terminated"
    assert subscriber.close is not None
    assert subscriber.close.code == 1001


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None or not (NODE / "node_modules" / "ws").is_dir():
        if os.environ.get("CI"):
            pytest.fail("CI must have node and its packages: make node")
        pytest.skip("NODE NOT TESTED: run `make node`")
    return found


class NodeReader:
    """The program `tests/node/reader.js`, told what to do line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.errors: list[str] = []

    async def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def until(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while line := await self._process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told["what"] == what:
                    return told
                assert told["what"] != "error", told
        raise AssertionError(f"ended before {what!r}")


@asynccontextmanager
async def node_reader(node: str, gateway: Gateway, *more: str) -> AsyncIterator[NodeReader]:
    process = await asyncio.create_subprocess_exec(
        *(node, str(NODE / "reader.js"), f"ws://127.0.0.1:{gateway.port}/mlink/jsonf", STREAM, *more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A line holds all numbers of a stream.
        limit=1 << 24,
    )
    try:
        yield NodeReader(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.one_loop
async def test_node_reads_every_message_with_control_frames_in_between(tmp_path: Path, node: str) -> None:
    market = Market(50, seed=13)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path) as gateway,
        node_reader(node, gateway) as subscriber,
    ):
        await subscriber.until("Complete")
        await burst(exchange, market, COUNT)
        await subscriber.order(f"until {COUNT}")
        await subscriber.until("reached")
        await subscriber.order("close 4321")
        closed = await subscriber.until("closed")

    assert closed["numbers"] == list(range(1, COUNT + 1))
    assert closed["largest"] <= 65_535
    assert closed["pongs"] > 0
    assert closed["pings"] > 0
    assert closed["types"]["MLinkHeartbeat"] > 0
    assert closed["code"] == 4321


@pytest.mark.one_loop
async def test_node_reads_good_night_in_the_midst_of_data(tmp_path: Path, node: str) -> None:
    market = Market(50, seed=14)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path) as gateway,
        node_reader(node, gateway) as subscriber,
    ):
        await subscriber.until("Complete")
        sending = asyncio.create_task(burst(exchange, market, COUNT))
        await subscriber.order("until 1000")
        await subscriber.until("reached")
        gateway.stop()
        closed = await subscriber.until("closed")
        await sending

    assert closed["numbers"] == list(range(1, len(closed["numbers"]) + 1))
    assert closed["code"] == 1001
    assert closed["reason"].startswith("good night")
    assert closed["types"]["MLinkStreamCheckPt"] == 4


async def test_wsproto_reads_compressed_messages(tmp_path: Path) -> None:
    market = Market(50, seed=15)
    deflate = PerMessageDeflate()
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path, compression=True) as gateway,
        wsproto_reader(gateway, extensions=[deflate]) as subscriber,
        wsproto_reader(gateway, extensions=[PerMessageDeflate()]) as neighbour,
        wsproto_reader(gateway) as plain,
    ):
        everybody = (subscriber, neighbour, plain)
        for each in everybody:
            each.send(TextMessage(data=STREAM))
            while not each.seen["MLinkStreamCheckPt"] >= 3:
                assert await each.read()
        sending = asyncio.create_task(burst(exchange, market, COUNT))
        await asyncio.gather(*(each.until_count(COUNT) for each in everybody))
        await sending

    assert deflate.enabled()
    assert deflate.server_no_context_takeover
    for each in everybody:
        assert each.numbers == list(range(1, COUNT + 1))
    assert max(subscriber.bytes_read, neighbour.bytes_read) < plain.bytes_read / 3


async def test_who_asks_for_a_small_window_gets_plain_messages(tmp_path: Path) -> None:
    market = Market(50, seed=16)
    deflate = PerMessageDeflate(server_max_window_bits=9)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path, compression=True) as gateway,
        wsproto_reader(gateway, extensions=[deflate]) as subscriber,
    ):
        subscriber.send(TextMessage(data=STREAM))
        while not subscriber.seen["MLinkStreamCheckPt"] >= 3:
            assert await subscriber.read()
        sending = asyncio.create_task(burst(exchange, market, 2_000))
        await subscriber.until_count(2_000)
        await sending

    assert subscriber.numbers[:2_000] == list(range(1, 2_001))
    assert subscriber.bytes_read > 2_000 * 200


async def test_websockets_reads_compressed_messages(tmp_path: Path) -> None:
    market = Market(50, seed=17)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path, compression=True) as gateway,
        reader(gateway, compression="deflate") as subscriber,
    ):
        await subscriber.stream("*")
        await subscriber.until_control("MLinkStreamCheckPt", state="Complete")
        sending = asyncio.create_task(burst(exchange, market, COUNT))
        await subscriber.until_count(COUNT)
        await sending

    assert subscriber.numbers == list(range(1, COUNT + 1))
    assert [each.name for each in subscriber.socket.protocol.extensions] == ["permessage-deflate"]


@pytest.mark.one_loop
async def test_node_reads_compressed_messages_with_control_frames_in_between(
    tmp_path: Path, node: str
) -> None:
    market = Market(50, seed=18)
    async with (
        Exchange() as exchange,
        gateway_on(exchange, tmp_path, compression=True) as gateway,
        node_reader(node, gateway, "deflate") as subscriber,
    ):
        opened = await subscriber.until("open")
        await subscriber.until("Complete")
        await burst(exchange, market, COUNT)
        await subscriber.order(f"until {COUNT}")
        await subscriber.until("reached")
        await subscriber.order("close 1000")
        closed = await subscriber.until("closed")

    assert "permessage-deflate" in opened["extensions"]
    assert closed["numbers"] == list(range(1, COUNT + 1))
    assert closed["pongs"] > 0
    assert closed["code"] == 1000

"""Rows 21 to 30 of the list of faults: what a subscriber does or suffers; the others notice nothing."""

import asyncio
import ctypes
import re
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, feed_settings, reader, running, settings

SMALL: dict[str, Any] = {
    "write_buffer_high_bytes": 65_536,
    "write_buffer_low_bytes": 16_384,
    "heartbeat_s": 0.2,
}
DAY_NS = 86_400 * 10**9


@dataclass
class Pipe:
    exchange: Exchange
    gateway: Gateway
    neighbour: Reader
    market: Market
    count: int = 0

    async def publish(self, count: int) -> None:
        """Messages of the market, until the neighbour has them."""
        self.exchange.extend(self.market.take(count))
        self.count += count
        await self.neighbour.until_count(self.count)

    def neighbour_noticed_nothing(self) -> bool:
        told = {each["message"].get("event") for each in self.neighbour.control}
        # It shares the test's loop, so it may itself read late; the feed it gets never falters.
        return self.neighbour.numbers == list(range(1, self.count + 1)) and told <= {None, "Slow", "CaughtUp"}


@asynccontextmanager
async def pipe(folder: Path, **server: Any) -> AsyncIterator[Pipe]:
    """A gateway with one healthy subscriber who wants everything."""
    async with Exchange() as exchange:
        configured = settings(folder, feed_settings(exchange.port), **{**SMALL, **server})
        async with running(configured) as gateway, reader(gateway) as neighbour:
            await started(neighbour)
            yield Pipe(exchange, gateway, neighbour, Market(20, seed=3))


async def started(each: Reader, **request: Any) -> None:
    await each.stream("*", **request)
    await each.until_control("MLinkStreamCheckPt", state="Complete")
    each.control.clear()


@asynccontextmanager
async def narrow(gateway: Gateway) -> AsyncIterator[Reader]:
    """A subscriber with little room in its kernel, which reads only when it is asked to."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", gateway.port))
    url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
    connection = await connect(url, sock=raw, max_size=None, max_queue=1, ping_interval=None)
    try:
        yield Reader(connection)
    finally:
        connection.transport.abort()


async def rest_of(each: Reader) -> None:
    """All that still comes until the connection ends."""
    try:
        while True:
            await each.read()
    except ConnectionClosed:
        pass


@pytest.mark.one_loop
async def test_row_21_never_reads(tmp_path: Path) -> None:
    """Bounded memory, told, closed in the end with a resumable position."""
    async with (
        pipe(tmp_path, never_reads_timeout_s=1.5, close_timeout_s=0.3) as line,
        narrow(line.gateway) as stuck,
    ):
        await started(stuck)
        before = len(line.gateway._server.subscribers)
        for _ in range(20):
            await line.publish(2_000)
        held = waiting_bytes(line.gateway)
        async with asyncio.timeout(20):
            while len(line.gateway._server.subscribers) == before:
                await line.publish(10)
        await rest_of(stuck)
        had = stuck.numbers[-1]
        async with reader(line.gateway) as again:
            await again.stream("*", resume={"ses": line.exchange.session.name, "seqN": had + 1})
            await again.until_count(line.count - had)

    assert max(held) < 65_536 + 3 * 65_535 + 100_000, "the buffer's mark, and what one flush may add"
    assert stuck.numbers == list(range(1, had + 1))
    assert again.numbers == list(range(had + 1, line.count + 1))
    assert line.neighbour_noticed_nothing()


@pytest.mark.one_loop
async def test_row_21_who_reads_again_in_time_is_told_why_it_ends_and_where_to_resume(tmp_path: Path) -> None:
    async with (
        pipe(tmp_path, never_reads_timeout_s=1.0, close_timeout_s=20.0) as line,
        narrow(line.gateway) as stuck,
    ):
        await started(stuck)
        for _ in range(10):
            await line.publish(2_000)
        subscribers = line.gateway._server._subscribers.values()
        async with asyncio.timeout(20):
            while all(each._ending is None for each in subscribers):
                await line.publish(10)
        await rest_of(stuck)

    assert stuck.socket.close_code == 4001
    word = [each["message"] for each in stuck.control if each["header"]["mTyp"] == "MLinkAdmin"][-1]
    assert word["state"] == "GoodNight"
    assert "4001" in word["detail"]
    (ended,) = [each["message"] for each in stuck.control if each["message"].get("state") == "Terminated"]
    (position,) = ended["positions"]
    assert stuck.numbers == list(range(1, position["seqN"] + 1))
    assert position["numMessagesSent"] == len(stuck.numbers)
    assert line.neighbour_noticed_nothing()


def waiting_bytes(gateway: Gateway) -> list[int]:
    """What each subscriber's connection holds that its kernel has not taken."""
    return [each.backlog() for each in gateway._server.subscribers]


@pytest.mark.one_loop
async def test_row_22_reads_slowly(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line, narrow(line.gateway) as slow:
        await started(slow)
        for _ in range(30):
            await line.publish(1_000)
            await slow.read()
        behind = len(slow.data)
        await slow.until_count(line.count)
        await slow.until_control("MLinkAdmin", event="CaughtUp")
        await line.publish(100)
        await slow.until_count(line.count)

    assert behind < 20_000, "it was slow indeed"
    assert slow.numbers == list(range(1, line.count + 1))
    assert line.neighbour_noticed_nothing()


@pytest.mark.one_loop
async def test_row_22_who_is_slow_again_is_told_again(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line, narrow(line.gateway) as slow:
        await started(slow)
        for _ in range(2):
            for _ in range(15):
                await line.publish(1_000)
            await slow.until_count(line.count)
            await slow.until_control("MLinkAdmin", event="CaughtUp")
            slow_told = [each["message"]["event"] for each in slow.control if "event" in each["message"]]
            slow.control.clear()

            assert slow_told == ["Slow", "CaughtUp"]

    assert slow.numbers == list(range(1, line.count + 1))
    assert line.neighbour_noticed_nothing()


@asynccontextmanager
async def metered(
    gateway: Gateway, is_slow: asyncio.Event, passed: asyncio.Queue[int]
) -> AsyncIterator[Reader]:
    """A subscriber behind a line that passes 1 KB each second while it is slow."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)

    async def up() -> None:
        while data := await loop.sock_recv(far, 65_536):
            await loop.sock_sendall(raw, data)

    async def down() -> None:
        while data := await loop.sock_recv(raw, 1_024 if is_slow.is_set() else 65_536):
            await loop.sock_sendall(far, data)
            if is_slow.is_set():
                passed.put_nowait(len(data))
                await asyncio.sleep(1.0)

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
    connection = await connect(url, sock=near, max_size=None, ping_interval=None)
    try:
        yield Reader(connection)
    finally:
        connection.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raw.close()
        far.close()


@pytest.mark.one_loop
async def test_row_22_reads_1_kb_each_second(tmp_path: Path) -> None:
    """For five of them, in which it falls behind by hours; then as fast as it can, to compare all."""
    is_slow, passed, held = asyncio.Event(), asyncio.Queue[int](), [0]
    async with pipe(tmp_path) as line, metered(line.gateway, is_slow, passed) as slow:
        await started(slow)
        is_slow.set()
        for _ in range(5):
            await line.publish(6_000)
            await passed.get()
            held += waiting_bytes(line.gateway)
        is_slow.clear()
        await slow.until_count(line.count)
        told = await slow.until_control("MLinkAdmin", event="Slow")
        await slow.until_control("MLinkAdmin", event="CaughtUp")
        await line.publish(100)
        await slow.until_count(line.count)

    assert told["lagMessages"] > 0, "it was slow indeed"
    assert max(held) < 65_536 + 3 * 65_535 + 100_000, "the buffer's mark, and what one flush may add"
    assert slow.numbers == list(range(1, line.count + 1))
    assert line.neighbour_noticed_nothing()


def directory_of(count: int) -> list[bytes]:
    """The directory messages of so many tickers."""
    template = Market(1, seed=1).opening()[1]
    return [
        template[:1] + (at + 1).to_bytes(2, "big") + template[3:11] + f"T{at:07d}".encode() + template[19:]
        for at in range(count)
    ]


@pytest.mark.one_loop
async def test_row_22_who_reads_records_slowly_gets_the_newest_at_its_own_pace(tmp_path: Path) -> None:
    keys, rounds = 2_000, 30
    records = directory_of(keys)
    held = [0]
    async with pipe(tmp_path) as line, narrow(line.gateway) as slow:
        await slow.stream("StockDirectory")
        await slow.until_control("MLinkStreamCheckPt", state="Complete")
        for _ in range(rounds):
            line.exchange.extend(records)
            line.count += keys
            await line.neighbour.until_count(line.count)
            held += waiting_bytes(line.gateway)
        while not slow.numbers or slow.numbers[-1] < line.count:
            await slow.read()

    newest = {each["message"]["stock"]: each["header"]["seqN"] for each in slow.data}
    assert newest == {f"T{at:07d}": line.count - keys + at + 1 for at in range(keys)}
    assert slow.numbers == sorted(set(slow.numbers)), "in order, and none twice"
    assert len(slow.data) < keys * rounds // 2, "it was slow indeed"
    assert max(held) < 65_536 + 3 * 65_535 + 100_000, "the buffer's mark, and what one slice may add"
    assert line.neighbour_noticed_nothing()


async def test_row_23_resume_too_old_names_the_oldest(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line:
        await line.publish(100)
        first = line.exchange.session.name
        line.exchange.roll()
        line.exchange.extend(line.market.take(10))
        await line.neighbour.until_count(110)
        line.gateway.feeds["itch"]._journal.retain(time.time_ns() + 30 * DAY_NS)
        async with reader(line.gateway) as late:
            await late.stream("*", resume={"ses": first, "seqN": 1})
            ack = await late.until_control("MLinkStreamAck")

    assert ack["result"] == "Error"
    assert f"too old: had are '{line.exchange.session.name}':1" in ack["detail"]
    assert line.neighbour.numbers == [*range(1, 101), *range(1, 11)]


@pytest.mark.one_loop
async def test_row_23_a_position_that_ages_out_under_its_reader_ends_in_a_named_close(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line, narrow(line.gateway) as stuck:
        await started(stuck)
        for _ in range(10):
            await line.publish(2_000)
        line.exchange.roll()
        line.exchange.extend(line.market.take(10))
        await line.neighbour.until_count(line.count + 10)
        line.gateway.feeds["itch"]._journal.retain(time.time_ns() + 30 * DAY_NS)
        await rest_of(stuck)

    assert stuck.socket.close_code == 4002
    word = [each["message"] for each in stuck.control if each["header"]["mTyp"] == "MLinkAdmin"][-1]
    assert word["state"] == "GoodNight"
    assert "4002" in word["detail"]
    ended = [each["message"] for each in stuck.control if each["message"].get("state") == "Terminated"]
    assert ended[0]["positions"][0]["seqN"] == stuck.numbers[-1] == len(stuck.numbers)
    assert line.neighbour.numbers == [*range(1, line.count + 1), *range(1, 11)]


async def test_row_24_resume_in_the_future(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line:
        await line.publish(100)
        async with reader(line.gateway) as early:
            await early.stream("*", resume={"seqN": 102})
            refused = await early.until_control("MLinkStreamAck", queryID=1)
            await early.stream("*", queryID=2, resume={"seqN": 101})
            taken = await early.until_control("MLinkStreamAck", queryID=2)
            await line.publish(10)
            await early.until_count(10)

    assert (refused["result"], taken["result"]) == ("Error", "OK")
    assert "future" in refused["detail"]
    assert early.numbers == list(range(101, 111))
    assert line.neighbour_noticed_nothing()


@pytest.mark.one_loop
async def test_row_25_a_thousand_reconnect_at_once(tmp_path: Path) -> None:
    subscribers = 1_000
    room = {"connections_max": 2_000, "connections_per_address_max": 2_000, "heartbeat_s": 5.0}
    async with pipe(tmp_path, **room) as line, AsyncExitStack() as stack:
        await line.publish(2_000)
        url = f"ws://127.0.0.1:{line.gateway.port}/mlink/jsonf"
        asked = Reader.stream

        async def comes_back(at: int) -> list[int]:
            socket: ClientConnection = await stack.enter_async_context(
                connect(url, max_size=None, open_timeout=60, ping_interval=None)
            )
            first = 1_900 + at % 100
            await asked(Reader(socket), "*", resume={"seqN": first})
            got: list[int] = []
            while not got or got[-1] < line.count:
                message = await socket.recv(decode=False)
                got += [int(each) for each in re.findall(rb'"seqN":(\d+),"sTim"', message)]
            assert got[0] == first
            return got

        coming = [asyncio.create_task(comes_back(at)) for at in range(subscribers)]
        for _ in range(10):
            await line.publish(10)
        async with asyncio.timeout(120):
            everything = await asyncio.gather(*coming)
        health = line.gateway.feeds["itch"].health

    for at, got in enumerate(everything):
        assert got == list(range(1_900 + at % 100, got[-1] + 1))
        assert got[-1] >= 2_000
    assert health.reconnects == {}
    assert line.neighbour_noticed_nothing()


async def test_row_26_a_filter_changes_at_a_stated_number(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line, reader(line.gateway) as changing:
        await changing.stream("AddOrder", where="side:eq:B")
        await changing.until_control("MLinkStreamCheckPt", state="Complete")
        await line.publish(500)
        line.exchange.extend(line.market.take(500))
        line.count += 500
        await changing.stream("AddOrder", where="side:eq:S")
        replaced = await changing.until_control("MLinkStreamCheckPt", state="Replaced")
        had = len(changing.data)
        await line.publish(500)
        last = next(
            each["header"]["seqN"]
            for each in reversed(line.neighbour.data)
            if each["header"]["mTyp"] == "AddOrder" and each["message"]["side"] == "S"
        )
        while changing.numbers[-1] < last:
            await changing.read()

    begin = [each["message"] for each in changing.control if each["message"].get("state") == "Begin"][-1]
    (number,) = {each["positions"][0]["seqN"] for each in (replaced, begin)}
    assert had > 0
    expected = [
        each["header"]["seqN"]
        for each in line.neighbour.data
        if each["header"]["mTyp"] == "AddOrder"
        and each["message"]["side"] == ("B" if each["header"]["seqN"] <= number else "S")
    ]
    assert changing.numbers == expected
    assert line.neighbour_noticed_nothing()


async def test_row_27_a_filter_that_matches_nothing_is_told_how_far_it_is_covered(tmp_path: Path) -> None:
    async with pipe(tmp_path) as line, reader(line.gateway) as silent:
        await silent.stream("AddOrder", where="stock:eq:NONE")
        await silent.until_control("MLinkStreamCheckPt", state="Complete")
        await line.publish(300)
        proof = {"seqN": 0}
        while proof["seqN"] < 300:
            silent.control.clear()
            proof = (await silent.until_control("MLinkHeartbeat"))["positions"][0]

    assert (proof["seqN"], proof["numMessagesSent"]) == (300, 0)
    assert silent.data == []
    assert line.neighbour_noticed_nothing()


@pytest.mark.skipif(
    sys.platform != "linux", reason="a filter on a socket is how its machine is made to vanish"
)
@pytest.mark.one_loop
async def test_row_28_half_open_is_found_by_ping_and_its_slot_is_free(tmp_path: Path) -> None:
    fast = {"ping_interval_s": 0.2, "ping_timeout_s": 0.4, "close_timeout_s": 0.2, "connections_max": 2}
    async with pipe(tmp_path, **fast) as line, narrow(line.gateway) as gone:
        await started(gone)
        vanish(gone.socket.transport.get_extra_info("socket"))
        with pytest.raises(InvalidStatus):
            async with reader(line.gateway):
                pass
        async with asyncio.timeout(20):
            while len(line.gateway._server.subscribers) > 1:
                await line.publish(1)
        async with reader(line.gateway) as next_one:
            await next_one.stream("*", resume={"seqN": 1})
            await next_one.until_count(line.count)

    assert line.neighbour_noticed_nothing()


def vanish(connected: Any) -> None:
    """From here on the kernel drops whatever comes in: no answer, no acknowledgement, no reset."""
    drop_all = struct.pack("HBBI", 0x06, 0, 0, 0)
    program = ctypes.create_string_buffer(drop_all)
    connected.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(program)))


async def test_row_29_cut_in_mid_write_leaks_no_exception(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaked: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: leaked.append(context))
    async with pipe(tmp_path) as line:
        for _ in range(5):
            async with narrow(line.gateway) as cut:
                await started(cut)
                await line.publish(2_000)
                raw = cut.socket.transport.get_extra_info("socket")
                # Closed with a reset, in the middle of what the gateway writes.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await line.publish(500)
        async with asyncio.timeout(20):
            while len(line.gateway._server.subscribers) > 1:
                await line.publish(1)

    assert leaked == []
    assert [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL")] == []
    assert line.neighbour_noticed_nothing()


@pytest.mark.parametrize("delivery", ["every", "latest"])
@pytest.mark.one_loop
async def test_row_30_snapshot_while_much_arrives(tmp_path: Path, delivery: str) -> None:
    """10,000 records, and 30,000 messages at full speed while they are sent."""
    keys = 10_000
    records = directory_of(keys)
    async with pipe(tmp_path) as line:
        line.exchange.extend(records)
        line.count += keys
        await line.neighbour.until_count(line.count)
        async with reader(line.gateway) as joining:
            await joining.stream("StockDirectory", delivery=delivery, activeLatency=1)
            begin = await joining.until_control("MLinkStreamCheckPt", state="Begin")
            for at in range(30):
                line.exchange.extend([*records[at * 100 : at * 100 + 500], *line.market.take(500)])
            line.count += 30_000
            last = max(at * 1_000 + part + 1 + keys for at in range(30) for part in range(500))
            while not joining.numbers or joining.numbers[-1] < last:
                await joining.read()
        await line.neighbour.until_count(line.count)

    # Its snapshot is of the moment it began. A conflated stream covers nothing before it has left.
    at_begin = keys
    assert begin["positions"][0]["seqN"] == (keys if delivery == "every" else 0)
    active = next(each for each in joining.control if each["message"].get("state") == "Active")["message"]
    snapshot, live = joining.data[: active["numMessagesSent"]], joining.data[active["numMessagesSent"] :]
    every = [each for each in line.neighbour.data if each["header"]["mTyp"] == "StockDirectory"]
    newest = {
        each["message"]["stock"]: each["header"]["seqN"]
        for each in every
        if each["header"]["seqN"] <= at_begin
    }
    assert {each["message"]["stock"]: each["header"]["seqN"] for each in snapshot} == newest
    assert len(snapshot) == keys
    after = [each["header"]["seqN"] for each in every if each["header"]["seqN"] > at_begin]
    got = [each["header"]["seqN"] for each in live]
    if delivery == "every":
        assert got == after, "no gap, no double"
    else:
        final = {each["message"]["stock"]: each["header"]["seqN"] for each in every}
        assert got == sorted(set(got))
        assert {each["message"]["stock"]: each["header"]["seqN"] for each in joining.data} == final
    assert line.neighbour_noticed_nothing()

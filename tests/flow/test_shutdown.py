"""Rows 44 and 45 of the list of faults: the end, whatever the others do; and that nothing is lost by it."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import TEXT, frame, raw_subscriber
from tests.fakes.scripted_upstream import Conversation, ScriptedUpstream, Venue, serve
from tests.flow.pipe import ROOT, Reader, feed_settings, reader, running, settings
from tests.flow.pipe import frame as request

DEADLINE_S = 3.0

TOML = """
[server]
port = 0
open_access = true
shutdown_timeout_s = {deadline}
[journal]
folder = "{folder}/journal"
[stripes]
file = "{root}/config/stripes.toml"
[[feeds]]
name = "itch"
[[feeds.endpoints]]
name = "primary"
address = "127.0.0.1:{port}"
"""


class Served:
    """A gateway in a process of its own, as an operator starts it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def stopped(self, *signals: signal.Signals) -> tuple[int, float]:
        """Send signals; (exit code, seconds it took)."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for each in signals:
            self.process.send_signal(each)
            # One signal must not be merged with the next.
            await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            code = await self.process.wait()
        return code, loop.time() - begun


@asynccontextmanager
async def served(folder: Path, exchange: Exchange, deadline_s: float = DEADLINE_S) -> AsyncIterator[Served]:
    config = folder / "gateway.toml"
    config.write_text(TOML.format(folder=folder, root=ROOT, port=exchange.port, deadline=deadline_s))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from gateway.cli import main; main()", "serve", "--config", str(config)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    port = 0
    async with asyncio.timeout(30):
        while not port:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended before it served"
            if found := re.search(r"http://[^/]*:(\d+)/", line):
                port = int(found[1])
    drained = asyncio.create_task(process.stderr.read())
    try:
        yield Served(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await drained


async def streaming(to: Reader) -> None:
    await to.stream("*")
    await to.until_control("MLinkStreamCheckPt", state="Complete")


async def read_to_the_end(subscriber: Reader) -> int:
    """Everything until the connection closes; gives the close code."""
    from websockets.exceptions import ConnectionClosed

    try:
        async with asyncio.timeout(30):
            while True:
                await subscriber.read()
    except ConnectionClosed:
        return subscriber.socket.close_code or 0


@pytest.mark.one_loop
async def test_row_44_sigterm_under_load_with_stuck_peers(tmp_path: Path) -> None:
    market = Market(50, seed=7)
    async with Exchange() as exchange:
        async with served(tmp_path, exchange) as gateway, AsyncExitStack() as others:
            open_readers = [
                await others.enter_async_context(reader(gateway))
                for _ in range(5)  # type: ignore[arg-type]
            ]
            for each in open_readers:
                await streaming(each)
            stuck = [await others.enter_async_context(raw_subscriber(gateway.port)) for _ in range(3)]
            for each in stuck:
                assert await each.upgraded() == 101
                await each.send(frame(TEXT, request("MLinkStream", msgName="*", activeLatency=1).encode()))
            in_handshake = await others.enter_async_context(raw_subscriber(gateway.port))
            await in_handshake.send(b"GET / HTTP/1.1\r\n")

            async def load() -> None:
                while True:
                    exchange.extend(market.take(2_000))
                    await asyncio.sleep(0.01)

            loading = asyncio.create_task(load())
            reading = [asyncio.create_task(read_to_the_end(each)) for each in open_readers]
            # The stuck ones' lines fill up meanwhile.
            await asyncio.wait([loading], timeout=3.0)
            code, took_s = await gateway.stopped(signal.SIGTERM)
            closes = [await each for each in reading]
            loading.cancel()
        # The next gateway on the same journal: each goes on where it was told to.
        positions = []
        for each in open_readers:
            end = each.control[-1]["message"]
            assert end["state"] == "Terminated"
            positions.append(end["positions"][0])
        async with (
            running(settings(tmp_path, feed_settings(exchange.port))) as again,
            reader(again) as resumed,
        ):
            last = positions[0]
            await resumed.stream("*", resume={"src": "itch", "ses": last["ses"], "seqN": last["seqN"] + 1})
            await resumed.until_count(100)

    assert code == 0
    # Generous, as the machine may be busy: without a bound it would take until the stuck peers read.
    assert took_s < DEADLINE_S + 3
    assert closes == [1001] * 5
    for each, position in zip(open_readers, positions, strict=True):
        assert each.numbers == list(range(1, position["seqN"] + 1)), "all before the end, nothing after it"
        good_night = next(
            value["message"] for value in each.control if value["message"].get("state") == "GoodNight"
        )
        assert 0 < good_night["secondsLeft"] <= DEADLINE_S
    assert resumed.numbers[:100] == list(range(last["seqN"] + 1, last["seqN"] + 101))


@pytest.mark.one_loop
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_row_44_without_subscribers_it_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async with Exchange() as exchange, served(tmp_path, exchange, 60.0) as gateway:
        code, _ = await gateway.stopped(number)

    assert code == 0


@pytest.mark.one_loop
async def test_row_45_sigterm_twice_ends_at_once(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        served(tmp_path, exchange, 120.0) as gateway,
        raw_subscriber(gateway.port) as stuck,
    ):
        assert await stuck.upgraded() == 101
        await stuck.until(b"LoggedOn")
        await stuck.send(frame(TEXT, request("MLinkStream", msgName="*", activeLatency=1).encode()))
        await stuck.until(b"Complete")
        exchange.extend(Market(50, seed=7).take(100_000))
        # Its line is full now, so a polite end would take a while.
        async with asyncio.timeout(30):
            await stuck.until(b'"seqN":5000')
        code, _ = await gateway.stopped(signal.SIGTERM, signal.SIGTERM)

    assert code == -signal.SIGTERM


async def closing(folder: Path, crowd: int, **server: Any) -> tuple[Gateway, list[Reader], list[int]]:
    market = Market(10, seed=7)
    async with Exchange() as exchange, AsyncExitStack() as others:
        configured = settings(
            folder, feed_settings(exchange.port), connections_per_address_max=2_000, **server
        )
        async with running(configured) as gateway:
            readers = [await others.enter_async_context(reader(gateway)) for _ in range(crowd)]
            for each in readers:
                await streaming(each)
            exchange.extend(market.take(100))
            for each in readers:
                await each.until_count(100)
            reading = [asyncio.create_task(read_to_the_end(each)) for each in readers]
        codes = [await each for each in reading]
    return gateway, readers, codes


@pytest.mark.one_loop
async def test_many_subscribers_are_all_told_where_to_resume_and_let_go(tmp_path: Path) -> None:
    _, readers, codes = await closing(tmp_path, 300, shutdown_timeout_s=20.0)

    assert codes == [1001] * 300
    assert all(each.control[-1]["message"]["state"] == "Terminated" for each in readers)


@pytest.mark.one_loop
async def test_row_44_they_are_let_go_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two seconds here, so that they do not all come back at once."""
    monkeypatch.setattr("gateway.net.server.CLOSES_PER_S", 10)
    loop = asyncio.get_running_loop()
    gone_at: list[float] = []

    async def until_gone(each: Reader) -> None:
        await read_to_the_end(each)
        gone_at.append(loop.time())

    async with Exchange() as exchange, AsyncExitStack() as others:
        configured = settings(tmp_path, feed_settings(exchange.port), shutdown_timeout_s=20.0)
        async with running(configured) as gateway:
            readers = [await others.enter_async_context(reader(gateway)) for _ in range(20)]
            for each in readers:
                await streaming(each)
            waiting = [asyncio.create_task(until_gone(each)) for each in readers]
        await asyncio.gather(*waiting)

    assert [each.socket.close_code for each in readers] == [1001] * 20
    # A machine that is busy makes it longer, or the first one late, but not by a second.
    assert gone_at[-1] - gone_at[0] > 1.0


async def test_who_comes_while_it_ends_is_not_let_in(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), shutdown_timeout_s=1.0)
        async with running(configured) as gateway, raw_subscriber(gateway.port) as stuck:
            assert await stuck.upgraded() == 101
            await stuck.until(b"LoggedOn")
            gateway.stop()
            word = json.loads((await stuck.until(b"GoodNight"))[14:])
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", gateway.port)

    assert word["message"]["detail"] == "the gateway shuts down"


async def test_what_is_asked_after_good_night_changes_nothing(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), shutdown_timeout_s=1.0)
        async with running(configured) as gateway, raw_subscriber(gateway.port) as late:
            assert await late.upgraded() == 101
            await late.until(b"LoggedOn")
            gateway.stop()
            await late.until(b"GoodNight")
            await late.send(frame(TEXT, request("MLinkStream", msgName="*").encode()) * 3)
            code, reason = await late.closed()

    assert code == 1001
    assert reason.startswith("good night")


async def test_an_upstream_that_ignores_the_logout_does_not_take_the_subscribers_time(tmp_path: Path) -> None:
    async def ignores(client: Conversation) -> None:
        await serve(client, Venue(count=1), 1)
        await asyncio.Event().wait()

    async with ScriptedUpstream(ignores) as upstream:
        configured = settings(tmp_path, feed_settings(upstream.port), shutdown_timeout_s=1.0)
        async with running(configured) as gateway, reader(gateway) as subscriber:
            await streaming(subscriber)
            gateway.stop()
            code = await read_to_the_end(subscriber)

    assert code == 1001
    assert subscriber.control[-1]["message"]["state"] == "Terminated"

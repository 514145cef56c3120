"""Who is alive: pongs, requests and bytes taken count; silence ends, told apart from slowness."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.mlink.close_codes import CloseCode
from gateway.net.kernel import bytes_not_acknowledged, machine_is_silent
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import CLOSE, PING, PONG, TEXT, frame, raw_subscriber
from tests.flow.pipe import feed_settings, running, settings
from tests.flow.pipe import frame as request

QUICK = {"ping_interval_s": 0.1, "ping_timeout_s": 0.2}


async def test_one_that_answers_nothing_is_closed_with_a_word_why(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), **QUICK)) as gateway,
        raw_subscriber(gateway.port) as silent,
    ):
        assert await silent.upgraded() == 101
        code, reason = await silent.closed()

    assert code == CloseCode.INTERNAL
    assert reason == "no answer to pings"


async def test_one_that_only_asks_is_alive(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), **QUICK)) as gateway,
        raw_subscriber(gateway.port) as asking,
    ):
        assert await asking.upgraded() == 101
        pings = 0
        while pings < 10:
            first, _ = await asking.frame()
            if first == 0x80 | PING:
                pings += 1
                await asking.send(frame(TEXT, request("MLinkSignalReady").encode()))

    assert pings == 10


@pytest.mark.one_loop
async def test_a_slow_reader_whose_pong_would_come_far_too_late_is_not_taken_for_dead(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), **QUICK)) as gateway,
        raw_subscriber(gateway.port) as slow,
    ):
        assert await slow.upgraded() == 101
        await slow.send(frame(TEXT, request("MLinkStream", msgName="*", activeLatency=1).encode()))
        await slow.until(b"Complete")
        exchange.extend(Market(50, seed=3).take(100_000))
        taken = 0
        # It never answers a ping, for ten times as long as one may take; it only reads.
        for _ in range(20):
            taken += len(await slow.reader.read(200_000))
            await asyncio.sleep(0.1)
        more = len(await slow.reader.readexactly(1_000_000))

    assert taken > 0
    assert more == 1_000_000


@pytest.mark.one_loop
async def test_a_slow_reader_is_alive_while_its_machine_takes_what_ours_still_holds(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(
            settings(tmp_path, feed_settings(exchange.port), ping_interval_s=0.1, ping_timeout_s=1.0)
        ) as gateway,
        raw_subscriber(gateway.port, receive_buffer_bytes=8_192) as slow,
    ):
        assert await slow.upgraded() == 101
        await slow.send(frame(TEXT, request("MLinkStream", msgName="*", activeLatency=1).encode()))
        await slow.until(b"Complete")
        # So little that all of it is the kernel's at once, and nothing waits in the gateway.
        exchange.extend(Market(50, seed=3).take(250))
        for _ in range(25):
            await slow.reader.readexactly(2_500)
            await asyncio.sleep(0.1)

        assert [each.state.name for each in gateway._server.subscribers] == ["OPEN"]


class Holder:
    """A transport as far as it has a socket."""

    def __init__(self, held: socket.socket | None) -> None:
        self.held = held

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.held


def test_a_machine_whose_program_does_not_read_is_not_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as ours:
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        with theirs:
            ours.setblocking(False)
            try:
                while True:
                    ours.send(bytes(65_536))
            except BlockingIOError:
                pass

            assert bytes_not_acknowledged(Holder(ours)) > 0
            assert not machine_is_silent(Holder(ours), 0.0)


def test_a_socket_that_is_gone_tells_nothing() -> None:
    with socket.socket() as closed:
        pass

    for each in (closed, None):
        assert bytes_not_acknowledged(Holder(each)) == 0
        assert not machine_is_silent(Holder(each), 0.0)


async def test_pongs_that_we_have_asked_for_are_no_flood(tmp_path: Path) -> None:
    """Each newcomer with a key that has no place left has the others asked whether they are alive."""
    few = {"requests_per_second": 1.0, "requests_burst": 3}
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), **few)) as gateway,
        raw_subscriber(gateway.port) as alive,
    ):
        assert await alive.upgraded() == 101
        (connection,) = gateway._server.subscribers
        for _ in range(20):
            asked = asyncio.create_task(connection.answers(10.0))
            first = 0
            while first != 0x80 | PING:
                first, payload = await alive.frame()
                assert first != 0x80 | CLOSE, payload
            await alive.send(frame(PONG, payload))
            assert await asked

        for _ in range(4):
            await alive.send(frame(PONG, b"unasked"))
        code, _ = await alive.closed()

    assert code == CloseCode.FLOOD

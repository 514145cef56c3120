"""SIGTERM with 1,000 subscribers under load: all are told good night and where to resume; exit code 0."""

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from tests.fakes.raw_subscriber import upgrade
from tests.flow.pipe import frame, frames_in
from tests.flow.process import GatewayProcess, write_config

CROWD = 1_000
RATE = 100.0
SHUTDOWN_S = 20.0
LIMITS = f"connections_max = 2000\nconnections_per_address_max = 2000\nshutdown_timeout_s = {SHUTDOWN_S}\n"
FILES_NEEDED = 2_048


class Crowded(asyncio.Protocol):
    """One of the crowd: asks for everything, keeps the bytes it gets, and answers a close, no more."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        request = frame("MLinkStream", msgName="*", queryID=1, activeLatency=1).encode()
        # Masked, as a client must, with a mask of zeros.
        transport.write(upgrade() + b"\x81\xfe" + len(request).to_bytes(2, "big") + bytes(4) + request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.begun.is_set() and b'"Complete"' in self.received:
            self.begun.set()
        # Going away, as a frame: only a close of ours has this code.
        if b"\x03\xe9good night" in data:
            self.transport.write(b"\x88\x82" + bytes(4) + b"\x03\xe9")  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


def messages_in(received: bytes) -> Iterator[tuple[int, bytes]]:
    """(opcode, payload) of each WebSocket message of a server."""
    at = received.index(b"\r\n\r\n") + 4
    while at < len(received):
        opcode, size = received[at] & 15, received[at + 1]
        at += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(received[at : at + width], "big"), at + width
        yield opcode, received[at : at + size]
        at += size


def told(received: bytes) -> tuple[list[int], list[dict[str, Any]], int]:
    """Numbers of data, control messages, close code."""
    numbers, control, code = [], [], 0
    for opcode, payload in messages_in(received):
        if opcode == 8:
            code = int.from_bytes(payload[:2], "big")
        elif opcode == 2:
            for each in frames_in(payload):
                value = json.loads(each, parse_float=Decimal)
                if value["header"]["mTyp"].startswith("MLink"):
                    control.append(value)
                    if value["message"].get("state") == "Complete":
                        # What came so far are the latest records, if there were any yet.
                        numbers.clear()
                else:
                    numbers.append(value["header"]["seqN"])
    return numbers, control, code


@pytest.fixture
def _files_enough() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES_NEEDED:
        pytest.skip(
            f"DRAIN NOT TESTED: {hard} open files are allowed, {FILES_NEEDED} are needed (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES_NEEDED), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.one_loop
@pytest.mark.usefixtures("_files_enough")
async def test_a_thousand_are_told_good_night_and_where_to_resume(tmp_path: Path) -> None:
    market = Market(10, seed=11)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange(messages=market.messages(), pace=by_rate(RATE)))
        gateway = GatewayProcess(write_config(tmp_path, exchange.port, server=LIMITS))
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        crowd = []
        for _ in range(CROWD):
            transport, one = await loop.create_connection(Crowded, "127.0.0.1", gateway.port)
            stack.callback(transport.abort)
            crowd.append(one)
        async with asyncio.timeout(60):
            for one in crowd:
                await one.begun.wait()
        # Under load, all of them.
        await asyncio.sleep(0.5)
        gateway.process.terminate()
        async with asyncio.timeout(SHUTDOWN_S + 10):
            for one in crowd:
                await one.gone.wait()
            _, log = await gateway.process.communicate()

    assert gateway.process.returncode == 0, log.decode()
    assert b"good-night-cut" not in log, "nobody had to be cut off"
    for one in crowd:
        numbers, control, code = told(bytes(one.received))
        assert code == 1001
        words = [each["message"] for each in control if each["header"]["mTyp"] == "MLinkAdmin"]
        assert words[-1]["state"] == "GoodNight"
        last = control[-1]["message"]
        assert last["state"] == "Terminated"
        (position,) = last["positions"]
        assert numbers, "it was under load"
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert (position["src"], position["seqN"]) == ("itch", numbers[-1]), "it resumes where it stands"
        assert position["ses"]

"""What a subscriber that stops reading costs: its neighbour's delay before and during, and memory.

Three processes on loopback: an exchange at a steady rate, the gateway, both subscribers here. The delay of
a message is from its receipt by the gateway (`sTim`) to its arrival, sampled once per WebSocket message.
`python -m tests.bench.stall SECONDS RATE` takes other values; the promise is made for 60 s at 50,000.
"""

import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, frame, settings

STALL_S = 10.0
RATE = 50_000
TICK_S = 0.002
CATCH_UP_MAX_S = 120.0
_NUMBER = re.compile(rb'"seqN":(\d+),"sTim":"([^"]+)"')


def run(stall_s: float = STALL_S, rate: int = RATE) -> list[tuple[str, float, str]]:
    return uvloop.run(_measure(stall_s, rate))


async def _measure(stall_s: float, rate: int) -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        upstream = _start("upstream", str(rate))
        gateway = _start("gateway", _line(upstream), folder)
        try:
            url = f"ws://127.0.0.1:{_line(gateway)}/mlink/jsonf"
            async with (
                connect(url, max_size=None, compression=None) as healthy,
                # Its own keepalive would end a connection whose reader it keeps from seeing the pong.
                connect(url, max_size=None, compression=None, max_queue=1, ping_interval=None) as stalled,
            ):
                for each in (healthy, stalled):
                    await each.send(frame("MLinkStream", msgName="*", activeLatency=1))
                reading = asyncio.create_task(_read_all(stalled))
                upstream.stdin.write("go\n")  # type: ignore[union-attr]
                upstream.stdin.flush()  # type: ignore[union-attr]
                await _delays(healthy, 2.0)
                before = await _delays(healthy, stall_s)
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
                had = _rss(gateway.pid)
                during = await _delays(healthy, stall_s)
                grown = _rss(gateway.pid) - had
                began = time.perf_counter()
                meanwhile, lost, caught_up_s = await _catch_up(healthy, stalled, began)
        finally:
            for process in (gateway, upstream):
                process.kill()
                process.communicate()
    return [
        ("neighbour p50 before, us", _at(before, 0.50), f"{rate} messages/s"),
        ("neighbour p50 during, us", _at(during, 0.50), f"the other one stalls for {stall_s:g} s"),
        ("neighbour p99 before, us", _at(before, 0.99), ""),
        (
            "neighbour p99 during, us",
            _at(during, 0.99),
            f"{_at(during, 0.99) / _at(before, 0.99):.2f} × before",
        ),
        ("neighbour p99 catching up, us", _at(meanwhile, 0.99), "while the stalled one reads what it missed"),
        ("memory grown, KiB", grown, "of the gateway, from the first second of the stall to its last"),
        ("catching up, ms", caught_up_s * 1e3, "until the stalled one is live again, at the same rate"),
        ("messages lost or out of order", lost, "of the stalled one"),
    ]


_LAST: dict[int, int] = {}
_WRONG: dict[int, int] = {}


def _count(socket: ClientConnection, message: bytes) -> None:
    at = id(socket)
    for number in _NUMBER.finditer(message):
        seq = int(number[1])
        if seq != _LAST.get(at, 0) + 1:
            _WRONG[at] = _WRONG.get(at, 0) + 1
        _LAST[at] = seq


async def _read_all(socket: ClientConnection) -> None:
    while True:
        _count(socket, await socket.recv(decode=False))


async def _delays(socket: ClientConnection, seconds: float) -> list[float]:
    """Microseconds from receipt to arrival of each WebSocket message's last message, or until cancelled."""
    delays: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            message = await socket.recv(decode=False)
        except asyncio.CancelledError:
            break
        now = time.time()
        at = message.rfind(b'"sTim":"', 0, message.rfind(b'"encT"'))
        if at > 0 and b'"seqN"' in message:
            text = message[at + 8 : at + 34].decode()
            sent = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
            delays.append((now - sent) * 1e6)
    return delays


async def _catch_up(
    healthy: ClientConnection, stalled: ClientConnection, began: float
) -> tuple[list[float], int, float]:
    """The neighbour's delays meanwhile, how many numbers were not the next, and how long it took."""
    meanwhile = asyncio.create_task(_delays(healthy, CATCH_UP_MAX_S))
    while True:
        message = await stalled.recv(decode=False)
        _count(stalled, message)
        if b'"CaughtUp"' in message:
            took = time.perf_counter() - began
            meanwhile.cancel()
            return await meanwhile, _WRONG.get(id(stalled), 0), took


def _at(delays: list[float], share: float) -> float:
    return statistics.quantiles(delays, n=1000)[int(share * 1000) - 1]


def _rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(re.search(r"VmRSS:\s+(\d+) kB", status)[1])  # type: ignore[index]


def _start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stall", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def _upstream(rate: int) -> None:
    market = Market(200, seed=1)
    async with Exchange() as exchange:
        print(exchange.port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        exchange.extend(market.opening())
        began, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate) - sent
            exchange.extend(market.take(due))
            sent += due
            await asyncio.sleep(TICK_S)


async def _gateway(port: int, folder: Path) -> None:
    gateway = Gateway(settings(folder, feed_settings(port)))
    await gateway.run(ready=lambda serving: print(serving.port, flush=True))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream", rate]:
            uvloop.run(_upstream(int(rate)))
        case ["gateway", port, folder]:
            uvloop.run(_gateway(int(port), Path(folder)))
        case values:
            for row in run(*(float(values[0]), int(values[1])) if len(values) == 2 else ()):
                print(*row, sep="\t")

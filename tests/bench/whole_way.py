"""The whole way, messages per second of one core: from the upstream's socket to a subscriber's.

Three processes on loopback: an exchange that sends AddOrders, what is measured, and a reader.
The rate is messages by the CPU time that the measured process spent on them, so that other
work on the machine does not count. The peer is nasdaq-protocols: session, decode and JSON on
uvloop, without journal, stripes, frames or WebSocket.
"""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import uvloop

from gateway.app import Gateway
from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.journal.running import RunningSession
from gateway.link import ServedSession, SoupServer
from gateway.simulator.market import Market
from tests.bench.decode import add_orders, their_module
from tests.flow.pipe import feed_settings, frame, settings

COUNT = 600_000
PEER_COUNT = 60_000
IDLE_S = 10.0
ROUNDS = 3


def run() -> list[tuple[str, float, str]]:
    rows = [("nasdaq-protocols: session, decode, JSON", _peer(), "peer: uvloop, nothing written anywhere")]
    best = {kind: max(_gateway(kind) for _ in range(ROUNDS)) for kind in ("orders", "market", "stripe")}
    rows.append(("one subscriber, AddOrders", best["orders"], "received, journaled, decoded, framed, sent"))
    rows.append(("one subscriber, a mixed market", best["market"], "the same, all message types"))
    rows.append(_without_journal())
    rows.append(("one subscriber of stripe A", best["stripe"], "per message received; a seventh is sent"))
    rows.append(("idle", _idle(), "% of a core, one feed and one subscriber"))
    return rows


def _start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.whole_way", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _tell(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(f"{word}\n")
        process.stdin.flush()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _without_journal() -> tuple[str, float, str]:
    """The same gateway, with and without a journal in turns, so that both see the machine alike."""
    with_it, without = [], []
    for _ in range(ROUNDS + 2):
        with_it.append(1e9 / _gateway("market"))
        without.append(1e9 / _gateway("market", "forgetful"))
    cost = 100 * (min(with_it) - min(without)) / min(with_it)
    middle = 100 * (median(with_it) - median(without)) / median(with_it)
    note = f"journaling costs {cost:.1f} % of the whole way; {middle:.1f} % by medians of {ROUNDS + 2}"
    return "a mixed market, a journal that does nothing", 1e9 / min(without), note


def _gateway(kind: str, role: str = "gateway") -> float:
    upstream = _start("upstream", "orders" if kind == "orders" else "market", str(COUNT))
    with tempfile.TemporaryDirectory() as folder:
        gateway = _start(role, _line(upstream), folder)
        try:
            with _subscriber(int(_line(gateway)), "A" if kind == "stripe" else "") as reader:
                before = _cpu_s(gateway.pid)
                _tell(upstream, "go")
                _read_all(reader, COUNT)
                return COUNT / (_cpu_s(gateway.pid) - before)
        finally:
            for process in (gateway, upstream):
                _tell(process, "end")
                process.communicate()


def _idle() -> float:
    upstream = _start("upstream", "orders", "1")
    with tempfile.TemporaryDirectory() as folder:
        gateway = _start("gateway", _line(upstream), folder)
        try:
            with _subscriber(int(_line(gateway)), ""):
                before = _cpu_s(gateway.pid)
                time.sleep(IDLE_S)
                return 100 * (_cpu_s(gateway.pid) - before) / IDLE_S
        finally:
            for process in (gateway, upstream):
                _tell(process, "end")
                process.communicate()


def _subscriber(port: int, stripe: str) -> socket.socket:
    """A bare socket: reading must cost less than what is measured."""
    reader = socket.create_connection(("127.0.0.1", port))
    reader.settimeout(60)
    reader.sendall(
        b"GET /mlink/jsonf HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    request = frame("MLinkStream", msgName="*", activeLatency=1, stripeFilter=stripe).encode()
    assert len(request) < 126
    # Masked with zeros, as a client must mask.
    reader.sendall(bytes((0x81, 0x80 | len(request))) + bytes(4) + request)
    seen = b""
    while b'"state":"Complete"' not in seen:
        seen += reader.recv(65_536)
    return reader


def _read_all(reader: socket.socket, count: int) -> None:
    """Read until the last number has come: in a message, or (in a stripe) in a heartbeat's position."""
    last, tail = f'"seqN":{count},'.encode(), b""
    while True:
        data = reader.recv(1 << 20)
        if last in tail + data or not data:
            return
        tail = data[-64:]


def _peer() -> float:
    upstream = _start("upstream", "orders", str(PEER_COUNT))
    peer = _start("peer", _line(upstream))
    assert _line(peer) == "ready"
    _tell(upstream, "go")
    rate = float(_line(peer))
    _tell(upstream, "end")
    upstream.communicate()
    peer.communicate()
    return rate


# What the processes do.


async def _be_upstream(kind: str, count: int) -> None:
    if kind == "orders":
        codec = Codecs(load_definitions("itch50")).by_name["addorder"]
        dice = random.Random(2)
        messages = add_orders(codec, [dice.randrange(20_000, 40_000) * 100 for _ in range(count)])
    else:
        market = Market(250, seed=1)
        messages = (market.opening() + market.take(count))[:count]
    session = ServedSession("BENCH")
    async with SoupServer(session) as server:
        _, port = await server.listen("127.0.0.1", 0)
        print(port, flush=True)
        if await asyncio.to_thread(sys.stdin.readline) == "go\n":
            session.extend(messages)
            await asyncio.to_thread(sys.stdin.readline)


def _forget() -> None:
    """Make the journal keep nothing but its position: what is left is the way without it."""

    def commit(running: RunningSession) -> None:
        running._committed_seq = running._next_seq
        running._pending, running.pending_bytes = [], 0

    RunningSession.commit = commit  # type: ignore[method-assign]


async def _be_gateway(port: int, folder: str) -> None:
    gateway = Gateway(settings(Path(folder), feed_settings(port), heartbeat_s=0.5))

    def ready(gateway: Gateway) -> None:
        print(gateway.port, flush=True)

    running = asyncio.create_task(gateway.run(ready))
    await asyncio.to_thread(sys.stdin.readline)
    gateway.stop()
    await running


async def _be_peer(port: int) -> None:
    from nasdaq_protocols import soup

    with tempfile.TemporaryDirectory() as folder:
        message_type = their_module(folder).Message
        done = asyncio.Event()
        seen, began = 0, 0.0

        async def on_message(message: soup.SoupMessage) -> None:
            nonlocal seen, began
            if not seen:
                began = time.process_time()
            json.dumps(message_type.from_bytes(message.data)[1].record.as_collection())
            seen += 1
            if seen == PEER_COUNT:
                done.set()

        session = await soup.connect_async(
            ("127.0.0.1", port), "user", "pass", "", on_msg_coro=on_message, sequence=1
        )
        print("ready", flush=True)
        await done.wait()
        print(PEER_COUNT / (time.process_time() - began), flush=True)
        await session.close()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    match role:
        case "upstream":
            uvloop.run(_be_upstream(rest[0], int(rest[1])))
        case "gateway":
            uvloop.run(_be_gateway(int(rest[0]), rest[1]))
        case "forgetful":
            _forget()
            uvloop.run(_be_gateway(int(rest[0]), rest[1]))
        case "peer":
            uvloop.run(_be_peer(int(rest[0])))

"""The whole pipe on loopback for flow tests: a gateway in this loop, and a subscriber that keeps all it got.

The subscriber reads the dialect by hand (14-byte headers, `json`), so that it shares nothing with
the gateway's own reading and writing.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from gateway.app import Gateway
from gateway.settings import (
    EndpointSettings,
    FeedSettings,
    JournalSettings,
    KeysSettings,
    ServerSettings,
    Settings,
    StripesSettings,
)
from tests.net.scraping import fetch

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def feed_settings(*ports: int, name: str = "itch", **more: Any) -> FeedSettings:
    fast = {"backoff_first_s": 0.02, "backoff_max_s": 0.2, "connect_timeout_s": 2.0, "login_timeout_s": 2.0}
    endpoints = tuple(
        EndpointSettings(name=f"line{at}", address=f"127.0.0.1:{port}") for at, port in enumerate(ports)
    )
    return FeedSettings(name=name, endpoints=endpoints, **{**fast, **more})


def settings(folder: Path, *feeds: FeedSettings, **server: Any) -> Settings:
    return Settings(
        server=ServerSettings(**{"port": 0, "open_access": True, "shutdown_timeout_s": 2.0, **server}),
        journal=JournalSettings(folder=str(folder / "journal"), checkpoint_s=0.5),
        stripes=StripesSettings(file=str(ROOT / "config" / "stripes.toml")),
        keys=KeysSettings(file=str(folder / "keys.toml")),
        feeds=feeds,
    )


@asynccontextmanager
async def running(configured: Settings) -> AsyncIterator[Gateway]:
    """A gateway from open port to good night."""
    gateway = Gateway(configured)
    serving = asyncio.Event()
    task = asyncio.create_task(gateway.run(ready=lambda _: serving.set()))
    waiting = asyncio.create_task(serving.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield gateway
    finally:
        gateway.stop()
        await task


def frame(m_typ: str, **message: Any) -> str:
    """A request as MLink's own clients write it: `J` and 11 digits, in a text message."""
    payload = json.dumps({"header": {"mTyp": m_typ}, "message": message})
    return f"\r\nJ{len(payload):011d}{payload}"


def frames_in(data: bytes) -> list[bytes]:
    """The payloads of one WebSocket message; fails on anything that is not exactly frames."""
    payloads = []
    while data:
        assert data[:3] == b"\r\nJ", data[:40]
        assert data[3:8].isdigit(), data[:14]
        size = int(data[8:14])
        assert len(data) >= 14 + size, "a frame straddles two messages"
        payloads.append(data[14 : 14 + size])
        data = data[14 + size :]
    return payloads


class Reader:
    """A subscriber on `/mlink/jsonf` that keeps data and control messages apart, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.data: list[dict[str, Any]] = []
        self.control: list[dict[str, Any]] = []
        self.texts: list[bytes] = []

    @property
    def numbers(self) -> list[int]:
        return [each["header"]["seqN"] for each in self.data]

    async def ask(self, m_typ: str, **message: Any) -> None:
        await self.socket.send(frame(m_typ, **message))

    async def stream(self, msg_name: str | list[str] = "*", **more: Any) -> None:
        await self.ask("MLinkStream", msgName=msg_name, **{"activeLatency": 1, "queryID": 1, **more})

    async def read(self) -> None:
        """One WebSocket message."""
        message = await self.socket.recv()
        assert isinstance(message, bytes), "output is binary"
        for payload in frames_in(message):
            value = json.loads(payload, parse_float=Decimal)
            if value["header"]["mTyp"].startswith("MLink"):
                self.control.append(value)
            else:
                self.data.append(value)
                self.texts.append(payload)

    async def until_count(self, count: int, timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while len(self.data) < count:
                await self.read()

    async def until_control(self, m_typ: str, timeout_s: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Read until a control message of this type with these fields has come; gives its body."""
        seen = 0
        async with asyncio.timeout(timeout_s):
            while True:
                for value in self.control[seen:]:
                    body = value["message"]
                    if value["header"]["mTyp"] == m_typ and all(body.get(k) == v for k, v in fields.items()):
                        return dict(body)
                seen = len(self.control)
                await self.read()


async def health(port: int) -> tuple[int, dict[str, Any]]:
    """What /readyz answers: status and body."""
    status, body = await fetch(port, "/readyz")
    return status, json.loads(body)


@asynccontextmanager
async def reader(gateway: Gateway, path: str = "/mlink/jsonf", **options: Any) -> AsyncIterator[Reader]:
    async with connect(f"ws://127.0.0.1:{gateway.port}{path}", max_size=None, **options) as socket:
        yield Reader(socket)

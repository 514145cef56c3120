"""A subscriber, an exchange and a gateway on loopback, for tests of the dialect over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from gateway.app import Gateway
from gateway.settings import JwtSettings
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, feed_settings, frame, frames_in, running, settings

FRAMED, PLAIN = "/mlink/jsonf", "/mlink/json"
PATHS = [FRAMED, PLAIN]
TICKERS = ["AAPL", "AMZN", "SPY"]


class Talk(Reader):
    """A Reader for both paths, that keeps what it asked and got in one order, too."""

    def __init__(self, socket: Any, framed: bool) -> None:
        super().__init__(socket)
        self.framed = framed
        self.all: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def ask(self, m_typ: str, **message: Any) -> None:
        self.asked.append((m_typ, message))
        text = frame(m_typ, **message)
        await self.socket.send(text if self.framed else text[14:])

    async def read(self) -> None:
        message = await self.socket.recv()
        assert isinstance(message, bytes), "output is binary"
        for payload in frames_in(message) if self.framed else [message]:
            value = json.loads(payload, parse_float=Decimal)
            self.all.append(value)
            (self.control if value["header"]["mTyp"].startswith("MLink") else self.data).append(value)

    async def answer(self, m_typ: str, **fields: Any) -> dict[str, Any]:
        """The next control message of this type with these fields; what came before it is passed by."""
        body = await self.until_control(m_typ, **fields)
        at = next(
            at
            for at, value in enumerate(self.control)
            if value["header"]["mTyp"] == m_typ and value["message"] == body
        )
        del self.control[: at + 1]
        return body

    async def checkpoint(self, state: str, **fields: Any) -> dict[str, Any]:
        return await self.answer("MLinkStreamCheckPt", state=state, **fields)

    async def heartbeat(self) -> dict[str, Any]:
        """The next heartbeat. Whatever was due before it has come."""
        return await self.answer("MLinkHeartbeat")

    async def beat(self) -> None:
        """Two heartbeats: what was asked for before and would have been answered is here."""
        await self.heartbeat()
        await self.heartbeat()

    @property
    def names(self) -> list[str]:
        return [value["header"]["mTyp"] for value in self.data]


@dataclass
class Scene:
    exchange: Exchange
    gateway: Gateway
    talk: Talk
    opening: list[bytes]
    market: Market

    async def published(self, payloads: list[bytes]) -> int:
        """Send these and wait until the gateway has them; the last number."""
        last = self.exchange.extend(payloads) - 1
        await self.until(last)
        return last

    async def until(self, seq: int, session: str = "") -> None:
        async with asyncio.timeout(20):
            while True:
                health = self.gateway.feeds["itch"].health
                if health.next_seq > seq and session in ("", health.session):
                    return
                await asyncio.sleep(0.005)


@asynccontextmanager
async def conversation(
    folder: Path,
    path: str = FRAMED,
    *,
    bearer: str = "",
    opened: bool = True,
    jwt: JwtSettings | None = None,
    **server: Any,
) -> AsyncIterator[Scene]:
    """All of it, with the opening of a small market published before the subscriber connects."""
    market = Market(TICKERS, seed=5)
    opening = market.opening()
    async with Exchange() as exchange:
        configured = settings(folder, feed_settings(exchange.port), **{"heartbeat_s": 0.1, **server})
        configured = configured.model_copy(update={"jwt": jwt or JwtSettings()})
        async with running(configured) as gateway, subscriber(gateway, path, bearer=bearer) as talk:
            scene = Scene(exchange, gateway, talk, opening, market)
            if opened:
                await scene.published(opening)
            yield scene


@asynccontextmanager
async def subscriber(gateway: Gateway, path: str = FRAMED, *, bearer: str = "") -> AsyncIterator[Talk]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    url = f"ws://127.0.0.1:{gateway.port}{path}"
    async with connect(url, max_size=None, additional_headers=headers) as socket:
        yield Talk(socket, path.startswith(FRAMED))

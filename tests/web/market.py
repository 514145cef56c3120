"""A gateway on a market that moves, for pages and programs to look at."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.net.access.keys import hash_of
from gateway.simulator.exchange import SESSION, Exchange, ExchangeSettings
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from tests.flow.pipe import feed_settings, running, settings

RATE = 1_000.0
TICKERS = ["AAPL", "AMZN", "MSFT", "MSTR", "NVDA", "SPY", "TSLA"]
KEY = "sgw_a-key-for-the-page"


def write_key(folder: Path, rights: str = "") -> None:
    """Let `KEY` in, to a gateway whose access is not open."""
    (folder / "keys.toml").write_text(
        f'[[keys]]\nid = "aaaa"\nname = "page"\nsha256 = "{hash_of(KEY)}"\n'
        f"created = 2026-01-01T00:00:00Z\n{rights}\n"
    )


@asynccontextmanager
async def a_market(
    folder: Path,
    views: tuple[str, ...] = (),
    *,
    tickers: Sequence[str] = TICKERS,
    feeds: Sequence[str] = ("itch",),
    session: str = SESSION,
    **server: Any,
) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway on a market of a few tickers, and its address."""
    market = Market(tickers, seed=5, messages_per_s=RATE)
    played = market.messages(), by_rate(RATE)
    async with Exchange(ExchangeSettings(session=session), *played) as exchange:
        exchange.extend(market.opening())
        configured = [feed_settings(exchange.port, name=name, views=views) for name in feeds]
        async with running(settings(folder, *configured, **server)) as gateway:
            yield gateway, f"http://127.0.0.1:{gateway.port}/"

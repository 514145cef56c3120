"""`gateway demo`: a simulated exchange and the gateway in one process, on loopback, without a key.

Knows the simulator and the app; everything it starts ends with it.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.app import Gateway
from gateway.cli.running import loop_factory
from gateway.cli.serve import allow_files, stop_on_signals
from gateway.cli.unwise import FILES_BESIDE
from gateway.errors import ConfigError
from gateway.journal.lock import writer_of
from gateway.logs import start_log
from gateway.settings import (
    EndpointSettings,
    FeedSettings,
    JournalSettings,
    KeysSettings,
    LogSettings,
    ServerSettings,
    Settings,
    StripesSettings,
)
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate

# In a clone, and where an installed wheel puts them.
SHIPPED = (Path(__file__).resolve().parents[2] / "config", Path(sys.prefix) / "share" / "soup-gateway")
FEED = "itch"
# What a demo that was killed leaves in the system's folder for temporary files is known by its name, and by
# nobody holding its journal's lock; one that is just starting has none yet.
FOLDER = "soup-gateway-demo-"
STARTS_WITHIN_S = 60.0


def demo(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to serve; 0 takes a free port.")] = 8765,
    tickers: Annotated[int, typer.Option(min=1, max=8000, help="How many tickers the market has.")] = 250,
    rate: Annotated[float, typer.Option(min=1, help="Messages per second.")] = 2000.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0 runs until Ctrl-C.")] = 0.0,
) -> None:
    """Show the gateway at work: a made-up market of well-known tickers, streamed to whoever connects.

    Nothing leaves this machine, and no key is needed. The journal grows by some
    7 MB a minute, in the folder for temporary files, and goes with the demo.

    Open the printed page, or stream from another terminal:

        gateway subscribe ws://127.0.0.1:8765/mlink/jsonf --message AddOrder --stripe A
    """
    start_log(LogSettings(level="warning"))
    allow_files(ServerSettings().connections_max + FILES_BESIDE)
    with asyncio.Runner(loop_factory=loop_factory()) as runner, _folder() as folder:
        runner.run(_demo(folder, port, tickers, rate, seed, seconds))


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the journal. It goes when the demo ends; if it was killed, when the next one begins."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            age_s = time.time() - left.stat().st_mtime
            if age_s > STARTS_WITHIN_S and writer_of(left / "journal" / FEED) is None:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        yield Path(folder)


async def _demo(folder: Path, port: int, tickers: int, rate: float, seed: int, seconds: float) -> None:
    market = Market(tickers, seed, messages_per_s=rate)
    # Another each time, so that a client that outlives a demo can tell the next one's numbers from its own.
    session = ExchangeSettings(session=datetime.now().strftime("%m%d%H%M%S"))
    async with Exchange(session, market.messages(), by_rate(rate)) as exchange:
        exchange.extend(market.opening())
        feed = FeedSettings(
            name=FEED,
            views=("StockBookQuote", "StockPrint", "BookDepth10"),
            endpoints=(EndpointSettings(name="simulator", address=f"127.0.0.1:{exchange.port}"),),
        )
        settings = Settings(
            server=ServerSettings(port=port, open_access=True),
            journal=JournalSettings(folder=str(folder / "journal")),  # type: ignore[arg-type]
            stripes=StripesSettings(file=_shipped("stripes.toml")),  # type: ignore[arg-type]
            keys=KeysSettings(file=str(folder / "keys.toml")),  # type: ignore[arg-type]
            feeds=(feed,),
        )
        gateway = Gateway(settings)
        loop = asyncio.get_running_loop()
        stop_on_signals(loop, gateway.stop)
        # Whoever closes the terminal wants it to end as well.
        loop.add_signal_handler(signal.SIGHUP, gateway.stop)
        if seconds:
            loop.call_later(seconds, gateway.stop)
        await gateway.run(ready=lambda gateway: _welcome(gateway, tickers, rate))


def _called() -> str:
    """How this program was called, for what to call next."""
    called = sys.argv[0]
    if Path(called).name == "__main__.py":
        return f"{Path(sys.executable).name} -m gateway"
    return "gateway" if shutil.which("gateway") == called else called


def _shipped(name: str) -> str:
    """A file of the settings that come with the gateway."""
    found = [folder / name for folder in SHIPPED if (folder / name).is_file()]
    if not found:
        raise ConfigError(f"{name} is not installed, expected in {' or '.join(map(str, SHIPPED))}")
    return str(found[0])


def _welcome(gateway: Gateway, tickers: int, rate: float) -> None:
    page, stream = gateway.urls()
    console = Console(highlight=False)
    what = f"{tickers} tickers, {rate:,.0f} messages/s, made up, on loopback"
    console.print(f"\n[bold]soup-gateway demo[/bold]: {what}\n")
    console.print(f"  page     [cyan]{page}[/cyan]")
    console.print(f"  stream   [cyan]{stream}[/cyan]")
    console.print(f"  health   [cyan]{page}readyz[/cyan]\n")
    command = f"{_called()} subscribe {stream} --message AddOrder --stripe A"
    console.print(f"  try      {command}", soft_wrap=True)
    console.print("  end      Ctrl-C\n")

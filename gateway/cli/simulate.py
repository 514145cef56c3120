"""`gateway simulate`: a SoupBinTCP exchange to practise with.

Knows the command line; the exchange, its market, its files and its faults are the simulator's.
"""

import asyncio
import sys
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import LIVE_INTERVAL_S, Progress
from gateway.cli.running import run_until_interrupted
from gateway.errors import ConfigError
from gateway.settings.types import split_address
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import SLOW_BYTES_S, Faults
from gateway.simulator.files import ItchFile, messages_of
from gateway.simulator.market import Market
from gateway.simulator.player import Pace, at_once, by_rate, by_time_stamp, promptly

RATE = 2_000.0
HISTORY_MB = 1024
MEGABYTE = 1024 * 1024


class Reason(StrEnum):
    """Why a login is rejected."""

    A = "A"
    S = "S"


def _what(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="What is played", **more)


def _who(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Who may log in, and to what", **more)


def _fault(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(
        *names, help=text, rich_help_panel="What goes wrong, each once", show_default=False, **more
    )


def _fault_after(text: str, least: int) -> Any:
    return _fault(text, min=least, metavar="N")


def simulate(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen. Port 0 takes a free one.")
    ] = "127.0.0.1:9000",
    file: Annotated[
        list[Path] | None,
        _what(
            "Play ITCH files (length-prefixed, plain or gzip), in turn. Without: a made-up market.",
            "--file",
            "-f",
            show_default=False,
        ),
    ] = None,
    speed: Annotated[
        str | None,
        _what(
            "1: as time-stamped. 60: sixty times as fast. max: as fast as the clients read. Without: 1.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        _what(f"Messages per second. Without: {RATE:,.0f}, and files go by --speed.", show_default=False),
    ] = None,
    tickers: Annotated[int, _what("How many tickers the market has.", min=1, max=65_535)] = 250,
    seed: Annotated[int, _what("The same seed makes the same market.")] = 1,
    count: Annotated[int | None, _what("Stop after so many messages.", min=1, show_default=False)] = None,
    end: Annotated[
        bool,
        _what("When all is played and whoever listens has it: end the session, then exit.", "--end"),
    ] = False,
    session: Annotated[
        str | None, _who("Name of the session. Without: one from the time of day.", show_default=False)
    ] = None,
    user: Annotated[
        str | None, _who("The one user who is let in. Without: everybody.", show_default=False)
    ] = None,
    password: Annotated[
        str, _who("The password of that user.", envvar="SOUP_PASSWORD", show_default=False)
    ] = "",
    history_max: Annotated[
        int,
        _who(
            "Memory for replay. Above it the oldest messages go; who asks for them is rejected with S.",
            min=1,
            metavar="MB",
        ),
    ] = HISTORY_MB,
    drop_after: Annotated[
        int | None, _fault_after("Close TCP after N messages on a connection.", least=0)
    ] = None,
    cut_inside_packet: Annotated[
        bool,
        _fault(
            "The drop comes in the middle of a packet. Without --drop-after: after 1,000 messages.",
            "--cut-inside-packet",
        ),
    ] = False,
    silent_after: Annotated[
        int | None,
        _fault_after("Send nothing more after N messages on a connection, no heartbeats either.", least=0),
    ] = None,
    reject: Annotated[
        Reason | None, _fault("Reject a login. A: not authorized. S: session not available.")
    ] = None,
    roll_session_after: Annotated[
        int | None,
        _fault_after(
            "End the session after N of its messages: the next begins at 1, the old one is rejected with S.",
            least=1,
        ),
    ] = None,
    roll_silently: Annotated[
        bool, _fault("The session that rolls disappears without End of Session.", "--roll-silently")
    ] = False,
    rewind: Annotated[
        int | None, _fault_after("Accept a login N numbers below what it asked for, if above 1.", least=1)
    ] = None,
    skip: Annotated[
        int | None, _fault_after("Accept a login N numbers above what it asked for.", least=1)
    ] = None,
    garbage_after: Annotated[
        int | None,
        _fault_after("Send bytes that are no packet after N messages on a connection.", least=0),
    ] = None,
    slow: Annotated[
        bool, _fault(f"Trickle {SLOW_BYTES_S:,.0f} bytes a second, cut anywhere. Always, not once.", "--slow")
    ] = False,
    repeat: Annotated[
        bool, _fault("Not once, but once on each connection; each session rolls.", "--repeat")
    ] = False,
) -> None:
    """Be a SoupBinTCP exchange: play a made-up market or ITCH files, and misbehave on demand.

    Clients may ask for any session and number and get what they missed before what is new. Each login, end
    and fault is told in a line. Ctrl-C ends it.

    A market of 250 well-known tickers, 2,000 messages a second, for whoever connects:

        gateway simulate

    The same market each time, fast, with an account:

        gateway simulate --tickers 1000 --seed 7 --rate 50000 --user ABC --password secret

    A day as Nasdaq publishes it, sixty times as fast, then End of Session:

        gateway simulate --file S081321-v50.txt.gz --speed 60 --end

    Cut off inside a packet once, the next login answered too low, then a new session:

        gateway simulate --drop-after 500 --cut-inside-packet --rewind 20 --roll-session-after 5000
    """
    host, port = _listen_address(listen)
    if end and not file and count is None:
        raise ConfigError("--end: a made-up market has no end; say with --count after how many messages")
    if speed is not None and rate is not None:
        raise ConfigError("--speed and --rate both say how fast; give one of them")
    told = _Told()
    settings = ExchangeSettings(
        host=host,
        port=port,
        session=datetime.now().strftime("%m%d%H%M%S") if session is None else session,
        user=user,
        password=password,
        end=end,
        history_bytes_max=history_max * MEGABYTE,
        faults=Faults(
            drop_after=drop_after,
            cut_inside_packet=cut_inside_packet,
            silent_after=silent_after,
            reject=reject.value if reject else None,
            roll_session_after=roll_session_after,
            roll_silently=roll_silently,
            rewind=rewind,
            skip=skip,
            garbage_after=garbage_after,
            slow_bytes_s=SLOW_BYTES_S if slow else None,
            repeat=repeat,
        ),
    )
    if file:
        what = ", ".join(map(str, file))
        messages: Iterable[bytes] = messages_of([ItchFile(path) for path in file], told.line)
        pace = by_rate(rate) if rate is not None else _file_pace(speed)
    else:
        messages_per_s, pace = _market_pace(speed, rate)
        market = Market(tickers, seed, messages_per_s=messages_per_s)
        opening = market.opening()
        what = f"a market of {tickers:,} tickers, seed {seed}"
        messages, pace = chain(opening, market.messages()), promptly(len(opening), pace)
    exchange = Exchange(settings, islice(messages, count), pace, on_note=told.line)
    run_until_interrupted(_serve(exchange, what, told))


class _Told:
    """What people are told: lines on stdout, and how far it is on stderr where that is a terminal."""

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def line(self, text: str) -> None:
        if self.progress is not None:
            self.progress.clear()
        print(text, flush=True)


async def _serve(exchange: Exchange, what: str, told: _Told) -> None:
    async with exchange:
        host = f"[{exchange.host}]" if ":" in exchange.host else exchange.host
        told.line(f"listening on {host}:{exchange.port}, session {exchange.session.name}, playing {what}")
        showing = asyncio.get_running_loop().create_task(_show_progress(exchange, told))
        try:
            await exchange.all_played()
            told.line(f"played {exchange.played:,} messages")
            if exchange.settings.end:
                await exchange.finished()
            else:
                await asyncio.Event().wait()
        finally:
            showing.cancel()


async def _show_progress(exchange: Exchange, told: _Told) -> None:
    if not sys.stderr.isatty():
        return
    now = asyncio.get_running_loop().time
    progress = told.progress = Progress("simulate", now())
    try:
        while True:
            await asyncio.sleep(LIVE_INTERVAL_S)
            clients = f"{exchange.clients} client{'' if exchange.clients == 1 else 's'}"
            progress.show(now(), exchange.played, clients)
    finally:
        progress.clear()


def _file_pace(speed: str | None) -> Pace:
    return at_once if speed == "max" else by_time_stamp(_number(speed))


def _market_pace(speed: str | None, rate: float | None) -> tuple[float, Pace]:
    """How fast the market's own clock goes, in messages per second, and how fast it is played."""
    if speed == "max":
        return RATE, at_once
    pace = by_rate((RATE if rate is None else rate) * _number(speed))
    return RATE if rate is None else rate, pace


def _number(speed: str | None) -> float:
    try:
        number = 1.0 if speed is None else float(speed)
    except ValueError:
        number = 0.0
    if not (number > 0 and isfinite(number)):
        raise ConfigError(f"--speed {speed!r}: expected a number above 0, or max")
    return number


def _listen_address(text: str) -> tuple[str, int]:
    # Port 0 is right for listening only, so the address is checked with another one in its place.
    free_port = text.endswith(":0")
    try:
        host, port = split_address(f"{text[:-1]}1" if free_port else text)
    except ValueError as error:
        raise ConfigError(f"--listen {text!r}: {error}") from error
    return host, 0 if free_port else port

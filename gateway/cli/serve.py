"""`gateway serve`: run the gateway until it is told to stop. Knows the command line and the process."""

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from gateway.app import Gateway
from gateway.cli.examination import examine_here
from gateway.cli.running import loop_factory
from gateway.cli.unwise import FILES_BESIDE
from gateway.errors import ConfigError
from gateway.logs import set_level, start_log
from gateway.net.health import DISTRIBUTION
from gateway.settings import load_settings

CONFIG = Path("config/gateway.toml")

log = logging.getLogger("gateway")


def serve(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", envvar="GATEWAY_CONFIG", help="The settings; every key is explained in it."
        ),
    ] = CONFIG,
) -> None:
    """Hold the feeds and serve subscribers until SIGTERM or Ctrl-C.

    Everything the settings name is read and checked before any socket opens; what is wrong is said with file,
    key and remedy, and the exit code is 2. A second signal ends at once. SIGHUP, or `gateway reload`, has it
    read keys, stripes, logins, the server's certificate and the log level again.
    """
    found = examine_here(config)
    if found.problems or found.settings is None:
        raise ConfigError("\n".join(found.problems))
    settings = found.settings
    start_log(settings.log)
    allow_files(settings.server.connections_max + FILES_BESIDE)
    log.info("event=starting version=%s pid=%d config=%s", version(DISTRIBUTION), os.getpid(), config)
    for warning in found.warnings:
        log.warning("event=unwise detail=%r", warning)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(Gateway(settings), config))


async def _run(gateway: Gateway, config: Path) -> None:
    loop = asyncio.get_running_loop()
    stop_on_signals(loop, gateway.stop)
    loop.add_signal_handler(signal.SIGHUP, _reload, gateway, config)
    await gateway.run(ready=_ready)
    log.info("event=stopped")


def _reload(gateway: Gateway, config: Path) -> None:
    """Read the settings again; what is wrong in them changes nothing."""
    try:
        settings = load_settings(config)
        needs_restart = gateway.reload(settings)
    except ConfigError as exc:
        log.error("event=not-reloaded detail=%r", str(exc))
        return
    # Told whichever of the two levels is the more silent one: somebody waits for the answer.
    set_level("info")
    log.info("event=reloaded log_level=%s", settings.log.level)
    if needs_restart:
        log.warning("event=restart-needed keys=%s", ", ".join(needs_restart))
    set_level(settings.log.level)


def allow_files(needed: int) -> None:
    """Be ready to open so many, if we may: shells and systemd begin with few, for old programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))


def _ready(gateway: Gateway) -> None:
    # What was read at the start stays for the day: no collection has to look through it again, which takes
    # tens of milliseconds where there are a hundred thousand records.
    gc.collect()
    gc.freeze()
    for url in gateway.urls():
        log.info("event=serving url=%s", url)


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """The first SIGTERM or Ctrl-C calls `stop`; the second ends the process at once."""
    came = 0

    def on_signal(number: signal.Signals) -> None:
        nonlocal came
        came += 1
        log.info("event=stopping signal=%s", number.name)
        if came > 1:
            # What is not written by now is not lost: the journal has it, subscribers resume.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)

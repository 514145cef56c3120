"""`gateway reload`: have the running gateway read again what can change without a break.

Finds the process by the lock on its journal, so that no stale number of a process is ever signalled.
"""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.examination import examine_here
from gateway.errors import ConfigError, UpstreamLost
from gateway.journal.lock import writer_of


def reload(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="GATEWAY_CONFIG", help="The settings it runs with.")
    ] = Path("config/gateway.toml"),
) -> None:
    """Have a running gateway read keys, stripes, logins, certificate and log level again, and drop nobody.

    The files are checked first: if anything in them is wrong, nothing is sent and the exit code is 2. The
    gateway's log says what came of it. Sending SIGHUP to the process does the same without the check.
    """
    found = examine_here(config)
    if found.problems or found.settings is None:
        raise ConfigError("\n".join(found.problems))
    folder = found.settings.journal.folder
    pids = {pid for feed in found.settings.feeds if (pid := writer_of(folder / feed.name)) is not None}
    if not pids:
        raise UpstreamLost(f"no gateway on this machine writes the journal in {folder}")
    for pid in pids:
        try:
            os.kill(pid, signal.SIGHUP)
        except PermissionError as exc:
            raise UpstreamLost(f"process {pid} is another user's; run this as that user, or as root") from exc
        except ProcessLookupError as exc:
            raise UpstreamLost(f"process {pid} has just ended") from exc
        typer.echo(f"told process {pid} to reload; its log says what came of it")

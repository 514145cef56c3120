"""A gateway as a process of its own, for tests that kill it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Only what the command needs: a test must not depend on the settings of whoever runs it.
ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def write_config(
    folder: Path, *upstream_ports: int, more: str = "", server: str = "", checkpoint_s: float = 0.5
) -> Path:
    """A whole `gateway.toml` with one feed named itch; the port is any free one."""
    endpoints = "".join(
        f'[[feeds.endpoints]]\nname = "line{at}"\naddress = "127.0.0.1:{port}"\n'
        for at, port in enumerate(upstream_ports)
    )
    path = folder / "gateway.toml"
    path.write_text(
        f"""
[server]
port = 0
open_access = true
{server}
[journal]
folder = "{folder / "journal"}"
checkpoint_s = {checkpoint_s}
[stripes]
file = "{ROOT / "config" / "stripes.toml"}"
[[feeds]]
name = "itch"
backoff_first_s = 0.05
backoff_max_s = 0.2
{more}
{endpoints}"""
    )
    return path


class GatewayProcess:
    """`gateway serve` as its operator starts it. `port`, and what it `said`, are known once it serves."""

    def __init__(self, config: Path, environment: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self._process: Process | None = None
        self.port = 0
        self.said: list[str] = []

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def start(self, within_s: float = 30.0) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "serve",
            "--config",
            str(self._config),
            stderr=PIPE,
            env=self._environment,
            cwd=ROOT,
        )
        assert self._process.stderr is not None
        self.said = []
        async with asyncio.timeout(within_s):
            while line := (await self._process.stderr.readline()).decode():
                self.said.append(line)
                if "ws://" in line:
                    self.port = int(line.rpartition("/mlink")[0].rpartition(":")[2])
                    return
        raise AssertionError(f"the gateway ended with {await self._process.wait()}:\n{''.join(self.said)}")

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

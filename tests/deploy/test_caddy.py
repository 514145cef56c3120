"""Caddy itself, with the project's Caddyfile, in front of a gateway on loopback."""

import asyncio
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, running, settings

ROOT = Path(__file__).resolve().parents[2]
CADDYFILE = ROOT / "deploy" / "caddy" / "Caddyfile"

pytestmark = pytest.mark.skipif(
    shutil.which("caddy") is None,
    reason="CADDY NOT TESTED: it is not installed (tests/system-packages.sh test)",
)


def caddy(*arguments: str, text: str | None = None, folder: Path) -> tuple[int, str]:
    ended = subprocess.run(
        ["caddy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(folder),
        input=text,
    )
    return ended.returncode, ended.stdout + ended.stderr


def environment(folder: Path) -> dict[str, str]:
    """Where it keeps its authority and its certificates: nowhere else than in the test's folder."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder), "SITE": "localhost"}


def understood(text: str, folder: Path) -> str:
    """Without what this version does not know yet; it counts when a running Caddy reloads."""
    _, version = caddy("version", folder=folder)
    numbers = re.search(r"(\d+)\.(\d+)\.", version)
    assert numbers is not None, version
    return (
        text
        if (int(numbers[1]), int(numbers[2])) >= (2, 7)
        else re.sub(r".*stream_close_delay.*\n", "", text)
    )


def test_the_caddyfile_has_caddys_own_form(tmp_path: Path) -> None:
    shutil.copy(CADDYFILE, tmp_path / "Caddyfile")
    _, formatted = caddy("fmt", str(tmp_path / "Caddyfile"), folder=tmp_path)

    assert formatted == CADDYFILE.read_text()


def test_caddy_takes_the_caddyfile(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(understood(CADDYFILE.read_text(), tmp_path))
    code, said = caddy(
        "validate", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile"), folder=tmp_path
    )

    assert code == 0, said
    assert '"level":"warn"' not in said


@asynccontextmanager
async def in_front_of(port: int, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Caddy on ports of its own: of https and of http."""
    https, http = free_port(), free_port()
    text = understood(CADDYFILE.read_text(), folder)
    text = text.replace("gateway:8765", f"127.0.0.1:{port}").replace("{$SITE}", f"localhost:{https}")
    text = text.replace("{\n", f"{{\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n", 1)
    (folder / "Caddyfile").write_text(text)
    process = await asyncio.create_subprocess_exec(
        *("caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")),
        env=environment(folder),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", https)
                    writer.close()
                    await writer.wait_closed()
                    break
                except OSError:
                    assert process.returncode is None, "Caddy has ended"
                    await asyncio.sleep(0.05)
        yield https, http
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """As they are made for compose; the gateway's keys are where the settings of a test look for them."""
    shutil.copy(ROOT / "deploy" / "secrets.sh", tmp_path)
    subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True)
    shutil.copy(tmp_path / "secrets" / "gateway" / "keys.toml", tmp_path)
    return tmp_path / "secrets"


@pytest.mark.one_loop
async def test_browsers_and_programs_reach_the_gateway_through_caddy(tmp_path: Path, secrets: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), open_access=False)) as gateway,
        in_front_of(gateway.port, tmp_path) as (https, http),
    ):
        stop = asyncio.create_task(keep_trading(exchange))
        checked = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "deploy" / "check_tls.py"),
            *("localhost", str(https), str(http)),
            str(tmp_path / "caddy" / "pki" / "authorities" / "local" / "root.crt"),
            str(secrets / "subscriber_key"),
            stdout=PIPE,
            stderr=PIPE,
        )
        said, error = await checked.communicate()
        stop.cancel()

    assert checked.returncode == 0, (said + error).decode()
    assert said.decode().count("\n") == 4


async def keep_trading(exchange: Exchange) -> None:
    market = Market(10, seed=4)
    while True:
        exchange.extend(market.take(20))
        await asyncio.sleep(0.05)

"""`gateway serve` as a process: what it checks before any socket opens, and what it asks of the system."""

import asyncio
import json
import resource
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.flow.pipe import free_port
from tests.flow.process import ENVIRONMENT, ROOT, GatewayProcess, write_config
from tests.net.scraping import scrape, value

pytestmark = pytest.mark.one_loop


async def test_what_check_config_finds_stops_the_start_in_the_same_words(tmp_path: Path) -> None:
    config = write_config(tmp_path, 9000, more='definitions = "ouch50"\nviews = ["StockPrint"]\n')
    commands = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", name, "--config", str(config)),
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        for name in ("serve", "check-config")
    ]
    (out, told), (_, checked) = [await each.communicate() for each in commands]
    expected = f'{config}: feeds.itch.views = ["StockPrint"]: '

    assert [each.returncode for each in commands] == [2, 2]
    assert (out, told.decode().removeprefix("gateway: ").startswith(expected)) == (b"", True)
    assert told.decode().removeprefix("gateway: ").strip() in checked.decode()
    assert not (tmp_path / "journal").exists(), "nothing was begun"


async def test_what_is_unwise_stands_at_the_beginning_of_the_log(tmp_path: Path) -> None:
    write_config(tmp_path, free_port(), server="query_key_allowed = true")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml")),
        stderr=PIPE,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    assert process.stderr is not None
    lines = []
    async with asyncio.timeout(30):
        while not lines or lines[-1]["event"] != "serving":
            lines.append(json.loads(await process.stderr.readline()))
    process.terminate()
    await process.communicate()

    assert (lines[0]["event"], lines[0]["pid"]) == ("starting", process.pid)
    unwise = [line for line in lines if line["event"] == "unwise"]
    assert {line["level"] for line in unwise} == {"warning"}
    for key in ("server.open_access = true", "server.query_key_allowed = true"):
        assert any(key in line["detail"] for line in unwise)


async def test_it_opens_as_many_files_as_its_connections_take(tmp_path: Path) -> None:
    few, hard = 256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    gateway = GatewayProcess(write_config(tmp_path, free_port(), server="connections_max = 1000"))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        await gateway.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        samples = await scrape(gateway.port)
    finally:
        await gateway.kill()

    assert value(samples, "process_max_fds") == 1_064

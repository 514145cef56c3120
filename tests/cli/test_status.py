"""`gateway status` and `gateway reload` against a gateway that runs as a process of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.mlink.close_codes import CloseCode
from gateway.net.access.keys import hash_of
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, free_port
from tests.flow.process import ENVIRONMENT, ROOT, GatewayProcess, write_config

KEY, NEW_KEY = "sgw_first-of-the-keys", "sgw_second-of-the-keys"
STRIPES = 'catch_all = "X"\n[ranges]\nA = {{ first = "A", end = "{end}" }}\n[sources]\nX = []\n'

pytestmark = pytest.mark.one_loop


async def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env={**ENVIRONMENT, "COLUMNS": "200", **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[GatewayProcess]:
    gateway = GatewayProcess(config)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.kill()


async def said(gateway: GatewayProcess, event: str) -> dict[str, object]:
    """Read the log until this event."""
    assert gateway.process.stderr is not None
    async with asyncio.timeout(20):
        while True:
            line = json.loads(await gateway.process.stderr.readline())
            if line["event"] == event:
                return dict(line)


async def test_status_of_a_gateway_that_works(tmp_path: Path) -> None:
    async with Exchange() as exchange, running(write_config(tmp_path, exchange.port)) as gateway:
        exchange.extend(Market(10, seed=6).take(1_234))
        await said(gateway, "up")
        async with asyncio.timeout(10):
            while (
                "1,235"
                not in (answer := await command("status", f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"))[1]
            ):
                pass
    code, out, err = answer

    assert (code, err) == (0, "")
    assert out.startswith("ready\n")
    assert re.search(r"itch +streaming +line0 +0000000001 +1,235", out)
    assert "0 subscribers" in out


async def test_status_of_a_gateway_whose_feed_is_down(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, free_port())) as gateway:
        code, out, _ = await command("status", f"http://127.0.0.1:{gateway.port}/")
        alive = await command("status", "--alive", f"http://127.0.0.1:{gateway.port}/")

    assert code == 1
    assert out.startswith("not ready\n  feed itch: not logged in")
    assert alive == (0, "", "")


@pytest.mark.parametrize(
    ("url", "code", "text"),
    [
        ("http://127.0.0.1:{port}/", 1, "nothing answers at 127.0.0.1:{port}"),
        ("localhost:{port}", 1, "nothing answers at localhost:{port}"),
        ("http://127.0.0.1:abc/", 2, "is no address of a gateway; expected HOST:PORT"),
        ("ftp://127.0.0.1", 2, "is no address of a gateway; expected HOST:PORT"),
    ],
)
async def test_status_of_nothing(url: str, code: int, text: str) -> None:
    port = free_port()

    ended, _, err = await command("status", url.format(port=port))

    assert ended == code
    assert text.format(port=port) in err


async def test_status_of_something_else_and_with_a_key_that_is_none() -> None:
    async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(ssh, "127.0.0.1", 0) as server:
        at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        other = await command("status", at)
        key = await command("status", at, "--key", "schlüssel")

    assert other == (1, "", f"gateway: what answers at {at} is no gateway\n")
    assert key == (2, "", "gateway: --key: a key is one line of ASCII\n")


async def test_status_takes_its_key_to_nobody_else() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as other:
        there = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/readyz"

        async def sends_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(sends_on, "127.0.0.1", 0) as server:
            at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ended = await command("status", at, "--key", "secret")
        broken = await command("status", at, "--key", "two\nlines")

    assert ended == (1, "", f"gateway: {at} sends on to {there!r}; expected the gateway's own address\n")
    assert asked == []
    assert broken == (2, "", "gateway: --key: a key is one line of ASCII\n")


async def test_status_in_a_narrow_terminal_cuts_nothing_off(tmp_path: Path) -> None:
    async with Exchange() as exchange, running(write_config(tmp_path, exchange.port)) as gateway:
        await said(gateway, "up")
        code, out, _ = await command("status", f"localhost:{gateway.port}", COLUMNS="80")

    assert code == 0
    assert "…" not in out
    for word in ("streaming", "line0", "0000000001", "journal"):
        assert word in out


def write_keys(folder: Path, *keys: str) -> None:
    (folder / "keys.toml").write_text(
        "".join(
            f'[[keys]]\nid = "key{at}"\nname = "k"\nsha256 = "{hash_of(key)}"\n'
            "created = 2026-01-01T00:00:00Z\n"
            for at, key in enumerate(keys)
        )
    )


async def test_reload_takes_over_keys_stripes_and_level_and_drops_nobody(tmp_path: Path) -> None:
    market = Market(60, seed=8)
    write_keys(tmp_path, KEY)
    stripes = tmp_path / "stripes.toml"
    stripes.write_text(STRIPES.format(end="B"))
    config = write_config(tmp_path)
    async with Exchange() as exchange:
        config = write_config(tmp_path, exchange.port)
        text = config.read_text().replace("open_access = true", "")
        text = re.sub(r'file = ".*stripes.toml"', f'file = "{stripes}"', text)
        text += '[keys]\nfile = "keys.toml"\nreload_s = 3600\n[log]\nlevel = "info"\n'
        config.write_text(text)
        async with running(config) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
            async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
                reader = Reader(socket)
                await reader.stream("AddOrder", stripeFilter="A")
                await reader.until_control("MLinkStreamCheckPt", state="Complete")
                exchange.extend([*market.opening(), *market.take(2_000)])
                await reader.until_count(50)
                with_old_table = {each["message"]["stock"] for each in reader.data}

                write_keys(tmp_path, KEY, NEW_KEY)
                stripes.write_text(STRIPES.format(end="ZZZZ"))
                config.write_text(
                    text.replace("info", "warning").replace("checkpoint_s = 0.5", "checkpoint_s = 1")
                )
                code, out, err = await command("reload", "--config", str(config))
                reloaded = await said(gateway, "reloaded")
                restart = await said(gateway, "restart-needed")
                exchange.extend(market.take(2_000))
                count = len(reader.data)
                await reader.until_count(count + 500)
                with_new_table = {each["message"]["stock"] for each in reader.data}
            async with connect(url, additional_headers={"Authorization": f"Bearer {NEW_KEY}"}):
                pass

    assert (code, out, err) == (
        0,
        f"told process {gateway.process.pid} to reload; its log says what came of it\n",
        "",
    )
    assert reloaded["log_level"] == "warning"
    assert restart["keys"] == "journal.checkpoint_s"
    assert with_old_table
    assert all(ticker < "B" for ticker in with_old_table)
    assert any(ticker > "B" for ticker in with_new_table), "the same stream, by the new table"


async def test_reload_closes_who_holds_a_revoked_key_and_nobody_else(tmp_path: Path) -> None:
    write_keys(tmp_path, KEY, NEW_KEY)
    async with Exchange() as exchange:
        config = write_config(tmp_path, exchange.port)
        text = config.read_text().replace("open_access = true", "")
        config.write_text(text + '[keys]\nfile = "keys.toml"\nreload_s = 3600\n')
        async with running(config) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
            async with (
                connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as stays,
                connect(url, additional_headers={"Authorization": f"Bearer {NEW_KEY}"}) as goes,
            ):
                reader = Reader(stays)
                await reader.stream("AddOrder")
                await reader.until_control("MLinkStreamCheckPt", state="Complete")
                revoked = await command("keys", "revoke", "key1", "--file", str(tmp_path / "keys.toml"))
                code, _, _ = await command("reload", "--config", str(config))
                async with asyncio.timeout(10):
                    await goes.wait_closed()
                gone = await said(gateway, "disconnected")
                exchange.extend(Market(10, seed=8).take(500))
                await reader.until_count(50)
            with pytest.raises(InvalidStatus):
                await connect(url, additional_headers={"Authorization": f"Bearer {NEW_KEY}"})

    assert (code, revoked[0]) == (0, 0)
    assert goes.close_code == CloseCode.KEY_REVOKED
    assert (gone["holder"], gone["reason"]) == ("key:key1", "key_revoked")
    assert "was revoked" in str(gone["detail"])


async def test_a_reload_of_broken_stripes_keeps_the_old_ones(tmp_path: Path) -> None:
    stripes = tmp_path / "stripes.toml"
    stripes.write_text(STRIPES.format(end="B"))
    async with Exchange() as exchange:
        config = write_config(tmp_path, exchange.port)
        config.write_text(re.sub(r'file = ".*stripes.toml"', f'file = "{stripes}"', config.read_text()))
        async with running(config) as gateway:
            stripes.write_text('catch_all = "X"\n[ranges]\nA = { first = "B", end = "A" }\n')
            by_command, _, err = await command("reload", "--config", str(config))
            os.kill(gateway.process.pid, signal.SIGHUP)
            told = await said(gateway, "not-reloaded")
            async with connect(f"ws://127.0.0.1:{gateway.port}/mlink/jsonf") as socket:
                reader = Reader(socket)
                await reader.stream("AddOrder", stripeFilter="A")
                await reader.until_control("MLinkStreamCheckPt", state="Complete")
                exchange.extend(Market(60, seed=8).take(1_000))
                await reader.until_count(20)

    assert by_command == 2
    assert "ranges.A" in err
    assert "ranges.A" in str(told["detail"])
    assert all(each["message"]["stock"] < "B" for each in reader.data)


async def test_a_reload_is_answered_however_silent_the_log_is(tmp_path: Path) -> None:
    config = write_config(tmp_path, free_port())
    config.write_text(config.read_text() + '[log]\nlevel = "info"\n')
    async with running(config) as gateway:
        config.write_text(config.read_text().replace('"info"', '"error"'))
        for _ in range(2):
            os.kill(gateway.process.pid, signal.SIGHUP)
            told = await said(gateway, "reloaded")

    assert (told["log_level"], told["level"]) == ("error", "info")


async def test_a_reload_of_something_wrong_changes_nothing(tmp_path: Path) -> None:
    write_keys(tmp_path, KEY)
    config = write_config(tmp_path, free_port())
    config.write_text(config.read_text().replace("open_access = true", "") + '[keys]\nfile = "keys.toml"\n')
    async with running(config) as gateway:
        good = config.read_text()
        config.write_text(good + "nonsense = 1\n")
        by_command, _, wrong = await command("reload", "--config", str(config))
        os.kill(gateway.process.pid, signal.SIGHUP)
        told = await said(gateway, "not-reloaded")
        config.write_text(good)
        (tmp_path / "keys.toml").write_text("nonsense = 1\n")
        os.kill(gateway.process.pid, signal.SIGHUP)
        keys_told = await said(gateway, "not-reloaded")
        os.kill(gateway.process.pid, signal.SIGHUP)
        keys_told_again = await said(gateway, "not-reloaded")
        url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}):
            pass
        with pytest.raises(InvalidStatus):
            await connect(url, additional_headers={"Authorization": "Bearer wrong"})

    assert by_command == 2
    assert "nonsense" in wrong
    assert "nonsense" in str(told["detail"])
    assert "nonsense" in str(keys_told["detail"])
    assert keys_told_again["detail"] == keys_told["detail"], "it has not become right by being read before"


async def test_reload_without_a_gateway_says_so(tmp_path: Path) -> None:
    code, _, err = await command("reload", "--config", str(write_config(tmp_path, free_port())))

    assert code == 1
    assert "no gateway on this machine" in err

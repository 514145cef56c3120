"""A proxy in front: its clients count one by one, and nobody becomes local or another by what it writes."""

import asyncio
import logging
import os
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.net.server import Server
from tests.fakes.raw_subscriber import RawSubscriber, raw_subscriber, upgrade
from tests.flow.pipe import free_port
from tests.net.scraping import fetch
from tests.net.test_server import serving

# The address that this machine comes from when it connects to itself.
HERE = "127.0.0.1"
ONE, OTHER = "198.51.100.7", "2001:db8::9"


@asynccontextmanager
async def proxied(**values: Any) -> AsyncIterator[Server]:
    """A server that trusts the proxy on this machine, and takes two connections of an address."""
    given = {"trusted_proxies": (HERE,), "connections_max": 20, "connections_per_address_max": 2, **values}
    async with serving(**given) as server:
        yield server


async def admitted(crowd: AsyncExitStack, server: Server, *forwarded: str) -> int:
    """The status that a WebSocket is answered, which stays open, with these headers of a proxy."""
    client = await crowd.enter_async_context(raw_subscriber(server.port))
    return await asked(client, *forwarded)


async def asked(client: RawSubscriber, *forwarded: str) -> int:
    lines = "".join(f"X-Forwarded-For: {value}\r\n" for value in forwarded)
    await client.send(upgrade().replace(b"\r\n\r\n", f"\r\n{lines}\r\n".encode(), 1))
    return await client.status()


async def test_the_clients_of_a_trusted_proxy_are_counted_one_by_one() -> None:
    async with proxied() as server, AsyncExitStack() as crowd:
        of_one = [await admitted(crowd, server, ONE) for _ in range(3)]
        of_other = [await admitted(crowd, server, f"[{OTHER}]:{port}") for port in (1, 2, 3)]

    assert of_one == [101, 101, 429]
    assert of_other == [101, 101, 429]


async def test_a_place_behind_a_proxy_is_free_when_its_holder_is_gone() -> None:
    async with proxied() as server, AsyncExitStack() as crowd:
        assert await admitted(crowd, server, ONE) == 101
        async with raw_subscriber(server.port) as second:
            assert await asked(second, ONE) == 101
        status = 429
        async with asyncio.timeout(10):
            while status == 429:
                await asyncio.sleep(0.01)
                async with raw_subscriber(server.port) as third:
                    status = await asked(third, ONE)

    assert status == 101


@pytest.mark.parametrize(
    "spoofs",
    [
        # What a client writes, the proxy has in front of what it adds: in one header or in two.
        [("1.1.1.1, " + ONE,), ("2.2.2.2, " + ONE,), ("3.3.3.3, " + ONE,)],
        [("1.1.1.1", ONE), ("2.2.2.2", ONE), ("3.3.3.3", ONE)],
        [(f"{HERE}, {HERE}, {ONE}",), (f"::1, {ONE}",), (f"garbage, {ONE}",)],
        [(f"{ONE}:1",), (f"[::ffff:{ONE}]:2",), (f"\t{ONE} ",)],
    ],
)
async def test_nobody_behind_a_trusted_proxy_gets_more_by_calling_itself_others(
    spoofs: list[tuple[str, ...]],
) -> None:
    async with proxied() as server, AsyncExitStack() as crowd:
        statuses = [await admitted(crowd, server, *values) for values in spoofs]

    assert statuses == [101, 101, 429]


async def test_who_is_no_trusted_proxy_is_counted_as_who_it_is() -> None:
    async with proxied(trusted_proxies=("192.0.2.0/24",)) as server, AsyncExitStack() as crowd:
        statuses = [await admitted(crowd, server, f"8.8.8.{at}") for at in range(3)]

    assert statuses == [101, 101, 429]


@pytest.mark.parametrize("values", [(), ("",), ("unknown",), ("1.2.3.4, not.an.address",)])
async def test_a_proxy_that_says_nothing_that_can_be_read_is_counted_itself(values: tuple[str, ...]) -> None:
    async with proxied() as server, AsyncExitStack() as crowd:
        statuses = [await admitted(crowd, server, *values) for _ in range(3)]

    assert statuses == [101, 101, 429]


async def test_a_proxy_may_hold_more_connections_than_one_address_while_nobody_has_asked() -> None:
    async with proxied() as server, AsyncExitStack() as crowd:
        silent = [await crowd.enter_async_context(raw_subscriber(server.port)) for _ in range(15)]
        statuses = [await asked(each, f"198.51.100.{at}") for at, each in enumerate(silent)]

    assert statuses == [101] * 15


@pytest.mark.parametrize("forwarded", [ONE, HERE, "::1", "", "unknown"])
@pytest.mark.parametrize("trusted", [(), (HERE,)])
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_what_is_passed_on_is_never_local_whoever_it_says_to_be(
    path: str, trusted: tuple[str, ...], forwarded: str
) -> None:
    async with proxied(trusted_proxies=trusted) as server:
        status, body = await fetch(server.port, path, {"X-Forwarded-For": forwarded})
        here, own = await fetch(server.port, path)

    assert here == 200
    if path == "/metrics":
        assert status == 403
    else:
        assert body == b'{"ready":true,"why":[]}\n'
        assert own == b'{"ready":true,"why":[]}\n', "this server has no more to tell"


async def test_a_page_that_has_its_name_resolve_to_this_machine_gets_in_by_no_header() -> None:
    """A script may set X-Forwarded-For; it must not stand for the check of the host."""
    async with proxied() as server, raw_subscriber(server.port) as page:
        await page.send(upgrade("/metrics", {"X-Forwarded-For": ONE}, host="rebound.example"))

        assert await page.status() == 403


async def test_the_log_tells_the_client_and_not_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.net")
    async with proxied() as server, AsyncExitStack() as crowd:
        for _ in range(3):
            await admitted(crowd, server, f"8.8.8.8, [{OTHER}]:443")

    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" ")[:2] for line in lines if line.startswith("event=connected")] == [
        ["event=connected", f"peer={OTHER}"]
    ] * 2
    assert any(line.startswith(f"event=refused peer={OTHER} status=429") for line in lines)
    assert any(line.startswith(f"event=disconnected peer={OTHER}") for line in lines)
    assert not [line for line in lines if HERE in line or "8.8.8.8" in line]


async def test_over_ipv6_it_is_the_same() -> None:
    try:
        async with proxied(host="::1", trusted_proxies=("::1",)) as server, AsyncExitStack() as crowd:
            statuses = []
            for _ in range(3):
                client = await crowd.enter_async_context(raw_subscriber(server.port, "::1"))
                statuses.append(await asked(client, ONE))
            other = await crowd.enter_async_context(raw_subscriber(server.port, "::1"))
            statuses.append(await asked(other, OTHER))
    except ConfigError as exc:
        pytest.skip(f"no IPv6 here: {exc}")

    assert statuses == [101, 101, 429, 101]


CADDYFILE = """
{{
    admin off
    auto_https off
}}
:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{gateway} {{
        header_up Host localhost
    }}
}}
"""


@asynccontextmanager
async def caddy_in_front_of(server: Server, folder: Path) -> AsyncIterator[int]:
    """A real proxy; gives its port."""
    port = free_port()
    (folder / "Caddyfile").write_text(CADDYFILE.format(port=port, gateway=server.port))
    process = await asyncio.create_subprocess_exec(
        *("caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with raw_subscriber(port):
                        break
                except OSError:
                    assert process.returncode is None, "Caddy has ended"
                    await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.one_loop
@pytest.mark.skipif(shutil.which("caddy") is None, reason="CADDY NOT TESTED: it is not installed")
async def test_caddy_is_believed_and_its_clients_are_not(tmp_path: Path) -> None:
    statuses: dict[str, list[int]] = {"127.0.0.2": [], "127.0.0.3": []}
    async with (
        proxied() as server,
        caddy_in_front_of(server, tmp_path) as port,
        AsyncExitStack() as crowd,
    ):
        for at in range(3):
            for client, told in statuses.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(client, 0))
                subscriber = RawSubscriber(reader, writer)
                crowd.callback(lambda held: held.writer.transport.abort(), subscriber)
                told.append(await asked(subscriber, f"8.8.8.{at}"))

    assert statuses == {"127.0.0.2": [101, 101, 429], "127.0.0.3": [101, 101, 429]}

"""Health says whether the gateway does its work, and why not; how much, depends on who asks."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.hub import Hub, HubLimits
from gateway.net.access.keys import hash_of
from gateway.net.health import health_now
from gateway.net.notices import notice_text
from gateway.simulator.exchange import Exchange
from tests.flow.pipe import feed_settings, free_port, running, settings
from tests.net.scraping import fetch

KEY = "sgw_of-those-who-watch"
BY_PROXY = {"X-Forwarded-For": "198.51.100.7"}


async def readiness(port: int, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    status, body = await fetch(port, "/readyz", headers)
    return status, json.loads(body)


async def until_ready(port: int) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            status, body = await readiness(port)
            if status == 200:
                return body
            await asyncio.sleep(0.01)


async def test_ready_is_a_feed_that_streams(tmp_path: Path) -> None:
    async with Exchange() as exchange, running(settings(tmp_path, feed_settings(exchange.port))) as gateway:
        body = await until_ready(gateway.port)
        alive, alive_body = await fetch(gateway.port, "/healthz")

    assert (body["ready"], body["why"]) == (True, [])
    assert body["feeds"]["itch"]["state"] == "streaming"
    assert body["journals"]["itch"]["bytes"] > 0
    assert body["version"]
    assert (alive, json.loads(alive_body)) == (200, {"alive": True})


async def test_a_feed_that_is_down_is_named_with_the_reason(tmp_path: Path) -> None:
    port = free_port()
    async with running(settings(tmp_path, feed_settings(port))) as gateway, asyncio.timeout(10):
        while True:
            status, body = await readiness(gateway.port)
            if "connect" in str(body["why"]).casefold():
                break
            await asyncio.sleep(0.01)
        alive, _ = await fetch(gateway.port, "/healthz")

    assert status == 503
    assert not body["ready"]
    assert body["why"][0].startswith("feed itch: not logged in, ")
    assert alive == 200, "the process is well, the line is not"


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_what_a_proxy_passes_on_is_told_nothing_but_readiness(tmp_path: Path, path: str) -> None:
    port = free_port()
    async with running(settings(tmp_path, feed_settings(port))) as gateway:
        status, body = await fetch(gateway.port, path, BY_PROXY)

    assert str(port).encode() not in body
    if path == "/metrics":
        assert (status, body) == (403, b"not for you from there; see [server] monitoring\n")
    else:
        assert set(json.loads(body)) == {"ready", "why"}


async def test_with_a_key_who_watches_may_be_anywhere(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nid = "watch"\nname = "watch"\nsha256 = "{hash_of(KEY)}"\ncreated = 2026-01-01T00:00:00Z\n'
        "feeds = []\n"
    )
    configured = settings(tmp_path, feed_settings(free_port()), open_access=False, monitoring="key")
    async with running(configured) as gateway:
        with_key, text = await fetch(gateway.port, "/metrics", {**BY_PROXY, "Authorization": f"Bearer {KEY}"})
        _, whole = await readiness(gateway.port, {**BY_PROXY, "Authorization": f"Bearer {KEY}"})
        wrong, _ = await fetch(gateway.port, "/metrics", {**BY_PROXY, "Authorization": "Bearer wrong"})
        without, _ = await fetch(gateway.port, "/metrics", BY_PROXY)

    assert with_key == 200
    assert b"soup_gateway_build_info" in text
    assert "feeds" in whole
    assert (wrong, without) == (403, 403)


async def test_monitoring_may_be_open(tmp_path: Path) -> None:
    async with running(settings(tmp_path, feed_settings(free_port()), monitoring="open")) as gateway:
        status, _ = await fetch(gateway.port, "/metrics", BY_PROXY)

    assert status == 200


async def test_whoever_leaves_is_not_ready() -> None:
    hub = Hub(HubLimits(), asyncio.get_running_loop().call_soon, lambda: 0, notice_text)

    health = health_now({}, {}, hub, 0, started_s=0, stopping=True)

    assert health.told(whole=False) == {"ready": False, "why": ["the gateway is shutting down"]}

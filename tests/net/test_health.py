"""Health says whether the gateway does its work, and why not; how much, depends on who asks."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.hub import Hub, HubLimits
from gateway.net.access.keys import hash_of
from gateway.net.health import health_now
from gateway.net.notices import notice_text
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, running, settings
from tests.net.scraping import fetch, scrape, value

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


async def until_why(port: int, words: str) -> str:
    """The first reason not to be ready, once it has these words."""
    async with asyncio.timeout(10):
        while True:
            _, body = await readiness(port)
            if words in str(body["why"]):
                return str(body["why"][0])
            await asyncio.sleep(0.01)


async def test_a_login_that_is_rejected_is_told_until_it_is_put_right(tmp_path: Path) -> None:
    async with Exchange(ExchangeSettings(user="me", password="right")) as exchange:
        wrong = feed_settings(exchange.port, user="me", password=SecretStr("wrong"))
        configured = settings(tmp_path, wrong)
        async with running(configured) as gateway:
            why = await until_why(gateway.port, "rejected")
            samples = await scrape(gateway.port)
            right = feed_settings(exchange.port, user="me", password=SecretStr("right"))
            gateway.reload(configured.model_copy(update={"feeds": (right,)}))
            await until_ready(gateway.port)
            after = await scrape(gateway.port)

    assert why == (
        "feed itch: its login was rejected: not authorized; correct user and password, then reload or restart"
    )
    assert value(samples, "feed_rejected_endpoints", feed="itch") == 1
    assert value(samples, "feed_state", feed="itch", state="stopped") == 1
    assert value(after, "feed_rejected_endpoints", feed="itch") == 0


async def test_a_login_that_nobody_answers_is_told(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(settings(tmp_path, feed_settings(port))) as gateway:
            why = await until_why(gateway.port, "logging in")

    assert why.startswith("feed itch: not logged in, logging in")


async def test_a_gateway_that_does_not_keep_up_with_its_upstream_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a socket holds before it has grown by being read from.
    monkeypatch.setattr("gateway.net.health.UNREAD_BYTES_MAX", 10_000)
    async with Exchange() as exchange, running(settings(tmp_path, feed_settings(exchange.port))) as gateway:
        await until_ready(gateway.port)
        line = gateway.feeds["itch"]._merge.lanes[0].line
        assert line is not None
        line.pause_reading()
        exchange.extend(Market(10, seed=1).take(2_000))
        why = await until_why(gateway.port, "not caught up")
        samples = await scrape(gateway.port)
        line.resume_reading()
        await until_ready(gateway.port)

    assert re.fullmatch(r"feed itch: not caught up, \d{5,} bytes are unread", why)
    assert value(samples, "feed_unread_bytes", feed="itch") > 10_000


async def test_a_quiet_market_is_no_reason_not_to_be_ready(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port, stale_after_s=0.1))) as gateway,
        asyncio.timeout(10),
    ):
        while not (body := await until_ready(gateway.port))["feeds"]["itch"]["stale"]:
            pass
        samples = await scrape(gateway.port)

    assert body["ready"]
    assert value(samples, "feed_stale", feed="itch") == 1


class SlowDisk:
    """A journal as health sees it, whose disk is not well."""

    failure: str | None = None
    damaged: Mapping[str, str] = {}

    def stalled_s(self) -> float:
        return 7.0

    def size_bytes(self) -> int:
        return 1


async def test_a_disk_that_does_not_answer_is_told_before_the_feed_has_to_wait() -> None:
    hub = Hub(HubLimits(), asyncio.get_running_loop().call_soon, lambda: 0, notice_text)

    health = health_now({}, {"itch": SlowDisk()}, hub, 0, started_s=0, stopping=False)

    assert health.told(whole=False)["why"] == ["journal of itch: the disk has not finished an fsync for 7 s"]


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


async def test_monitoring_by_key_asks_for_one_even_where_streams_are_open_to_everybody(
    tmp_path: Path,
) -> None:
    configured = settings(tmp_path, feed_settings(free_port()), open_access=True, monitoring="key")
    async with running(configured) as gateway:
        without, _ = await fetch(gateway.port, "/metrics", BY_PROXY)
        wrong, _ = await fetch(gateway.port, "/metrics", {**BY_PROXY, "Authorization": "Bearer wrong"})
        _, told = await readiness(gateway.port, BY_PROXY)

    assert (without, wrong) == (403, 403)
    assert "feeds" not in told


async def test_monitoring_may_be_open(tmp_path: Path) -> None:
    async with running(settings(tmp_path, feed_settings(free_port()), monitoring="open")) as gateway:
        status, _ = await fetch(gateway.port, "/metrics", BY_PROXY)

    assert status == 200


async def test_whoever_leaves_is_not_ready() -> None:
    hub = Hub(HubLimits(), asyncio.get_running_loop().call_soon, lambda: 0, notice_text)

    health = health_now({}, {}, hub, 0, started_s=0, stopping=True)

    assert health.told(whole=False) == {"ready": False, "why": ["the gateway is shutting down"]}

"""What /metrics says is true, bounded, and named as Prometheus wants it."""

import shutil
import subprocess
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, reader, running, settings
from tests.net.scraping import fetch, scrape, value

COUNT = 200


async def test_a_message_is_counted_on_its_whole_way(tmp_path: Path) -> None:
    market = Market(10, seed=1)
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as subscriber,
    ):
        await subscriber.stream("*")
        await subscriber.until_control("MLinkStreamCheckPt", state="Complete")
        payloads = market.take(COUNT)
        exchange.extend(payloads)
        await subscriber.until_count(COUNT)
        samples = await scrape(gateway.port)

    assert value(samples, "feed_state", feed="itch", state="streaming") == 1
    assert value(samples, "feed_state", feed="itch", state="dialling") == 0
    assert value(samples, "feed_received_messages_total", feed="itch") == COUNT
    assert value(samples, "feed_received_bytes_total", feed="itch") == sum(len(each) + 3 for each in payloads)
    assert value(samples, "feed_unread_bytes", feed="itch") == 0
    assert value(samples, "journal_next_sequence_number", feed="itch") == COUNT + 1
    assert value(samples, "journal_size_bytes", feed="itch") > 0
    assert value(samples, "hub_groups") == 1
    assert value(samples, "hub_encoding_seconds_total", feed="itch") > 0
    assert value(samples, "stripe_sent_messages_total", stripe="all stripes") == COUNT
    assert value(samples, "delivery_latency_seconds_count") > 0
    assert value(samples, "delivery_latency_seconds_bucket", le="+Inf") == value(
        samples, "delivery_latency_seconds_count"
    )
    assert value(samples, "subscribers") == 1
    assert value(samples, "streams", state="live") == 1
    assert value(samples, "streams", state="behind") == 0
    assert value(samples, "subscriber_sent_bytes_total") >= value(
        samples, "stripe_sent_bytes_total", stripe="all stripes"
    )


async def test_what_ended_stays_counted(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port), requests_burst=20)) as gateway,
    ):
        exchange.extend(Market(10, seed=2).take(COUNT))
        async with reader(gateway) as replaying:
            await replaying.stream("*", resume={"seqN": 1})
            await replaying.until_count(COUNT)
        async with connect(f"ws://127.0.0.1:{gateway.port}/mlink/jsonf") as flooding:
            with suppress(ConnectionClosed):
                for _ in range(40):
                    await flooding.send("nonsense")
                async for _ in flooding:
                    pass
        refused, _ = await fetch(gateway.port, "/mlink/jsonf", {"Origin": "https://elsewhere.example"})
        samples = await scrape(gateway.port)

    assert refused == 403
    assert value(samples, "requests_refused_total", status="403") == 1
    assert value(samples, "subscribers_ended_total", reason="left") == 1
    assert value(samples, "subscribers_ended_total", reason="flood") == 1
    assert value(samples, "subscribers") == 0
    assert value(samples, "stripe_sent_messages_total", stripe="all stripes") == COUNT
    assert value(samples, "catch_up_lag_seconds_count") > 0
    assert value(samples, "subscriber_sent_bytes_total") > 0


@pytest.mark.one_loop
async def test_no_subscriber_makes_a_series(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        AsyncExitStack() as stack,
    ):
        exchange.extend(Market(10, seed=3).take(COUNT))

        async def one(at: int) -> None:
            subscriber = await stack.enter_async_context(reader(gateway))
            await subscriber.stream("AddOrder", stripeFilter="A", where=f"price:gt:{at}", view="price")
            await subscriber.until_control("MLinkStreamCheckPt", state="Complete")

        await one(0)
        before = await scrape(gateway.port)
        for at in range(1, 30):
            await one(at)
        after = await scrape(gateway.port)

    assert value(after, "hub_groups") == 30
    assert set(after) == set(before)
    assert len(after) < 300


@pytest.mark.one_loop
async def test_what_may_be_counted_is_there_before_it_happens(tmp_path: Path) -> None:
    """Else the first of a kind would begin its series at 1, and nobody who asks for growth would see it."""
    async with running(settings(tmp_path, feed_settings(free_port()))) as gateway:
        samples = await scrape(gateway.port)

    assert value(samples, "feed_missing_messages_total", feed="itch") == 0
    assert value(samples, "feed_undecodable_messages_total", feed="itch", message="AddOrder") == 0
    for reason in ("TCP connection lost", "heartbeat lost", "diverged", "login rejected: not authorized"):
        assert value(samples, "feed_reconnects_total", feed="itch", reason=reason) == 0
    for reason in ("left", "lost", "too_slow", "flood", "aged_out", "internal"):
        assert value(samples, "subscribers_ended_total", reason=reason) == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="NOT TESTED: promtool is not installed")
@pytest.mark.one_loop
async def test_promtool_finds_nothing_to_say_about_the_metrics(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        reader(gateway) as subscriber,
    ):
        await subscriber.stream("*", stripeFilter="A")
        await subscriber.until_control("MLinkStreamCheckPt", state="Complete")
        _, text = await fetch(gateway.port, "/metrics")

    assert promtool_says(text) == (0, b"", b"")


def promtool_says(text: bytes) -> tuple[int, bytes, bytes]:
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    return checked.returncode, checked.stdout, checked.stderr

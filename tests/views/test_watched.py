"""What an operator sees and sets of views: their metrics, and the limits of what they keep."""

import shutil
from pathlib import Path

import pytest

from gateway.client import connect
from gateway.settings import ViewsSettings
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings
from tests.net.scraping import fetch, scrape, value
from tests.net.test_metrics import promtool_says
from tests.views.markets import add, block_of, engine, message

STRANGE = [
    message("OrderDelete", orderReferenceNumber=900_001),
    message("OrderCancel", orderReferenceNumber=900_002, cancelledShares=5),
    add(900_003, "B", 10, 5),
    add(900_003, "B", 10, 5),
    message("OrderCancel", orderReferenceNumber=900_003, cancelledShares=11),
    add(900_004, "B", 0, 5),
    message("BrokenTrade", matchNumber=900_005),
    message("CrossTrade", stock="AAPL", shares=(1 << 62) + 1, crossPrice="1.0000", matchNumber=900_006),
]


async def test_metrics_tell_what_views_made_and_what_books_hold(tmp_path: Path) -> None:
    market = Market(5, seed=1)
    messages = market.opening() + market.take(500) + STRANGE
    own = engine("StockBookQuote", "StockPrint")
    quotes = sum(payload[0] == own.codecs.views[0].id_byte for _, payload in own.take(block_of(messages)))
    feed = {"views": ("StockBookQuote", "StockPrint")}
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port, **feed), feed_settings(1, name="plain"))
        async with (
            running(configured) as gateway,
            reader(gateway) as each,
            reader(gateway) as of_everything,
        ):
            await each.stream("StockBookQuote", delivery="every")
            await each.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(messages)
            await of_everything.stream("*", resume={"seqN": 1, "src": "itch"})
            await of_everything.until_count(len(messages))
            await each.until_count(quotes)
            samples = await scrape(gateway.port)

    assert value(samples, "view_messages_total", feed="itch", view="StockBookQuote") == quotes
    assert value(samples, "view_messages_total", feed="itch", view="StockPrint") == 0
    assert value(samples, "book_orders", feed="itch") == len(own.books.orders)
    assert value(samples, "view_rebuilds", feed="itch") == 0
    assert value(samples, "view_rebuilds_waiting", feed="itch") == 0
    strange = {
        "unknown order": 2,
        "doubled order": 1,
        "overdrawn order": 1,
        "empty order": 1,
        "unknown print": 1,
        "absurd print": 1,
    }
    for what, count in strange.items():
        assert value(samples, "book_strange_messages_total", feed="itch", what=what) == count
    assert not [
        name for name in samples if "plain" in str(name) and ("view" in str(name) or "book" in str(name))
    ]


async def test_metrics_tell_the_size_of_saved_states(tmp_path: Path) -> None:
    market = Market(5, seed=1)
    messages = market.opening() + market.take(500)
    async with Exchange() as exchange:
        exchange.extend(messages)
        configured = settings(tmp_path, feed_settings(exchange.port, views=("StockBookQuote",)))
        async with running(configured) as gateway, reader(gateway) as each:
            await each.stream("*", resume={"seqN": 1, "src": "itch"})
            await each.until_count(len(messages))
        async with running(configured) as gateway:
            samples = await scrape(gateway.port)

    own = engine("StockBookQuote")
    own.take(block_of(messages))
    assert value(samples, "view_state_bytes", feed="itch") == len(own.dump())
    assert value(samples, "view_states_kept_bytes", feed="itch") == len(own.dump())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="NOT TESTED: promtool is not installed")
@pytest.mark.one_loop
async def test_promtool_finds_nothing_to_say_about_the_metrics_of_views(tmp_path: Path) -> None:
    configured = settings(tmp_path, feed_settings(1, views=("StockBookQuote", "BookDepth5", "Bar1s")))
    async with running(configured) as gateway:
        _, text = await fetch(gateway.port, "/metrics")

    assert b"soup_gateway_view_messages_total" in text
    assert promtool_says(text) == (0, b"", b"")


@pytest.mark.one_loop
async def test_no_ticker_and_no_stream_makes_a_series(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port, views=("StockBookQuote",)))
        async with running(configured) as gateway:
            before = await scrape(gateway.port)
            messages = Market(200, seed=1).opening()
            exchange.extend(messages)
            async with connect(f"ws://127.0.0.1:{gateway.port}") as feed:
                async for each in feed.stream("*", resume="itch//1"):
                    if each.sequence_number == len(messages):
                        break
            after = await scrape(gateway.port)

    assert {name for name in after if "view_" in str(name) or "book_" in str(name)} == {
        name for name in before if "view_" in str(name) or "book_" in str(name)
    }


async def test_limits_of_views_are_settings(tmp_path: Path) -> None:
    views = ViewsSettings(recent_messages=123, states_bytes=1 << 20, engines=7)
    configured = settings(tmp_path, feed_settings(1, views=("StockBookQuote",)))
    async with running(configured.model_copy(update={"views": views})) as gateway:
        assert gateway._hub is not None
        found = gateway._hub.channels["itch"].views

        assert found is not None
        limits = found.limits
        assert (limits.recent_views, limits.view_states_bytes, limits.view_engines) == (123, 1 << 20, 7)

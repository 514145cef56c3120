"""What the page does at its edges: nothing there, too much there, names that bite, nobody looking."""

from pathlib import Path

import pytest

from tests.flow.pipe import free_port
from tests.web.market import KEY, TICKERS, a_market, write_key
from tests.web.page import PHONE, chromium, live, more_than, needs_chromium, says, text, until

pytestmark = [needs_chromium, pytest.mark.one_loop]
# Eight characters is what a ticker has.
HOSTILE = ["<b>x</b>", '"A"&B|C', "BACpB"]
POINTS = "document.querySelector('#price-chart').points"
# No frame is drawn for a page that nobody sees; then somebody looks.
UNSEEN = """(() => {
    window.kept = [];
    window.really = window.requestAnimationFrame;
    window.requestAnimationFrame = (act) => kept.push(act);
})()"""


async def test_the_chart_begins_before_somebody_looked(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#AAPL")
        await until(page, live())
        # A market of some seconds, and a page that is opened after them.
        next_seq = "document.querySelector('#feed-rows td:nth-of-type(3)').textContent"
        await until(page, f"Number({next_seq}.replace(',', '')) > 6000")
        opened = await page.evaluate("Date.now() / 1000")
        await page.reload()
        await until(page, f"{POINTS} && {POINTS}.some((at) => at < {opened} - 2)")
        points = await page.evaluate(POINTS)
        change = await text(page, "#ticker-change")

    assert points == sorted(points)
    assert "since" in change
    assert "%" in change
    assert browser.errors == []


async def test_a_key_that_may_not_replay_has_a_page_without_a_past(tmp_path: Path) -> None:
    write_key(tmp_path, "replay = false")
    async with a_market(tmp_path, open_access=False) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#AAPL")
        await page.wait_for_selector("#logon[open]")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.wait_for_timeout(1_500)
        assert asked == [], "no question whose answer is known"
        await page.fill("#logon-key", KEY)
        await page.keyboard.press("Enter")
        await until(page, live())
        await until(page, more_than(3, "#print-rows tr"))
        told = await text(page, "#notices")

    assert told == "Nothing to tell."


async def test_who_may_not_monitor_sees_that_messages_come(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open("about:blank")
        # As through a proxy: not from this machine.
        await page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.7"})
        await page.goto(url)
        await until(page, says("#feed-rows", "receiving"))
        warned = await page.locator(
            "#feed-rows .dot[data-state=warn], #feed-rows .dot[data-state=bad]"
        ).count()

    assert warned == 0
    assert browser.errors == []


async def test_a_ticker_that_is_not_there_is_said_to_be_not_there(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#zzzz")
        await until(page, says("#ticker-of", "not in the directory"))
        name, chart = await text(page, "#ticker-name"), await page.get_attribute("#price-chart", "class")
        await page.goto(f"{url}#%E0%A4%A")
        await until(page, says("#ticker-name", "%E0%A4%A"))
        await page.goto(f"{url}#nvda")
        await until(page, says("#ticker-of", "trading"))

    assert name == "ZZZZ"
    assert "empty" in chart
    assert browser.errors == []


async def test_who_types_faster_than_answers_come_gets_what_was_typed(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#AAPL")
        await until(page, live())
        await page.keyboard.press("/")
        await until(page, more_than(3, "#search-list li"))
        await page.keyboard.type("tsl")
        await page.keyboard.press("Enter")
        await until(page, says("#ticker-name", "TSLA"))

    assert browser.errors == []


async def test_a_ticker_of_any_signs_is_a_name_and_nothing_else(tmp_path: Path) -> None:
    async with a_market(tmp_path, tickers=HOSTILE) as (_, url), chromium() as browser:
        page = await browser.open(url)
        await until(page, live())
        await page.click("#build-run")
        for ticker in HOSTILE:
            await page.keyboard.press("/")
            await page.keyboard.type(ticker)
            await until(page, "document.querySelectorAll('#search-list li').length === 1")
            await page.keyboard.press("Enter")
            is_shown = f"document.querySelector('#ticker-name').textContent === {ticker!r}"
            await until(page, is_shown)
            await until(page, says("#ticker-of", "trading"))
            await until(page, more_than(3, "#print-rows tr"))
            await page.reload()
            await until(page, is_shown)
            await until(page, live())
        await page.click("#build-run")
        await until(page, more_than(5, "#build-frames li b"))

        assert await page.locator("main b:text-is('x')").count() == 0
    assert browser.errors == []


async def test_several_feeds_of_the_same_messages_are_told_apart(tmp_path: Path) -> None:
    feeds = [f"feed-{at}" for at in range(6)]
    async with a_market(tmp_path, feeds=feeds) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#SPY", viewport=PHONE)
        await until(page, more_than(5, "#feed-rows tr"))
        await until(page, says("#ticker-of", "feed-0"))
        names = await page.evaluate(
            "[...document.querySelector('#build-names').options].map((each) => each.value)"
        )
        await until(page, more_than(5, "#build-view button"))
        fields = await page.locator("#build-view button").all_inner_texts()
        await page.select_option("#build-start", "session")
        await page.click("#build-run")
        await until(page, more_than(5, "#build-frames li b"))
        problem, code = await text(page, "#build-problem"), await text(page, "#code-text")
        await page.click("#ladder-whole")
        await until(page, says("#ladder-note", "The whole book"))
        for side in ("#bids tr", "#asks tr"):
            await until(page, more_than(4, side))
        width = await page.evaluate("document.documentElement.scrollWidth")

    assert len(set(names)) == len(names)
    assert len(set(fields)) == len(fields)
    assert problem == ""
    assert 'resume="feed-0//1,feed-1//1,feed-2//1,feed-3//1,feed-4//1,feed-5//1"' in code
    assert width == PHONE["width"]
    assert browser.errors == []


async def test_nobody_looking_costs_one_picture_not_one_for_each_moment_missed(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(f"{url}#AAPL")
        await until(page, more_than(3, "#print-rows tr"))
        await until(page, "document.title !== 'soup-gateway'")
        await page.evaluate(UNSEEN)
        first = await page.evaluate("document.title")
        # The title goes on: it is what is seen of a tab.
        await until(page, f"document.title !== {first!r}")
        await page.wait_for_timeout(1_000)
        kept = await page.evaluate("kept.length")

    assert "AAPL · soup-gateway" in first
    # One for each of what paints: ticker, builder, and each chart.
    assert kept <= 4


async def test_a_browser_that_keeps_nothing_shows_the_page_all_the_same(tmp_path: Path) -> None:
    refuse = "Object.defineProperty(window, '{}', {{ get() {{ throw new Error('blocked') }} }});"
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open("about:blank")
        await page.add_init_script(
            "".join(refuse.format(name) for name in ("localStorage", "sessionStorage"))
        )
        await page.goto(url)
        await until(page, live())
        await until(page, more_than(3, "#print-rows tr"))

    assert browser.errors == []


async def test_a_gateway_that_is_away_is_seen_in_the_tab(tmp_path: Path) -> None:
    port = free_port()
    async with chromium() as browser:
        async with a_market(tmp_path, port=port) as (_, url):
            page = await browser.open(f"{url}#{TICKERS[0]}")
            await until(page, "document.title.includes('AAPL')")
        await until(page, "document.title.startsWith('no answer')")
        await until(page, "document.querySelector('#icon').href.endsWith('down.svg')")
        before = await page.evaluate("getComputedStyle(document.querySelector('#feed-rows')).opacity")

    assert float(before) < 1, "what is shown is of before"


async def test_a_ticker_starts_anew_at_another_gateway_that_knows_nothing_of_the_first(
    tmp_path: Path,
) -> None:
    port = free_port()
    views = ("StockPrint", "BookDepth10")
    async with chromium() as browser:
        async with a_market(tmp_path / "first", views, port=port) as (_, url):
            page = await browser.open(f"{url}#{TICKERS[0]}")
            await until(page, more_than(3, "#print-rows tr"))
        await until(page, live("down"))
        async with a_market(tmp_path / "second", views, port=port, session="0000000002"):
            began = await page.evaluate("Date.now() / 1000")
            await until(page, says("#notices", "can't go on"))
            await until(page, more_than(3, "#print-rows tr"))
            await until(page, f"{POINTS}.some((at) => at > {began})")
            points = await page.evaluate(POINTS)

    assert min(points) > began - 2, "a chart of one market, not of two"

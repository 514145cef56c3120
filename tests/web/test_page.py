"""The page at `/` in a real browser, against a running gateway and a market that moves."""

import json
from pathlib import Path

import pytest

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from tests.flow.pipe import free_port
from tests.flow.process import GatewayProcess, write_config
from tests.web.market import KEY, RATE, TICKERS, a_market, write_key
from tests.web.page import (
    DESK,
    PHONE,
    SCREENSHOTS,
    chromium,
    live,
    more_than,
    needs_chromium,
    number,
    says,
    text,
    until,
)

pytestmark = [needs_chromium, pytest.mark.one_loop]
VIEWS = ("StockPrint", "BookDepth", "StockBookQuote")
# As the ladder shows them, from top to bottom.
PRICES = """["bids", "asks"].map((side) => [...document.querySelectorAll(`#${side} tr`)]
    .map((row) => Number(row.cells[2].textContent.replace(",", ""))))"""
FOLLOW = """async () => {
    const { connect } = await import("/client.js");
    window.got = [];
    window.told = [];
    const onNotice = (notice) => told.push(notice.kind);
    const feed = connect(location.origin, { retryFirstMs: 50, retryLongestMs: 200, onNotice });
    feed.stream("*", { resume: "//1" }).listen({
        batch: (messages) => messages.forEach((message) => got.push(message.sequenceNumber)),
        end: (error) => told.push(String(error)),
    });
}"""
NAMELESS = """[...document.querySelectorAll("input, select, button")]
    .filter((each) => !each.closest("dialog"))
    .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
    .map((each) => each.outerHTML)"""
UNSEEN = "[...document.querySelectorAll('svg')].filter((each) => !each.ariaHidden && !each.ariaLabel).length"


async def test_the_dashboard_shows_numbers_that_move(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(url)
        await until(page, "Number(document.querySelector('#rate-now').textContent.replace(',', '')) > 500")
        first = await number(page, "#feed-rows td:nth-of-type(3)")
        while await number(page, "#feed-rows td:nth-of-type(3)") <= first:
            await page.wait_for_timeout(100)
        await until(page, "[...document.querySelectorAll('#stripe-bars li:not(.none)')].length >= 4")
        await until(page, more_than(3, "#print-rows tr"))
        await until(
            page,
            "document.querySelector('#rate-chart canvas') && document.querySelector('#price-chart canvas')",
        )
        state, line = await text(page, "#feed-rows td:nth-of-type(1)"), await text(page, "#line")
        ticker, last = await text(page, "#ticker-name"), await number(page, "#ticker-last")
        await until(page, "document.querySelectorAll('#subscriber-rows tr td').length >= 7")

    assert (state, line) == ("streaming", "live")
    assert ticker in TICKERS
    assert last > 0
    assert browser.errors == []
    assert browser.strangers == [], "nothing is asked for elsewhere"


@pytest.mark.parametrize("views", [(), VIEWS], ids=["from orders", "from views"])
async def test_a_ticker_is_searched_with_the_keyboard_and_has_a_ladder(
    tmp_path: Path, views: tuple[str, ...]
) -> None:
    async with a_market(tmp_path, views) as (_, url), chromium() as browser:
        page = await browser.open(url)
        await until(page, live())
        await page.keyboard.press("/")
        await page.keyboard.type("ms")
        await until(page, "document.querySelectorAll('#search-list li').length === 2")
        offered = [
            await each.get_attribute("data-ticker") for each in await page.locator("#search-list li").all()
        ]
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await until(page, "document.querySelector('#ticker-name').textContent === 'MSTR'")
        if not views:
            await page.click("#ladder-whole")
        for side in ("#bids tr", "#asks tr"):
            await until(page, more_than(4, side))
        await until(page, more_than(3, "#print-rows tr"))
        bids, asks = await page.evaluate(PRICES)
        whole = await page.evaluate("document.querySelector('#ladder-whole').hidden")
        address = page.url

    assert offered == ["MSFT", "MSTR"]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks, reverse=True), "the best ask stands above the best bid"
    assert bids[0] < asks[-1]
    assert whole
    assert address.endswith("#MSTR"), "a ticker can be linked to"
    assert browser.errors == []


async def test_a_stream_is_built_seen_and_taken_away_as_code(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(url)
        await page.select_option("#build-names", ["Trade"])
        await page.click("#build-stripes button:text-is('A')")
        await page.click("#build-view button:text-is('price')")
        await page.click("#build-view button:text-is('stock')")
        await page.fill("#build-where", "shares:ge:1")
        await page.select_option("#build-start", "session")
        await page.click("#build-run")
        await until(page, more_than(5, "#build-frames li b"))
        raw = await page.locator("#build-frames li[title]").first.get_attribute("title")
        await until(
            page, "/^itch\\/0000000001\\/\\d+$/.test(document.querySelector('#build-at').textContent)"
        )
        codes = {}
        for name in ("Python", "JavaScript", "wscat"):
            await page.click(f"#code-tabs button:text-is('{name}')")
            codes[name] = await text(page, "#code-text")
        await page.click("#code-copy")
        await until(page, "document.querySelector('#code-copy').textContent === 'Copied'")
        copied = await page.evaluate("navigator.clipboard.readText()")
        await page.click("#build-run")
        await page.fill("#build-where", "shares:is:1")
        await page.click("#build-run")
        await until(page, "document.querySelector('#build-problem').textContent !== ''")
        problem = await text(page, "#build-problem")

    shown = json.loads(raw or "")
    assert shown["header"]["mTyp"] == "Trade"
    assert set(shown["message"]) == {"stock", "price"}
    assert shown["message"]["stock"] in {"AAPL", "AMZN"}
    assert (
        'feed.stream("Trade", stripe="A", where="shares:ge:1", view="price|stock", resume="//1")'
        in codes["Python"]
    )
    assert '{ stripe: "A", where: "shares:ge:1", view: "price|stock", resume: "//1" }' in codes["JavaScript"]
    compile(codes["Python"], "snippet", "exec")
    request = json.loads(codes["wscat"].rpartition(" -x '")[2].removesuffix("'"))
    assert request["message"] == {
        "msgName": "Trade",
        "activeLatency": 1,
        "stripeFilter": "A",
        "where": "shares:ge:1",
        "view": "price|stock",
        "resume": {"src": "", "ses": "", "seqN": 1},
    }
    assert copied == codes["wscat"]
    assert "expected an operator" in problem
    assert browser.errors == []


async def test_a_killed_gateway_comes_back_and_a_stream_goes_on_without_a_gap(tmp_path: Path) -> None:
    market = Market(TICKERS, seed=6, messages_per_s=RATE)
    port = free_port()
    async with Exchange(messages=market.messages(), pace=by_rate(RATE)) as exchange, chromium() as browser:
        exchange.extend(market.opening())
        config = write_config(tmp_path, exchange.port)
        config.write_text(config.read_text().replace("port = 0", f"port = {port}"))
        gateway = GatewayProcess(config)
        await gateway.start()
        try:
            page = await browser.open(f"http://127.0.0.1:{port}/")
            await until(page, live())
            # The ticker's own stream is there, too.
            await until(page, more_than(3, "#print-rows tr"))
            await page.evaluate(FOLLOW)
            await until(page, "window.got.length > 500")
            await gateway.kill()
            await until(page, live("down"))
            await until(page, "window.told.includes('Reconnecting')")
            before = await page.evaluate("window.got.length")
            await gateway.start()
            await until(page, live())
            await until(page, f"window.got.length > {before + 500}")
            await until(page, says("#notices", "Reconnected"))
            got, told = await page.evaluate("[window.got, window.told]")
            # What was shown goes on to be shown.
            prints = await text(page, "#print-rows tr:first-child")
            await until(
                page, f"document.querySelector('#print-rows tr').innerText.trim() !== {json.dumps(prints)}"
            )
        finally:
            await gateway.kill()

    assert got == list(range(1, len(got) + 1))
    assert "Reconnected" in told
    assert [each for each in told if each.startswith(("Incomplete", "Error"))] == []


async def test_a_key_is_asked_for_and_kept_out_of_every_address(tmp_path: Path) -> None:
    write_key(tmp_path)
    addresses = []
    async with a_market(tmp_path, open_access=False) as (_, url), chromium() as browser:
        page = await browser.open(url)
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda socket: addresses.append(socket.url))
        await page.wait_for_selector("#logon[open]")
        await page.fill("#logon-key", "a wrong one")
        await page.keyboard.press("Enter")
        await until(page, says("#logon-why", "not good"))
        await page.wait_for_selector("#logon[open]")
        await page.fill("#logon-key", KEY)
        await page.check("#logon-keep")
        await page.click("#logon button")
        await until(page, more_than(3, "#print-rows tr"))
        await until(page, live())
        code = await text(page, "#code-text")
        await page.reload()
        await until(page, live())
        stays_open = await page.evaluate("document.querySelector('#logon').open")

    assert not stays_open, "the tab keeps the key"
    assert any(address.startswith("ws://") for address in addresses)
    assert [address for address in addresses if KEY in address] == []
    assert "YOUR-KEY" in code
    assert KEY not in code


async def test_light_dark_and_phone_look_right(tmp_path: Path) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    papers, widths = {}, {}
    async with a_market(tmp_path, VIEWS) as (_, url), chromium() as browser:
        for name, viewport, scheme in (
            ("light", DESK, "light"),
            ("dark", DESK, "dark"),
            ("phone", PHONE, "light"),
        ):
            page = await browser.open(f"{url}#NVDA", viewport=viewport, scheme=scheme)
            await until(page, more_than(12, "#print-rows tr"))
            await until(page, more_than(3, "#stripe-bars li:not(.none)"))
            await page.click("#build-run")
            await until(page, more_than(5, "#build-frames li b"))
            await page.evaluate("scrollTo(0, 0)")
            await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
            papers[name] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            widths[name] = await page.evaluate("document.documentElement.scrollWidth")
            if name == "light":
                await page.evaluate("document.activeElement.blur()")
                await page.keyboard.press("t")
                turned = await page.evaluate("getComputedStyle(document.body).backgroundColor")
                await page.reload()
                kept = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            await page.context.close()

    assert papers["light"] != papers["dark"]
    assert turned == kept == papers["dark"], "the choice outlives the page"
    assert widths == {"light": 1440, "dark": 1440, "phone": 390}, "nothing hangs over"
    assert browser.errors == []
    assert sum(1 for _ in SCREENSHOTS.glob("*.png")) >= 3


async def test_every_control_has_a_name_and_can_be_reached_by_tab(tmp_path: Path) -> None:
    async with a_market(tmp_path) as (_, url), chromium() as browser:
        page = await browser.open(url)
        await until(page, more_than(5, "#build-stripes button"))
        await until(page, "!document.querySelector('#ladder-whole').hidden")
        nameless = await page.evaluate(NAMELESS)
        reached = set()
        for _ in range(70):
            await page.keyboard.press("Tab")
            reached.add(await page.evaluate("document.activeElement.id"))
        unseen = await page.evaluate(UNSEEN)

    assert nameless == []
    assert {"search-text", "theme", "ladder-whole", "build-names", "build-where", "build-run"} <= reached
    assert unseen == 0

"""The page in Debian's Chromium: a browser that reports everything it was not asked for."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, async_playwright

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"
WAIT_MS = 30_000
DESK: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
# None of playwright's own browsers is ever downloaded. A container has no sandbox and little shared memory.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]

needs_chromium = pytest.mark.skipif(
    not Path(CHROMIUM).exists() and not os.environ.get("CI"),
    reason="PAGE NOT TESTED: there is no chromium; run `make system`",
)


class Browser:
    """Pages, and what went wrong in them: errors, and requests to anywhere but the gateway."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.errors: list[str] = []
        self.strangers: list[str] = []

    async def open(self, url: str, *, viewport: ViewportSize = DESK, scheme: str = "light") -> Page:
        context = await self._browser.new_context(
            viewport=viewport, color_scheme=scheme, permissions=["clipboard-read", "clipboard-write"]
        )
        page: Page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((url, "data:")) else self.strangers.append(request.url)
            ),
        )
        await page.goto(url)
        return page


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield Browser(browser)
        finally:
            await browser.close()


def live(state: str = "live") -> str:
    """The claim that the page says this of its line."""
    return f"document.querySelector('#line').dataset.state === '{state}'"


def more_than(count: int, selector: str) -> str:
    """The claim that there are more such elements."""
    return f"document.querySelectorAll({selector!r}).length > {count}"


def says(selector: str, words: str) -> str:
    """The claim that an element has these words in it."""
    return f"document.querySelector({selector!r}).textContent.includes({words!r})"


async def text(page: Page, selector: str) -> str:
    return (await page.locator(selector).inner_text()).strip()


async def number(page: Page, selector: str) -> float:
    return float((await text(page, selector)).replace(",", "").replace("–", "nan"))


async def until(page: Page, claim: str) -> None:
    """Wait until JavaScript's `claim` holds in the page."""
    await page.wait_for_function(f"() => {claim}")

"""The documentation builds with every link true, asks nothing of other sites, and its examples run."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
# A link that only names where a page would be found.
NOT_LOADED = ("canonical", "next", "prev", "alternate")


class Loads(HTMLParser):
    """What a browser would fetch by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("rel") not in NOT_LOADED and (address := values.get(LOADED.get(tag, ""))):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: what is not logged is not counted as a warning either.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_it_builds_with_every_link_true(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "protocol" / "index.html").is_file()
    assert (site / "notebooks" / "quickstart.ipynb").is_file()


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        outside = [address for address in loads.addresses if re.match(r"(https?:)?//", address)]
        assert not outside, f"{page.relative_to(site)} loads {outside}"
    assert len(pages) > 10
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text()), sheet


def test_no_page_shows_signs_that_were_meant_for_its_maker(site: Path) -> None:
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    # In a table a stroke within code is written as an entity: with a backslash the backslash shows.
    shown = [path.name for path, text in pages.items() if re.search(r"<code>[^<]*\\\|", text)]

    assert shown == []


def test_the_protocol_page_is_what_the_models_say() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        import make_protocol
    finally:
        sys.path.remove(str(DOCS))

    assert make_protocol.page() == make_protocol.PAGE.read_text(), "run: python docs/make_protocol.py"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name in navigation, f"{page.name}: give it a place in mkdocs.yml"


PAGES = ("quickstart", "subscribers", "migration-nasdaq-protocols")
EXAMPLES = [
    pytest.param(example, id=f"{page}-{number}")
    for page in PAGES
    for number, example in enumerate(
        re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL), start=1
    )
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_stands(demo: str, example: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.replace("ws://localhost:8765", demo))

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

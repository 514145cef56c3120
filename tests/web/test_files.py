"""What is served is there, what is there is served, and nothing of it breaks the page's own policy."""

import re
from pathlib import Path

from gateway.net.http import FILES, SECURITY_HEADERS, WEB

SOURCES = [path for path in sorted(WEB.rglob("*")) if path.suffix in (".js", ".css", ".html")]


def test_every_file_of_the_page_is_served_and_every_file_served_exists() -> None:
    served = {WEB / name for name, _ in FILES.values()}

    assert all(path.is_file() for path in served)
    assert set(SOURCES) <= served


def test_what_the_scripts_import_is_served_under_the_name_they_use() -> None:
    for path in SOURCES:
        if path.suffix != ".js" or path.parent.name == "vendor":
            continue
        for name in re.findall(r'^import .* from "([^"]+)";', path.read_text(), re.M):
            found = name if name.startswith("/") else f"/{(path.parent / name).resolve().relative_to(WEB)}"
            assert found in FILES, f"{path.name} imports {name}"


def test_the_page_has_nothing_inline_and_asks_nobody_else() -> None:
    page = (WEB / "index.html").read_text()

    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=", page)
    for path in SOURCES:
        if path.parent.name != "vendor":
            text = re.sub(r"http://www\.w3\.org/\S*", "", path.read_text())
            assert not re.findall(r"https?://(?!host)[a-z]+\.\S*", text), path.name
            assert "innerHTML" not in text, "what came over the wire is never HTML"
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


def test_the_vendored_library_comes_with_its_licence() -> None:
    vendor = Path(WEB / "vendor")

    assert "MIT License" in (vendor / "uplot-LICENSE.txt").read_text()
    assert "uPlot (v1.6.32)" in (vendor / "uplot.js").read_text()[:200]
    assert "uplot-LICENSE.txt" in {name.rpartition("/")[2] for name, _ in FILES.values()}


def luminance(colour: str) -> float:
    """Of #rrggbb, as WCAG reckons it."""
    full = colour[1:] if len(colour) == 7 else "".join(sign * 2 for sign in colour[1:])
    parts = (int(full[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_text_can_be_read_in_light_and_in_dark() -> None:
    themes = re.findall(r":root[^{]*\{(.*?)\}", (WEB / "page.css").read_text(), re.S)
    pairs = [
        (text, paper)
        for paper in ("paper", "panel")
        for text in ("ink", "soft", "faint", "accent", "bid", "ask", "good", "warn", "bad")
    ]
    pale = []
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", theme))
        for text, paper in [*pairs, ("on-accent", "accent")]:
            dark, light = sorted((luminance(colours[text]), luminance(colours[paper])))
            if (light + 0.05) / (dark + 0.05) < 4.5:
                pale.append(f"{text} {colours[text]} on {paper} {colours[paper]}")

    assert len(themes) == 2
    assert pale == []

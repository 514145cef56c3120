"""A board as HTML: a table of the newest values, and a plot as SVG. Text in, text out.

Everything that came over the wire is escaped. Colours are those of the page around it, light or dark.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Any

from gateway.client.board import Board, Row
from gateway.client.frames import DAY_NS, TIME_FIELDS

WIDTH, HEIGHT, MARGIN = 720, 220, 34
# Told apart by most people who see colours differently, on light and on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_UP, _DOWN = "color:#009e73", "color:#d55e00"
_CELL = "padding:1px 10px;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"
_NS = 10**9


def table_html(board: Board, rows_max: int) -> str:
    """The newest values, a row for each ticker; values that rose or fell have a colour and a mark."""
    columns, rows = board.table(rows_max)
    if not rows:
        return "<p>nothing yet</p>"
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in ("", *columns))
    body = "".join(_row(ticker, row, columns) for ticker, row in rows)
    more = len(board.rows) - len(rows)
    note = f"<p>and {more:,} more tickers</p>" if more > 0 else ""
    # What is wider than the page is reached by scrolling: Jupyter cuts it off.
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>{note}'


def plot_svg(board: Board) -> str:
    """The plotted value over the time of receipt; of several tickers, what it changed in percent."""
    lines = board.plotted()
    if not lines:
        return ""
    what = board.plot or ""
    if len(lines) > 1:
        # Prices of 20 and 600 on one scale would be two flat lines.
        what = f"{what}, change in %"
        lines = [(place, name, _changes(line)) for place, name, line in lines]
    points = [point for _, _, line in lines for point in line]
    values = [value for _, value in points]
    x = _scale([_seconds(sent_at) for sent_at, _ in points], MARGIN * 2, WIDTH - MARGIN)
    y = _scale(values, HEIGHT - MARGIN, MARGIN)
    end = max(x(_seconds(sent_at)) for sent_at, _ in points)
    drawn = []
    for at, (place, name, line) in enumerate(lines):
        colour = COLOURS[place % len(COLOURS)]
        corners = [(x(_seconds(sent_at)), y(value)) for sent_at, value in line]
        # Steps: a price holds until the next one.
        path = f"M{corners[0][0]:.1f} {corners[0][1]:.1f}"
        path += "".join(f"H{x2:.1f}V{y2:.1f}" for _, (x2, y2) in pairwise(corners)) + f"H{end:.1f}"
        drawn.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn.append(_label(MARGIN * 2 + at * 80, 14, "start", name, colour))
    low, high = min(values), max(values)
    for at_y, value in [(MARGIN, high)] + ([(HEIGHT - MARGIN, low)] if low != high else []):
        drawn.append(_label(MARGIN * 2 - 6, at_y + 4, "end", number(value)))
    times = [sent_at for sent_at, _ in points]
    for at_x, anchor, text in ((MARGIN * 2, "start", min(times)), (WIDTH - MARGIN, "end", max(times))):
        drawn.append(_label(at_x, HEIGHT - 10, anchor, text[11:19]))
    drawn.append(_label(WIDTH - MARGIN, 14, "end", what))
    title = escape(f"{what} of {', '.join(name for _, name, _ in lines)}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" style="max-width:{WIDTH}px;width:100%" role="img" '
        f'aria-label="{title}">{"".join(drawn)}</svg>'
    )


def _changes(line: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    first = line[0][1]
    return [(sent_at, (value / first - 1) * 100) for sent_at, value in line]


def number(value: Any) -> str:
    """A value for people: at most four decimals, thousands apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.4f}"
    return text[:-2] if text.endswith("00") else text


def _row(ticker: str, row: Row, columns: Sequence[str]) -> str:
    cells = "".join(_cell(name, row.values, row.moved) for name in columns)
    return f'<tr><th style="text-align:left" scope="row">{escape(ticker)}</th>{cells}</tr>'


def _cell(name: str, values: Mapping[str, Any], moved: Mapping[str, int]) -> str:
    if name not in values:
        return f'<td style="{_CELL}"></td>'
    value = values[name]
    text = _clock(value) if name in TIME_FIELDS and isinstance(value, int) else number(value)
    way = moved.get(name, 0)
    style = f"{_CELL};{_UP if way > 0 else _DOWN}" if way else _CELL
    mark = "▲ " if way > 0 else "▼ " if way < 0 else ""
    return f'<td style="{style}">{mark}{escape(text)}</td>'


def _clock(ns: int) -> str:
    seconds, rest = divmod(ns % DAY_NS, _NS)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest // 10**6:03}"


def _label(x: float, y: float, anchor: str, text: str, colour: str = "currentColor") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11" fill="{colour}">{escape(text)}</text>'
    )


def _scale(values: Sequence[float], begin: float, end: float) -> Any:
    low, high = min(values), max(values)
    if low == high:
        middle = (begin + end) / 2
        return lambda value: middle
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0

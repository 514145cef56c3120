"""`gateway book` against a gateway that has books, one that has quotes only, and one that has neither."""

import asyncio
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.book import Ladder, Level, drawing, views_for
from gateway.simulator.exchange import Exchange
from tests.flow.pipe import feed_settings, reader, running, settings
from tests.views.markets import add

pytestmark = pytest.mark.one_loop

BOOK = [
    add(1, "B", 100, 1_500_000),
    add(2, "B", 50, 1_500_000),
    add(3, "B", 10, 1_499_900),
    add(4, "S", 1_200, 1_500_100),
    add(5, "S", 7, 1_500_200),
    add(6, "S", 7, 1_500_300),
    add(7, "S", 9, 5_000, locate=2),
]


async def shown(folder: Path, *arguments: str, views: Sequence[str] = ("BookDepth",)) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command while a gateway holds the book."""
    async with Exchange() as exchange:
        exchange.extend(BOOK)
        configured = settings(folder, feed_settings(exchange.port, views=tuple(views)))
        async with running(configured) as gateway:
            async with reader(gateway) as each:
                await each.stream("AddOrder", resume={"seqN": 1, "src": "itch"})
                await each.until_count(len(BOOK))
            return await ran(*arguments, "--url", f"ws://127.0.0.1:{gateway.port}")


async def ran(*arguments: str) -> tuple[int, str, str]:

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import typer; from gateway.cli.book import book; typer.run(book)",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": ".", "PYTHONUTF8": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def rows(text: str) -> list[list[str]]:
    """The cells of the table that hold digits or bars, line by line."""
    lines = [line for line in text.splitlines() if "│" in line]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


async def test_the_book_is_shown_with_sizes_and_orders(tmp_path: Path) -> None:
    code, out, err = await shown(tmp_path, "AAPL", "--count", "1")

    assert (code, err) == (0, "")
    assert "AAPL  09:30:00.000  spread 0.0100" in out
    first, second, third = rows(out)
    assert (first[0], first[2], first[3]) == ("2", "150", "150.0000")
    assert (first[4], first[5], first[7]) == ("150.0100", "1,200", "1")
    assert (second[3], second[4]) == ("149.9900", "150.0200")
    assert (third[3], third[4]) == ("", "150.0300")


async def test_so_many_levels_as_asked_for_are_shown(tmp_path: Path) -> None:
    _, out, _ = await shown(tmp_path, "AAPL", "--count", "1", "--levels", "1")

    assert len(rows(out)) == 1


async def test_quotes_are_enough_for_two_levels(tmp_path: Path) -> None:
    code, out, _ = await shown(tmp_path, "AAPL", "--count", "1", views=["StockBookQuote"])

    assert code == 0
    assert [(row[0], row[3], row[4]) for row in rows(out)] == [
        ("", "150.0000", "150.0100"),
        ("", "149.9900", "150.0200"),
    ]


async def test_a_gateway_without_books_is_told_apart(tmp_path: Path) -> None:
    code, out, err = await shown(tmp_path, "AAPL", views=["StockPrint"])

    assert (code, out) == (2, "")
    assert err.startswith(
        'gateway: the gateway has no books; expected views = ["BookDepth"] at one of its feeds'
    )


async def test_a_wrong_address_is_your_input(tmp_path: Path) -> None:
    code, _, err = await ran("AAPL", "--url", "ftp://nowhere")

    assert code == 2
    assert err.startswith("gateway: ")


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        (10, ["BookDepth", "BookDepth10", "StockBookQuote"]),
        (5, ["BookDepth5", "BookDepth", "StockBookQuote"]),
    ],
)
def test_the_view_that_fits_best_is_asked_for_first(levels: int, names: list[str]) -> None:
    assert views_for(levels) == names


def text_of(ladder: Ladder) -> str:
    console = Console(width=100, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(drawing(ladder))
    return capture.get()


def test_an_empty_side_leaves_its_cells_empty() -> None:
    text = text_of(Ladder("AAPL", [Level(Decimal("1.5"), 3, 1)], [], 34_200_000_000_000, "Halted"))

    ((*_, bid, ask, _, _, _),) = rows(text)
    assert (bid, ask) == ("1.5", "")
    assert "Halted" in text
    assert "spread" not in text


def test_the_bars_are_as_long_as_the_sizes_are_large() -> None:
    bids = [Level(Decimal(2), 1200, 1), Level(Decimal(1), 600, 1)]

    first, second = rows(text_of(Ladder("AAPL", bids, [Level(Decimal(3), 1, 1)], 0)))

    assert (first[1], second[1], first[6]) == ("█" * 12, "█" * 6, "█")


def test_a_quote_without_a_second_level_has_one() -> None:
    fields: dict[str, Any] = {
        "pkey": {"ticker": {"tk": "AAPL"}},
        "marketStatus": "Open",
        "srcTimestamp": 5,
        **{f"{side}{what}{at}": 0 for side in ("bid", "ask") for what in ("Price", "Size") for at in (1, 2)},
        "bidPrice1": Decimal("9.9900"),
        "bidSize1": 4,
    }

    assert Ladder.of(fields, 10) == Ladder("AAPL", [Level(Decimal("9.9900"), 4)], [], 5, "Open")

"""`gateway book` against a gateway that has books, one that has quotes only, and one that has neither."""

import asyncio
import io
import json
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.book import Shown, nearest_depth
from gateway.cli.ladder import Ladder, Level, drawing
from gateway.client import Message
from gateway.client.notices import (
    FeedDown,
    FeedUp,
    GoodNight,
    Notice,
    Reconnected,
    Reconnecting,
    SessionChange,
    SnapshotComplete,
    Stale,
)
from gateway.simulator.exchange import Exchange
from tests.flow.pipe import feed_settings, free_port, reader, running, settings
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


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import typer; from gateway.cli.book import book; typer.run(book)",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": ".", "PYTHONUTF8": "1"},
    )


async def ran(*arguments: str) -> tuple[int, str, str]:
    process = await started(*arguments)
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
    ("levels", "there_are", "name"),
    [
        (5, "AddOrder, BookDepth, BookDepth20, StockBookQuote", "BookDepth"),
        (11, "AddOrder, BookDepth, BookDepth20, BookDepth50", "BookDepth20"),
        (50, "BookDepth5, BookDepth", "BookDepth"),
        (3, "BookDepth, BookDepth5", "BookDepth5"),
        (10, "StockBookQuote, MyBookDepth9, BookDepths", None),
    ],
)
def test_of_the_depths_there_are_the_nearest_is_asked_for(
    levels: int, there_are: str, name: str | None
) -> None:
    assert nearest_depth(levels, there_are) == name


async def test_fewer_levels_than_the_gateway_derives_are_cut_from_what_there_is(tmp_path: Path) -> None:
    code, out, _ = await shown(
        tmp_path, "AAPL", "--count", "1", "--levels", "2", views=["StockBookQuote", "BookDepth50"]
    )

    assert code == 0
    assert [(row[0], row[3], row[4]) for row in rows(out)] == [
        ("2", "150.0000", "150.0100"),
        ("1", "149.9900", "150.0200"),
    ]


async def test_a_blank_ticker_is_your_input() -> None:
    code, _, err = await ran(" ", "--url", "localhost:1")

    assert (code, err) == (2, "gateway: TICKER: is empty, expected a name such as AAPL\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "can't be read"), (b"", "is empty, expected the key"), (b"\xff", "can't be read")],
)
async def test_a_key_file_that_holds_no_key_is_your_input(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    code, _, err = await ran("AAPL", "--url", "localhost:1", "--key-file", str(file))

    assert (code, err.count("\n")) == (2, 1)
    assert f"--key-file {file}: {says}" in err


async def test_a_ticker_nobody_knows_is_told_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    async with Exchange() as exchange:
        exchange.extend(BOOK)
        configured = settings(tmp_path, feed_settings(exchange.port, views=("BookDepth",)))
        async with running(configured) as gateway:
            process = await started("nosuch", "--url", f"127.0.0.1:{gateway.port}")
            assert process.stderr is not None
            said = await asyncio.wait_for(process.stderr.readline(), 60)
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 60)

    assert said.decode() == (
        "gateway: no book of nosuch: no such ticker, or no order of it yet; tickers are written in capitals\n"
    )
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_the_book_goes_on_when_the_gateway_was_restarted(tmp_path: Path) -> None:
    port = free_port()
    async with Exchange() as exchange:
        exchange.extend(BOOK)
        configured = settings(tmp_path, feed_settings(exchange.port, views=("BookDepth",)), port=port)
        async with running(configured):
            process = await started("AAPL", "--levels", "2", "--url", f"127.0.0.1:{port}")
            assert process.stdout is not None
            assert process.stderr is not None
            await asyncio.wait_for(process.stdout.readuntil(b"149.99"), 60)
        said = await asyncio.wait_for(process.stderr.readuntil(b"no connection"), 60)
        exchange.extend([add(99, "S", 3, 1_500_050)])
        async with running(configured):
            await asyncio.wait_for(process.stdout.readuntil(b"150.0050"), 60)
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), 60)

    assert said.startswith(b"gateway: the gateway shuts down: ")
    assert process.returncode == 0
    assert b"Traceback" not in err


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


@pytest.mark.parametrize("width", [79, 90, 200])
def test_on_a_narrow_screen_prices_and_sizes_are_whole(width: int) -> None:
    console = Console(width=width, no_color=True, force_terminal=False)
    level = Level(Decimal("199999.9900"), 1_200_000, 12)
    with console.capture() as capture:
        console.print(drawing(Ladder("AAPL", [level], [level], 0), width=width))

    (row,) = rows(capture.get())
    assert [row[at] for at in (2, 3, 4, 5)] == ["1,200,000", "199999.9900", "199999.9900", "1,200,000"]


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


def on_screen(*told: Message | Notice) -> str:
    """What a terminal shows in the end."""
    screen = Shown("AAPL", 10, None, Console(file=io.StringIO()), Console(file=io.StringIO()))
    for each in told:
        screen.notice(each) if isinstance(each, Notice) else screen.message(each)
    console = Console(width=100, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(screen._drawing())
    return capture.get()


def depth(price: str, src: str = "itch") -> Message:
    fields = {
        "pkey": {"ticker": {"tk": "AAPL"}},
        "srcTimestamp": 34_200_000_000_000,
        "bids": [{"price": float(price), "size": 1, "orders": 1}],
        "asks": [],
    }
    header = {"mTyp": "BookDepth", "src": src}
    return Message(header, fields, json.dumps({"header": header, "message": fields}).encode())


DOWN = FeedDown("exchange gone", src="itch")
LOST = Reconnecting("refused", attempt=1, delay_s=2.0)


@pytest.mark.parametrize(
    ("told", "said", "not_said"),
    [
        ([], "AAPL: no book yet", "no such ticker"),
        ([SnapshotComplete()], "no such ticker, or no order of it yet", "capitals"),
        ([depth("1.5"), SnapshotComplete()], "1.5", "no such ticker"),
        ([SnapshotComplete(), depth("1.5")], "1.5", "no such ticker"),
        ([depth("1.5"), LOST], "no connection: refused", "no book"),
        # The first one that stands is not called a new one.
        ([LOST, depth("1.5")], "1.5", "no connection"),
        ([LOST, SnapshotComplete()], "no such ticker", "no connection"),
        ([depth("1.5"), GoodNight("bye")], "the gateway shuts down: bye", "no book"),
        ([depth("1.5"), LOST, Reconnected(), depth("1.6")], "1.6", "no connection"),
        # A book that has not changed meanwhile does not come again.
        ([depth("1.5"), LOST, Reconnected(), SnapshotComplete()], "1.5", "no such ticker"),
        ([depth("1.5"), DOWN], "feed itch is down: exchange gone", "no book"),
        ([depth("1.5"), DOWN, FeedUp(src="itch")], "1.5", "down"),
        ([depth("1.5"), Stale("30 s", src="itch")], "feed itch is silent: 30 s", "no book"),
        ([depth("1.5"), Stale("30 s", src="itch"), depth("1.7")], "1.7", "silent"),
        ([depth("1.5"), SessionChange(src="itch", session="S2")], "session S2 has begun", "1.5"),
    ],
)
def test_what_is_wrong_stands_below_the_book_until_it_is_over(
    told: list[Message | Notice], said: str, not_said: str
) -> None:
    text = on_screen(*told)

    assert said in text
    assert not_said not in text


def test_two_feeds_with_the_ticker_have_a_ladder_each() -> None:
    text = on_screen(depth("1.5", "itch"), depth("1.7", "bx"), depth("1.6", "itch"))

    assert text.index("bx") < text.index("1.7") < text.index("itch") < text.index("1.6")
    assert "1.5" not in text


def test_on_a_terminal_the_book_is_drawn_in_place() -> None:
    out = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    screen = Shown("AAPL", 10, None, out, Console(file=io.StringIO()))

    with screen.drawn():
        screen.notice(SnapshotComplete())
        screen.message(depth("1.5"))
    written = out.file.getvalue()  # type: ignore[attr-defined]

    assert "\x1b[" in written, "the cursor goes back"
    assert written.rstrip().rpartition("no such ticker")[2].count("1.5") == 1

"""Live tables: what they show, that they stop cleanly, and what they say when a stream ends by itself."""

import asyncio
import re
from contextlib import suppress
from itertools import pairwise

import pandas
import pytest

from gateway.client import Feed, RequestRefused, connect_sync
from gateway.client.board import LINES_MAX, POINTS_MAX, TICKERS_MAX, Board
from gateway.client.drawing import MARGIN, WIDTH, plot_svg, table_html
from gateway.client.message import Batch
from gateway.client.request import where_of
from gateway.errors import BadRequest
from gateway.mlink.where import parse_where
from tests.fakes.scripted_gateway import ScriptedGateway, until


def batch(*bodies: dict, second: int = 0) -> Batch:
    header = {"mTyp": "AddOrder", "src": "itch", "ses": "S1", "seqN": 1}
    values = [
        {"header": {**header, "sTim": f"2026-01-30 14:30:{second + at:02}.000000"}, "message": body}
        for at, body in enumerate(bodies)
    ]
    return Batch(values, [b""] * len(values))


def board_of(*bodies: dict, tickers: tuple[str, ...] = (), plot: str | None = None) -> Board:
    board = Board(tickers, plot)
    board.add(batch(*bodies))
    return board


# What is shown.


def test_a_board_has_the_newest_of_each_ticker_and_which_way_it_moved() -> None:
    board = board_of(
        {"stock": "AAPL", "price": 150.0, "shares": 5},
        {"stock": "MSFT", "price": 400.0},
        {"stock": "AAPL", "price": 151.0, "shares": 7},
        {"stock": "MSFT", "price": 399.5},
    )
    columns, rows = board.table(10)

    assert columns == ["price", "shares"]
    assert [(ticker, row.values["price"], row.moved["price"]) for ticker, row in rows] == [
        ("AAPL", 151.0, 1),
        ("MSFT", 399.5, -1),
    ]
    assert board.messages == 4


def test_tickers_stand_in_the_order_asked_for_and_no_more_than_fit() -> None:
    bodies = [{"stock": name, "price": 1.0} for name in "DCBA"]

    assert [ticker for ticker, _ in board_of(*bodies, tickers=("C", "A")).table(3)[1]] == ["C", "A", "B"]
    assert "and 2 more tickers" in table_html(board_of(*bodies), 2)


def test_the_ticker_of_a_view_is_found_in_its_key() -> None:
    board = board_of({"pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}}, "prtPrice": 2.0})

    assert list(board.rows) == ["AAPL"]
    assert board.table(1)[0] == ["prtPrice"]
    assert board.plot == "prtPrice"


def test_a_board_is_bounded_in_tickers_lines_and_points() -> None:
    board = Board()
    for at in range(TICKERS_MAX + 5):
        board.add(batch({"stock": f"T{at}", "price": 1.0}))
    for _ in range(POINTS_MAX + 5):
        board.add(batch({"stock": "T0", "price": 1.0}))

    assert len(board.rows) == TICKERS_MAX
    assert "T1" not in board.rows, "who has been silent longest goes first"
    assert len(board.lines) == LINES_MAX
    assert len(board.lines["T0"].points) <= POINTS_MAX


def test_what_came_over_the_wire_is_text_and_never_markup() -> None:
    board = board_of({"stock": "<b>", "price": 1.0}, {"stock": "<b>", "price": 2.0, "<i>": "<script>"})
    shown = table_html(board, 5) + plot_svg(board)

    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_numbers_and_times_are_shown_for_people() -> None:
    board = board_of(
        {"stock": "A", "price": 12345.5, "shares": 1000000, "timestamp": 34200_250_000_000, "ok": True}
    )
    shown = table_html(board, 5)

    for text in (">12,345.50<", ">1,000,000<", ">09:30:00.250<", ">True<"):
        assert text in shown


def test_one_line_shows_prices_and_several_show_how_they_changed() -> None:
    one = plot_svg(board_of({"stock": "A", "price": 10.0}, {"stock": "A", "price": 11.0}))
    several = plot_svg(
        board_of({"stock": "A", "price": 10.0}, {"stock": "B", "price": 1.0}, {"stock": "A", "price": 11.0})
    )

    assert ">11.00<" in one
    assert ">10.00<" in several
    assert "change in %" in several
    assert plot_svg(Board()) == ""
    assert "nothing yet" in table_html(Board(), 5)


def test_a_field_can_be_chosen_for_the_plot_and_no_price_is_no_point() -> None:
    board = board_of({"stock": "A", "price": 1.0, "shares": 5}, {"stock": "A", "shares": 0}, plot="shares")

    assert [value for _, value in board.lines["A"].points] == [5.0]


def test_a_line_shows_all_the_time_it_has_run_in_as_many_points_as_it_may_have() -> None:
    board = Board()
    for at in range(10 * POINTS_MAX):
        board.add(batch({"stock": "A", "price": at + 1.0}))
    values = [value for _, value in board.lines["A"].points]
    steps = {right - left for left, right in pairwise(values[:-1])}

    assert POINTS_MAX // 2 <= len(values) <= POINTS_MAX
    assert (values[0], values[-1]) == (1.0, 10.0 * POINTS_MAX)
    assert max(steps) <= 2 * min(steps)


def test_a_ticker_that_was_asked_for_has_its_colour_whenever_it_comes() -> None:
    prices = {"stock": "B", "price": 1.0}, {"stock": "A", "price": 1.0}
    early, late = board_of(*prices, tickers=("A", "B")), board_of(*prices[::-1], tickers=("A", "B"))

    assert [place for place, _, _ in early.plotted()] == [0, 1]
    assert [name for _, name, _ in early.plotted()] == [name for _, name, _ in late.plotted()] == ["A", "B"]
    assert early.lines.keys() == late.lines.keys()
    many = tuple(f"T{at}" for at in range(LINES_MAX + 1))
    asked = board_of(*({"stock": name, "price": 1.0} for name in reversed(many)), tickers=many)
    assert [name for _, name, _ in asked.plotted()] == list(many[:LINES_MAX])


def test_a_price_holds_to_the_end_of_the_plot_and_a_wide_table_is_scrolled() -> None:
    board = board_of({"stock": "A", "price": 1.0}, {"stock": "B", "price": 1.0}, {"stock": "B", "price": 2.0})
    paths = re.findall(r'd="([^"]*)"', plot_svg(board))

    assert {path.rpartition("H")[2] for path in paths} == {f"{WIDTH - MARGIN:.1f}"}
    assert "overflow-x:auto" in table_html(board, 5)


@pytest.mark.parametrize(
    ("tickers", "where", "filter_"),
    [
        ((), "", ""),
        ((), "price:gt:1", "price:gt:1"),
        (("AAPL", 'A"B'), "", 'ticker.tk:eq:"AAPL" | ticker.tk:eq:"A""B"'),
        (("A",), "price:gt:1|price:lt:0", '(ticker.tk:eq:"A") & (price:gt:1|price:lt:0)'),
    ],
)
def test_tickers_become_a_filter(tickers: tuple[str, ...], where: str, filter_: str) -> None:
    assert where_of(tickers, where) == filter_
    if filter_:
        parse_where(filter_)


# Following a stream.


async def test_a_table_follows_until_it_is_stopped(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.publish("AddOrder", stock="AAPL", price=1.5)
    table = feed.live("AddOrder", resume="itch/S1/1", refresh_s=0.001)
    await until(lambda: table.board.messages == 1)
    gateway.publish("AddOrder", stock="AAPL", price=2.5)
    await until(lambda: table.board.messages == 2)

    assert table.running
    assert repr(table) == "<live table: live, 2 messages>"
    await table.stop()
    await table.stop()
    assert not table.running
    assert isinstance(table.frame, pandas.DataFrame)
    assert table.frame.price.tolist() == [1.5, 2.5]
    await until(lambda: not gateway.connections)


async def test_what_is_shown_in_a_notebook_moves_and_its_button_stops_it(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="AAPL", price=1.5)
    table = feed.live("AddOrder", tickers=["AAPL"], resume="itch/S1/1", refresh_s=0.001)
    shown = table.widget
    stop, state = shown.children[0].children
    await until(lambda: "1.50" in shown.children[1].value)
    gateway.publish("AddOrder", stock="AAPL", price=2.5)
    await until(lambda: "▲ 2.50" in shown.children[1].value and "<svg" in shown.children[2].value)

    assert state.value == "live, 2 messages"
    assert gateway.requests[0]["where"] == 'ticker.tk:eq:"AAPL"'
    assert not stop.disabled
    stop.click()
    await until(lambda: stop.disabled)
    assert state.value == "stopped, 2 messages"
    assert table.widget is shown
    assert "application/vnd.jupyter.widget-view+json" in table._repr_mimebundle_()


async def test_only_the_newest_messages_are_kept(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.batch = 10
    for at in range(100):
        gateway.publish("AddOrder", stock="A", price=at + 0.5)
    table = feed.live("AddOrder", resume="itch/S1/1", keep_messages=25)
    await until(lambda: table.board.messages == 100)
    kept = table.frame.sequenceNumber.tolist()

    assert kept == list(range(101 - len(kept), 101))
    assert 25 <= len(kept) <= 35


async def test_a_stream_that_is_refused_ends_the_table_and_stop_says_why(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.refuse = lambda body: ("UnkwnMsgType", "there is no <Nothing>")
    table = feed.live("Nothing")
    state = table.widget.children[0].children[1]
    await until(lambda: "ended" in state.value)

    assert "there is no <Nothing>" in repr(table)
    assert "there is no &lt;Nothing&gt;" in state.value
    with pytest.raises(RequestRefused, match="there is no <Nothing>"):
        await table.stop()


async def test_the_end_of_the_connection_ends_its_tables(gateway: ScriptedGateway, feed: Feed) -> None:
    table = feed.live("AddOrder")
    await feed.aclose()

    assert not table.running


@pytest.mark.parametrize("options", [{"refresh_s": 0}, {"keep_messages": 0}, {"rows_shown": 0}])
async def test_limits_that_make_no_sense_are_told(feed: Feed, options: dict) -> None:
    with pytest.raises(BadRequest, match=next(iter(options))):
        feed.live("AddOrder", **options)


def test_a_script_has_the_same_table_without_async(threaded_gateway: ScriptedGateway) -> None:
    for at in range(10):
        threaded_gateway.publish("AddOrder", stock="A", price=at + 0.5)

    async def wait_for(table) -> None:
        async with asyncio.timeout(10):
            await until(lambda: table.board.messages == 10)

    with connect_sync(threaded_gateway.url) as feed:
        table = feed.live("AddOrder", resume="itch/S1/1")
        feed.run(wait_for(table))
        assert table.frame.price.tolist() == [at + 0.5 for at in range(10)]
        assert table.widget.children[0].children[0].description == "Stop"
        table.stop()
        assert not table.running
        other = feed.live("AddOrder")
    with suppress(RuntimeError):
        other.stop()
    assert not other.running
    assert len(table.frame) == 10
    assert "stopped" in repr(table)

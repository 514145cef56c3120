"""Messages look right to people on a terminal and to programs in a pipe."""

import io
import json

import pytest

from gateway.cli.output import LIVE_INTERVAL_S, LOG_INTERVAL_S, MessageLines, Progress, readable_line
from tests.cli.terminal import BrokenPipe, Terminal

ADD = (
    '{"header":{"mTyp":"AddOrder","ses":"0000000001","seqN":42},"message":{"stockLocate":13,"trackingNumber":0,'
    '"timestamp":34200000000123,"orderReferenceNumber":7,"side":"B","shares":100,"stock":"AAPL","price":150.1000}}'
)


@pytest.fixture(autouse=True)
def _terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_line_for_people_has_number_time_ticker_name_and_the_fields_that_matter() -> None:
    assert readable_line(json.loads(ADD, parse_float=str)) == (
        "       42 09:30:00.000000123 AAPL     AddOrder               "
        "orderReferenceNumber 7 side B shares 100 price 150.1000"
    )


def test_a_message_without_number_time_ticker_or_fields_is_shown_too() -> None:
    assert readable_line({"header": {"mTyp": "MLinkHeartbeat"}}).split() == ["MLinkHeartbeat"]
    assert readable_line({}).split() == ["?"]


def test_what_is_nested_or_empty_or_no_time_of_day_is_shown_as_it_is() -> None:
    line = readable_line(
        {"header": {"mTyp": "X"}, "message": {"levels": [{"bid": 1}], "text": "", "timestamp": 10**18}}
    )

    assert line.endswith('levels [{"bid": 1}] text - timestamp 1000000000000000000')


def test_in_a_pipe_messages_stay_json_lines_and_are_gathered_until_flushed() -> None:
    pipe = io.StringIO()
    lines = MessageLines(pipe)

    lines.message(ADD)
    assert pipe.getvalue() == ""
    lines.message(ADD)
    lines.flush()
    lines.flush()

    assert pipe.getvalue() == f"{ADD}\n{ADD}\n"
    assert not lines.readable


def test_many_lines_do_not_wait_for_a_flush() -> None:
    pipe = io.StringIO()
    lines = MessageLines(pipe)

    for _ in range(1_000):
        lines.message("{}")

    assert pipe.getvalue() == "{}\n" * 1_000


def test_on_a_terminal_messages_are_coloured_and_shown_at_once() -> None:
    terminal = Terminal()
    lines = MessageLines(terminal)

    lines.message(ADD)

    assert lines.readable
    assert "\x1b[1mAAPL    \x1b[0m" in terminal.getvalue()
    assert "\x1b[32mB\x1b[0m" in terminal.getvalue()
    assert "150.1000" in terminal.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_may_ask_for_no_colours(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal()

    MessageLines(terminal).message(ADD)

    assert "\x1b" not in terminal.getvalue()
    assert "side B" in terminal.getvalue()


def test_json_may_be_asked_for_on_a_terminal_and_lines_in_a_pipe() -> None:
    terminal, pipe = Terminal(), io.StringIO()

    MessageLines(terminal, as_json=True).message(ADD)
    people = MessageLines(pipe, as_json=False)
    people.message(ADD)
    people.flush()

    assert terminal.getvalue() == ADD + "\n"
    assert "AAPL     AddOrder" in pipe.getvalue()


def test_a_stranger_can_not_steer_the_terminal() -> None:
    terminal = Terminal()
    lines = MessageLines(terminal)

    lines.message(
        '{"header":{"mTyp":"\\u001b[2J"},"message":{"\\u0007":"\\u001b]0;gotcha\\u0007","stock":"\\u009b1A"}}'
    )
    lines.text("\x1b[31mtext")

    shown = terminal.getvalue()
    assert "\x1b[2J" not in shown
    assert "\x1b]0" not in shown
    assert "\x07" not in shown
    assert "\x9b" not in shown
    assert "\\x1b[31mtext" in shown


def test_a_pipe_whose_reader_has_gone_is_noticed_and_then_left_alone() -> None:
    lines = MessageLines(BrokenPipe())

    lines.message("{}")
    lines.flush()
    assert lines.closed

    lines.message("{}")
    lines.flush()


def test_progress_on_a_terminal_rewrites_one_line_and_can_be_taken_away() -> None:
    terminal = Terminal()
    progress = Progress("tail", now=10.0, stream=terminal)

    progress.show(10.0 + LIVE_INTERVAL_S / 2, 5)
    assert terminal.getvalue() == ""
    progress.show(12.0, 5_000, "two clients")
    progress.show(12.1, 6_000)
    progress.show(14.0, 15_000)
    progress.clear()
    progress.clear()

    assert terminal.getvalue().split("\r")[1:] == [
        "tail: 5,000 messages, 2,500/s, 2 s, two clients\x1b[K",
        "tail: 15,000 messages, 5,000/s, 4 s\x1b[K",
        "\x1b[K",
    ]


def test_progress_in_a_log_is_a_new_line_now_and_then() -> None:
    log = io.StringIO()
    progress = Progress("tail", now=0.0, stream=log)

    for second in range(1, 25):
        progress.show(float(second), second * 100)
    progress.clear()

    assert log.getvalue() == "tail: 1,000 messages, 100/s, 10 s\ntail: 2,000 messages, 100/s, 20 s\n"
    assert progress.interval_s == LOG_INTERVAL_S


def test_progress_is_silent_where_lines_for_people_are_shown() -> None:
    log = Terminal()

    Progress("tail", now=0.0, lines=MessageLines(Terminal()), stream=log).show(100.0, 1)
    Progress("tail", now=0.0, lines=MessageLines(io.StringIO()), stream=log).show(100.0, 1)

    assert log.getvalue().count("messages") == 1


def test_progress_survives_a_log_whose_reader_has_gone() -> None:
    progress = Progress("tail", now=0.0, stream=BrokenPipe())

    progress.show(20.0, 1)
    progress.show(40.0, 2)

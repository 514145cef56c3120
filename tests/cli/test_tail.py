"""`gateway tail` against a simulated exchange in another thread."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli.tail import tail
from gateway.errors import ConfigError, GatewayError, LoginRejected, UpstreamLost
from gateway.link import LinkClosed
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market

app = typer.Typer()
app.command()(tail)

ADD = bytes.fromhex("41 000d 0000 1f1aced9f0e6 0000000000000007 42 00000064 4141504c20202020 0016e748")
EXECUTED = bytes.fromhex("45 000d 0000 1f1aced9f0e7 0000000000000007 00000064 0000000000000009")
DIRECTORY = next(message for message in Market(["AAPL"], 1).opening() if message[:1] == b"R")


@contextmanager
def served(*messages: bytes, **settings: object) -> Iterator[Exchange]:
    """An exchange that plays `messages`, on a loop of its own in another thread."""
    with asyncio.Runner() as runner:
        exchange = Exchange(ExchangeSettings(**settings), messages)  # type: ignore[arg-type]
        ready, done = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with exchange:
                ready.set()
                await done.wait()

        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        assert ready.wait(10)
        try:
            yield exchange
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join(10)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def shown(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def failure_of(result: Result, kind: type[GatewayError]) -> str:
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


def test_a_pipe_gets_one_json_object_a_line_with_session_and_number() -> None:
    with served(ADD, end=True, session="TODAY") as exchange:
        result = run(f"127.0.0.1:{exchange.port}")

    assert result.exit_code == 0
    assert result.stdout == (
        '{"header":{"mTyp":"AddOrder","ses":"TODAY","seqN":1},"message":{"stockLocate":13,"trackingNumber":0,'
        '"timestamp":34200000000230,"orderReferenceNumber":7,"side":"B","shares":100,"stock":"AAPL","price":150.1000}}\n'
    )
    assert "joined session TODAY at 1" in result.stderr
    assert "end of session, 1 message\n" in result.stderr


def test_a_message_with_only_a_locate_code_gets_its_ticker_from_the_directory() -> None:
    executed = EXECUTED[:1] + DIRECTORY[1:3] + EXECUTED[3:]
    with served(DIRECTORY, executed, EXECUTED, end=True) as exchange:
        _, known, unknown = shown(run(f"127.0.0.1:{exchange.port}"))

    assert known["message"]["stock"] == "AAPL"
    assert "stock" not in unknown["message"]


def test_sequence_and_count_choose_which_messages_are_shown() -> None:
    with served(*[ADD] * 20) as exchange:
        result = run(
            f"127.0.0.1:{exchange.port}", "--sequence", "5", "--count", "3", "--session", "0000000001"
        )

    assert result.exit_code == 0
    assert [line["header"]["seqN"] for line in shown(result)] == [5, 6, 7]
    assert "3 messages; go on with --session 0000000001 --sequence 8\n" in result.stderr


def test_a_message_that_can_not_be_decoded_is_shown_raw_and_counted() -> None:
    with served(ADD[:-1], b"?what", b"", ADD, end=True) as exchange:
        result = run(f"127.0.0.1:{exchange.port}")

    short, unknown, empty, whole = shown(result)
    assert [line["header"]["mTyp"] for line in (short, unknown, empty)] == ["Undecodable"] * 3
    assert short["message"]["bytes"] == ADD[:-1].hex()
    assert unknown["message"] == {"problem": "no message begins with b'?'", "bytes": b"?what".hex()}
    assert whole["header"]["seqN"] == 4
    assert "3 of 4 could not be decoded" in result.stderr
    assert result.exit_code == 0


def test_raw_shows_bytes_without_decoding_them() -> None:
    with served(b"\x00\xffanything", end=True) as exchange:
        result = run(f"127.0.0.1:{exchange.port}", "--raw", "--definitions", "not even looked at")

    assert shown(result) == [{"header": {"ses": "0000000001", "seqN": 1}, "raw": "00ff616e797468696e67"}]


def test_other_definitions_may_be_named_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.xml"
    file.write_text(
        '<root><messages-root><message id="Hello" message-id="A" direction="outgoing"><fields>'
        '<field name="number" type="uint_2_be"/></fields></message></messages-root></root>'
    )
    with served(b"A\x01\x02", end=True) as exchange:
        result = run(f"127.0.0.1:{exchange.port}", "--definitions", str(file))

    assert shown(result)[0] == {
        "header": {"mTyp": "Hello", "ses": "0000000001", "seqN": 1},
        "message": {"number": 258},
    }


def test_a_rejected_login_says_why() -> None:
    with served(user="me", password="secret") as exchange:
        result = run(f"127.0.0.1:{exchange.port}", "--user", "me", "--password", "wrong")
        assert "not authorized" in failure_of(result, LoginRejected)

        result = run(f"127.0.0.1:{exchange.port}", "--user", "me", "--password", "secret", "--session", "OLD")
        assert "session not available" in failure_of(result, LoginRejected)


def test_a_line_that_is_lost_says_why_after_the_last_message() -> None:
    with served(*[ADD] * 9, faults=Faults(drop_after=4, cut_inside_packet=True)) as exchange:
        result = run(f"127.0.0.1:{exchange.port}")

    assert "in the middle of a packet" in failure_of(result, LinkClosed)
    assert len(shown(result)) == 4


def test_nobody_there_is_one_line() -> None:
    with served() as exchange:
        port = exchange.port

    assert failure_of(run(f"127.0.0.1:{port}"), UpstreamLost).startswith(f"no connection to 127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:x", "127.0.0.1:70000", "::1:9000", ":9000"])
def test_a_wrong_address_is_the_users_error(address: str) -> None:
    assert address in failure_of(run(address), ConfigError)


def test_wrong_definitions_or_login_fields_are_the_users_error() -> None:
    assert "nowhere.xml" in failure_of(run("127.0.0.1:9", "--definitions", "nowhere.xml"), ConfigError)
    assert "user" in failure_of(run("127.0.0.1:9", "--user", "SEVENCH"), ConfigError)
    assert run("127.0.0.1:9", "--count", "0").exit_code == 2
    assert run().exit_code == 2


def test_ipv6_addresses_stand_in_brackets() -> None:
    with served(ADD, host="::1") as exchange:
        result = run(f"[::1]:{exchange.port}", "--count", "1")

    assert len(shown(result)) == 1


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_came_so_far_and_exit_code_0(signal_number: signal.Signals) -> None:
    code = "import typer; from gateway.cli.tail import tail; typer.run(tail)"
    with served(ADD) as exchange:
        process = subprocess.Popen(
            [sys.executable, "-c", code, f"127.0.0.1:{exchange.port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        with process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(signal_number)
            rest, errors = process.communicate(timeout=20)

    assert json.loads(line)["header"]["seqN"] == 1
    assert rest == b""
    assert b"Traceback" not in errors
    assert errors.endswith(b"1 message; go on with --session 0000000001 --sequence 2\n")
    assert process.returncode == 0

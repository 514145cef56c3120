"""`gateway simulate` as a process, and its command line."""

import asyncio
import gzip
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.simulate import simulate
from gateway.errors import ConfigError
from gateway.link import LinkClosed, connect
from gateway.simulator.market import Market

app = typer.Typer()
app.command()(simulate)
CODE = "import typer; from gateway.cli.simulate import simulate; typer.run(simulate)"


class Simulated:
    """A running `gateway simulate`; its lines are read as they are needed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        self._stdout = process.stdout
        self.first_line = self._stdout.readline()
        found = re.match(r"listening on (.+):(\d+), session (\w+), playing (.+)\n", self.first_line)
        assert found, self.first_line
        self.host, self.port, self.session, self.what = found[1], int(found[2]), found[3], found[4]

    def ended(self) -> tuple[int, str]:
        """The exit code, and all lines that were not read yet."""
        # Not `communicate`, which knows nothing of what came together with the first line.
        rest = self._stdout.read()
        code = self.process.wait(timeout=30)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == ""
        return code, rest


@contextmanager
def simulated(*arguments: str) -> Iterator[Simulated]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Simulated(process)
        finally:
            process.kill()


def all_of(port: int, sequence: int = 1, **login: str) -> tuple[list[bytes], str]:
    """Every message until the connection ends, and why it ended."""

    async def read() -> tuple[list[bytes], str]:
        account = {"user": "me", "password": "secret", **login}
        async with connect("127.0.0.1", port, sequence=sequence, **account) as client:
            payloads: list[bytes] = []
            try:
                while True:
                    payloads.append((await client.receive()).payload)
            except LinkClosed as closed:
                return payloads, str(closed)

    return asyncio.run(read())


def test_a_market_is_served_to_its_end_and_the_process_exits() -> None:
    with simulated(
        "--tickers", "20", "--seed", "3", "--speed", "max", "--count", "3000", "--end"
    ) as exchange:
        payloads, reason = all_of(exchange.port)
        code, lines = exchange.ended()

    market = Market(20, 3, messages_per_s=2000)
    opening = market.opening()
    assert payloads == [*opening, *market.take(3_000 - len(opening))]
    assert reason.startswith("end of session")
    assert code == 0
    assert "user 'me', the current session from 1: accepted" in lines
    assert "played 3,000 messages" in lines
    assert "secret" not in lines
    assert exchange.what == "a market of 20 tickers, seed 3"


def test_files_are_played_and_a_truncated_end_is_told(tmp_path: Path) -> None:
    plain, cut = tmp_path / "plain.itch", tmp_path / "cut.itch.gz"
    plain.write_bytes(b"\x00\x03one\x00\x03two")
    cut.write_bytes(gzip.compress(b"\x00\x05three\x00\x04fo"))
    files = ("--file", str(plain), "-f", str(cut))
    with simulated(*files, "--rate", "1000", "--end", "--session", "DAY1") as exchange:
        assert exchange.session == "DAY1"
        payloads, _ = all_of(exchange.port)
        code, lines = exchange.ended()

    assert payloads == [b"one", b"two", b"three"]
    assert f"file {plain}: 2 whole messages\n" in lines
    assert (
        f"file {cut}: 1 whole message, then the file is cut short inside a message: 2 bytes of 4\n" in lines
    )
    assert code == 0


def test_a_real_file_goes_through_whole(itch_data: Path) -> None:
    path = itch_data / "aapl-20200130-10001.itch"
    with simulated("--file", str(path), "--speed", "max", "--end", "--drop-after", "4000") as exchange:
        first, lost = all_of(exchange.port)
        rest, ended = all_of(exchange.port, 4_001)
        code, lines = exchange.ended()

    assert len(first) == 4_000
    assert "TCP connection lost" in lost
    assert b"".join(len(m).to_bytes(2, "big") + m for m in [*first, *rest]) == path.read_bytes()
    assert ended.startswith("end of session")
    assert "fault: 127.0.0.1" in lines
    assert code == 0


def test_all_faults_may_be_asked_for_together() -> None:
    faults = "--drop-after 50 --cut-inside-packet --silent-after 90 --reject S --roll-session-after 400"
    faults += " --roll-silently --rewind 5 --skip 7 --garbage-after 20 --slow --repeat"
    with simulated(*faults.split()) as exchange:
        exchange.process.send_signal(signal.SIGINT)
        assert exchange.ended() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with simulated("--tickers", "5") as exchange:
        exchange.process.send_signal(number)
        assert exchange.ended() == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "nowhere"], "--listen 'nowhere': write host and port"),
        (["--listen", "127.0.0.1:70000"], "1 to 65535"),
        (["--listen", "::1:9000"], "brackets"),
        (["--file", "/no/such/file"], "/no/such/file can't be read"),
        (["--speed", "fast"], "--speed 'fast': expected a number above 0, or max"),
        (["--speed", "-1"], "--speed '-1': expected a number above 0, or max"),
        (["--speed", "nan"], "--speed 'nan': expected a number above 0, or max"),
        (["--rate", "0"], "more than 0"),
        (["--rate", "5", "--speed", "2"], "give one of them"),
        (["--session", "ELEVENCHARS"], "expected 1 to 10 letters and digits"),
        (["--end"], "a made-up market has no end"),
    ],
)
def test_a_wrong_command_line_says_what_and_nothing_is_opened(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)

    assert isinstance(result.exception, ConfigError), result.output
    assert said in str(result.exception)
    assert result.stdout == ""


def test_the_help_teaches_with_examples_and_names_every_fault() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout

    assert text.count("gateway simulate") >= 4
    faults = "--drop-after --cut-inside-packet --silent-after --reject --roll-session-after --rewind --skip"
    assert all(name in text for name in f"{faults} --garbage-after --slow".split())

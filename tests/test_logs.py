"""The log has fields, no secrets, no line per message, and counts what repeats."""

import ast
import asyncio
import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import logs
from gateway.logs import BURST, EVERY_S, Repeats, fields_of, start_log
from gateway.net.access.keys import hash_of
from gateway.settings import LogSettings
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, frame
from tests.flow.process import GatewayProcess, write_config

GATEWAY = Path(__file__).resolve().parents[1] / "gateway"
KEY, WRONG_KEY = "sgw_the-right-key-0123456789", "sgw_a-wrong-key-0123456789"
PASSWORD = "SeSaMe99"
METHODS = {"debug", "info", "warning", "error", "exception", "log"}


@pytest.fixture(autouse=True)
def _the_log_goes_where_it_went() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(format: str, *lines: tuple[Any, ...], level: str = "info") -> str:
    stream = io.StringIO()
    # What pytest has put there must not be closed by us.
    logging.getLogger().handlers.clear()
    start_log(LogSettings(level=level, format=format), stream)
    for line in lines:
        logging.getLogger("gateway.test").info(*line)
    return stream.getvalue()


def record(template: str, *args: object, at: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord("gateway.test", logging.INFO, "", 0, template, args, None)
    made.created = at
    return made


def test_words_become_fields_with_their_types() -> None:
    line = written(
        "json", ("feed=%s event=dial endpoint=%s next=%d detail='at %d of %s'", "itch", "a b=c", 7, 3, "x")
    )

    event = json.loads(line)
    assert {**event, "time": ""} == {
        "time": "",
        "level": "info",
        "logger": "gateway.test",
        "event": "dial",
        "feed": "itch",
        "endpoint": "a b=c",
        "next": 7,
        "detail": "at 3 of x",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", event["time"])


def test_a_text_that_is_no_words_is_the_event() -> None:
    assert json.loads(written("json", ("started with %d feeds", 2)))["event"] == "started with 2 feeds"


def test_hostile_text_stays_in_its_line() -> None:
    line = written("json", ("event=refused detail=%r", 'no"\n{"event":"forged"}'))

    assert line.count("\n") == 1
    assert json.loads(line)["event"] == "refused"


def test_console_is_for_people() -> None:
    line = written("console", ("feed=%s event=dial next=%d", "itch", 7))

    assert "dial" in line
    assert "feed=itch" in line
    assert "next=7" in line
    assert "{" not in line


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_key_in_any_text_is_hidden(format: str) -> None:
    part = base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("=")
    token = f"{part}.{part}.c2lnbmF0dXJl"

    text = written(format, ("event=refused detail=%r", f"path /?apiKey={KEY}"), (f"no words {token} here",))
    with pytest.raises(ValueError, match="sgw_"):
        raise ValueError(KEY)

    assert KEY not in text
    assert token not in text
    assert text.count("(secret)") == 2


def test_a_traceback_is_kept_without_its_keys() -> None:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()
    start_log(LogSettings(format="json"), stream)
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        logging.getLogger("gateway.test").exception("event=failed peer=%s", "::1")

    event = json.loads(stream.getvalue())
    assert event["level"] == "error"
    assert "ValueError: bad (secret)" in event["exception"]


def test_what_repeats_is_counted_instead_of_written() -> None:
    repeats = Repeats()

    passed = [repeats.filter(record("event=refused peer=%s", "10.0.0.1")) for _ in range(BURST + 5)]
    other = repeats.filter(record("event=refused peer=%s", "10.0.0.2"))
    later = record("event=refused peer=%s", "10.0.0.1", at=EVERY_S)

    assert passed == [True] * BURST + [False] * 5
    assert other, "another peer is no repetition"
    line = "event=connected peer=%s holder=%s"
    desks = [repeats.filter(record(line, "10.0.0.3", f"key:{at}")) for at in range(2 * BURST)]
    assert all(desks), "nor is another key behind the same proxy"
    assert repeats.filter(later)
    assert later.left_out == 5  # type: ignore[attr-defined]
    assert not repeats.filter(record("event=refused peer=%s", "10.0.0.1", at=EVERY_S))


def test_peers_without_end_take_no_memory_without_end() -> None:
    repeats = Repeats()

    for at in range(3 * logs.REMEMBERED_MAX):
        assert repeats.filter(record("event=refused peer=%s", f"peer {at}"))

    assert len(repeats._seen) == logs.REMEMBERED_MAX


def log_calls() -> Iterator[tuple[str, str]]:
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.func.attr in METHODS
            ):
                texts = [each for each in node.args if isinstance(each, ast.Constant)]
                text = texts[0].value if texts else "not a text that stands there"
                yield f"{path.relative_to(GATEWAY)}:{node.lineno}", str(text)


CALLS = dict(log_calls())


@pytest.mark.parametrize("at", CALLS)
def test_every_line_of_ours_is_made_of_words_and_names_its_event(at: str) -> None:
    places = len(re.findall(r"%[-.\d]*[a-z]", CALLS[at]))

    fields = fields_of(CALLS[at], (1,) * places)
    assert fields is not None, CALLS[at]
    assert "event" in fields
    assert not {"time", "level", "logger", "left_out"} & fields.keys(), "these are the line's own"


@pytest.mark.one_loop
async def test_a_whole_flow_tells_the_life_of_its_links_and_no_secret(tmp_path: Path) -> None:
    market = Market(10, seed=5)
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nid = "desk"\nname = "desk"\nsha256 = "{hash_of(KEY)}"\ncreated = 2026-01-01T00:00:00Z\n'
    )
    (tmp_path / "password").write_text(PASSWORD)
    lines: list[str] = []
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange(ExchangeSettings(user="me", password=PASSWORD)))
        config = write_config(
            tmp_path,
            exchange.port,
            more=f'user = "me"\npassword_file = "{tmp_path / "password"}"\n',
            server="query_key_allowed = true\n",
        )
        text = config.read_text().replace("open_access = true", "")
        config.write_text(text + '[log]\nlevel = "debug"\nformat = "json"\n[keys]\nfile = "keys.toml"\n')
        gateway = GatewayProcess(config)
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        assert gateway.process.stderr is not None
        reading = asyncio.create_task(_read_all(gateway.process.stderr, lines))
        url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"

        for wrong in ({"Authorization": f"Bearer {WRONG_KEY}"}, {"Origin": "https://elsewhere.example"}):
            with pytest.raises(InvalidStatus):
                await connect(url, additional_headers=wrong)
        with pytest.raises(InvalidStatus):
            await connect(f"{url}?apiKey={WRONG_KEY}")
        async with connect(f"{url}?apiKey={KEY}"):
            pass
        async with connect(url) as by_message:
            await by_message.send(frame("MLinkLogon", userName="me", password=WRONG_KEY, apiKey=WRONG_KEY))
            await by_message.send(frame("MLinkLogon", apiKey=KEY))
            await by_message.send(f'{{"broken {KEY}')
            with suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        await by_message.recv()
        async with connect(url) as late:
            await late.send(frame("MLinkLogon", apiKey=KEY))
            await Reader(late).until_control("MLinkAdmin", state="LoggedOn")
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
            reader = Reader(socket)
            await reader.stream("*", resume={"seqN": 1})
            exchange.extend(market.take(100))
            await reader.until_count(100)
            async with asyncio.timeout(10):
                while sum('"disconnected"' in line for line in lines) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            before = len(lines)
            exchange.extend(market.take(10_000))
            await reader.until_count(10_100)
            during = len(lines) - before
        gateway.process.terminate()
        await gateway.process.wait()
        await reading

    said = "".join(lines)
    for secret in (KEY, WRONG_KEY, PASSWORD, hash_of(KEY), "(secret)"):
        assert secret not in said, "not even hidden: it is not logged in the first place"
    events = [json.loads(line) for line in lines]
    assert during == 0, "10,000 messages, and not a line about them"
    names = [event["event"] for event in events]
    assert names[-1] == "stopped", "the end of a log says whether somebody wanted it"
    assert next(event for event in events if event["event"] == "stopping")["signal"] == "SIGTERM"
    assert {"dial", "up", "refused", "key-refused", "connected", "logged-on", "disconnected"} <= set(names)
    refused = [event["detail"] for event in events if event["event"] == "refused"]
    assert "this key or token is not good: unknown key" in refused, "whoever tried it is not told why"
    for event in events:
        if event["event"] in ("connected", "logged-on", "disconnected", "key-refused"):
            assert event["peer"] == "127.0.0.1"
    life = {name: event for event in events if (name := event["event"]) in ("logged-on", "disconnected")}
    assert life["logged-on"]["holder"] == "key:desk", "who logged on by message has a name from then on"
    by_number = {event["subscriber"]: event for event in events if event["event"] == "disconnected"}
    assert by_number[life["logged-on"]["subscriber"]]["holder"] == "key:desk"
    up = next(event for event in events if event["event"] == "up")
    assert (up["feed"], up["session"]) == ("itch", "0000000001")
    gone = [event for event in events if event["event"] == "disconnected"]
    assert {(event["peer"], event["reason"]) for event in gone} >= {("127.0.0.1", "left")}


async def _read_all(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode())

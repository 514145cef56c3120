"""The page on the client: its examples run, and what it names is there."""

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.client import Options, notices
from gateway.client.arguments import BoardOptions, StreamOptions, TableOptions
from gateway.client.notices import Notice
from tests.fakes.scripted_gateway import ScriptedGateway

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

KNOWN = {"AddOrder", "Trade"}


def refuse_unknown(body: dict) -> tuple[str, str] | None:
    names = body["msgName"] if isinstance(body["msgName"], list) else [body["msgName"]]
    unknown = [name for name in names if name not in KNOWN]
    return ("UnkwnMsgType", f"there is no {unknown[0]}") if unknown else None


@pytest.fixture
def demo(threaded_gateway: ScriptedGateway) -> Iterator[ScriptedGateway]:
    """A gateway as the page supposes it: a day that has begun, and goes on."""
    gateway = threaded_gateway
    gateway.refuse = refuse_unknown
    gateway.roll("0000000001")

    def publish() -> None:
        number = len(gateway.feeds["itch"][-1][1])
        gateway.publish("AddOrder", stock="ABCD"[number % 4], shares=100 + number, price=1.5)

    for _ in range(400):
        publish()

    async def market() -> None:
        while True:
            publish()
            await asyncio.sleep(0.002)

    future = asyncio.run_coroutine_threadsafe(market(), gateway.loop)
    yield gateway
    future.cancel()


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(number) for number in range(1, len(EXAMPLES) + 1)])
def test_an_example_of_the_page_runs_as_it_stands(
    demo: ScriptedGateway, example: str, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.replace("ws://localhost:8765", demo.url))

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_page_names_every_option_limit_and_notice() -> None:
    kinds = [name for name, kind in inspect.getmembers(notices, inspect.isclass) if issubclass(kind, Notice)]
    options = (StreamOptions, TableOptions, BoardOptions)
    taken = [name for each in options for name in each.__annotations__]
    for name in {*Options.__slots__, *taken, *kinds} - {
        "Notice",
        "url",
        "key",
        "label",
    }:
        assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PAGE), f"docs/client.md does not name {name}"

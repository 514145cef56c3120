"""The JavaScript client under Node: its own tests, chaos against a running gateway, and its package."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.player import by_rate
from gateway.stripes import StripeTable
from tests.flow.pipe import feed_settings, running, settings

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
PAGE = (DOCS / "javascript.md").read_text()
WS = HERE.parent / "node" / "node_modules" / "ws" / "wrapper.mjs"
STRIPES = HERE.parents[1] / "config" / "stripes.toml"
WEB = HERE.parents[1] / "gateway" / "web"
# Each session is larger than what fifty cuts let through at once.
SESSIONS = [9_000, 4_000, 6_000]
WAIT_S = 100.0


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have node: make system")
        pytest.skip("NODE NOT TESTED: run `make system`")
    return found


async def run(node: str, *tests: str, **environment: str) -> str:
    """Run test files; what they say, when all pass."""
    process = await asyncio.create_subprocess_exec(
        node,
        # In Node 20 it is there, but not by default; from 22 on it is.
        "--experimental-websocket",
        "--test",
        # A test that failed has left its feed open, and that would keep the process.
        "--test-force-exit",
        *(str(HERE / test) for test in tests),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", ""), **environment},
        # The files run in processes of their own, which have to end with this one.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(WAIT_S):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 0, said
    return said


@pytest.mark.one_loop
async def test_frames_streams_and_their_endings(node: str) -> None:
    said = await run(node, "frames.test.mjs", "stream.test.mjs", "stripes.test.mjs")

    assert re.search(r"fail 0\b", said)
    assert int(re.search(r"pass (\d+)", said)[1]) > 30


async def until_there(gateway: Gateway, session: str, next_seq: int) -> None:
    """Wait until the gateway has the whole session: who ends one before it was seen has no such session."""
    async with asyncio.timeout(WAIT_S):
        # The feed tells nobody how far it is; asked now and then, it says so.
        while ((health := gateway.feeds["itch"].health).session, health.next_seq) != (session, next_seq):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def stripes_of(tickers: Iterable[str]) -> dict[str, list[str]]:
    """What MLink's own striped client opens, each with those of these tickers that it has."""
    table = StripeTable.load(STRIPES)
    return {
        name: [ticker for ticker in tickers if table.stripe_of(ticker) in table.members(name)]
        for name in "ABCDEFGHMSX"
    }


def some(market: Market, size: int) -> list[bytes]:
    """So many messages of a market, each fiftieth of no ticker: those are of every stripe."""
    event = market.opening()[0]
    return [event if at % 50 == 0 else message for at, message in enumerate(market.take(size))]


@pytest.mark.one_loop
@pytest.mark.parametrize("package", ["", "ws"], ids=["WebSocket of Node", "WebSocket of ws"])
async def test_fifty_cuts_against_a_running_gateway(node: str, tmp_path: Path, package: str) -> None:
    market = Market(50, seed=3)
    stripes = stripes_of(market.tickers)
    environment = {"SESSIONS": json.dumps(SESSIONS), "STRIPES": json.dumps(stripes)}
    if package:
        environment["WS"] = str(WS)
        if not WS.is_file():
            if os.environ.get("CI"):
                pytest.fail("CI must have node and its packages: make node")
            pytest.skip("WS NOT TESTED: run `make node`")
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
    ):
        exchange.extend(some(market, SESSIONS[0] // 2))
        await until_there(gateway, exchange.session.name, SESSIONS[0] // 2 + 1)
        reading = asyncio.create_task(
            run(node, "chaos.test.mjs", GATEWAY_PORT=str(gateway.port), **environment)
        )
        for at, size in enumerate(SESSIONS, 1):
            if at > 1:
                exchange.roll()
            for _ in range(0, size // 2 if at == 1 else size, 500):
                exchange.extend(some(market, 500))
                # While the client reads, and while it is cut.
                await asyncio.sleep(0.01)
            await until_there(gateway, exchange.session.name, size + 1)
        await reading


@pytest.mark.one_loop
async def test_the_examples_of_the_pages_run_as_they_stand(node: str, tmp_path: Path) -> None:
    texts = [PAGE, (DOCS / "subscribers.md").read_text(), (WEB / "README.md").read_text()]
    examples = [example for text in texts for example in re.findall(r"```js\n(.*?)```", text, re.DOTALL)]
    market = Market(["AAPL", "AMZN", "SPY"], seed=4, messages_per_s=1_000.0)
    async with Exchange(messages=market.messages(), pace=by_rate(1_000.0)) as exchange:
        exchange.extend(market.opening())
        async with running(settings(tmp_path, feed_settings(exchange.port))) as gateway:
            while gateway.feeds["itch"].health.next_seq < 2_000:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.01)
            scripts = [tmp_path / f"example{number}.test.mjs" for number in range(len(examples))]
            for script, example in zip(scripts, examples, strict=True):
                script.write_text(
                    re.sub(
                        r'"soup-gateway-client"|"./client.mjs"', json.dumps(str(WEB / "client.js")), example
                    ).replace("ws://localhost:8765", f"ws://127.0.0.1:{gateway.port}")
                )
            await run(node, *map(str, scripts))

    assert len(examples) >= 7


def test_the_page_names_every_notice_option_and_error() -> None:
    types = (WEB / "client.d.ts").read_text()
    kinds = re.findall(r'"(\w+)"', " ".join(re.findall(r"kind: ([^;]*);", types)))
    options = re.findall(r"^  (\w+)\?: ", types, re.M)
    errors = re.findall(r"^export class (\w+) extends GatewayError", types, re.M)
    headers = {"src", "ses", "seqN", "sTim", "encT", "unsequenced", "result", "detail", "session"}

    assert len(kinds) > 10
    assert [name for name in [*kinds, *options, *errors] if name not in headers and name not in PAGE] == []


def test_types_and_package_name_what_the_module_exports() -> None:
    script, types = (WEB / "client.js").read_text(), (WEB / "client.d.ts").read_text()
    exported = set(re.findall(r"^export (?:class|function\*?|const) (\w+)", script, re.M))
    declared = set(re.findall(r"^export (?:class|function|const) (\w+)", types, re.M))
    package = json.loads((WEB / "package.json").read_text())

    assert exported == declared
    assert package["files"] == ["client.js", "client.d.ts"]
    assert all((WEB / name).is_file() for name in package["files"])
    assert "dependencies" not in package
    assert not re.search(r"^import ", script, re.M), "one module, without dependencies"


def test_every_option_of_the_client_is_typed() -> None:
    script, types = (WEB / "client.js").read_text(), (WEB / "client.d.ts").read_text()
    of_feed = set(
        re.findall(r"^  (\w+): ", re.search(r"const OPTIONS = \{(.*?)\n\};", script, re.S)[1], re.M)
    )
    of_stream = set(
        re.findall(r'"(\w+)"', re.search(r"const STREAM_OPTIONS = new Set\(\[(.*?)\]\)", script, re.S)[1])
    )

    for interface, names in (("FeedOptions", of_feed), ("StreamOptions", of_stream)):
        body = re.search(rf"export interface {interface} \{{(.*?)\n\}}", types, re.S)[1]
        assert set(re.findall(r"^  (\w+)\?:", body, re.M)) == names

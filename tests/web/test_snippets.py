"""What the page gives to take away runs as it is pasted: in a shell, in Node, in a page of another site."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.net.http import WEB
from tests.web.market import KEY, a_market, write_key
from tests.web.page import chromium, needs_chromium, until

pytestmark = pytest.mark.one_loop
BIN = Path(__file__).resolve().parents[1] / "node" / "node_modules" / ".bin"
LINES = 5
WAIT_S = 40.0
PLAIN = {"names": ["AddOrder"], "stripes": [], "where": "", "view": "", "resume": "", "delivery": ""}
# Whatever has to be escaped somewhere.
FULL = {
    "names": ["AddOrder", "Trade"],
    "stripes": ["A", "M"],
    "where": """shares:ge:1 & stock:ne:"O'NEIL $HOME `x` ${y} %s é" & stock:ne:\\n\\""",
    "view": "stock|price",
    "resume": "//1",
    "delivery": "every",
}


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None or not (BIN / "wscat").exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have node and its packages: make system node")
        pytest.skip("SNIPPETS NOT RUN: run `make system node`")
    return found


def snippets(node: str, url: str, request: dict[str, object], *, key: bool = False) -> dict[str, str]:
    """What the page at `url` shows for a request, by language."""
    given = json.dumps([url.replace("http", "ws").rstrip("/"), url.rstrip("/"), request, key])
    script = f"""import {{ python, javascript, wscat }} from {json.dumps(str(WEB / "page" / "snippets.js"))};
        const [stream, page, request, key] = {given};
        console.log(JSON.stringify({{ python: python(stream, request, key),
            javascript: javascript(stream, page, request, key), wscat: wscat(stream, request, key) }}));"""
    command = [node, "--input-type=module", "--eval", script]
    codes: dict[str, str] = json.loads(subprocess.check_output(command, text=True, timeout=WAIT_S))
    return {language: code.replace("YOUR-KEY", KEY) for language, code in codes.items()}


async def messages(*command: str, cwd: Path) -> list[str]:
    """The first messages that a program says; it goes on for ever, so it is ended then."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        # Open, as a terminal is: wscat ends with it.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '')}", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        limit=1 << 20,
    )
    all_said, found = [], []
    try:
        async with asyncio.timeout(WAIT_S):
            while len(found) < LINES and (line := (await process.stdout.readline()).decode()):
                all_said.append(line)
                if line.startswith("AddOrder ") or '"mTyp":"AddOrder"' in line:
                    found.append(line)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert len(found) == LINES, "".join(all_said)
    return found


@pytest.mark.parametrize(("request_", "has_key"), [(PLAIN, False), (FULL, True)], ids=["plain", "full"])
async def test_each_runs_as_it_stands(
    node: str, tmp_path: Path, request_: dict[str, object], has_key: bool
) -> None:
    write_key(tmp_path)
    async with a_market(tmp_path, open_access=not has_key) as (_, url):
        codes = await asyncio.to_thread(snippets, node, url, request_, key=has_key)
        client = await asyncio.to_thread(urllib.request.urlopen, f"{url}client.js")
        (tmp_path / "client.mjs").write_bytes(client.read())
        (tmp_path / "stream.mjs").write_text(codes["javascript"])
        in_python = await messages(sys.executable, "-c", codes["python"], cwd=tmp_path)
        in_node = await messages(node, "--experimental-websocket", "stream.mjs", cwd=tmp_path)
        in_shell = await messages("sh", "-c", codes["wscat"], cwd=tmp_path)

    assert f"curl -o client.mjs {url}client.js" in codes["javascript"]
    assert len(in_python) == len(in_node) == len(in_shell) == LINES
    if request_ is FULL:
        assert set(json.loads(in_shell[0])["message"]) == {"stock", "price"}


class Quiet(SimpleHTTPRequestHandler):
    """Another site, on this machine."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@needs_chromium
async def test_javascript_runs_in_a_page_of_another_site_that_may_connect(node: str, tmp_path: Path) -> None:
    (site := tmp_path / "site").mkdir()
    (site / "index.html").write_text(
        '<link rel="icon" href="data:,"><script type="module" src="page.js"></script>'
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        try:
            async with a_market(tmp_path, allowed_origins=(origin,)) as (_, url), chromium() as browser:
                code = (await asyncio.to_thread(snippets, node, url, FULL))["javascript"]
                (site / "page.js").write_text(code.replace("console.log(", "(window.got ??= []).push("))
                page = await browser.open(origin)
                await until(page, "window.got?.length > 10")
                name = await page.evaluate("window.got[0]")
        finally:
            server.shutdown()

    assert name in ("AddOrder", "Trade")
    assert browser.errors == []

"""The one port before a WebSocket stands: hosts, methods, plain answers, slow readers of them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.hub import Hub, HubLimits
from gateway.net import http
from gateway.net.access import Authority, KeyRing
from gateway.net.health import Health
from gateway.net.http import is_own_host
from gateway.net.notices import notice_text
from gateway.net.server import Server
from gateway.settings import ServerSettings
from gateway.stripes import StripeTable
from tests.fakes.raw_subscriber import TEXT, RawSubscriber, frame, raw_subscriber, upgrade
from tests.flow.pipe import frame as request

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def serving(**values: Any) -> AsyncIterator[Server]:
    """A server without feeds."""
    given = {"port": 0, "open_access": True, "close_timeout_s": 1.0, **values}
    hub = Hub(HubLimits(), asyncio.get_running_loop().call_soon, lambda: 0, notice_text)
    server = Server(
        ServerSettings(**given),
        hub,
        StripeTable.load(ROOT / "config" / "stripes.toml"),
        Authority(KeyRing(Path("keys.toml"), ()), open_access=True),
        lambda: Health((), {}),
        lambda: b"",
    )
    async with server:
        yield server


async def asked(server: Server, request: bytes, host: str = "127.0.0.1") -> tuple[int, RawSubscriber, bytes]:
    async with raw_subscriber(server.port, host) as client:
        await client.send(request)
        status = await client.status()
        return status, client, await client.body()


def get(path: str, host: str = "localhost", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST:8765", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8765", True),
        ("127.1.2.3:1", True),
        ("[::1]", True),
        ("[::1]:8765", True),
        ("", False),
        ("evil.example", False),
        ("evil.example:8765", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost", False),
        ("localhost:8765@evil.example", False),
        ("localhost:", False),
        ("::1", False),
        ("[::2]", False),
        ("10.0.0.1:8765", False),
    ],
)
def test_a_host_is_our_own_only_if_it_names_this_machine(host: str, is_own: bool) -> None:
    assert is_own_host(host) is is_own


@pytest.mark.parametrize("path", ["/", "/mlink/jsonf", "/readyz", "/rest/json?cmd=getmsgtypes"])
async def test_a_page_that_has_its_name_resolve_to_this_machine_reaches_nothing(path: str) -> None:
    async with serving() as server:
        status, _, body = await asked(server, upgrade(path, host=f"rebound.example:{server.port}"))

    assert status == 403
    assert b"rebound.example" in body


async def test_an_address_of_ipv6_is_served_and_guarded_too() -> None:
    try:
        async with serving(host="::1") as server:
            own, _, _ = await asked(server, upgrade("/readyz", host=f"[::1]:{server.port}"), "::1")
            foreign, _, _ = await asked(server, upgrade("/readyz", host="rebound.example"), "::1")
    except ConfigError as exc:
        pytest.skip(f"no IPv6 here: {exc}")

    assert (own, foreign) == (200, 403)


async def test_other_hosts_are_served_where_the_server_is_not_of_this_machine_alone() -> None:
    async with serving(host="0.0.0.0") as server:
        status, _, _ = await asked(server, get("/readyz", "gateway.example"))

    assert status == 200


async def test_head_gets_the_same_headers_and_no_body() -> None:
    async with serving() as server:
        status, whole, body = await asked(server, get("/readyz"))
        head_status, head, nothing = await asked(server, get("/readyz", method="HEAD"))

    assert (status, head_status) == (200, 200)
    assert head.headers == whole.headers
    assert int(head.headers["content-length"]) == len(body) > 0
    assert nothing == b""


@pytest.mark.parametrize(
    "sent",
    [
        get("/readyz", method="POST"),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        get("/", method="OPTIONS"),
        get("/", method="get"),
        get("/", method="GETS"),
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_other_methods_are_405_even_with_a_body(sent: bytes) -> None:
    async with serving() as server:
        status, client, body = await asked(server, sent)

    assert status == 405
    assert client.headers["allow"] == "GET, HEAD"
    assert body == b"only GET and HEAD are taken here\n"


async def test_a_method_cut_into_bytes_is_still_seen() -> None:
    async with serving() as server, raw_subscriber(server.port) as client:
        for at in range(5):
            await client.send(b"HEAL "[at : at + 1])
            await asyncio.sleep(0.01)
        status = await client.status()

    assert status == 405


async def test_get_without_upgrade_on_the_path_of_streams_is_told_what_to_do() -> None:
    async with serving() as server:
        status, client, _ = await asked(server, get("/mlink/jsonf"))

    assert status == 426
    assert client.headers["upgrade"] == "websocket"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nbroken\r\n\r\n"]
)
async def test_what_is_no_http_is_hung_up_on(sent: bytes) -> None:
    async with serving() as server, raw_subscriber(server.port) as client:
        await client.send(sent)

        assert await client.gone()


async def test_bytes_behind_a_request_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        for rest in (b"\xff" * 1_000, get("/readyz"), b"\x82\xff" + b"\xff" * 12):
            async with raw_subscriber(server.port) as client:
                await client.send(get("/readyz") + rest)
                await client.gone()
        status, _, _ = await asked(server, get("/readyz"))

    assert status == 200
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_large_answer_reaches_a_slow_reader_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # More than socket buffers hold on both sides.
    large = bytes(range(256)) * (32 << 12)

    async with serving(close_timeout_s=0.3) as server:
        monkeypatch.setattr(
            server._admission._pages, "answer", lambda *_, **__: http.respond(http.HTTPStatus.OK, large)
        )
        async with raw_subscriber(server.port) as client:
            await client.send(get("/"))
            status = await client.status()
            received = b""
            # It pauses for longer than any close may take.
            for pause_s in (0.5, 0.5, 0.0):
                await asyncio.sleep(pause_s)
                received += await client.reader.read(1 << 20)
            received += await client.body()

    assert status == 200
    assert received == large


async def test_an_answer_that_nobody_reads_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answer_timeout_s=0.3) as server:
        monkeypatch.setattr(
            server._admission._pages,
            "answer",
            lambda *_, **__: http.respond(http.HTTPStatus.OK, bytes(32 << 20)),
        )
        async with raw_subscriber(server.port) as client:
            await client.send(get("/"))
            await asyncio.sleep(0.5)
            received = await client.body()

    assert len(received) < 32 << 20


async def test_one_who_never_closes_after_the_answer_is_cut() -> None:
    async with serving(close_timeout_s=0.2) as server, raw_subscriber(server.port) as client:
        await client.send(get("/readyz"))
        await client.status()
        assert await client.gone()


async def test_answers_that_wait_for_slow_readers_are_bounded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = bytes(24 << 20)
    async with serving() as server:
        monkeypatch.setattr(
            server._admission._pages, "answer", lambda *_, **__: http.respond(http.HTTPStatus.OK, large)
        )
        async with (
            raw_subscriber(server.port) as one,
            raw_subscriber(server.port) as two,
            raw_subscriber(server.port) as three,
        ):
            statuses = []
            for each in (one, two, three):
                await each.send(get("/"))
                statuses.append(await each.status())
            for each in (one, two):
                assert len(await each.body()) == len(large)
        after, _, _ = await asked(server, get("/"))

    assert statuses == [200, 200, 503]
    assert after == 200


@pytest.mark.parametrize("bug", [KeyError("a bug"), ZeroDivisionError("a bug")], ids=["lookup", "other"])
async def test_a_bug_behind_a_path_is_ours_and_not_kept_to_itself(
    bug: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def buggy(*_: object, **__: object) -> http.Response:
        raise bug

    async with serving() as server:
        with monkeypatch.context() as patched:
            patched.setattr(server._admission._pages, "answer", buggy)
            status, _, body = await asked(server, get("/readyz"))
        after, _, _ = await asked(server, get("/readyz"))

    assert (status, after) == (500, 200)
    assert b"bug" not in body
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert told.getMessage().startswith("event=request-failed peer=127.0.0.1")
    assert told.exc_info is not None
    assert told.exc_info[1] is bug


@pytest.mark.parametrize("path", ["//[", "//[/mlink/jsonf", "//[::1/rest/json?cmd=getmsgtypes"])
async def test_a_path_that_is_none_is_a_bad_request(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        status, _, body = await asked(server, get(path))

    assert (status, body) == (400, b"this is no path\n")
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_who_does_not_read_the_answers_has_few_requests_taken() -> None:
    """They are as large as may be, and each of a thousand subscribers may do so."""
    refused = request("MLinkStream", msgName="x" * 60_000).encode()
    async with (
        serving(requests_per_second=10_000, requests_burst=100_000, write_buffer_high_bytes=65_536) as server,
        raw_subscriber(server.port, receive_buffer_bytes=4_096) as silent,
    ):
        assert await silent.upgraded() == 101
        sending = asyncio.create_task(send_for_ever(silent, frame(TEXT, refused)))
        (connection,) = server.subscribers
        async with asyncio.timeout(20):
            while connection.writable or not connection.recv_messages.paused:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        held = sum(len(each.data) for each in connection.recv_messages.frames.queue)
        sending.cancel()

    assert held < 6 * 64 << 10


async def send_for_ever(subscriber: RawSubscriber, data: bytes) -> None:
    while True:
        await subscriber.send(data)
        await asyncio.sleep(0)

"""Rows 31 to 43 of the list of faults: what strangers do, while another subscriber notices nothing."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.app import Gateway
from gateway.mlink.close_codes import CloseCode
from gateway.net.access.keys import hash_of
from gateway.settings import JwtSettings, KeysSettings, ServerSettings
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawSubscriber,
    frame,
    raw_subscriber,
    upgrade,
)
from tests.flow.pipe import ROOT, feed_settings, reader, running, settings
from tests.flow.pipe import frame as request

KEY, OTHER_KEY = "sgw_the-key-of-a-desk", "sgw_another"
SECRET = b"0123456789abcdef0123456789abcdef"
BATCH = 100


def write_keys(folder: Path, **more: str) -> None:
    """Two keys; `more` are lines of the first."""
    entries = []
    for id, key, lines in (("desk", KEY, more), ("other", OTHER_KEY, {})):
        own = "".join(f"{name} = {value}\n" for name, value in lines.items())
        entries.append(
            f'[[keys]]\nid = "{id}"\nname = "{id}"\nsha256 = "{hash_of(key)}"\n'
            f"created = 2026-01-01T00:00:00Z\n{own}"
        )
    # As one step: the gateway must never read half of it.
    (folder / "keys.new").write_text("\n".join(entries))
    (folder / "keys.new").rename(folder / "keys.toml")


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def token(**claims: Any) -> str:
    whole = {"sub": "anna", "aud": "desk", "exp": time.time() + 60, **claims}
    return jwt.encode(whole, SECRET, algorithm="HS256")


@asynccontextmanager
async def watched(folder: Path, **server: Any) -> AsyncIterator[Gateway]:
    """A gateway with another subscriber on it, who must get every message before, while and after."""
    market, count = Market(10, seed=4), 2 * BATCH
    (folder / "secret").write_bytes(SECRET)
    keyed = not server.get("open_access", True)
    async with Exchange() as exchange:
        configured = settings(folder, feed_settings(exchange.port), **server).model_copy(
            update={
                "keys": KeysSettings(file=str(folder / "keys.toml"), reload_s=0.1),
                "jwt": JwtSettings(
                    algorithms=("HS256",), secret_file=str(folder / "secret"), audience="desk", leeway_s=0
                ),
            }
        )
        headers = bearer(OTHER_KEY) if keyed else {}
        async with running(configured) as gateway, reader(gateway, additional_headers=headers) as neighbour:
            await neighbour.stream("*")
            await neighbour.until_control("MLinkStreamCheckPt", state="Complete")
            exchange.extend(market.take(BATCH))
            await neighbour.until_count(BATCH)

            async def go_on() -> None:
                nonlocal count
                while True:
                    exchange.extend(market.take(5))
                    count += 5
                    await asyncio.sleep(0.02)

            going_on = asyncio.create_task(go_on())
            try:
                yield gateway
            finally:
                going_on.cancel()
            exchange.extend(market.take(BATCH))
            await neighbour.until_count(count)

    assert neighbour.numbers == list(range(1, count + 1))
    assert not [each for each in neighbour.control if "event" in each["message"]]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://desk.example", 101),
        ("http://localhost", 101),
        ("https://desk.example.evil.example", 403),
        ("https://evildesk.example", 403),
        ("http://evil-localhost", 403),
        ("http://localhost.evil.example", 403),
        ("http://desk.example", 403),
        ("https://desk.example:444", 403),
        ("null", 403),
        ("", 403),
    ],
)
@pytest.mark.one_loop
async def test_row_31_origin_missing_wrong_or_a_suffix_of_a_right_one(
    tmp_path: Path, origin: str | None, status: int
) -> None:
    async with (
        watched(tmp_path, allowed_origins=("https://desk.example",)) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        answer = await stranger.upgraded(headers={} if origin is None else {"Origin": origin})

    assert answer == status


@pytest.mark.parametrize("again", ["Origin", "Host", "Authorization"])
@pytest.mark.one_loop
async def test_row_31_a_header_that_stands_twice_is_a_bad_request(tmp_path: Path, again: str) -> None:
    doubled = upgrade(headers={"Origin": "http://localhost", **bearer(KEY)})
    doubled = doubled.replace(b"\r\n\r\n", f"\r\n{again}: http://localhost\r\n\r\n".encode())
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        await stranger.send(doubled)
        answer = await stranger.status()

    assert answer == 400


async def test_row_32_a_wrong_key_is_401(tmp_path: Path) -> None:
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as stranger,
        raw_subscriber(gateway.port) as holder,
    ):
        refused = await stranger.upgraded(headers=bearer("sgw_a-guess"))
        admitted = await holder.upgraded(headers=bearer(KEY))

    assert (refused, admitted) == (401, 101)


async def test_row_32_a_key_revoked_while_connected_closes_the_connection(tmp_path: Path) -> None:
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as holder,
    ):
        assert await holder.upgraded(headers=bearer(KEY)) == 101
        await holder.until(b"LoggedOn")
        write_keys(tmp_path, revoked="2026-02-01T00:00:00Z")
        code, reason = await holder.closed()

    assert code == CloseCode.KEY_REVOKED
    assert "revoked" in reason


async def test_row_32_what_a_first_key_began_ends_when_another_key_logs_on(tmp_path: Path) -> None:
    """Only the last key is looked at from then on: the first may be revoked, or have seen more."""
    write_keys(tmp_path)
    market = Market(10, seed=4)
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), open_access=False, heartbeat_s=0.1)
        async with (
            running(configured) as gateway,
            reader(gateway, additional_headers=bearer(KEY)) as holder,
        ):
            await holder.stream("AddOrder", queryID=1)
            await holder.until_control("MLinkStreamCheckPt", state="Complete")
            items = [{"msgName": "StockDirectory", "msgPKey": "AAPL"}]
            await holder.ask("MLinkSubscribe", subscribeID=2, activeLatency=1, Subscribe=items)
            await holder.until_control("MLinkSubscribeCheckPt", state="Active")
            await holder.ask("MLinkLogon", apiKey=KEY)
            await holder.ask("MLinkStream", msgName="Trade", queryID=3)
            await holder.until_control("MLinkStreamCheckPt", state="Complete", queryID=3)
            same = [each["message"].get("state") for each in holder.control]
            await holder.ask("MLinkLogon", apiKey=OTHER_KEY)
            streams = [await holder.until_control("MLinkStreamCheckPt", state="Terminated", queryID=1)]
            streams.append(await holder.until_control("MLinkStreamCheckPt", state="Terminated", queryID=3))
            subscription = await holder.until_control("MLinkSubscribeCheckPt", state="Terminated")
            exchange.extend([*market.opening(), *market.take(200)])
            await holder.stream("SystemEvent", queryID=4, resume={"seqN": 1})
            await holder.until_count(3)

    assert "Terminated" not in same, "the same key again changes nothing"
    assert [each["queryID"] for each in streams] == [1, 3]
    assert subscription["subscribeID"] == 2
    assert {each["header"]["mTyp"] for each in holder.data} == {"SystemEvent"}


async def test_row_32_a_key_that_may_see_less_than_before_closes_the_connection(tmp_path: Path) -> None:
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as holder,
    ):
        assert await holder.upgraded(headers=bearer(KEY)) == 101
        await holder.until(b"LoggedOn")
        write_keys(tmp_path, messages='["StockDirectory"]')
        code, reason = await holder.closed()

    assert code == CloseCode.KEY_REVOKED
    assert "has changed" in reason


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(lambda: token(exp=time.time() - 1), id="expired"),
        pytest.param(lambda: token(aud="others"), id="audience"),
        pytest.param(
            lambda: jwt.encode({"sub": "a", "aud": "desk", "exp": time.time() + 60}, "", algorithm="none"),
            id="alg-none",
        ),
        pytest.param(lambda: token()[:-4] + "AAAA", id="signature"),
        pytest.param(lambda: "..", id="empty"),
    ],
)
@pytest.mark.one_loop
async def test_row_33_a_bad_token_is_401(tmp_path: Path, credential: Any) -> None:
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        answer = await stranger.upgraded(headers=bearer(credential()))

    assert answer == 401


async def test_row_33_a_token_that_expires_while_connected_closes_the_connection(tmp_path: Path) -> None:
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as holder,
    ):
        assert await holder.upgraded(headers=bearer(token(exp=time.time() + 1))) == 101
        await holder.until(b"LoggedOn")
        code, _ = await holder.closed()

    assert code == CloseCode.KEY_EXPIRED


@pytest.mark.parametrize(("allowed", "status"), [(False, 401), (True, 101)])
async def test_row_34_a_key_in_the_address_is_refused_unless_allowed_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, allowed: bool, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    write_keys(tmp_path)
    async with (
        watched(tmp_path, open_access=False, query_key_allowed=allowed) as gateway,
        raw_subscriber(gateway.port) as holder,
        raw_subscriber(gateway.port) as guesser,
    ):
        answer = await holder.upgraded(f"/mlink/jsonf?APIKEY={KEY}")
        guess = await guesser.upgraded("/mlink/jsonf?apiKey=sgw_a-guess", bearer("sgw_a-guess"))
        body = await guesser.body()

    assert (answer, guess) == (status, 401)
    # All but the neighbour's own client, which is not ours.
    told = [each.getMessage() for each in caplog.records if not each.name.startswith("websockets.client")]
    for secret in (KEY, OTHER_KEY, "sgw_a-guess"):
        assert not [each for each in told if secret in each]
        assert secret.encode() not in body
    assert any("event=connected" in each for each in told)


async def test_row_35_a_compressed_frame_that_was_not_agreed_on_is_1002(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, compression=False) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        assert await stranger.upgraded(headers={"Sec-WebSocket-Extensions": "permessage-deflate"}) == 101
        assert "sec-websocket-extensions" not in stranger.headers
        await stranger.send(frame(BINARY, b"\x00" * 100, rsv=0b100))
        code, _ = await stranger.closed()

    assert code == CloseCode.PROTOCOL


async def test_row_35_a_compressed_bomb_is_1009_and_memory_stays_flat(tmp_path: Path) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    # 64 MB of blanks in 64 KB; inflated it would be a thousand times what is allowed.
    bomb = compressor.compress(b" " * (64 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    async with (
        watched(tmp_path, compression=True) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        assert await stranger.upgraded(headers={"Sec-WebSocket-Extensions": "permessage-deflate"}) == 101
        await stranger.until(b"LoggedOn")
        sent = frame(TEXT, bomb[:-4], rsv=0b100)
        tracemalloc.start()
        try:
            await stranger.send(sent)
            code, _ = await stranger.closed()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert len(bomb) < 65_536
    assert code == CloseCode.TOO_BIG
    assert peak < 4 << 20


@pytest.mark.parametrize("sent", [b"", b"GE", upgrade()[:-2], b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100])
async def test_row_36_a_slow_handshake_is_cut(tmp_path: Path, sent: bytes) -> None:
    async with (
        watched(tmp_path, handshake_timeout_s=0.3) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        await stranger.send(sent)
        assert await stranger.gone()


def test_row_36_a_handshake_has_ten_seconds() -> None:
    assert ServerSettings().handshake_timeout_s == 10


DESCRIPTORS = """
import asyncio, json, resource, sys
from pathlib import Path
import uvloop
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings

async def main():
    market = Market(10, seed=4)
    async with Exchange() as exchange:
        configured = settings(Path(sys.argv[1]), feed_settings(exchange.port))
        async with running(configured) as gateway, reader(gateway) as neighbour:
            await neighbour.stream("*")
            await neighbour.until_control("MLinkStreamCheckPt", state="Complete")
            print(gateway.port, flush=True)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, sys.stdin.readline)
            exchange.extend(market.take(100))
            await neighbour.until_count(100)
            print(json.dumps(neighbour.numbers), flush=True)
            await loop.run_in_executor(None, sys.stdin.readline)

resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
with asyncio.Runner(loop_factory={"asyncio": None, "uvloop": uvloop.new_event_loop}[sys.argv[2]]) as runner:
    runner.run(main())
"""


@pytest.mark.one_loop
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_row_37_no_file_descriptors_left(tmp_path: Path, loop: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DESCRIPTORS, str(tmp_path), loop),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        port = int(await process.stdout.readline())
        async with AsyncExitStack() as crowd:
            for _ in range(100):
                await crowd.enter_async_context(raw_subscriber(port))
            process.stdin.write(b"\n")
            numbers = json.loads(await process.stdout.readline())
        # The crowd has gone: whoever comes now is served again, at once or after the pause.
        while True:
            async with raw_subscriber(port) as late:
                try:
                    status = await late.upgraded()
                    break
                except (asyncio.IncompleteReadError, OSError):
                    await asyncio.sleep(0.05)
        process.stdin.write(b"\n")
        code = await process.wait()

    assert numbers == list(range(1, 101))
    assert status == 101
    assert code == 0


async def test_row_38_connections_of_an_address_are_limited(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, connections_max=10, connections_per_address_max=3) as gateway,
        raw_subscriber(gateway.port) as one,
        raw_subscriber(gateway.port) as two,
        raw_subscriber(gateway.port) as three,
    ):
        # The neighbour is the first of the address.
        admitted = [await one.upgraded(), await two.upgraded()]
        refused = await three.upgraded()
        for each in (two, three):
            each.writer.transport.abort()
        after = 429
        async with asyncio.timeout(10):
            while after == 429:
                # The gateway sees a moment later that they have gone.
                await asyncio.sleep(0.05)
                async with raw_subscriber(gateway.port) as four:
                    after = await four.upgraded()

    assert admitted == [101, 101]
    assert refused == 429
    assert after == 101


@pytest.mark.one_loop
async def test_row_38_connections_that_say_nothing_count_too_and_are_cut_unheard(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, connections_max=10, connections_per_address_max=2) as gateway,
        AsyncExitStack() as crowd,
    ):
        silent = [await crowd.enter_async_context(raw_subscriber(gateway.port)) for _ in range(30)]
        assert await silent[-1].gone()
        refused = await silent[1].upgraded()

    assert refused == 429


async def test_row_38_subscribers_are_limited(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, connections_max=2, connections_per_address_max=2) as gateway,
        raw_subscriber(gateway.port) as one,
    ):
        assert await one.upgraded() == 101
        # Plain HTTP takes no subscriber's place, but one of the address.
        async with raw_subscriber(gateway.port) as two:
            assert await two.upgraded() == 429


async def beating(subscriber: RawSubscriber) -> None:
    """Answer pings, as every WebSocket library does by itself."""
    while True:
        first, payload = await subscriber.frame()
        if first == 0x80 | PING:
            await subscriber.send(frame(PONG, payload))


async def test_row_38_over_the_limit_of_a_key_a_ghost_gives_way_and_nobody_who_is_alive(
    tmp_path: Path,
) -> None:
    write_keys(tmp_path, connections_max="2")
    async with (
        watched(tmp_path, open_access=False, ghost_timeout_s=0.3) as gateway,
        raw_subscriber(gateway.port) as alive,
        raw_subscriber(gateway.port) as ghost,
        raw_subscriber(gateway.port) as newcomer,
        raw_subscriber(gateway.port) as one_more,
        raw_subscriber(gateway.port) as by_message,
    ):
        assert await alive.upgraded(headers=bearer(KEY)) == 101
        assert await ghost.upgraded(headers=bearer(KEY)) == 101
        async with asyncio.TaskGroup() as tasks:
            beats = [tasks.create_task(beating(alive))]
            admitted = await newcomer.upgraded(headers=bearer(KEY))
            beats.append(tasks.create_task(beating(newcomer)))
            refused = await one_more.upgraded(headers=bearer(KEY))
            assert await by_message.upgraded() == 101
            await by_message.send(frame(TEXT, request("MLinkLogon", apiKey=KEY).encode()))
            code_by_message, _ = await by_message.closed()
            code, reason = await ghost.closed()
            for beat in beats:
                beat.cancel()

    assert (admitted, refused) == (101, 429)
    assert code == CloseCode.GHOST
    assert "pings" in reason
    assert code_by_message == CloseCode.TOO_MANY_CONNECTIONS


async def test_row_38_a_place_is_free_as_soon_as_its_holder_is_gone(tmp_path: Path) -> None:
    write_keys(tmp_path, connections_max="1")
    answers = []
    async with watched(tmp_path, open_access=False, ghost_timeout_s=20) as gateway:
        for _ in range(5):
            async with raw_subscriber(gateway.port) as holder:
                answers.append(await holder.upgraded(headers=bearer(KEY)))
                await holder.send(frame(CLOSE))
                await holder.closed()
                # Its end of the line is still open when the next one comes.
                async with raw_subscriber(gateway.port) as next_one:
                    answers.append(await next_one.upgraded(headers=bearer(KEY)))

    assert answers == [101] * 10


async def test_row_38_another_key_by_message_gives_the_place_of_the_first_back(tmp_path: Path) -> None:
    write_keys(tmp_path, connections_max="1")
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as one,
        raw_subscriber(gateway.port) as two,
    ):
        assert await one.upgraded(headers=bearer(KEY)) == 101
        await one.until(b"LoggedOn")
        await one.send(frame(TEXT, request("MLinkLogon", apiKey=OTHER_KEY).encode()))
        await one.until(b"LoggedOn")
        after = await two.upgraded(headers=bearer(KEY))

    assert after == 101


async def enter(holder: RawSubscriber, by_message: bool) -> None:
    """With the key in the handshake, or in a message behind it."""
    assert await holder.upgraded(headers={} if by_message else bearer(KEY)) == 101
    if by_message:
        await holder.send(frame(TEXT, request("MLinkLogon", apiKey=KEY).encode()))
    await holder.until(b"LoggedOn")


@pytest.mark.parametrize("by_message", [False, True])
async def test_row_38_streams_of_a_key_are_limited(tmp_path: Path, by_message: bool) -> None:
    write_keys(tmp_path, streams_max="2")
    async with (
        watched(tmp_path, open_access=False) as gateway,
        raw_subscriber(gateway.port) as holder,
    ):
        await enter(holder, by_message)
        acks = []
        for query in (1, 2, 3):
            asked = request("MLinkStream", msgName="AddOrder", queryID=query)
            await holder.send(frame(TEXT, asked.encode()))
            acks.append(json.loads((await holder.until(b"MLinkStreamAck"))[14:])["message"])

    assert [each["result"] for each in acks] == ["OK", "OK", "Error"]
    assert acks[2]["detail"].startswith("2 streams run on this connection, no more are allowed")


@pytest.mark.parametrize("by_message", [False, True])
async def test_row_38_requests_a_second_of_a_key_are_limited(tmp_path: Path, by_message: bool) -> None:
    write_keys(tmp_path, requests_per_second="1")
    asked = frame(TEXT, request("MLinkStream", msgName="nothing").encode())
    async with (
        watched(tmp_path, open_access=False, requests_per_second=10, requests_burst=20) as gateway,
        raw_subscriber(gateway.port) as holder,
    ):
        await enter(holder, by_message)
        await holder.send(asked * 40)
        code, reason = await holder.closed()

    assert code == CloseCode.FLOOD
    assert reason == "too many requests: 1 a second are allowed"


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_row_39_a_flood_of_pings_is_1008(tmp_path: Path, opcode: int) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        assert await stranger.upgraded() == 101
        await stranger.send(frame(opcode, b"x" * 100) * 5_000)
        code, reason = await stranger.closed()

    assert code == CloseCode.FLOOD
    assert "20 pings" in reason


async def test_row_39_a_flood_of_pings_from_who_never_reads_is_cut(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, close_timeout_s=0.3) as gateway,
        raw_subscriber(gateway.port) as stranger,
    ):
        assert await stranger.upgraded() == 101
        flood = frame(PING, b"x" * 100) * 1_000
        while not stranger.writer.is_closing():
            await stranger.send(flood)
            await asyncio.sleep(0)


async def test_row_39_a_flood_of_requests_is_1008(tmp_path: Path) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        assert await stranger.upgraded() == 101
        await stranger.send(frame(TEXT, request("MLinkStream", msgName="nothing").encode()) * 500)
        code, reason = await stranger.closed()

    assert code == CloseCode.FLOOD
    assert "a second" in reason


@pytest.mark.one_loop
async def test_row_39_whoever_floods_while_it_is_sent_checkpoints_harms_nobody_of_its_group(
    tmp_path: Path,
) -> None:
    leaked: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: leaked.append(context))
    asked = frame(TEXT, request("MLinkStream", msgName="*", activeLatency=1, coverage=True).encode())
    market, count = Market(10, seed=4), 0
    async with Exchange() as exchange:
        configured = settings(tmp_path, feed_settings(exchange.port), requests_burst=20)
        async with running(configured) as gateway, reader(gateway) as neighbour:
            await neighbour.stream("*")
            await neighbour.until_control("MLinkStreamCheckPt", state="Complete")
            for _ in range(10):
                async with raw_subscriber(gateway.port) as stranger:
                    assert await stranger.upgraded() == 101
                    await stranger.send(asked)
                    await stranger.until(b"Complete")
                    await stranger.send(frame(TEXT, b"{") * 30)
                    code = 0
                    while not code:
                        # It is cut at some moment between these.
                        exchange.extend(market.take(5))
                        count += 5
                        first, payload = await stranger.frame()
                        if first == 0x80 | CLOSE:
                            code = int.from_bytes(payload[:2], "big")
                    assert code == CloseCode.FLOOD
            await neighbour.until_count(count)

    assert leaked == []
    assert neighbour.numbers == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(frame(TEXT, b"{}", mask=None), 1002, id="unmasked"),
        pytest.param(frame(TEXT, b"{}", rsv=0b100), 1002, id="RSV1"),
        pytest.param(frame(TEXT, b"{}", rsv=0b001), 1002, id="RSV3"),
        pytest.param(frame(0x3, b"{}"), 1002, id="opcode"),
        pytest.param(frame(CONTINUATION, b"{}"), 1002, id="continues-nothing"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002, id="begins-within"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="long-ping"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="cut-ping"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half-a-close-code"),
        pytest.param(frame(CLOSE, (1005).to_bytes(2, "big")), 1002, id="close-code"),
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="UTF-8"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="UTF-8-in-close"),
        pytest.param(b"\x82\xff" + b"\xff" * 8 + b"\0" * 4, 1009, id="length"),
        pytest.param(frame(BINARY, b"x" * 65_537), 1009, id="too-long"),
    ],
)
@pytest.mark.one_loop
async def test_row_40_a_broken_protocol_ends_with_its_code(tmp_path: Path, sent: bytes, code: int) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        assert await stranger.upgraded() == 101
        await stranger.send(sent)
        found, _ = await stranger.closed()

    assert found == code


STREAM = '{"header":{"mTyp":"MLinkStream"},"message":{"msgName":"AddOrder",%s}}'


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("[" * 30_000, id="open"),
        pytest.param('{"a":' * 5_000 + "1" + "}" * 5_000, id="deep"),
        pytest.param(STREAM % '"queryID":1e308', id="1e308"),
        pytest.param(STREAM % '"queryID":1e400', id="1e400"),
        pytest.param(STREAM % f'"queryID":{"9" * 400}', id="400-digits"),
        pytest.param(STREAM % '"activeLatency":-1e308', id="negative"),
        pytest.param(STREAM % f'"where":"stockLocate:eq:{"9" * 5_000}"', id="digits-in-where"),
        pytest.param(STREAM % f'"where":"{"(" * 20_000}"', id="deep-where"),
        pytest.param(STREAM.replace("AddOrder", "Add\\u0000Order") % '"queryID":1', id="NUL"),
        pytest.param(STREAM % '"where":"stock:eq:\\u0000|price:gt"', id="NUL-in-where"),
        pytest.param("\0" * 100, id="bare-NUL"),
        pytest.param('{"header":{"mTyp":"MLinkStream"},"message":{"msgName":"\\ud800"}}', id="surrogate"),
    ],
)
@pytest.mark.one_loop
async def test_row_41_hostile_json_gets_an_error_ack(tmp_path: Path, sent: str) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        assert await stranger.upgraded() == 101
        await stranger.send(frame(TEXT, sent.encode()))
        ack = json.loads((await stranger.until(b"Ack"))[14:])
        await stranger.send(frame(TEXT, request("MLinkStream", msgName="AddOrder", queryID=7).encode()))
        after = json.loads((await stranger.until(b'"queryID":7'))[14:])

    assert ack["message"]["result"] not in ("", "OK")
    assert ack["message"]["detail"]
    assert after["header"]["mTyp"] == "MLinkStreamAck"
    assert after["message"].get("result", "OK") == "OK"


@pytest.mark.parametrize("piece", [b"x", b""])
async def test_row_42_a_message_in_endless_fragments_is_1009(tmp_path: Path, piece: bytes) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        assert await stranger.upgraded() == 101
        await stranger.send(frame(BINARY, b"x", fin=False))
        sending = asyncio.create_task(stranger.send(frame(CONTINUATION, piece, fin=False) * 1_000_000))
        code, _ = await stranger.closed()
        sending.cancel()

    assert code == CloseCode.TOO_BIG


@pytest.mark.parametrize(
    "path",
    [
        "/../config/keys.toml",
        "/..%2fconfig/keys.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/./client.js/../../net/server.py",
        "/client.js/",
        "/client.js%00",
        "/CLIENT.JS",
        "\\..\\config\\keys.toml",
        "/web/index.html",
        "/mlink",
        "/mlink/jsonf/",
        "/mlink/../mlink/jsonf",
        "http://localhost/secret",
        "*",
    ],
)
@pytest.mark.one_loop
async def test_row_43_path_tricks_are_404(tmp_path: Path, path: str) -> None:
    async with watched(tmp_path) as gateway, raw_subscriber(gateway.port) as stranger:
        answer = await stranger.upgraded(path)
        body = await stranger.body()

    assert answer == 404
    assert body.startswith(b"nothing here")


@pytest.mark.one_loop
async def test_row_39_who_never_reads_the_answers_is_not_asked_for_more(tmp_path: Path) -> None:
    # Within the rate, but each answer is larger than its request.
    unmetered = {"requests_per_second": 10_000, "requests_burst": 100_000}
    items = [{"msgName": "x" * 20, "msgPKey": "y"}] * 500
    asked = frame(TEXT, request("MLinkSubscribe", Subscribe=items).encode())
    high = 65_536
    async with (
        watched(
            tmp_path, write_buffer_high_bytes=high, write_buffer_low_bytes=high // 4, **unmetered
        ) as gateway,
        raw_subscriber(gateway.port) as greedy,
    ):
        before = set(gateway._server.subscribers)
        assert await greedy.upgraded() == 101
        await greedy.until(b"LoggedOn")
        (connection,) = set(gateway._server.subscribers) - before
        sending = asyncio.create_task(greedy.send(asked * 1_000))
        done, _ = await asyncio.wait([sending], timeout=3)
        backlog = connection.backlog()
        sending.cancel()

    assert not done, "it is held up by what it does not read"
    assert backlog < 4 * high

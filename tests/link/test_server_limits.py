"""Clients that are silent, broken, slow, too many or gone: dropped with a reason, and nobody else waits."""

import asyncio
import logging

import pytest

from gateway.link import (
    Closed,
    CloseReason,
    Connection,
    Reject,
    ServedSession,
    SoupServer,
    connect,
)
from gateway.link.server import Answer
from gateway.soup import LoginRequested
from tests.link.talking import ACCEPTED, LOGIN, Counting, Ends, filled, read_to_end, talking


async def test_after_the_end_of_session_a_client_that_does_not_close_is_closed() -> None:
    served = filled(0)
    async with SoupServer(served, close_timeout_s=0.05) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        served.end()

        assert await read_to_end(reader) == b"\x00\x01Z"


async def test_a_client_that_does_not_log_in_is_dropped() -> None:
    ends = Ends()
    async with (
        SoupServer(filled(), login_timeout_s=0.05, on_close=ends) as server,
        talking(server) as (reader, writer),
    ):
        writer.write(b"\x00\x03+hi")

        assert await read_to_end(reader) == b""
        assert await ends.first() == Closed(CloseReason.LOGIN_TIMEOUT, "no login within 0.05 s")


async def test_a_silent_client_is_dropped_and_until_then_gets_heartbeats() -> None:
    ends = Ends()
    async with (
        SoupServer(filled(0), heartbeat_s=0.02, silence_s=0.3, on_close=ends) as server,
        talking(server) as (reader, writer),
    ):
        writer.write(LOGIN)
        data = await read_to_end(reader)

        assert data.startswith(ACCEPTED + b"\x00\x01H\x00\x01H\x00\x01H")
        assert await ends.first() == Closed(CloseReason.HEARTBEAT_LOST, "nothing received for 0.3 s")


async def test_a_4_10_client_is_silent_for_as_long_as_it_asked() -> None:
    ends = Ends()
    async with SoupServer(filled(0), on_close=ends) as server, talking(server) as (reader, writer):
        writer.write(b"\x00\x34" + LOGIN[2:] + b"00100")
        await read_to_end(reader)

        assert await ends.first() == Closed(CloseReason.HEARTBEAT_LOST, "nothing received for 0.1 s")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x00\x00", "packet of length 0 has no type byte"),
        (LOGIN + b"\x00\x02Sx", "packet 'S' while STREAMING"),
        (b"GET / HTTP/1.1\r\n\r\n" + b"x" * 0x4745, "unknown packet type b'T'"),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_dropped_with_a_reason(
    data: bytes, complaint: str
) -> None:
    ends = Ends()
    async with SoupServer(filled(), on_close=ends) as server, talking(server) as (reader, writer):
        writer.write(data)
        await read_to_end(reader)

        assert await ends.first() == Closed(CloseReason.BROKEN_PACKET, complaint)


async def test_a_client_that_does_not_read_makes_nobody_else_wait() -> None:
    served = ServedSession("TODAY01")
    async with Counting(served) as server, talking(server) as (reader, writer):
        host, port = server.addresses[0]
        writer.transport.pause_reading()
        writer.write(LOGIN)
        async with connect(host, port, user="me", password="pw") as client:
            await server.logins(2)
            served.extend(b"x" * 1000 for _ in range(20_000))
            served.end()
            count = 0
            async for _ in client:
                count += 1

            assert count == 20_000
            assert served.backlog > 0
            assert all(connection.waiting_bytes < 1_000_000 for connection in server.connections)
        writer.transport.resume_reading()
        data = await reader.readexactly(len(ACCEPTED) + 20_000 * 1003 + 3)
        assert data.endswith(b"x\x00\x01Z")


async def test_a_client_that_never_reads_is_dropped() -> None:
    served, ends = ServedSession("TODAY01"), Ends()
    served.extend(b"x" * 1000 for _ in range(20_000))
    async with (
        SoupServer(served, stall_timeout_s=0.05, on_close=ends) as server,
        talking(server) as (_, writer),
    ):
        writer.transport.pause_reading()
        writer.write(LOGIN)

        assert await ends.first() == Closed(CloseReason.STALLED, "nothing read for 0.05 s")
        assert served.followers == 0


async def test_a_client_that_closes_its_side_and_does_not_read_is_not_waited_for() -> None:
    served, ends = ServedSession("TODAY01"), Ends()
    served.extend(b"x" * 1000 for _ in range(20_000))
    async with (
        SoupServer(served, close_timeout_s=0.05, on_close=ends) as server,
        talking(server) as (_, writer),
    ):
        writer.transport.pause_reading()
        writer.write(LOGIN)
        writer.write_eof()

        assert await ends.first() == Closed(CloseReason.TCP_LOST, "closed by the other side")


async def test_a_client_that_falls_behind_the_history_is_dropped() -> None:
    served, ends = ServedSession("TODAY01", history_bytes_max=1_000_000), Ends()
    async with SoupServer(served, on_close=ends) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        writer.transport.pause_reading()
        for _ in range(1000):
            served.extend([b"x" * 1000] * 100)
            await asyncio.sleep(0)
        writer.transport.resume_reading()
        await read_to_end(reader)
        closed = await ends.first()

    assert closed.reason is CloseReason.STALLED
    assert "is no longer held, the oldest is" in closed.detail


async def test_a_client_that_leaves_before_the_decision_is_forgotten() -> None:
    asked, ends = asyncio.Event(), Ends()

    async def on_login(connection: Connection, request: LoginRequested) -> Answer:
        asked.set()
        await ends.first()
        raise AssertionError("unreachable: the task is cancelled when the connection goes")

    async with SoupServer(on_login=on_login, on_close=ends) as server:
        async with talking(server) as (_, writer):
            writer.write(LOGIN)
            await asked.wait()
        assert await ends.first() == Closed(CloseReason.TCP_LOST, "closed by the other side")
        assert not server.connections


async def test_a_decision_is_given_up_when_its_client_leaves() -> None:
    asked, ended = asyncio.Event(), []

    async def on_login(connection: Connection, request: LoginRequested) -> Answer:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(connection.end)
            raise
        return Reject("A")

    async with SoupServer(on_login=on_login) as server:
        async with talking(server) as (_, writer):
            writer.write(LOGIN)
            await asked.wait()
            (connection,) = server.connections
        await connection.settled()

        assert ended == [Closed(CloseReason.TCP_LOST, "closed by the other side")]


async def test_a_producer_can_wait_until_everybody_has_been_handed_everything() -> None:
    served = filled(0)
    async with SoupServer(served) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        for _ in range(100):
            served.extend([b"x" * 1000] * 100)
            reading = asyncio.ensure_future(reader.readexactly(100_300))
            await served.caught_up()
            assert served.backlog == 0
            await reading


@pytest.mark.parametrize("later", [False, True])
async def test_a_callback_that_fails_costs_its_own_connection_only(
    later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy(SoupServer):
        def on_unsequenced(self, connection: Connection, payload: bytes) -> None:
            raise KeyError("no such order")

        def on_login(self, connection: Connection, request: LoginRequested) -> Answer:
            if request.user == "bad":
                raise KeyError("no such user")
            return super().on_login(connection, request)  # type: ignore[return-value]

    ends = Ends()
    served = filled()
    async with Buggy(served, on_close=ends) as server:
        host, port = await server.listen()
        async with connect(host, port, user="me", password="pw") as healthy:
            with caplog.at_level(logging.ERROR):
                async with talking(server) as (reader, writer):
                    if later:
                        writer.write(LOGIN + b"\x00\x02Ux")
                    else:
                        writer.write(LOGIN.replace(b"me ", b"bad"))
                    await read_to_end(reader)
            served.end()

            assert [message.sequence_number async for message in healthy] == [1, 2, 3]
    assert ends.all[0].reason is CloseReason.ABORTED
    assert "KeyError" in ends.all[0].detail
    assert "a SoupServer callback failed" in caplog.text


async def test_above_the_limit_a_new_connection_is_closed_at_once() -> None:
    ends, joined = Ends(), []
    server = SoupServer(filled(), connections_max=1, on_close=ends, on_connect=joined.append)
    async with server, talking(server) as (first_reader, first_writer):
        first_writer.write(LOGIN)
        await first_reader.readexactly(len(ACCEPTED))
        async with talking(server) as (reader, _):
            assert await read_to_end(reader) == b""

        assert await ends.first() == Closed(CloseReason.ABORTED, "1 connections is the limit")
        assert len(joined) == len(server.connections) == 1

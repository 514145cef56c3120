"""The client library against our server: every way a connection can end, and what is told of it."""

import asyncio
import re
import socket

import pytest

from gateway.errors import ConfigError, LoginRejected, UpstreamLost
from gateway.link import (
    Accept,
    Closed,
    CloseReason,
    Connection,
    LinkClosed,
    Message,
    ServedSession,
    SoupClient,
    SoupServer,
    connect,
)
from gateway.link.client import Connecting
from gateway.soup import LoginRequested
from tests.link.talking import dialling, filled, listening, until_closed


async def test_leaving_the_block_logs_out() -> None:
    ends = []
    server = SoupServer(filled(), on_close=lambda connection, closed: ends.append(closed.reason))
    async with await listening(server):
        async with dialling(server) as client:
            pass

        assert client.closed == Closed(CloseReason.LOGOUT)
        assert ends == [CloseReason.LOGOUT]


async def test_after_a_logout_the_loop_over_messages_ends() -> None:
    async with await listening(SoupServer(filled())) as server, dialling(server) as client:
        assert (await client.receive()).sequence_number == 1
        client.logout()

        assert [message.sequence_number async for message in client] == [2, 3]
        assert client.closed == Closed(CloseReason.LOGOUT)
        with pytest.raises(LinkClosed, match="logout"):
            await client.receive()
        with pytest.raises(LinkClosed, match="logout"):
            client.send_unsequenced(b"late")


async def test_rejected_a() -> None:
    async with await listening(SoupServer(filled(), accounts={"me": "other"})) as server:
        with pytest.raises(LoginRejected, match="not authorized") as raised:
            await dialling(server)

    assert raised.value.reason == "A"


@pytest.mark.parametrize(("session", "sequence"), [("TODAY01", 5), ("OTHER", 1), ("", 5)])
async def test_rejected_s(session: str, sequence: int) -> None:
    async with await listening(SoupServer(filled())) as server:
        with pytest.raises(LoginRejected, match="session not available") as raised:
            await dialling(server, session=session, sequence=sequence)

    assert raised.value.reason == "S"


async def test_an_ended_session_can_t_be_joined_again() -> None:
    served = filled()
    served.end()
    async with await listening(SoupServer(served)) as server:
        with pytest.raises(LoginRejected, match="session not available"):
            await dialling(server)


async def test_a_login_that_is_never_answered_times_out() -> None:
    async def never(connection: Connection, request: LoginRequested) -> Accept:
        await connection.gone()
        raise AssertionError("unreachable: the task is cancelled when the connection goes")

    async with await listening(SoupServer(on_login=never)) as server:
        with pytest.raises(LinkClosed, match=r"login timeout: login not answered within 0\.05 s") as raised:
            await dialling(server, login_timeout_s=0.05)

    assert raised.value.closed.reason is CloseReason.LOGIN_TIMEOUT


async def test_a_connection_that_ends_before_the_answer_says_so() -> None:
    server = SoupServer(on_connect=lambda connection: connection.abort())
    async with await listening(server):
        with pytest.raises(
            LinkClosed, match=r"TCP connection lost: .*before the login was answered"
        ) as raised:
            await dialling(server)

    assert raised.value.closed.reason is CloseReason.TCP_LOST


async def test_a_silent_server_is_given_up_and_its_last_messages_come_first() -> None:
    async with (
        await listening(SoupServer(filled(2))) as server,
        dialling(server, silence_s=0.1, heartbeat_s=0.02) as client,
    ):
        (connection,) = server.connections
        connection.heartbeats = False
        messages, closed = await until_closed(client)

    assert re.search(r"heartbeat lost: nothing received for 0\.1 s", closed)
    assert messages == [Message(1, b"m1"), Message(2, b"m2")]
    assert client.closed is not None
    assert client.closed.reason is CloseReason.HEARTBEAT_LOST


async def test_a_broken_packet_ends_the_link_behind_the_good_messages() -> None:
    async with await listening(SoupServer(filled(2))) as server, dialling(server) as client:
        (connection,) = server.connections
        connection.write_raw(b"\x00\x00")
        messages, closed = await until_closed(client)

        assert re.search("broken packet: packet of length 0 has no type byte", closed)
        assert messages == [Message(1, b"m1"), Message(2, b"m2")]


async def test_a_connection_cut_inside_a_packet_says_so() -> None:
    async with await listening(SoupServer(filled(1))) as server, dialling(server) as client:
        (connection,) = server.connections
        connection.write_raw(b"\x00\x09Spart")
        connection.close()
        messages, closed = await until_closed(client)

        assert re.search(r"lost: .*in the middle of a packet \(7 bytes dropped\)", closed)
        assert messages == [Message(1, b"m1")]


async def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(UpstreamLost, match=f"no connection to 127.0.0.1:{port}: "):
        await connect("127.0.0.1", port, user="me", password="pw")


async def test_a_connection_that_takes_too_long_is_given_up(tls) -> None:
    # A server that says nothing while the client waits for its TLS handshake.
    async with await listening(SoupServer()) as server:
        with pytest.raises(UpstreamLost, match=r"no connection to 127\.0\.0\.1:\d+ within 0\.05 s"):
            await dialling(server, ssl=tls.client, connect_timeout_s=0.05)


async def test_credentials_that_do_not_fit_are_named_before_anything_is_dialled() -> None:
    with pytest.raises(ConfigError, match="user 'toolong' has 7 characters"):
        connect("127.0.0.1", 1, user="toolong", password="pw")


async def test_an_error_in_a_callback_reaches_the_reader() -> None:
    def on_debug(text: bytes) -> None:
        raise ValueError("cannot print this")

    async with (
        await listening(SoupServer(filled(1))) as server,
        dialling(server, on_debug=on_debug) as client,
    ):
        await client.receive()
        (connection,) = server.connections
        connection.send_debug("boom")
        with pytest.raises(ValueError, match="cannot print this"):
            await client.receive()

        assert client.closed == Closed(CloseReason.ABORTED, "ValueError: cannot print this")


async def test_what_arrives_after_a_close_is_dropped() -> None:
    served = ServedSession("TODAY01")
    served.extend(b"x" * 1000 for _ in range(20_000))
    async with await listening(SoupServer(served)) as server:
        client = await dialling(server, buffer_bytes_max=1)
        await client.receive()
        held = client.queued_bytes

        assert await client.close() == Closed(CloseReason.LOGOUT)
        assert client.queued_bytes <= held


async def test_a_cancelled_close_leaves_nothing_open() -> None:
    async def closing(client: SoupClient) -> None:
        await client.close()

    async with await listening(SoupServer(filled(0), silence_s=1000.0)) as server:
        client = await dialling(server, logout_timeout_s=1000.0)
        (connection,) = server.connections
        connection.pause_reading()  # so that the server does not hear of the logout
        task = asyncio.create_task(closing(client))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        # The logout was said first, so that is what it is called.
        assert (await client.wait_closed()).reason in (CloseReason.LOGOUT, CloseReason.ABORTED)
        connection.resume_reading()
        await connection.gone()


async def test_a_cancelled_login_leaves_nothing_open() -> None:
    arrived = asyncio.Event()

    async def never(connection: Connection, request: LoginRequested) -> Accept:
        arrived.set()
        await connection.gone()
        raise AssertionError("unreachable: the task is cancelled when the connection goes")

    async with await listening(SoupServer(on_login=never, login_timeout_s=1000.0)) as server:
        (connection,) = await _cancelled_when(arrived, dialling(server, login_timeout_s=1000.0), server)

        assert (await connection.closed()).reason is CloseReason.TCP_LOST
        assert not server.connections


async def _cancelled_when(arrived: asyncio.Event, opening: Connecting, server: SoupServer) -> set[Connection]:
    async def opened() -> None:
        await opening

    task = asyncio.create_task(opened())
    await arrived.wait()
    connections = set(server.connections)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return connections

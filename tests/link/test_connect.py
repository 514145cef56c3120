"""The client library against our server: what it brings, what it sends, and every way it can end."""

import asyncio
import re
import socket
import ssl

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
from gateway.soup import Justify, LoginRequested, Version
from gateway.values import Block, Position


def filled(count: int = 3) -> ServedSession:
    served = ServedSession("TODAY01")
    served.extend(b"m%d" % seq for seq in range(1, count + 1))
    return served


def dialling(server: SoupServer, **settings) -> Connecting:
    host, port = server.addresses[0]
    return connect(host, port, **{"user": "me", "password": "pw", **settings})


async def until_closed(client: SoupClient) -> tuple[list[Message], str]:
    """All messages up to an end that is not a normal one, and what that end says."""
    messages = []
    try:
        async for message in client:
            messages.append(message)
    except LinkClosed as exc:
        return messages, str(exc)
    return messages, "ended normally"


async def listening(server: SoupServer) -> SoupServer:
    await server.listen()
    return server


@pytest.mark.parametrize(
    ("sequence", "granted", "numbers"),
    [(1, 1, [1, 2, 3, 4]), (3, 3, [3, 4]), (4, 4, [4]), (0, 4, [4])],
)
async def test_messages_come_from_the_number_asked_for_and_then_live(sequence, granted, numbers) -> None:
    served = filled()
    async with (
        await listening(SoupServer(served)) as server,
        dialling(server, sequence=sequence) as client,
    ):
        served.append(b"live")
        served.end()
        messages = [message async for message in client]

        assert [message.sequence_number for message in messages] == numbers
        assert messages[-1] == Message(4, b"live")
        assert client.granted == Position("TODAY01", granted)
        assert client.position == Position("TODAY01", 5)
        assert client.closed == Closed(CloseReason.END_OF_SESSION)


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("justify", Justify)
async def test_every_version_and_justification_logs_in(version: Version, justify: Justify) -> None:
    logins: list[LoginRequested] = []

    def on_login(connection: Connection, request: LoginRequested) -> Accept:
        logins.append(request)
        return Accept("TODAY01", 1)

    async with (
        await listening(SoupServer(on_login=on_login, justify=justify)) as server,
        dialling(
            server, session="TODAY01", sequence=7, version=version, justify=justify, heartbeat_timeout_ms=5000
        ) as client,
    ):
        assert client.granted == Position("TODAY01", 1)

    seen = Version.V4_10 if version is Version.V4_10 else Version.V4_00
    assert logins == [
        LoginRequested("me", "pw", "TODAY01", 7, 5000 if version is Version.V4_10 else None, seen)
    ]


async def test_a_client_can_be_awaited_and_closed_by_hand() -> None:
    async with await listening(SoupServer(filled())) as server:
        client = await dialling(server)
        assert await client.receive() == Message(1, b"m1")

        assert await client.close() == Closed(CloseReason.LOGOUT)
        assert await client.close() == Closed(CloseReason.LOGOUT)


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


async def test_unsequenced_data_and_debug_text_go_both_ways() -> None:
    heard: list[bytes] = []
    texts: list[bytes] = []

    class Echo(SoupServer):
        def on_unsequenced(self, connection: Connection, payload: bytes) -> None:
            connection.send_unsequenced(payload[::-1])

        def on_debug(self, connection: Connection, text: bytes) -> None:
            heard.append(text)
            connection.send_debug("got " + text.decode())

    async with (
        await listening(Echo(filled(1))) as server,
        dialling(server, on_debug=texts.append) as client,
    ):
        client.send_debug("hello")
        client.send_unsequenced(b"order")
        await client.drain()

        assert [await client.receive(), await client.receive()] == [
            Message(1, b"m1"),
            Message(None, b"redro"),
        ]
        assert client.position == Position("TODAY01", 2)

    assert heard == [b"hello"]
    assert texts == [b"got hello"]


async def test_blocks_bring_whole_runs() -> None:
    served = filled(1000)
    async with await listening(SoupServer(served)) as server, dialling(server) as client:
        served.end()
        seen = 0
        async for block in client.blocks():
            assert isinstance(block, Block)
            assert block.first_seq == seen + 1
            assert block.received_ns > 0
            seen = block.next_seq - 1

        assert seen == 1000
        assert client.position == Position("TODAY01", 1001)


async def test_the_position_is_that_of_the_reader_so_that_it_can_resume() -> None:
    async with await listening(SoupServer(filled(100))) as server:
        async with dialling(server) as client:
            async for message in client:
                if message.sequence_number == 40:
                    break
            position = client.position
        async with dialling(server, session=position.session, sequence=position.next_seq) as client:
            assert await client.receive() == Message(41, b"m41")


async def test_a_message_may_be_of_any_size() -> None:
    served = ServedSession("TODAY01")
    sizes = [0, 1, 511, 512, 32_767, 65_534]
    served.extend(b"x" * size for size in sizes)
    served.end()
    server = SoupServer(on_login=lambda connection, request: Accept("TODAY01", 1, served))
    async with await listening(server), dialling(server) as client:
        assert [len(message.payload) async for message in client] == sizes


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


async def test_tls(tls) -> None:
    served = filled()
    async with SoupServer(served) as server:
        await server.listen(ssl=tls.server)
        async with dialling(server, ssl=tls.client) as client:
            served.end()

            assert [message.sequence_number async for message in client] == [1, 2, 3]
            assert client.closed == Closed(CloseReason.END_OF_SESSION)


async def test_tls_with_a_server_that_is_not_trusted() -> None:
    async with SoupServer(filled()) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        await server.listen(ssl=context)
        with pytest.raises(UpstreamLost, match="no connection to"):
            await dialling(server, ssl=ssl.create_default_context())


async def test_ipv6() -> None:
    async with SoupServer(filled()) as server:
        host, _ = await server.listen("::1")
        async with dialling(server) as client:
            assert host == "::1"
            assert await client.receive() == Message(1, b"m1")


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


async def test_a_reader_that_takes_nothing_holds_no_more_than_its_limit_and_loses_nothing() -> None:
    served = ServedSession("TODAY01")
    served.extend(b"x" * 1000 for _ in range(20_000))
    async with (
        await listening(SoupServer(served)) as server,
        dialling(server, buffer_bytes_max=100_000) as slow,
        dialling(server) as fast,
    ):
        served.end()
        count = 0
        async for _ in fast:
            count += 1
        held = slow.queued_bytes
        numbers = [message.sequence_number async for message in slow]

    assert count == 20_000
    # The limit, and what one read may bring over it.
    assert held <= 100_000 + 256 * 1024
    assert numbers == list(range(1, 20_001))

"""The client library against our server: what it brings, and what it sends."""

import ssl

import pytest

from gateway.errors import UpstreamLost
from gateway.link import (
    Accept,
    Closed,
    CloseReason,
    Connection,
    Message,
    ServedSession,
    SoupServer,
)
from gateway.soup import Justify, LoginRequested, Version
from gateway.values import Block, Position
from tests.link.talking import dialling, filled, listening


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

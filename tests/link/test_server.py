"""The server: who gets in, and what a connection can do, right and wrong.

The client's side is written byte by byte where a good client would not do it.
"""

import asyncio

import pytest

from gateway.errors import LocalProtocolError
from gateway.link import (
    Accept,
    Closed,
    CloseReason,
    Connection,
    LinkClosed,
    Message,
    Reject,
    ServedSession,
    SoupServer,
    connect,
)
from gateway.link.server import Answer
from gateway.soup import LoginRequested
from tests.link.talking import ACCEPTED, LOGIN, Counting, Ends, asking, filled, read_to_end, talking


@pytest.mark.parametrize(
    ("session", "asked", "granted"),
    [("", 1, 1), ("TODAY01", 1, 1), ("TODAY01", 2, 2), ("TODAY01", 4, 4), ("TODAY01", 0, 4), ("", 0, 4)],
)
def test_a_login_gets_the_session_and_number_it_asks_for(session: str, asked: int, granted: int) -> None:
    served = filled()

    assert SoupServer(served).admit(asking(session, asked)) == Accept("TODAY01", granted, served)


@pytest.mark.parametrize(("session", "asked"), [("TODAY01", 5), ("", 5), ("YESTERDAY", 1)])
def test_what_is_not_there_is_rejected_with_s(session: str, asked: int) -> None:
    assert SoupServer(filled()).admit(asking(session, asked)) == Reject("S")


def test_a_server_without_a_session_rejects_with_s() -> None:
    assert SoupServer().admit(asking()) == Reject("S")


def test_an_earlier_session_can_be_joined_by_name_until_it_ends() -> None:
    old, new = filled(), ServedSession("TODAY02")
    server = SoupServer(old)
    server.serve(new)

    assert server.admit(asking("")) == Accept("TODAY02", 1, new)
    assert server.admit(asking("TODAY01", 3)) == Accept("TODAY01", 3, old)
    old.end()
    assert server.admit(asking("TODAY01", 3)) == Reject("S")


@pytest.mark.parametrize(
    ("user", "password", "answer"),
    [("me", "secret", Accept), ("ME", "SECRET", Accept), ("me", "wrong", Reject), ("you", "secret", Reject)],
)
def test_users_and_passwords_are_compared_without_case(
    user: str, password: str, answer: type[Answer]
) -> None:
    server = SoupServer(filled(), accounts={"Me": "Secret"})

    given = server.admit(asking(user=user, password=password))

    assert isinstance(given, answer)
    assert given != Reject("S")


async def test_the_bytes_of_a_whole_session() -> None:
    served = filled(2)
    async with SoupServer(served) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        assert await reader.readexactly(43) == ACCEPTED + b"\x00\x03Sm1\x00\x03Sm2"
        served.append(b"live")
        assert await reader.readexactly(7) == b"\x00\x05Slive"
        served.end()

        assert await reader.readexactly(3) == b"\x00\x01Z"


async def test_after_the_end_of_session_tcp_stays_open_until_the_client_closes() -> None:
    served, ends = filled(0), Ends()
    async with SoupServer(served, on_close=ends) as server:
        async with talking(server) as (reader, writer):
            writer.write(LOGIN)
            await reader.readexactly(len(ACCEPTED))
            served.end()
            await reader.readexactly(3)
            writer.write(b"\x00\x01R")
            await writer.drain()

            assert not reader.at_eof()
            assert ends.all == []
        assert await ends.first() == Closed(CloseReason.END_OF_SESSION)


async def test_a_rejected_client_is_closed_behind_the_answer() -> None:
    ends = Ends()
    async with SoupServer(on_close=ends) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)

        assert await reader.read() == b"\x00\x02JS"
        assert await ends.first() == Closed(CloseReason.SESSION_NOT_AVAILABLE)


async def test_a_logout_closes_at_once_without_a_reply() -> None:
    ends = Ends()
    async with SoupServer(filled(0), on_close=ends) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        assert await reader.readexactly(len(ACCEPTED)) == ACCEPTED
        writer.write(b"\x00\x01O")

        assert await reader.read() == b""
        assert await ends.first() == Closed(CloseReason.LOGOUT)


async def test_many_clients_are_served_at_once_from_wherever_they_asked() -> None:
    served = filled(100)
    async with Counting(served) as server:
        host, port = await server.listen()

        async def read_all(sequence: int) -> list[int | None]:
            async with connect(host, port, user="me", password="pw", sequence=sequence) as client:
                return [message.sequence_number async for message in client]

        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(read_all(sequence)) for sequence in range(1, 51)]
            await server.logins(50)
            served.extend(b"live%d" % seq for seq in range(50))
            served.end()

    for sequence, task in enumerate(reading, 1):
        assert task.result() == list(range(sequence, 151))


async def test_messages_can_be_sent_without_a_served_session() -> None:
    def on_login(connection: Connection, request: LoginRequested) -> Answer:
        return Accept("ORDERS", 5)

    server = SoupServer(on_login=on_login)
    host, port = await server.listen()
    async with server, connect(host, port, user="me", password="pw") as client:
        (connection,) = server.connections
        connection.send_sequenced(b"five")
        connection.send_sequenced([b"six", b"seven"])
        connection.send_unsequenced(b"aside")
        await connection.drain()
        connection.end_session()

        assert [message async for message in client] == [
            Message(5, b"five"),
            Message(6, b"six"),
            Message(7, b"seven"),
            Message(None, b"aside"),
        ]
        assert connection.position.next_seq == 8


async def test_a_login_may_be_decided_later_with_words_in_between() -> None:
    texts: list[bytes] = []
    decided = asyncio.Event()

    async def on_login(connection: Connection, request: LoginRequested) -> Answer:
        connection.send_debug("one moment")
        await decided.wait()
        return Reject("A") if request.user == "you" else Accept("TODAY01", 1)

    server = SoupServer(on_login=on_login)
    host, port = await server.listen()

    def on_debug(text: bytes) -> None:
        texts.append(text)
        decided.set()

    async with server, connect(host, port, user="me", password="pw", on_debug=on_debug) as client:
        assert client.granted.session == "TODAY01"
        assert texts == [b"one moment"]


async def test_what_a_faulty_exchange_does_can_be_done_on_demand() -> None:
    served = filled(0)
    async with SoupServer(served, heartbeat_s=0.02) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        (connection,) = server.connections
        connection.heartbeats = False
        connection.stop_following()
        served.append(b"not sent")
        connection.write_raw(b"\x00\x05Sha")
        await connection.drain()
        assert await reader.readexactly(5) == b"\x00\x05Sha"
        assert connection.following is None
        assert not connection.heartbeats
        connection.follow(served, 1)
        assert connection.following is served
        assert await reader.readexactly(11) == b"\x00\x09Snot sent"

        connection.abort("pulled the plug")

        assert await read_to_end(reader) == b""
        assert await connection.closed() == Closed(CloseReason.ABORTED, "pulled the plug")


async def test_a_connection_that_follows_a_session_can_t_be_sent_other_messages() -> None:
    async with SoupServer(filled(0)) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        (connection,) = server.connections

        with pytest.raises(LocalProtocolError, match="connection follows a session: append to that"):
            connection.send_sequenced(b"x")


async def test_closing_the_server_ends_every_connection_with_a_reason() -> None:
    ends = Ends()
    async with SoupServer(filled(0), on_close=ends) as server:
        host, port = await server.listen()
        client = await connect(host, port, user="me", password="pw")
        (connection,) = server.connections
    assert ends.all == [Closed(CloseReason.ABORTED, "the server closed")]
    with pytest.raises(LinkClosed, match="closed by us: the server closed"):
        await connection.drain()
    assert (await client.close()).reason in (CloseReason.TCP_LOST, CloseReason.LOGOUT)


async def test_several_addresses_can_be_listened_on() -> None:
    async with SoupServer(filled()) as server:
        first, second = await server.listen(), await server.listen("::1")

        assert server.addresses == [first, second]
        for host, port in server.addresses:
            async with connect(host, port, user="me", password="pw") as client:
                assert await client.receive() == Message(1, b"m1")

"""The server: who gets in, what a connection can do, right and wrong, and how each end comes.

The client's side is written byte by byte where a good client would not do it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
from gateway.soup import LoginRequested, Version

LOGIN = b"\x00\x2fLme    pw        " + b"          " + b"                   1"
ACCEPTED = b"\x00\x1fA   TODAY01                   1"


def filled(count: int = 3) -> ServedSession:
    served = ServedSession("TODAY01")
    served.extend(b"m%d" % seq for seq in range(1, count + 1))
    return served


class Ends:
    """Hears of every connection's end."""

    def __init__(self) -> None:
        self.all: list[Closed] = []
        self._more = asyncio.Event()

    def __call__(self, connection: Connection, closed: Closed) -> None:
        self.all.append(closed)
        self._more.set()

    async def first(self) -> Closed:
        await self._more.wait()
        return self.all[0]


class Counting(SoupServer):
    """Lets one wait until a number of clients have logged in."""

    def __init__(self, served: ServedSession) -> None:
        super().__init__(served)
        self._logins = 0
        self._one_more = asyncio.Condition()

    async def on_login(self, connection: Connection, request: LoginRequested) -> Answer:
        async with self._one_more:
            self._logins += 1
            self._one_more.notify_all()
        return self.admit(request)

    async def logins(self, count: int) -> None:
        async with self._one_more:
            await self._one_more.wait_for(lambda: self._logins >= count)


@asynccontextmanager
async def talking(server: SoupServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain socket to the server."""
    host, port = server.addresses[0] if server.addresses else await server.listen()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def asking(session: str = "", next_seq: int = 1, user: str = "me", password: str = "pw") -> LoginRequested:
    return LoginRequested(user, password, session, next_seq, None, Version.V4_00)


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


async def test_after_the_end_of_session_a_client_that_does_not_close_is_closed() -> None:
    served = filled(0)
    async with SoupServer(served, close_timeout_s=0.05) as server, talking(server) as (reader, writer):
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED))
        served.end()

        assert await read_to_end(reader) == b"\x00\x01Z"


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


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection ends, with FIN or RST."""
    data = b""
    try:
        while more := await reader.read(65536):
            data += more
    except ConnectionError:
        pass
    return data

"""Ours against nasdaq-protocols, Nasdaq's own Python implementation, in both directions and byte by byte.

Its package is used as it comes. Where it differs from us (left-justified login, FIN right behind Z), the
test says so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nasdaq_protocols import soup as theirs

from gateway.errors import LoginRejected
from gateway.link import (
    Accept,
    Closed,
    CloseReason,
    Connection,
    Message,
    ServedSession,
    SoupServer,
    connect,
)
from gateway.soup import (
    Accepted,
    ClientSession,
    Debug,
    DebugReceived,
    EndOfSession,
    Justify,
    Login,
    LoginRequested,
    LogoutRequested,
    Rejected,
    Run,
    ServerSession,
    Unsequenced,
    UnsequencedReceived,
    Version,
    packets,
)
from gateway.values import Position

TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


def of_theirs(packet: theirs.SoupMessage) -> bytes:
    return packet.to_bytes()[1]


def to_theirs(packet: bytes) -> theirs.SoupMessage:
    return theirs.SoupMessage.from_bytes(packet)[1]


@settings(deadline=None, max_examples=50)
@given(
    user=TEXT.filter(lambda text: len(text) <= 6),
    password=TEXT.filter(lambda text: len(text) <= 10),
    session=TEXT.filter(lambda text: len(text) <= 10),
    number=st.integers(0, 2**63 - 1),
)
def test_both_write_and_read_the_same_login(user: str, password: str, session: str, number: int) -> None:
    login = Login(user, password, justify=Justify.LEFT)

    ours = packets.login_request(login, Position(session, number))

    assert ours == of_theirs(theirs.LoginRequest(user, password, session, str(number)))
    right = packets.login_request(Login(user, password), Position(session, number))
    assert to_theirs(right) == theirs.LoginRequest(user, password, session, str(number))
    server = ServerSession(0.0)
    assert list(server.receive(ours, 0.0)) == [
        LoginRequested(user, password, session, number, None, Version.V4_00)
    ]


@settings(deadline=None, max_examples=50)
@given(session=TEXT.filter(lambda text: len(text) <= 10), number=st.integers(1, 2**63 - 1))
def test_both_write_and_read_the_same_answer(session: str, number: int) -> None:
    ours = packets.login_accepted(Position(session, number), Justify.LEFT)

    assert ours == of_theirs(theirs.LoginAccepted(session, number))
    right = packets.login_accepted(Position(session, number))
    assert to_theirs(right) == theirs.LoginAccepted(session, number)
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)
    assert list(client.receive(ours, 0.0)) == [Accepted(Position(session, number))]


@settings(deadline=None, max_examples=50)
@given(payload=st.binary(max_size=2000), text=TEXT)
def test_both_write_and_read_the_same_data(payload: bytes, text: str) -> None:
    assert packets.sequenced(payload) == of_theirs(theirs.SequencedData(payload))
    assert packets.unsequenced(payload) == of_theirs(theirs.UnSequencedData(payload))
    assert packets.debug(text) == of_theirs(theirs.Debug(text))
    assert to_theirs(packets.sequenced(payload)) == theirs.SequencedData(payload)
    assert to_theirs(packets.unsequenced(payload)) == theirs.UnSequencedData(payload)
    assert to_theirs(packets.debug(text)) == theirs.Debug(text)


def test_both_write_the_same_packets_without_a_body() -> None:
    assert of_theirs(theirs.ClientHeartbeat()) == packets.CLIENT_HEARTBEAT_PACKET
    assert of_theirs(theirs.ServerHeartbeat()) == packets.SERVER_HEARTBEAT_PACKET
    assert of_theirs(theirs.EndOfSession()) == packets.END_OF_SESSION_PACKET
    assert of_theirs(theirs.LogoutRequest()) == packets.LOGOUT_PACKET
    assert of_theirs(theirs.LoginRejected(theirs.LoginRejectReason.NOT_AUTHORIZED)) == packets.login_rejected(
        "A"
    )
    assert of_theirs(theirs.LoginRejected("S")) == packets.login_rejected("S")


def test_our_client_reads_everything_their_server_can_say() -> None:
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)
    said = b"".join(
        map(
            of_theirs,
            [
                theirs.Debug("hello"),
                theirs.LoginAccepted("TODAY01", 5),
                theirs.SequencedData(b"five"),
                theirs.SequencedData(b""),
                theirs.ServerHeartbeat(),
                theirs.UnSequencedData(b"aside"),
                theirs.EndOfSession(),
            ],
        )
    )

    assert list(client.receive(said, 0.0)) == [
        Debug(b"hello"),
        Accepted(Position("TODAY01", 5)),
        Run("TODAY01", 5, 2, b"\x00\x05Sfive\x00\x01S"),
        Unsequenced(b"aside"),
        EndOfSession(),
    ]


def test_our_client_reads_their_rejection() -> None:
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)

    assert list(client.receive(of_theirs(theirs.LoginRejected("S")), 0.0)) == [Rejected("S")]


def test_our_server_reads_everything_their_client_can_say() -> None:
    server = ServerSession(0.0)

    assert list(server.receive(of_theirs(theirs.LoginRequest("me", "pw", "", "1")), 0.0)) == [
        LoginRequested("me", "pw", "", 1, None, Version.V4_00)
    ]
    server.accept("TODAY01", 1, 0.0)
    said = b"".join(
        map(
            of_theirs,
            [
                theirs.ClientHeartbeat(),
                theirs.UnSequencedData(b"order"),
                theirs.Debug("hi"),
                theirs.LogoutRequest(),
            ],
        )
    )
    assert list(server.receive(said, 0.0)) == [
        UnsequencedReceived(b"order"),
        DebugReceived(b"hi"),
        LogoutRequested(),
    ]


class TheirServer(theirs.SoupServerSession, session_type="server"):
    """Their server: ten messages, sent from where the client asks; "end" ends the session, "echo" echoes."""

    def __init__(self) -> None:
        super().__init__()
        self.logins: list[theirs.LoginRequest] = []
        self.debug: list[str] = []
        self.logged_out = asyncio.Event()

    async def on_login(self, msg: theirs.LoginRequest) -> theirs.LoginAccepted | theirs.LoginRejected:
        self.logins.append(msg)
        if msg.password != "pw":
            return theirs.LoginRejected(theirs.LoginRejectReason.NOT_AUTHORIZED)
        if msg.session not in ("", "TODAY01"):
            return theirs.LoginRejected(theirs.LoginRejectReason.SESSION_NOT_AVAILABLE)
        first = int(msg.sequence) or 11
        asyncio.get_running_loop().call_soon(self.send_from, first)
        return theirs.LoginAccepted("TODAY01", first)

    def send_from(self, first: int) -> None:
        for seq in range(first, 11):
            self.send_seq_msg(b"m%d" % seq)

    async def on_unsequenced(self, msg: theirs.UnSequencedData) -> None:
        if msg.data == b"end":
            self.end_session()
        else:
            self.send_msg(theirs.UnSequencedData(msg.data[::-1]))

    async def on_debug(self, msg: theirs.Debug) -> None:
        self.debug.append(msg.msg)
        self.send_debug("heard")


@asynccontextmanager
async def their_server(**intervals: float) -> AsyncIterator[tuple[int, list[TheirServer]]]:
    sessions: list[TheirServer] = []

    def made() -> TheirServer:
        session = TheirServer()
        for name, value in intervals.items():
            setattr(session, name, value)
        sessions.append(session)
        return session

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], sessions
    finally:
        server.close()
        for session in sessions:
            await until(session.is_closed)


async def until(done) -> None:
    """Their close is a task of its own that tells nobody of its end."""
    while not done():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("sequence", "numbers"), [(1, range(1, 11)), (7, range(7, 11)), (0, range(0))])
async def test_our_client_takes_all_messages_of_their_server(sequence: int, numbers: range) -> None:
    async with (
        their_server() as (port, sessions),
        connect("127.0.0.1", port, user="me", password="pw", sequence=sequence) as client,
    ):
        received = [await client.receive() for _ in numbers]
        client.send_unsequenced(b"echo")
        assert await client.receive() == Message(None, b"ohce")
        client.send_unsequenced(b"end")

        # Z, and FIN right behind it.
        assert [message async for message in client] == []
        assert client.closed == Closed(CloseReason.END_OF_SESSION)

    assert received == [Message(seq, b"m%d" % seq) for seq in numbers]
    assert client.granted == Position("TODAY01", sequence or 11)
    assert sessions[0].logins == [theirs.LoginRequest("me", "pw", "", str(sequence))]


async def test_our_client_resumes_at_their_server() -> None:
    async with their_server() as (port, sessions):
        async with connect("127.0.0.1", port, user="me", password="pw") as client:
            for _ in range(4):
                await client.receive()
            position = client.position
        async with connect(
            "127.0.0.1", port, user="me", password="pw", session=position.session, sequence=position.next_seq
        ) as client:
            assert await client.receive() == Message(5, b"m5")

    assert sessions[1].logins == [theirs.LoginRequest("me", "pw", "TODAY01", "5")]


@pytest.mark.parametrize(("password", "session", "reason"), [("no", "", "A"), ("pw", "OTHER", "S")])
async def test_our_client_is_told_why_their_server_rejects_it(
    password: str, session: str, reason: str
) -> None:
    async with their_server() as (port, _):
        with pytest.raises(LoginRejected) as raised:
            await connect("127.0.0.1", port, user="me", password=password, session=session)

    assert raised.value.reason == reason


async def test_our_client_and_their_server_keep_an_idle_link_alive_with_heartbeats() -> None:
    # Either side would give the other up after 0.4 s; the debug text comes long after that.
    async with their_server(client_heartbeat_interval=0.05, server_heartbeat_interval=0.4) as (
        port,
        sessions,
    ):
        heard = asyncio.Event()
        async with connect(
            "127.0.0.1",
            port,
            user="me",
            password="pw",
            heartbeat_s=0.05,
            silence_s=0.4,
            on_debug=lambda text: heard.set(),
        ) as client:
            asyncio.get_running_loop().call_later(1.0, client.send_debug, "still here")
            await heard.wait()

            assert client.closed is None

    assert sessions[0].debug == ["still here"]


class TheirClient:
    """Their client, with all that it was given."""

    def __init__(self) -> None:
        self.received: list[theirs.SoupMessage] = []
        self.closed = asyncio.Event()
        self.session: theirs.SoupClientSession | None = None
        self._more = asyncio.Event()

    async def connect(self, port: int, **options) -> None:
        self.session = await theirs.connect_async(
            ("127.0.0.1", port),
            **{"user": "me", "passwd": "pw", **options},
            on_msg_coro=self._on_msg,
            on_close_coro=self._on_close,
        )

    async def _on_msg(self, msg: theirs.SoupMessage) -> None:
        self.received.append(msg)
        self._more.set()

    async def _on_close(self) -> None:
        self.closed.set()

    async def take(self, count: int) -> list[theirs.SoupMessage]:
        while len(self.received) < count:
            self._more.clear()
            await self._more.wait()
        return self.received[:count]

    async def close(self) -> None:
        if self.session is not None and self.session.is_active():
            self.session.initiate_close()
        await self.closed.wait()


@asynccontextmanager
async def their_client(port: int, **options) -> AsyncIterator[TheirClient]:
    client = TheirClient()
    await client.connect(port, **options)
    try:
        yield client
    finally:
        await client.close()


def filled(count: int) -> ServedSession:
    served = ServedSession("TODAY01")
    served.extend(b"m%d" % seq for seq in range(1, count + 1))
    return served


@pytest.mark.parametrize("justify", Justify)
@pytest.mark.parametrize(("sequence", "first"), [(1, 1), (7, 7), (0, 11)])
async def test_their_client_takes_all_messages_of_our_server(
    justify: Justify, sequence: int, first: int
) -> None:
    served = filled(10)
    async with SoupServer(served, justify=justify) as server:
        _, port = await server.listen()
        async with their_client(port, sequence=sequence, session_id="TODAY01") as client:
            served.append(b"live")
            numbers = range(first, 11)

            received = await client.take(len(numbers) + 1)

            assert received == [
                *(theirs.SequencedData(b"m%d" % seq) for seq in numbers),
                theirs.SequencedData(b"live"),
            ]
            assert client.session is not None
            assert client.session.sequence == 11


async def test_their_client_is_told_of_the_end_and_has_everything_before_it() -> None:
    served, ends = filled(1000), []
    server = SoupServer(served, on_close=lambda connection, closed: ends.append(closed.reason))
    async with server:
        _, port = await server.listen()
        async with their_client(port) as client:
            received = await client.take(1000)
            served.end()
            await client.closed.wait()

    assert [packet.data for packet in received] == [b"m%d" % seq for seq in range(1, 1001)]
    assert ends == [CloseReason.END_OF_SESSION]


@pytest.mark.parametrize(
    ("options", "reason"), [({"user": "you"}, "A"), ({"session_id": "OTHER"}, "S"), ({"sequence": 12}, "S")]
)
async def test_their_client_is_told_why_our_server_rejects_it(
    options: dict[str, object], reason: str
) -> None:
    async with SoupServer(filled(10), accounts={"me": "pw"}) as server:
        _, port = await server.listen()
        client = TheirClient()

        with pytest.raises(ConnectionRefusedError) as raised:
            await client.connect(port, **options)
        await client.closed.wait()

    assert str(theirs.LoginRejected(reason)) in str(raised.value)


async def test_their_client_talks_to_our_server_and_logs_out() -> None:
    ends, heard = [], []

    def on_unsequenced(connection: Connection, payload: bytes) -> None:
        connection.send_unsequenced(payload[::-1])

    def on_debug(connection: Connection, text: bytes) -> None:
        heard.append(text)
        connection.send_debug("naïve text")

    server = SoupServer(
        on_login=lambda connection, request: Accept("ORDERS", 1),
        on_unsequenced=on_unsequenced,
        on_debug=on_debug,
        on_close=lambda connection, closed: ends.append(closed.reason),
    )
    async with server:
        _, port = await server.listen()
        async with their_client(port) as client:
            assert client.session is not None
            client.session.send_unseq_data(b"order")
            client.session.send_debug("hi")

            assert await client.take(2) == [theirs.UnSequencedData(b"redro"), theirs.Debug("na?ve text")]
            client.session.logout()
            await client.closed.wait()

    assert heard == [b"hi"]
    assert ends == [CloseReason.LOGOUT]

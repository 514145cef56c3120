"""Our client with the server of nasdaq-protocols as its upstream.

Its answer to the login is left-justified, and FIN comes right behind its Z.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nasdaq_protocols import soup as theirs

from gateway.errors import LoginRejected
from gateway.link import (
    Closed,
    CloseReason,
    Message,
    connect,
)
from gateway.values import Position


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

"""The client of nasdaq-protocols with our server as its upstream.

It wants Login Accepted before anything but heartbeats, ASCII in debug text, and TCP open after Z.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nasdaq_protocols import soup as theirs

from gateway.link import (
    Accept,
    CloseReason,
    Connection,
    ServedSession,
    SoupServer,
)
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.soup import (
    Justify,
)


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


async def test_their_client_takes_a_whole_day_from_our_simulator() -> None:
    messages = [b"message %d" % seq for seq in range(1, 501)]
    async with Exchange(ExchangeSettings(session="TODAY01"), messages) as exchange:
        await exchange.all_played()
        async with their_client(exchange.port) as client:
            received = await client.take(500)
            exchange.extend([b"live"])
            assert (await client.take(501))[-1] == theirs.SequencedData(b"live")
            exchange.end()
            await client.closed.wait()
        await exchange.finished()

    assert received == [theirs.SequencedData(message) for message in messages]

"""A server to talk to, and a plain socket to talk to it with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.link import (
    Closed,
    Connection,
    LinkClosed,
    Message,
    ServedSession,
    SoupClient,
    SoupServer,
    connect,
)
from gateway.link.client import Connecting
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


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection ends, with FIN or RST."""
    data = b""
    try:
        while more := await reader.read(65536):
            data += more
    except ConnectionError:
        pass
    return data


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

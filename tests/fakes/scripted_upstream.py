"""An upstream that does exactly what a test says: each connection runs the next script.

Made of the project's own packets. `Venue` is what an honest exchange would send; scripts take from it and
spoil it. The payload of a message is its session and number, so a test can tell what it should have got.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from gateway.soup import packets
from gateway.soup.packets import LoginFields
from gateway.values import Position

HEARTBEAT_S = 0.1


def payload_of(session: str, seq: int) -> bytes:
    return f"{session}:{seq}".encode()


class Venue:
    """Sessions and how many messages each has; the last one is current."""

    def __init__(self, session: str = "S1", count: int = 0) -> None:
        self.counts = {session: count}
        self.ended: set[str] = set()
        # Bytes under a number that differ from what everybody else sends.
        self.forged: dict[tuple[str, int], bytes] = {}

    @property
    def current(self) -> str:
        return list(self.counts)[-1]

    def roll(self, session: str, count: int = 0) -> None:
        self.ended.add(self.current)
        self.counts[session] = count

    def raw(self, session: str, first_seq: int, last_seq: int) -> bytes:
        return packets.sequenced_run(
            self.forged.get((session, seq), payload_of(session, seq))
            for seq in range(first_seq, last_seq + 1)
        )

    def answer(self, asked: LoginFields) -> Position | None:
        """Where the login may start; None when it must be rejected with S."""
        if asked.session not in ("", self.current):
            return None
        if asked.next_seq > self.counts[self.current] + 1:
            return None
        return Position(self.current, asked.next_seq or self.counts[self.current] + 1)


class Conversation:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard = b""

    async def login(self) -> LoginFields:
        size = int.from_bytes(await self._reader.readexactly(2), "big")
        packet = await self._reader.readexactly(size)
        assert packet[:1] == b"L"
        return packets.parse_login_request(packet[1:])

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def accept(self, session: str, next_seq: int) -> None:
        self.write(packets.login_accepted(Position(session, next_seq)))

    def reset(self) -> None:
        """End it as a dead machine would: RST, what is not sent is lost."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def until_gone(self, *, beat: bool = True) -> None:
        """Keep the connection, with heartbeats, until the client leaves or logs out."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    data = await self._reader.read(4096)
            except TimeoutError:
                if beat:
                    self.write(packets.SERVER_HEARTBEAT_PACKET)
                continue
            self.heard += data
            if not data or self.heard.endswith(packets.LOGOUT_PACKET):
                return

    async def flushed(self) -> None:
        """Close behind what was written."""
        self._writer.close()
        await self._writer.wait_closed()


Script = Callable[[Conversation], Awaitable[None]]


class ScriptedUpstream:
    """Listens on loopback. Connection n runs script n, the last one again and again."""

    def __init__(self, *scripts: Script, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = list(scripts)
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = port
        self.connections = 0
        self.errors: list[BaseException] = []

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
        if self.errors and exc is None:
            raise self.errors[0]

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def then(self, *scripts: Script) -> None:
        """What the next connections run."""
        self._scripts[self.connections :] = scripts

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Conversation(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client has left: how it left is looked at on its side.
        except asyncio.CancelledError:
            pass
        except BaseException as exc:  # noqa: BLE001 (told when the test ends)
            self.errors.append(exc)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


def honest(venue: Venue) -> Script:
    """Answers the login and sends what is asked for, then stays."""

    async def script(client: Conversation) -> None:
        await serve(client, venue)
        await client.until_gone()

    return script


async def serve(client: Conversation, venue: Venue, last_seq: int | None = None) -> int:
    """Login and messages up to `last_seq`; returns the number that comes next."""
    position = venue.answer(await client.login())
    if position is None:
        client.write(packets.login_rejected("S"))
        await client.flushed()
        raise asyncio.IncompleteReadError(b"", None)
    last_seq = venue.counts[position.session] if last_seq is None else last_seq
    client.accept(position.session, position.next_seq)
    client.write(venue.raw(position.session, position.next_seq, last_seq))
    await client.drain()
    return last_seq + 1


def spoilt(venue: Venue, last_seq: int, then: bytes = b"") -> Script:
    """Honest up to `last_seq`, then these bytes, then the end of the connection."""

    async def script(client: Conversation) -> None:
        await serve(client, venue, last_seq)
        client.write(then)
        await client.flushed()

    return script

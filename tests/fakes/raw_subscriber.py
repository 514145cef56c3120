"""A subscriber made of bytes, for what a WebSocket library would never send. Knows RFC 6455 by hand."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

WAIT_S = 20.0
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK
) -> bytes:
    """One frame as a client sends it; `rsv` are the three reserved bits, `mask` None leaves it bare."""
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    masked = 0 if mask is None else 0x80
    size = len(payload)
    if size < 126:
        head += bytes((masked | size,))
    elif size < 1 << 16:
        head += bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((masked | 127,)) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    whole = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + whole


def upgrade(path: str = "/mlink/jsonf", headers: Mapping[str, str] | None = None, host: str = "") -> bytes:
    """The request for a WebSocket."""
    given = {
        "Host": host or "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


class RawSubscriber:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {}

    async def send(self, data: bytes) -> None:
        """All of it, unless the other side has gone."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            pass

    async def status(self) -> int:
        """The status of an HTTP answer; its headers stand in `headers`."""
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        self.headers = {name.lower(): value for name, value in pairs}
        return int(first.split(" ")[1])

    async def body(self) -> bytes:
        """What is left, up to the end of the connection."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def upgraded(self, path: str = "/mlink/jsonf", headers: Mapping[str, str] | None = None) -> int:
        await self.send(upgrade(path, headers))
        return await self.status()

    async def frame(self) -> tuple[int, bytes]:
        """(first byte, payload) of the next frame."""
        async with asyncio.timeout(WAIT_S):
            first, size = await self.reader.readexactly(2)
            assert size < 0x80, "a server never masks"
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first, await self.reader.readexactly(size)

    async def until(self, what: bytes) -> bytes:
        """The next message that holds this."""
        while True:
            first, payload = await self.frame()
            assert first != 0x80 | CLOSE, f"closed instead: {payload!r}"
            if what in payload:
                return payload

    async def closed(self) -> tuple[int, str]:
        """The code and reason of the close frame, whatever comes before it."""
        while True:
            first, payload = await self.frame()
            if first == 0x80 | CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def gone(self) -> bool:
        """Wait for the end of the connection."""
        # Not OSError: a timeout is one, too.
        with suppress(ConnectionError):
            await self.body()
        return True


@asynccontextmanager
async def raw_subscriber(
    port: int, host: str = "127.0.0.1", receive_buffer_bytes: int = 0
) -> AsyncIterator[RawSubscriber]:
    if receive_buffer_bytes:
        sock = socket.socket()
        # Before it connects, or the other side is told of a larger window.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer_bytes)
    else:
        reader, writer = await asyncio.open_connection(host, port)
    try:
        yield RawSubscriber(reader, writer)
    finally:
        writer.transport.abort()

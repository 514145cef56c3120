"""Sends a session's messages to one connection and does wrong what its faults demand.

Knows how to cut, fall silent, trickle and write garbage on an honest connection. What goes wrong when is
`faults`' to say; a connection without faults needs no feeder, it follows its session by itself.
"""

import asyncio
from collections.abc import Callable

from gateway.link.closing import LinkClosed
from gateway.link.connection import Connection
from gateway.link.served import HistoryLost, ServedSession
from gateway.simulator.faults import ConnectionFaults, Cut, Garbage, Silence, StreamDeed

SLOW_STEP_S = 0.05
# The first bytes of a packet that never goes on, for a cut where there is no next message to cut.
BEGUN_PACKET = b"\x00\x25SA\x00"

OnNote = Callable[[str], None]


class Feeder:
    """One connection's way through the session, from `from_seq` on. `run` ends with the connection."""

    def __init__(
        self,
        connection: Connection,
        served: ServedSession,
        from_seq: int,
        faults: ConnectionFaults,
        on_note: OnNote,
        on_all_sent: Callable[[], None],
    ) -> None:
        self.has_all = False
        """Whether everything was sent and nothing is to go wrong before there is more."""
        self.spoilt = False
        """Whether what was sent must make the client leave, so that it is no listener any more."""
        self._connection = connection
        self._served = served
        self._from_seq = from_seq
        self._faults = faults
        self._on_note = on_note
        self._on_all_sent = on_all_sent
        self._more = asyncio.Event()
        # Followed from the start, not from when `run` gets its turn: the exchange waits for followers.
        self._cursor = served.cursor(min(from_seq, served.next_seq))
        served.follow(self._cursor, self.wake)
        # Read from the session, not yet sent: framed messages and how many they are.
        self._raw = b""
        self._count = 0

    @property
    def served(self) -> ServedSession:
        return self._served

    def wake(self) -> None:
        """Look again: there is more, or the connection has ended."""
        self._more.set()

    async def run(self) -> None:
        """Send until the end of the session, of the connection, or a fault that ends it."""
        try:
            await self._feed()
        except LinkClosed:
            pass
        except HistoryLost as lost:
            self._on_note(f"{self._connection.peer} is too slow: {lost}")
            self._connection.close()
        finally:
            self._served.unfollow(self._cursor)

    async def _feed(self) -> None:
        while self._connection.end is None:
            if (deed := self._faults.due()) is not None:
                if self._do(deed):
                    return
            elif self._count:
                count = int(min(self._count, self._faults.room))
                await self._send(self._cut_off(count), count)
                self._faults.sent(count)
            elif not await self._read():
                return

    async def _read(self) -> bool:
        """Have something to send, or wait for it; False when the session has ended and that was told."""
        self._more.clear()
        at = self._cursor.next_seq
        piece = self._served.read(self._cursor)
        if piece is not None:
            self._raw, self._count = piece
            # A login that was accepted too high: what is below is never sent.
            self._cut_off(min(self._count, max(0, self._from_seq - at)))
            return True
        self._served.moved()
        if self._served.ended:
            self._end()
            return False
        self.has_all = True
        self._on_all_sent()
        await self._more.wait()
        self.has_all = False
        return True

    def _cut_off(self, count: int) -> bytes:
        """The first `count` of the messages that wait here."""
        raw, at = self._raw, 0
        if count == self._count:
            at = len(raw)
        else:
            for _ in range(count):
                at += 2 + int.from_bytes(raw[at : at + 2], "big")
        self._raw, self._count = raw[at:], self._count - count
        return raw[:at]

    async def _send(self, raw: bytes, count: int) -> None:
        connection, now = self._connection, asyncio.get_running_loop().time()
        connection.session.send_run(raw, count, now)
        data = connection.session.data_to_send()
        if self._faults.slow_bytes_s is None:
            connection.write_raw(data)
        else:
            await self._trickle(data, self._faults.slow_bytes_s)
        await connection.drain()

    async def _trickle(self, data: bytes, bytes_s: float) -> None:
        size = max(1, int(bytes_s * SLOW_STEP_S))
        # A heartbeat must not come inside a packet.
        self._connection.heartbeats = False
        for at in range(0, len(data), size):
            if self._connection.end is not None:
                return
            piece = data[at : at + size]
            self._connection.write_raw(piece)
            await asyncio.sleep(len(piece) / bytes_s)
        self._connection.heartbeats = True

    def _do(self, deed: StreamDeed) -> bool:
        """Do wrong; True when the connection is sent nothing more."""
        connection = self._connection
        self.spoilt = True
        match deed:
            case Garbage(data):
                self._on_note(f"fault: {len(data)} bytes of garbage to {connection.peer}")
                connection.write_raw(data)
                return False
            case Silence():
                self._on_note(f"fault: silent to {connection.peer}")
                connection.heartbeats = False
                return True
            case Cut(inside_packet):
                if inside_packet:
                    next_packet = self._cut_off(1) if self._count else b""
                    connection.write_raw(next_packet[: len(next_packet) // 2] or BEGUN_PACKET)
                self._on_note(
                    f"fault: {connection.peer} cut off{' inside a packet' if inside_packet else ''}"
                )
                connection.close()
                return True

    def _end(self) -> None:
        self._connection.end_session()
        if self._faults.drops_at_end():
            self._on_note(f"fault: {self._connection.peer} cut off at the end of the session")
            self._connection.close()

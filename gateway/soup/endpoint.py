"""What both sides of a SoupBinTCP session have in common: bytes in, bytes out, and when each side last spoke.

Knows no states; `client` and `server` do.
"""

from abc import ABC, abstractmethod

from gateway.errors import RemoteProtocolError
from gateway.soup.framer import Framer

_FROM_CLIENT = frozenset(b"LRO")
_FROM_SERVER = frozenset(b"AJSHZ")
_KNOWN = _FROM_CLIENT | _FROM_SERVER | frozenset(b"+U")


class Endpoint(ABC):
    """The buffers and clocks of one side. `broken` is the first rule that the other side broke."""

    def __init__(self, now: float) -> None:
        self.broken: RemoteProtocolError | None = None
        self._framer = Framer()
        self._to_send: list[bytes] = []
        self._since = self._heard_at = self._sent_at = now
        self._reading = True

    @property
    def pending(self) -> int:
        """Bytes received of which no event has come out yet: part of a packet, or events not yet taken."""
        return self._framer.pending

    def data_to_send(self) -> bytes:
        """Bytes for the socket; they are handed out once."""
        data = self._to_send[0] if len(self._to_send) == 1 else b"".join(self._to_send)
        self._to_send.clear()
        return data

    def stop_reading(self) -> None:
        """The caller has stopped reading the socket: from here on silence says nothing of the other side."""
        self._reading = False

    def start_reading(self, now: float) -> None:
        """The caller reads again: silence counts from now."""
        self._reading = True
        self._heard_at = now

    @abstractmethod
    def deadline(self) -> float:
        """When `tick` wants to be called next; infinity when never."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Queue a heartbeat if this side has been silent; raise if the other side is silent for too long."""

    def _queue(self, packet: bytes, now: float) -> None:
        self._to_send.append(packet)
        self._sent_at = now

    def _hear(self, data: bytes, now: float) -> None:
        self._heard_at = now
        if self.broken is None:  # behind a broken packet nothing can be framed
            self._framer.feed(data)

    def _break(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self.broken = error
        return error


def misplaced(kind: int, state: str) -> RemoteProtocolError:
    """The error for a packet that the table of states does not hold."""
    if kind not in _KNOWN:
        return RemoteProtocolError(f"unknown packet type {bytes([kind])!r}")
    return RemoteProtocolError(f"packet {chr(kind)!r} while {state}")

"""Why a connection ended. Every end has one named reason and a sentence."""

from dataclasses import dataclass
from enum import Enum

from gateway.errors import RemoteProtocolError, UpstreamLost
from gateway.soup import HeartbeatLost, LoginTimeout


class CloseReason(Enum):
    END_OF_SESSION = "end of session"
    LOGOUT = "logout"
    NOT_AUTHORIZED = "login rejected: not authorized"
    SESSION_NOT_AVAILABLE = "login rejected: session not available"
    LOGIN_TIMEOUT = "login timeout"
    HEARTBEAT_LOST = "heartbeat lost"
    BROKEN_PACKET = "broken packet"
    TCP_LOST = "TCP connection lost"
    STALLED = "other side does not read"
    ABORTED = "closed by us"


REJECTED = {"A": CloseReason.NOT_AUTHORIZED, "S": CloseReason.SESSION_NOT_AVAILABLE}


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection: `detail` is for people, and may be empty."""

    reason: CloseReason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}" if self.detail else self.reason.value


class LinkClosed(UpstreamLost):
    """The connection ended; `closed` says why."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(str(closed))
        self.closed = closed


def reason_of(error: RemoteProtocolError) -> CloseReason:
    match error:
        case HeartbeatLost():
            return CloseReason.HEARTBEAT_LOST
        case LoginTimeout():
            return CloseReason.LOGIN_TIMEOUT
        case _:
            return CloseReason.BROKEN_PACKET

"""What a session tells its owner: frozen values, in the order of the bytes that caused them.

Client events are what a server said, server events what a client said. Knows nothing of how they were framed.
"""

from dataclasses import dataclass, field

from gateway.soup.packets import Version
from gateway.values import Position


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server let us in; `position.next_seq` is the number of the first message that follows."""

    position: Position


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server refused: `A` not authorized, `S` session not available. It closes next."""

    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """Sequenced packets that arrived in one read without another packet between them.

    `raw` holds `count` whole packets (uint16 length, `S`, payload) in one slice of what was read.
    """

    session: str
    first_seq: int
    count: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Unsequenced:
    """Best-effort data from the server; it has no number."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Debug:
    """Text from the server. Never an error, never counted."""

    text: bytes


@dataclass(frozen=True, slots=True)
class EndOfSession:
    """No more messages will come in this session, and it can't be joined again."""


ClientEvent = Accepted | Rejected | Run | Unsequenced | Debug | EndOfSession


@dataclass(frozen=True, slots=True)
class LoginRequested:
    """A client asks to be let in. An empty `session` means the current one, `next_seq` 0 the newest message.

    `heartbeat_timeout_ms` is how long the client wants to be allowed to be silent; only 4.10 can say it.
    """

    user: str
    password: str = field(repr=False)
    session: str
    next_seq: int
    heartbeat_timeout_ms: int | None
    version: Version


@dataclass(frozen=True, slots=True)
class UnsequencedReceived:
    """Data from the client."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class DebugReceived:
    """Text from the client, perhaps before its login."""

    text: bytes


@dataclass(frozen=True, slots=True)
class LogoutRequested:
    """The client wants the connection closed at once, without a reply."""


ServerEvent = LoginRequested | UnsequencedReceived | DebugReceived | LogoutRequested

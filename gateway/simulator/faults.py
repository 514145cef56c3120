"""What an exchange can do wrong, and when it is its turn.

Pure: knows numbers of messages and logins; the exchange does the deeds. Counting is simple on purpose. The
`..._after` faults of a connection count the sequenced messages sent on that connection, replayed ones too;
`roll_session_after` counts the messages of the session. A fault happens once in a day unless `repeat` is set,
then once on each connection (each session, for the roll).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf

from gateway.errors import ConfigError

# A length of 0 has no room for a type byte: no reader can take it for a packet.
GARBAGE = b"\x00\x00\xde\xad"
CUT_WITHOUT_DROP_AFTER = 1_000
SLOW_BYTES_S = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What shall go wrong. Without arguments: nothing.

    Faults of a login happen one to a login, in the order in which they stand here; a login that a fault has
    spoilt leaves the others for the next one. Faults of a connection happen in the order of their numbers.
    """

    drop_on_connect: bool = False
    """TCP is closed before the client can log in."""
    ignore_login: bool = False
    """The login is never answered."""
    drop_before_accepted: bool = False
    """TCP is closed instead of an answer."""
    cut_inside_accepted: bool = False
    """TCP is closed in the middle of Login Accepted."""
    reject: str | None = None
    """The login is rejected: `A` not authorized, `S` session not available."""
    rewind: int | None = None
    """The login is accepted so many numbers below the one asked for; it waits for one that asks above 1."""
    skip: int | None = None
    """The login is accepted so many numbers above the one asked for."""

    garbage_after: int | None = None
    """After so many messages come bytes that are no packet; then all goes on."""
    drop_after: int | None = None
    """After so many messages TCP is closed."""
    silent_after: int | None = None
    """After so many messages nothing more is sent, not even heartbeats; TCP stays open."""
    cut_inside_packet: bool = False
    """The drop comes in the middle of the next packet. Without `drop_after`, that is after 1,000 messages."""
    drop_at_end: bool = False
    """TCP is closed together with the End of Session, not left for the client to close."""
    slow_bytes_s: float | None = None
    """Messages trickle: so many bytes a second, cut anywhere. Always, not once."""

    roll_session_after: int | None = None
    """After so many messages the session ends, a new one begins at 1, and the old one can't be joined."""
    roll_silently: bool = False
    """The session that rolls disappears without End of Session: TCP is closed."""

    garbage: bytes = GARBAGE
    repeat: bool = False

    def __post_init__(self) -> None:
        for name in ("garbage_after", "drop_after", "silent_after"):
            _require_at_least(0, name, getattr(self, name))
        for name in ("rewind", "skip", "roll_session_after"):
            _require_at_least(1, name, getattr(self, name))
        if self.reject not in (None, "A", "S"):
            raise ConfigError(
                f"reject is {self.reject!r}, expected A (not authorized) or S (session not available)"
            )
        if self.slow_bytes_s is not None and not 0 < self.slow_bytes_s < inf:
            raise ConfigError(f"slow_bytes_s is {self.slow_bytes_s:g}, expected more than 0")

    @property
    def drops_after(self) -> int | None:
        """`drop_after`, or where `cut_inside_packet` alone cuts."""
        if self.drop_after is None and self.cut_inside_packet:
            return CUT_WITHOUT_DROP_AFTER
        return self.drop_after


@dataclass(frozen=True, slots=True)
class Ignore:
    """Leave the login without an answer."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject the login."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Close TCP: at once, or in the middle of the packet that would come next."""

    inside_packet: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """Accept the login at this number."""

    next_seq: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Send nothing more, leave TCP open."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Send these bytes as they are."""

    data: bytes


LoginDeed = Ignore | Refuse | Cut | Grant
StreamDeed = Cut | Silence | Garbage


class FaultPlan:
    """Which faults each connection meets, in the order in which connections come.

    Given one `Faults`, all connections share it: what has happened on one does not happen on the next. Given
    several, the first connection meets the first, the second the second, and later ones none; the values of
    `roll_session_after` in them are those of the first session that rolls, the second, and so on.
    """

    def __init__(self, faults: Faults | Sequence[Faults] = ()) -> None:
        self._shared = _Armed(faults) if isinstance(faults, Faults) else None
        self._queue = [] if isinstance(faults, Faults) else [_Armed(each) for each in faults]
        self._queue.reverse()
        listed = [faults] if isinstance(faults, Faults) else list(faults)
        self._rolls = [each for each in listed if each.roll_session_after is not None]
        self._rolls.reverse()

    def connection(self) -> "ConnectionFaults":
        """The faults that the next connection meets."""
        if self._shared is not None:
            return ConnectionFaults(self._shared)
        return ConnectionFaults(self._queue.pop() if self._queue else _Armed(Faults()))

    @property
    def roll(self) -> Faults | None:
        """The faults that hold the next roll of the session; None when it does not roll any more."""
        return self._rolls[-1] if self._rolls else None

    def rolled(self) -> None:
        """The session has rolled: what comes next is the next session's."""
        if not self._rolls[-1].repeat:
            self._rolls.pop()


class ConnectionFaults:
    """What goes wrong on one connection: asked at its login, and whenever messages were sent."""

    def __init__(self, armed: "_Armed") -> None:
        self._faults = armed.faults
        self._armed = armed
        self._sent = 0
        # With `repeat` a fault stays armed for others, but comes once on each connection.
        self._happened: set[str] = set()

    @property
    def slow_bytes_s(self) -> float | None:
        """At how many bytes a second messages trickle; None for as fast as they can be read."""
        return self._faults.slow_bytes_s

    @property
    def in_stream(self) -> bool:
        """Whether anything may still go wrong between Login Accepted and the end."""
        return (
            self.slow_bytes_s is not None
            or self._is_armed("drop_at_end")
            or self._next_stream_fault() is not None
        )

    def drops_on_connect(self) -> bool:
        """Whether the connection is closed before its login. Ask once."""
        return self._happens("drop_on_connect")

    def drops_at_end(self) -> bool:
        """Whether the connection is closed with the End of Session. Ask once."""
        return self._happens("drop_at_end")

    def login(self, next_seq: int) -> LoginDeed:
        """How to answer a login that would rightly be accepted at `next_seq`. Ask once."""
        if self._happens("ignore_login"):
            return Ignore()
        if self._happens("drop_before_accepted"):
            return Cut(inside_packet=False)
        if self._happens("cut_inside_accepted"):
            return Cut(inside_packet=True)
        if self._faults.reject is not None and self._happens("reject"):
            return Refuse(self._faults.reject)
        if self._faults.rewind is not None and next_seq > 1 and self._happens("rewind"):
            return Grant(max(1, next_seq - self._faults.rewind))
        if self._faults.skip is not None and self._happens("skip"):
            return Grant(next_seq + self._faults.skip)
        return Grant(next_seq)

    @property
    def room(self) -> float:
        """How many messages may be sent before something goes wrong; infinity when nothing will."""
        fault = self._next_stream_fault()
        return inf if fault is None else max(0, fault[0] - self._sent)

    def sent(self, count: int) -> None:
        """So many more messages were sent."""
        self._sent += count

    def due(self) -> StreamDeed | None:
        """What goes wrong now; ask again until it is None."""
        fault = self._next_stream_fault()
        if fault is None or fault[0] > self._sent:
            return None
        name = fault[2]
        self._happens(name)
        match name:
            case "garbage_after":
                return Garbage(self._faults.garbage)
            case "drop_after":
                return Cut(self._faults.cut_inside_packet)
            case _:
                return Silence()

    def _next_stream_fault(self) -> tuple[int, int, str] | None:
        """The fault that comes first: after how many messages, its rank among equals, its name."""
        faults = self._faults
        ahead = (
            (faults.garbage_after, 0, "garbage_after"),
            (faults.drops_after, 1, "drop_after"),
            (faults.silent_after, 2, "silent_after"),
        )
        return min(
            (
                (after, rank, name)
                for after, rank, name in ahead
                if after is not None and self._is_armed(name)
            ),
            default=None,
        )

    def _is_armed(self, name: str) -> bool:
        return name in self._armed.names and name not in self._happened

    def _happens(self, name: str) -> bool:
        if not self._is_armed(name):
            return False
        self._happened.add(name)
        if not self._faults.repeat:
            self._armed.names.discard(name)
        return True


class _Armed:
    """Faults that have not happened yet, shared by the connections they are meant for."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        values = {field.name: getattr(faults, field.name) for field in fields(faults)}
        values["drop_after"] = faults.drops_after
        self.names = {name for name, value in values.items() if value is not None and value is not False}


def _require_at_least(least: int, name: str, value: int | None) -> None:
    if value is not None and value < least:
        raise ConfigError(f"{name} is {value}, expected {least} or more")

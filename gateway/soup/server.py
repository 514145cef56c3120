"""The server's side of a SoupBinTCP session as a table of states.

Knows which packet a client may send when, counts the sequence numbers it hands out, and says when silence
has lasted too long. Who may log in and which messages exist is the caller's to know.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from math import inf

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.soup import packets
from gateway.soup.endpoint import Endpoint, misplaced
from gateway.soup.errors import HeartbeatLost, LoginTimeout
from gateway.soup.events import (
    DebugReceived,
    LoginRequested,
    LogoutRequested,
    ServerEvent,
    UnsequencedReceived,
)
from gateway.soup.framer import Packet
from gateway.soup.packets import Justify, Version
from gateway.values import Position

HEARTBEAT_S = 1.0
SILENCE_S = 15.0
LOGIN_TIMEOUT_S = 30.0


class ServerState(Enum):
    AWAITING_LOGIN = auto()
    DECIDING = auto()
    STREAMING = auto()
    ENDED = auto()


_WAIT, _DECIDE, _ON, _END = ServerState
_DEBUG, _LOGIN, _LOGOUT = packets.DEBUG, packets.LOGIN, packets.LOGOUT
_UNSEQUENCED, _HEARTBEAT = packets.UNSEQUENCED, packets.CLIENT_HEARTBEAT

# What a client may say, and when. A pair that is not here is the client's error.
NEXT_STATE = {
    (_WAIT, _DEBUG): _WAIT,  # text is allowed at any time
    (_WAIT, _LOGIN): _DECIDE,
    (_DECIDE, _DEBUG): _DECIDE,
    (_DECIDE, _HEARTBEAT): _DECIDE,
    (_DECIDE, _LOGOUT): _END,
    (_ON, _DEBUG): _ON,
    (_ON, _HEARTBEAT): _ON,
    (_ON, _UNSEQUENCED): _ON,
    (_ON, _LOGOUT): _END,
    # The client may not have read our last word yet.
    (_END, _DEBUG): _END,
    (_END, _HEARTBEAT): _END,
    (_END, _UNSEQUENCED): _END,
    (_END, _LOGOUT): _END,
}


class ServerSession(Endpoint):
    """Bytes and times in, events and bytes out. The caller answers `LoginRequested` with accept or reject.

    `version` is what a client with the short login is taken to speak: 3.00 and 4.00 look the same.
    `heartbeats` may be switched off to play a server that has died with its socket open.
    """

    def __init__(
        self,
        now: float,
        *,
        version: Version = Version.V4_00,
        justify: Justify = Justify.RIGHT,
        heartbeat_s: float = HEARTBEAT_S,
        silence_s: float = SILENCE_S,
        login_timeout_s: float = LOGIN_TIMEOUT_S,
    ) -> None:
        super().__init__(now)
        self.state = ServerState.AWAITING_LOGIN
        self.version = version
        self.heartbeats = True
        self._justify = justify
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._login_timeout_s = login_timeout_s
        self._session = ""
        self._next_seq = 0

    @property
    def position(self) -> Position:
        """The session granted, and the number that the next sequenced message will have."""
        return Position(self._session, self._next_seq)

    def receive(self, data: bytes, now: float) -> Iterator[ServerEvent]:
        """Yield what `data` completes, in order, then raise if the client broke a rule.

        Take all events before the next call; what is left waits for it.
        """
        self._hear(data, now)
        return self._events(now)

    def _events(self, now: float) -> Iterator[ServerEvent]:
        if self.broken is not None:
            raise self.broken
        try:
            while (packet := self._framer.next_packet()) is not None:
                if (event := self._take(packet, now)) is not None:
                    yield event
        except RemoteProtocolError as exc:
            self.broken = exc
            raise

    def _take(self, packet: Packet, now: float) -> ServerEvent | None:
        kind, payload = packet
        try:
            next_state = NEXT_STATE[self.state, kind]
        except KeyError:
            raise misplaced(kind, self.state.name) from None
        event: ServerEvent | None = None
        if kind == _HEARTBEAT:
            packets.require_no_body(kind, payload)
        elif kind == _UNSEQUENCED:
            event = UnsequencedReceived(payload)
        elif kind == _DEBUG:
            event = DebugReceived(payload)
        elif kind == _LOGIN:
            event = self._login(payload)
        elif kind == _LOGOUT:
            packets.require_no_body(kind, payload)
            event = LogoutRequested()
        else:
            raise AssertionError(f"packet {chr(kind)!r} is in the table but not handled")
        self.state = next_state
        return event

    def _login(self, payload: bytes) -> LoginRequested:
        fields = packets.parse_login_request(payload)
        if fields.heartbeat_timeout_ms is not None:
            self.version = Version.V4_10
            if fields.heartbeat_timeout_ms:  # 0 would drop the client at once; our own limit is kept
                self._silence_s = fields.heartbeat_timeout_ms / 1000
        return LoginRequested(
            fields.user,
            fields.password,
            fields.session,
            fields.next_seq,
            fields.heartbeat_timeout_ms,
            self.version,
        )

    def accept(self, session: str, next_seq: int, now: float) -> None:
        """Let the client in: `next_seq` is the number of the first message that will be sent."""
        self._require(ServerState.DECIDING)
        self._queue(packets.login_accepted(Position(session, next_seq), self._justify), now)
        self._session, self._next_seq = session, next_seq
        self.state = ServerState.STREAMING

    def reject(self, reason: str, now: float) -> None:
        """Refuse the client (`A` not authorized, `S` session not available); the caller then closes."""
        self._require(ServerState.DECIDING)
        self._queue(packets.login_rejected(reason), now)
        self.state = ServerState.ENDED

    def send_sequenced(self, payloads: bytes | Iterable[bytes], now: float) -> None:
        """Queue one message, or many in one piece."""
        if isinstance(payloads, bytes):
            self.send_run(packets.sequenced(payloads), 1, now)
        else:
            payloads = list(payloads)
            self.send_run(packets.sequenced_run(payloads), len(payloads), now)

    def send_run(self, raw: bytes, count: int, now: float) -> None:
        """Queue `count` sequenced packets that are framed already."""
        self._require(ServerState.STREAMING)
        self._queue(raw, now)
        self._next_seq += count

    def send_unsequenced(self, payload: bytes, now: float) -> None:
        self._require(ServerState.STREAMING)
        if self.version is Version.V3_00:
            raise LocalProtocolError("a server of version 3.00 has no unsequenced data, expected since 4.00")
        self._queue(packets.unsequenced(payload), now)

    def send_debug(self, text: str | bytes, now: float) -> None:
        """Queue text for the client; letters outside ASCII become `?`."""
        if self.state is ServerState.ENDED:
            raise LocalProtocolError("debug text after the session ended")
        self._queue(packets.debug(text), now)

    def end_session(self, now: float) -> None:
        """Tell the client that no more messages will come."""
        self._require(ServerState.STREAMING)
        self._queue(packets.END_OF_SESSION_PACKET, now)
        self.state = ServerState.ENDED

    def deadline(self) -> float:
        """When `tick` wants to be called next; infinity once the session has ended."""
        match self.state:
            case ServerState.AWAITING_LOGIN | ServerState.DECIDING:
                return self._since + self._login_timeout_s
            case ServerState.STREAMING:
                beat_at = self._sent_at + self._heartbeat_s if self.heartbeats else inf
                return min(beat_at, self._heard_at + self._silence_s) if self._reading else beat_at
            case ServerState.ENDED:
                return inf

    def tick(self, now: float) -> None:
        """Queue a heartbeat if we have been silent; raise if the client has, or has not logged in."""
        match self.state:
            case ServerState.AWAITING_LOGIN | ServerState.DECIDING:
                if now - self._since >= self._login_timeout_s:
                    raise self._break(LoginTimeout(f"no login within {self._login_timeout_s:g} s"))
            case ServerState.STREAMING:
                if self._reading and now - self._heard_at >= self._silence_s:
                    raise self._break(HeartbeatLost(f"nothing received for {self._silence_s:g} s"))
                if self.heartbeats and now - self._sent_at >= self._heartbeat_s:
                    self._queue(packets.SERVER_HEARTBEAT_PACKET, now)
            case ServerState.ENDED:
                pass

    def _require(self, state: ServerState) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"session is {self.state.name}, expected {state.name}")

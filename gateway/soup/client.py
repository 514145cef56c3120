"""The client's side of a SoupBinTCP session as a table of states.

Knows which packet may come when, counts sequence numbers, and says when silence has lasted too long.
Owns no socket and no clock: the caller passes bytes and times in.
"""

from collections.abc import Iterator
from enum import Enum, auto
from math import inf

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.soup import packets
from gateway.soup.endpoint import Endpoint, misplaced
from gateway.soup.errors import HeartbeatLost, LoginTimeout
from gateway.soup.events import Accepted, ClientEvent, Debug, EndOfSession, Rejected, Run, Unsequenced
from gateway.soup.framer import Packet
from gateway.soup.packets import Login, Version
from gateway.values import Position

HEARTBEAT_S = 1.0
SILENCE_S = 15.0
LOGIN_TIMEOUT_S = 10.0
LOGOUT_TIMEOUT_S = 5.0


class ClientState(Enum):
    LOGGING_IN = auto()
    STREAMING = auto()
    LOGGING_OUT = auto()
    ENDED = auto()


_IN, _ON, _OUT, _END = ClientState
_DEBUG, _ACCEPTED, _REJECTED = packets.DEBUG, packets.ACCEPTED, packets.REJECTED
_SEQUENCED, _UNSEQUENCED = packets.SEQUENCED, packets.UNSEQUENCED
_HEARTBEAT, _END_OF_SESSION = packets.SERVER_HEARTBEAT, packets.END_OF_SESSION

# What a server may say, and when. A pair that is not here is the server's error.
NEXT_STATE = {
    (_IN, _DEBUG): _IN,  # text is allowed at any time
    (_IN, _HEARTBEAT): _IN,
    (_IN, _ACCEPTED): _ON,
    (_IN, _REJECTED): _END,
    (_ON, _DEBUG): _ON,
    (_ON, _HEARTBEAT): _ON,
    (_ON, _SEQUENCED): _ON,
    (_ON, _UNSEQUENCED): _ON,
    (_ON, _END_OF_SESSION): _END,
    # What was under way when we asked to leave still counts.
    (_OUT, _DEBUG): _OUT,
    (_OUT, _HEARTBEAT): _OUT,
    (_OUT, _SEQUENCED): _OUT,
    (_OUT, _UNSEQUENCED): _OUT,
    (_OUT, _END_OF_SESSION): _END,
    # A server's timer may fire once more behind its last word.
    (_END, _DEBUG): _END,
    (_END, _HEARTBEAT): _END,
}


class ClientSession(Endpoint):
    """Bytes and times in, events and bytes out. The caller owns the socket and the clock.

    The login is queued at once. `wanted` is what we ask for; what the server grants is in `Accepted`,
    and it is the caller who compares them. `logged_in` stays true once it was; `farewell` is
    the server's last word, once it was said.
    """

    def __init__(
        self,
        login: Login,
        wanted: Position,
        now: float,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        silence_s: float = SILENCE_S,
        login_timeout_s: float = LOGIN_TIMEOUT_S,
        logout_timeout_s: float = LOGOUT_TIMEOUT_S,
    ) -> None:
        super().__init__(now)
        self.state = ClientState.LOGGING_IN
        self.login = login
        self.wanted = wanted
        self.farewell: Rejected | EndOfSession | None = None
        self.logged_in = False
        self._heartbeat_s = heartbeat_s
        self._silence_s = silence_s
        self._login_timeout_s = login_timeout_s
        self._logout_timeout_s = logout_timeout_s
        self._session = wanted.session
        self._next_seq = wanted.next_seq
        self._queue(packets.login_request(login, wanted), now)

    @property
    def position(self) -> Position:
        """The session, and the number of the message that comes next. Before the login: what we asked for."""
        return Position(self._session, self._next_seq)

    def receive(self, data: bytes, now: float) -> Iterator[ClientEvent]:
        """Yield what `data` completes, in order, then raise if the server broke a rule.

        Take all events before the next call; what is left waits for it.
        """
        self._hear(data, now)
        return self._events(now)

    def _events(self, now: float) -> Iterator[ClientEvent]:
        if self.broken is not None:
            raise self.broken
        try:
            framer = self._framer
            while True:
                if (self.state, _SEQUENCED) in NEXT_STATE and (run := framer.take_run()) is not None:
                    count, raw = run
                    first_seq = self._next_seq
                    self._next_seq = first_seq + count
                    yield Run(self._session, first_seq, count, raw)
                if (packet := framer.next_packet()) is None:
                    return
                if (event := self._take(packet, now)) is not None:
                    yield event
        except RemoteProtocolError as exc:
            self.broken = exc
            raise

    def _take(self, packet: Packet, now: float) -> ClientEvent | None:
        kind, payload = packet
        try:
            next_state = NEXT_STATE[self.state, kind]
        except KeyError:
            raise misplaced(kind, self.state.name) from None
        event: ClientEvent | None = None
        if kind == _HEARTBEAT:
            packets.require_no_body(kind, payload)
        elif kind == _UNSEQUENCED:
            if self.login.version is Version.V3_00:
                raise RemoteProtocolError(
                    "unsequenced data from a server of version 3.00, expected since 4.00"
                )
            event = Unsequenced(payload)
        elif kind == _DEBUG:
            event = Debug(payload)
        elif kind == _ACCEPTED:
            position = packets.parse_login_accepted(payload)
            self._session, self._next_seq = position.session, position.next_seq
            event = Accepted(position)
            self.logged_in = True
        elif kind == _REJECTED:
            event = self.farewell = Rejected(packets.parse_login_rejected(payload))
        elif kind == _END_OF_SESSION:
            packets.require_no_body(kind, payload)
            event = self.farewell = EndOfSession()
        else:
            # A single sequenced packet is a run too, but take_run has taken it before.
            raise AssertionError(f"packet {chr(kind)!r} is in the table but not handled")
        self._enter(next_state, now)
        return event

    def _enter(self, state: ClientState, now: float) -> None:
        if state is not self.state:
            self.state = state
            self._since = now

    def send_unsequenced(self, payload: bytes, now: float) -> None:
        self._require(ClientState.STREAMING)
        self._queue(packets.unsequenced(payload), now)

    def send_debug(self, text: str | bytes, now: float) -> None:
        """Queue text for the server's log; letters outside ASCII become `?`."""
        if self.state is ClientState.ENDED:
            raise LocalProtocolError("debug text after the session ended")
        self._queue(packets.debug(text), now)

    def logout(self, now: float) -> None:
        """Ask the server to close. It does so without a reply; what is under way is still received."""
        self._require(ClientState.STREAMING)
        self._queue(packets.LOGOUT_PACKET, now)
        self._enter(ClientState.LOGGING_OUT, now)

    def deadline(self) -> float:
        """When `tick` wants to be called next; infinity once the session has ended."""
        match self.state:
            case ClientState.LOGGING_IN:
                return self._since + self._login_timeout_s
            case ClientState.STREAMING:
                beat_at = self._sent_at + self._heartbeat_s
                return min(beat_at, self._heard_at + self._silence_s) if self._reading else beat_at
            case ClientState.LOGGING_OUT:
                return self._since + self._logout_timeout_s
            case ClientState.ENDED:
                return inf

    def tick(self, now: float) -> None:
        """Queue a heartbeat if we have been silent; raise if the server is silent for too long."""
        match self.state:
            case ClientState.LOGGING_IN:
                if now - self._since >= self._login_timeout_s:
                    raise self._break(LoginTimeout(f"login not answered within {self._login_timeout_s:g} s"))
            case ClientState.STREAMING:
                if self._reading and now - self._heard_at >= self._silence_s:
                    raise self._break(HeartbeatLost(f"nothing received for {self._silence_s:g} s"))
                if now - self._sent_at >= self._heartbeat_s:
                    self._queue(packets.CLIENT_HEARTBEAT_PACKET, now)
            case ClientState.LOGGING_OUT:
                if now - self._since >= self._logout_timeout_s:
                    raise self._break(
                        RemoteProtocolError(
                            f"connection still open {self._logout_timeout_s:g} s after the logout"
                        )
                    )
            case ClientState.ENDED:
                pass

    def _require(self, state: ClientState) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"session is {self.state.name}, expected {state.name}")

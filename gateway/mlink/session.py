"""A subscriber's session: WebSocket messages and times in, actions and finished reply bytes out.

Knows what a subscriber may say and when, and how each is answered. Resolves nothing (message names,
stripes, keys, positions): it asks for that by actions and is told by its `ack_…` methods. Opens no
socket, reads no clock; `now` is monotonic seconds, `wall_ns` gives the time for envelopes.

How to hold one:

    session = SubscriberSession(
        framed=path == "/mlink/jsonf", now=now, wall_ns=time.time_ns, logged_on=key_is_good
    )
    perform(session.greeting())
    async for message in websocket:
        perform(session.receive(message, now))

    def perform(actions):                  # in order; answers are actions, too
        for action in actions:
            match action:
                case Reply(data): send(data)                              # always binary
                case CloseWith(code, reason): close(code, reason)
                case LogonRequested(): perform(session.logged_on() or session.logon_failed("…"))
                case StreamRequested(): perform(session.ack_stream(action, OK)); start(action)
                case StreamsCancelled(ids): perform(session.ack_stream(action, OK, ends=stop(ids)))
                case SubscribeRequested(): perform(session.ack_subscribe(action, …))
                case SignalReady(): …

and wake at `session.deadline()` to `perform(session.tick(now, positions))`. What a stream has to say
(`checkpoint`, `subscribe_checkpoint`, `notice`) is written between its messages by whoever writes those.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.errors import LocalProtocolError
from gateway.mlink.acks import data_ack, refusal, refusal_of, short, subscribe_ack
from gateway.mlink.actions import (
    Action,
    CloseWith,
    ItemResult,
    LogonRequested,
    Progress,
    Reply,
    SignalReady,
    StreamId,
    StreamRequested,
    StreamsCancelled,
    SubscribeRequested,
)
from gateway.mlink.choices import (
    AdminEvent,
    AdminState,
    DataResult,
    Delivery,
    ReadyScan,
    StreamResult,
    StreamState,
    SubscribeState,
)
from gateway.mlink.close_codes import CloseCode, reason_for
from gateway.mlink.control import (
    BadMessage,
    Envelope,
    Message,
    MLinkAdmin,
    MLinkHeartbeat,
    MLinkLogon,
    MLinkSignalReady,
    MLinkStream,
    MLinkStreamAck,
    MLinkSubscribe,
    MLinkSubscribeCheckPt,
    StreamPosition,
    encode,
    read,
)
from gateway.mlink.frames import BadFrame, BadJson, InputReader, MessageTooBig, frame
from gateway.mlink.life import NEXT_STATE, State, Turn
from gateway.mlink.limits import RequestRate, SessionLimits
from gateway.mlink.streams import Streams
from gateway.mlink.times import utc_text


class SubscriberSession:
    """One connection's life. Every method gives the actions to perform, in their order on the wire.

    Bounded by `limits`, each with a named ending. After a CloseWith nothing is said or taken any more.
    """

    def __init__(
        self,
        *,
        framed: bool,
        now: float,
        wall_ns: Callable[[], int],
        logged_on: bool = False,
        limits: SessionLimits | None = None,
    ) -> None:
        self._framed = framed
        self._wall_ns = wall_ns
        self._limits = limits = limits or SessionLimits()
        self._reader = InputReader(message_bytes_max=limits.message_bytes_max, depth_max=limits.depth_max)
        self._rate = RequestRate(limits.requests_per_s, limits.requests_burst, now)
        self.state = State.LOGGED_ON if logged_on else State.WAITING_LOGON
        self._logon_by = now + limits.logon_s
        self._logons_failed = 0
        self._held: list[Envelope] = []
        self._heartbeat_at = now + limits.heartbeat_s
        self._heartbeats = 0
        self._streams = Streams(limits.streams_max)
        # Under which sessionIDs there are subscriptions, and of how many keys in all.
        self._subscribing: set[int] = set()
        self._subscribed = 0
        self._closed = False

    @property
    def streams(self) -> tuple[StreamId, ...]:
        """The streams that are running."""
        return self._streams.running

    # --- the life of the connection

    def greeting(self) -> list[Action]:
        """The server speaks first: whether a logon is needed."""
        logged_on = self.state is State.LOGGED_ON
        return self._replies(
            MLinkAdmin(state=AdminState.LOGGED_ON if logged_on else AdminState.WAITING_LOGON)
        )

    def deadline(self) -> float:
        """When `tick` wants to be called next; infinity once there is nothing left to do."""
        if self.state is State.CLOSING:
            return float("inf")
        if self.state in (State.WAITING_LOGON, State.LOGGING_ON):
            return min(self._heartbeat_at, self._logon_by)
        return self._heartbeat_at

    def tick(self, now: float, positions: Sequence[StreamPosition] = ()) -> list[Action]:
        """Send a heartbeat if one is due, with how far each stream is complete; end what took too long."""
        if self.state is State.CLOSING:
            return []
        if self.state in (State.WAITING_LOGON, State.LOGGING_ON) and now >= self._logon_by:
            return self.close(CloseCode.LOGON_TIMEOUT, f"{self._limits.logon_s:g} s are allowed")
        if now < self._heartbeat_at:
            return []
        self._heartbeat_at = now + self._limits.heartbeat_s
        self._heartbeats += 1
        heartbeat = MLinkHeartbeat(
            seqNum=self._heartbeats, timestamp=utc_text(self._wall_ns()), positions=tuple(positions)
        )
        return self._replies(heartbeat)

    def good_night(self, seconds_left: float, detail: str = "") -> list[Action]:
        """Tell that the gateway ends. Streams end after this by `checkpoint`; then close with GOING_AWAY."""
        self._turn(Turn.END)
        detail = short(detail) or "the gateway shuts down"
        return self._replies(MLinkAdmin(state=AdminState.GOOD_NIGHT, detail=detail, secondsLeft=seconds_left))

    def close(self, code: CloseCode, detail: str = "") -> list[Action]:
        """End the connection, after a word why. Nothing comes in or goes out after this."""
        self._turn(Turn.END)
        if self._closed:
            return []
        reason = reason_for(code, detail)
        word = MLinkAdmin(state=AdminState.GOOD_NIGHT, detail=f"closing with {code.value}: {reason}")
        actions = [*self._replies(word), CloseWith(code, reason)]
        self._closed = True
        return actions

    def notice(self, event: AdminEvent, detail: str, **fields: Any) -> list[Action]:
        """Tell what befell a feed or a stream; `fields` are those of MLinkAdmin."""
        return self._replies(
            MLinkAdmin(state=AdminState.LOGGED_ON, event=event, detail=short(detail), **fields)
        )

    # --- what comes in

    def receive(self, message: bytes | str, now: float) -> list[Action]:
        """Everything one WebSocket message asks for, in order. Raises nothing, whatever it holds."""
        if self.state is State.CLOSING:
            return []
        # Asked before anything is parsed, so that parsing is within the rate.
        if not self._rate.take(now):
            return self._flooded()
        actions: list[Action] = []
        try:
            for place, value in enumerate(self._reader.feed(message)):
                if place and not self._rate.take(now):
                    return actions + self._flooded()
                actions += self._answer(value)
                if self._closed:
                    break
        except MessageTooBig as error:
            actions += self._replies(data_ack(DataResult.FRAME_ERROR, str(error)))
            actions += self.close(CloseCode.TOO_BIG, str(error))
        except BadFrame as error:
            actions += self._replies(data_ack(DataResult.FRAME_ERROR, str(error)))
        except BadJson as error:
            actions += self._replies(data_ack(DataResult.JSON_ERROR, str(error)))
        return actions

    def _flooded(self) -> list[Action]:
        return self.close(CloseCode.FLOOD, f"{self._limits.requests_per_s:g} a second are allowed")

    def _answer(self, value: Mapping[str, Any]) -> list[Action]:
        try:
            return self._take(read(value))
        except BadMessage as error:
            if error.envelope.m_typ.casefold() == MLinkLogon.__name__.casefold():
                return self._replies(MLinkAdmin(state=AdminState.LOGON_FAILED, detail=short(str(error))))
            if self.state is State.WAITING_LOGON:
                return self._unauthorized(error.envelope)
            return self._replies(refusal_of(error))

    def _take(self, envelope: Envelope) -> list[Action]:
        if self.state in (State.LOGGING_ON, State.LOGGING_ON_AGAIN):
            # Clients send their requests at once behind their logon.
            if len(self._held) == self._limits.held_max:
                return self.close(CloseCode.FLOOD, f"{self._limits.held_max} requests wait for the logon")
            self._held.append(envelope)
            return []
        match envelope.message:
            case MLinkLogon() as logon:
                self._turn(Turn.LOGON)
                return [
                    LogonRequested(logon.userName, logon.password, logon.pin, logon.apiKey, logon.jwtToken)
                ]
            case _ if self.state is State.WAITING_LOGON:
                return self._unauthorized(envelope)
            case MLinkStream() as request:
                asked = self._streams.ask(request, envelope.sent_ns)
                return self._replies(asked) if isinstance(asked, MLinkStreamAck) else [asked]
            case MLinkSubscribe() as request:
                return self._subscribe(request)
            case MLinkSignalReady() as signal:
                session_id = None if signal.sessionID == -1 else signal.sessionID
                full_scan = signal.readyScan is ReadyScan.FULL_SCAN
                streams = self._streams.of_session(session_id)
                return [SignalReady(session_id, signal.signalID, full_scan, streams)]
        known = "MLinkLogon, MLinkStream, MLinkSubscribe, MLinkSignalReady"
        detail = f"no uploads are taken here, expected one of {known}, got {envelope.m_typ!r}"
        return self._replies(data_ack(DataResult.INVLD_MSG_TYPE, detail, envelope))

    def _subscribe(self, request: MLinkSubscribe) -> list[Action]:
        allowed = self._limits.streams_max
        if request.sessionID not in self._subscribing and len(self._subscribing) >= allowed:
            detail = f"{allowed} sessionIDs with subscriptions on this connection, no more are allowed"
            return self._replies(subscribe_ack(request, (), (), (), detail, self._subscribed))
        self._subscribing.add(request.sessionID)
        return [SubscribeRequested(request)]

    def _unauthorized(self, envelope: Envelope) -> list[Action]:
        detail = "not logged on; send MLinkLogon first, or a key with the handshake"
        return self._replies(
            refusal(envelope, detail, stream=StreamResult.UNAUTH_MSG_TYPE, data=DataResult.AUTH_ERROR)
        )

    # --- logon

    def logged_on(self, detail: str = "", limits: SessionLimits | None = None) -> list[Action]:
        """The credentials are good; what waited for them follows, within the `limits` of their holder."""
        if self.state is State.CLOSING:
            return []
        self._turn(Turn.ACCEPTED)
        if limits is not None:
            self._limits = limits
            self._streams.streams_max, self._rate.per_s = limits.streams_max, limits.requests_per_s
        self._logons_failed = 0
        return self._replies(MLinkAdmin(state=AdminState.LOGGED_ON, detail=short(detail))) + self._release()

    def logon_failed(self, detail: str) -> list[Action]:
        """They are not; an earlier logon stays valid."""
        if self.state is State.CLOSING:
            return []
        self._turn(Turn.REFUSED)
        self._logons_failed += 1
        actions = self._replies(MLinkAdmin(state=AdminState.LOGON_FAILED, detail=short(detail)))
        if self._logons_failed >= self._limits.logon_attempts_max:
            return actions + self.close(CloseCode.LOGON_FAILED, f"{self._logons_failed} in a row")
        return actions + self._release()

    def _release(self) -> list[Action]:
        held, self._held = self._held, []
        actions: list[Action] = []
        for envelope in held:
            if self.state is State.CLOSING:
                break
            # A second logon among them holds the rest again.
            actions += self._take(envelope)
        return actions

    # --- streams and subscriptions

    def ack_stream(
        self,
        asked: StreamRequested | StreamsCancelled,
        result: StreamResult,
        detail: str = "",
        *,
        ends: Mapping[StreamId, Progress] | None = None,
        delivery: Delivery | None = None,
    ) -> list[Action]:
        """The answer to a request. OK and Warn start it (or end what it cancels), all else changes nothing.

        `ends` tells how far a stream had come that ends by it: replaced, or cancelled. `delivery` is told
        where it is not every message.
        """
        return self._replies(
            *self._streams.answer(asked, result, detail, ends or {}, self._timestamp(), delivery)
        )

    def checkpoint(
        self,
        id: StreamId,
        state: StreamState,
        progress: Progress | None = None,
        *,
        signal_id: int = 0,
        detail: str = "",
    ) -> list[Action]:
        """A checkpoint in a stream, at its place between the messages. Replaced and Terminated end it."""
        progress = progress or Progress()
        return self._replies(
            self._streams.checkpoint(id, state, progress, self._timestamp(), signal_id, detail)
        )

    def ack_subscribe(
        self,
        asked: SubscribeRequested,
        *,
        view: Sequence[ItemResult] = (),
        subscribe: Sequence[ItemResult] = (),
        unsubscribe: Sequence[ItemResult] = (),
        error: str = "",
        active: int = 0,
    ) -> list[Action]:
        """The answer to a subscribe: one result per item of each list, or `error` for all of it."""
        self._subscribed = active
        return self._replies(subscribe_ack(asked.request, view, subscribe, unsubscribe, error, active))

    def subscribe_checkpoint(
        self,
        session_id: int,
        subscribe_id: int,
        state: SubscribeState,
        *,
        signal_id: int = 0,
        detail: str = "",
    ) -> list[Action]:
        """A checkpoint of a subscription, at its place between the messages."""
        return self._replies(
            MLinkSubscribeCheckPt(
                sessionID=session_id,
                subscribeID=subscribe_id,
                signalID=signal_id,
                state=state,
                detail=short(detail),
            )
        )

    # --- out

    def encoded(self, message: Message) -> bytes:
        """The bytes of a message as this connection has them: framed or not."""
        payload = encode(message, self._wall_ns())
        return frame(payload) if self._framed else payload

    def _replies(self, *messages: Message) -> list[Action]:
        if self._closed:
            return []
        return [Reply(self.encoded(message)) for message in messages]

    def _timestamp(self) -> str:
        return utc_text(self._wall_ns())

    def _turn(self, turn: Turn) -> None:
        try:
            self.state = NEXT_STATE[self.state, turn]
        except KeyError:
            raise LocalProtocolError(f"{turn.name} while {self.state.name}") from None

"""What a subscriber's session asks of whoever holds the socket and the hub, and the values they answer with.

Frozen values without behaviour. `match` on them in the shell, in order: their order is the wire's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.mlink.choices import StreamState, SubscribeResult
from gateway.mlink.close_codes import CloseCode
from gateway.mlink.control import MLinkStream, MLinkSubscribe, StreamPosition
from gateway.mlink.view import View
from gateway.mlink.where import Where


@dataclass(frozen=True, slots=True)
class StreamId:
    """Which stream of a connection: a request with an equal one replaces it.

    The vendor's own client opens several streams on one connection without giving any of them a
    `queryID`; so where there is none, the message names (in lower case) take its place.
    """

    session_id: int
    query_id: int
    names: tuple[str, ...] = ()


def stream_id_of(request: MLinkStream) -> StreamId:
    names = () if request.queryID else tuple(sorted({name.casefold() for name in request.names}))
    return StreamId(request.sessionID, request.queryID, names)


# --- asked


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this as one binary WebSocket message, or joined with others if the connection is framed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseWith:
    """Send what was replied, then close. Nothing follows this action."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class LogonRequested:
    """Check these and call `logged_on` or `logon_failed`. What is empty was not given."""

    user_name: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    jwt_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StreamRequested:
    """Start a stream or refuse it, and call `ack_stream`.

    With `replaces` one with this id is running: it goes on if this one is refused, else it ends.
    """

    id: StreamId
    request: MLinkStream
    where: Where | None
    view: View | None
    replaces: bool
    sent_ns: int = 0  # the subscriber's own time, 0 unknown


@dataclass(frozen=True, slots=True)
class StreamsCancelled:
    """End these streams, and call `ack_stream` with how far each had come."""

    ids: tuple[StreamId, ...]
    request: MLinkStream
    sent_ns: int = 0


@dataclass(frozen=True, slots=True)
class SubscribeRequested:
    """Apply reset, views, unsubscribes and subscribes, in this order, and call `ack_subscribe`."""

    request: MLinkSubscribe


@dataclass(frozen=True, slots=True)
class SignalReady:
    """Send what changed, or all of it, on these streams and on the subscriptions of `session_id`.

    None is every session of the connection. End each with a checkpoint that has `signal_id`.
    """

    session_id: int | None
    signal_id: int
    full_scan: bool
    streams: tuple[StreamId, ...]


Action = (
    Reply | CloseWith | LogonRequested | StreamRequested | StreamsCancelled | SubscribeRequested | SignalReady
)


# --- answered


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Where the time of an answer went: all of it, and what of it was the gateway's work."""

    query_s: float
    send_s: float

    @property
    def wait_s(self) -> float:
        """What was neither: others had their turn, or the subscriber had not read what was sent before."""
        return max(0.0, self.query_s - self.send_s)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream has come: counts for its checkpoint, and per feed up to where it is complete."""

    num_messages: int = 0
    num_bytes: int = 0
    highwater_ns: int = 0
    positions: Sequence[StreamPosition] = ()
    elapsed: Elapsed | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The fate of one item of an MLinkSubscribe."""

    result: SubscribeResult = SubscribeResult.OK
    detail: str = ""


# Which checkpoint may follow which in one stream (None: the stream was just acknowledged). Clients rely on
# exactly Begin, Active, Complete; after that a checkpoint ends each batch that was asked for.
NEXT_STREAM_STATES: dict[StreamState | None, frozenset[StreamState]] = {
    None: frozenset((StreamState.BEGIN, StreamState.REPLACED, StreamState.TERMINATED)),
    StreamState.BEGIN: frozenset((StreamState.ACTIVE, StreamState.REPLACED, StreamState.TERMINATED)),
    StreamState.ACTIVE: frozenset((StreamState.COMPLETE, StreamState.REPLACED, StreamState.TERMINATED)),
    StreamState.COMPLETE: frozenset(
        (StreamState.ACTIVE, StreamState.COMPLETE, StreamState.REPLACED, StreamState.TERMINATED)
    ),
}
ENDED = frozenset((StreamState.REPLACED, StreamState.TERMINATED))

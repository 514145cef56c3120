"""The control messages of the dialect, both directions, as typed values, and their envelope.

Field names are the wire's own. What is ours beyond the dialect is marked **ours**; clients that
don't know those fields never see a difference, for a field at its default is left out. Knows
nothing of frames (see `frames`) nor of who may say what when (see `session`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from pydantic import Discriminator, Field, Tag, ValidationError

from gateway.errors import BadRequest
from gateway.mlink.choices import (
    AdminEvent,
    AdminState,
    Compression,
    DataResult,
    Delivery,
    ReadyScan,
    StreamResult,
    StreamState,
    SubscribeResult,
    SubscribeState,
    YesNo,
)
from gateway.mlink.fields import (
    Count,
    Fields,
    Flag,
    HighwaterNs,
    Key,
    Milliseconds,
    NameOrNames,
    Secret,
    SequenceNumber,
    Text,
    Whole,
    choice,
    describe,
)
from gateway.mlink.times import sent_ns_of, utc_text

# Items of one MLinkSubscribe, all lists together: its ack repeats each of them and has to fit a frame.
SUBSCRIBE_ITEMS_MAX = 1_000
M_TYP_SHOWN_CHARS = 64


AnyYesNo = Annotated[YesNo, choice(YesNo, none=YesNo.NO)]


class Message(Fields):
    """One control message; its `mTyp` is the name of its class."""


class MLinkLogon(Message):
    userName: Secret = Field("", repr=False)
    password: Secret = Field("", repr=False)
    pin: Secret = Field("", repr=False)
    apiKey: Secret = Field("", repr=False)
    jwtToken: Secret = Field("", repr=False)


class MLinkAdmin(Message):
    state: Annotated[AdminState, choice(AdminState)]
    detail: Text = ""
    # Ours: a notice of the feed's or the stream's fate, and how long is left after GoodNight.
    event: Annotated[AdminEvent, choice(AdminEvent)] | None = None
    sessionID: Whole = 0
    queryID: Whole = 0
    src: Text = ""
    ses: Text = ""
    fromSeqN: Count = 0
    toSeqN: Count = 0
    lagMessages: Count = 0
    lagSeconds: float = 0.0
    secondsLeft: float = 0.0


class Resume(Fields):
    """**Ours**: where a stream starts. `seqN` is the first number wanted, 1 the session's start.

    An empty `src` means the only feed there is, an empty `ses` the session that is current.
    """

    src: Text = ""
    ses: Text = ""
    seqN: SequenceNumber


# The tags never reach the wire; an error's path leaves them out.
_ONE, _MANY = "(one)", "(many)"
OneOrMany = Annotated[
    Annotated[Resume, Tag(_ONE)]
    | Annotated[tuple[Resume, ...], Tag(_MANY), Field(min_length=1, max_length=64)],
    Discriminator(lambda value: _MANY if isinstance(value, list | tuple) else _ONE),
]


class MLinkStream(Message):
    # A name, a list of names (ours), `*` for all (ours); a number as the dialect's binary side has it.
    msgName: NameOrNames = ""
    where: Text = ""
    view: Text = ""
    unsubscribe: AnyYesNo = YesNo.NO
    sessionID: Whole = 0
    queryID: Whole = 0
    queryLabel: Text = ""
    activeLatency: Milliseconds = 0
    highwaterTs: HighwaterNs = 0
    # The name of one stripe, or a list of names (ours).
    stripeFilter: NameOrNames = ""
    localMsgName: Text = ""
    # Of the vendor's own routing and binary encoding; taken and not used, so any form will do.
    sysEnvironment: Any = ""
    sysRealm: Any = ""
    schemaHash: Any = 0
    localMsgType: Any = 0
    # Ours. A list where the stream has messages of several feeds.
    resume: OneOrMany | None = None
    coverage: Flag = False
    delivery: Annotated[Delivery, choice(Delivery)] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The message names asked for, as spelled."""
        return _names(self.msgName)

    @property
    def stripes(self) -> tuple[str, ...]:
        """The stripes asked for, as spelled; none means all."""
        return _names(self.stripeFilter)


class MLinkStreamAck(Message):
    sessionID: Whole = 0
    queryID: Whole = 0
    querySendTs: Count = 0
    queryLabel: Text = ""
    unsubscribe: AnyYesNo = YesNo.NO
    msgName: NameOrNames = ""
    result: Annotated[StreamResult, choice(StreamResult)]
    detail: Text = ""
    # Ours: the stream has the latest of each key, so after a cut it starts anew and does not resume.
    delivery: Annotated[Delivery, choice(Delivery)] | None = None


class StreamPosition(Fields):
    """**Ours**: all that matches the stream was sent up to and with `seqN` of session `ses` of feed `src`.

    A feed that has no session yet is at number 0 of none: it can be resumed at 1 of whichever comes.
    """

    sessionID: Whole = 0
    queryID: Whole
    src: Text
    ses: Text = ""
    seqN: Count
    numMessagesSent: Count


class MLinkStreamCheckPt(Message):
    sessionID: Whole = 0
    queryID: Whole = 0
    signalID: Whole = 0
    state: Annotated[StreamState, choice(StreamState)]
    detail: Text = ""
    highwaterTs: Count = 0
    numBytesSent: Count = 0
    numMessagesSent: Count = 0
    waitElapsed: float = 0.0
    queryElapsed: float = 0.0
    tryFwdElapsed: float = 0.0
    sendElapsed: float = 0.0
    flushElapsed: float = 0.0
    timestamp: Text = ""
    positions: tuple[StreamPosition, ...] = ()


class ViewItem(Fields):
    msgName: NameOrNames = ""
    view: Text = ""


class SubscribeItem(Fields):
    msgName: NameOrNames = ""
    msgPKey: Key = ""
    highwaterTs: HighwaterNs = 0


class UnsubscribeItem(Fields):
    msgName: NameOrNames = ""
    msgPKey: Key = ""


class MLinkSubscribe(Message):
    sessionID: Whole = 0
    subscribeID: Whole = 0
    activeLatency: Milliseconds = 0
    compression: Annotated[Compression, choice(Compression)] = Compression.NONE
    doReset: AnyYesNo = YesNo.NO
    View: tuple[ViewItem, ...] = ()
    Subscribe: tuple[SubscribeItem, ...] = ()
    Unsubscribe: tuple[UnsubscribeItem, ...] = ()


class ViewItemAck(ViewItem):
    result: Annotated[SubscribeResult, choice(SubscribeResult)]
    detail: Text = ""


class SubscribeItemAck(Fields):
    msgName: NameOrNames = ""
    msgPKey: Key = ""
    result: Annotated[SubscribeResult, choice(SubscribeResult)]
    detail: Text = ""


class MLinkSubscribeAck(Message):
    sessionID: Whole = 0
    subscribeID: Whole = 0
    succeeded: Annotated[YesNo, choice(YesNo)]
    errorMsg: Text = ""
    numActiveSubscriptions: Count = 0
    didReset: AnyYesNo = YesNo.NO
    View: tuple[ViewItemAck, ...] = ()
    Subscribe: tuple[SubscribeItemAck, ...] = ()
    Unsubscribe: tuple[SubscribeItemAck, ...] = ()


class MLinkSubscribeCheckPt(Message):
    sessionID: Whole = 0
    subscribeID: Whole = 0
    signalID: Whole = 0
    state: Annotated[SubscribeState, choice(SubscribeState)]
    detail: Text = ""


class MLinkSignalReady(Message):
    sessionID: Whole = -1  # all of this connection
    signalID: Whole = 0
    readyScan: Annotated[ReadyScan, choice(ReadyScan, none=ReadyScan.INCREMENTAL)] = ReadyScan.INCREMENTAL


class MLinkHeartbeat(Message):
    seqNum: Count
    timestamp: Text = ""
    positions: tuple[StreamPosition, ...] = ()


class MLinkDataAck(Message):
    # The dialect's own is a number; ours have none, so it is the name that was sent.
    msgType: NameOrNames = ""
    sendTs: Count = 0
    result: Annotated[DataResult, choice(DataResult)]
    detail: Text = ""


REQUESTS: Mapping[str, type[Message]] = {
    kind.__name__.casefold(): kind for kind in (MLinkLogon, MLinkStream, MLinkSubscribe, MLinkSignalReady)
}
ANSWERS: Mapping[str, type[Message]] = {
    kind.__name__.casefold(): kind
    for kind in (
        MLinkAdmin,
        MLinkStreamAck,
        MLinkStreamCheckPt,
        MLinkSubscribeAck,
        MLinkSubscribeCheckPt,
        MLinkHeartbeat,
        MLinkDataAck,
    )
}


class BadMessage(BadRequest):
    """A JSON object that is not the control message it says it is.

    `envelope` is what could be made out of it, so that the refusal reaches the request it belongs to.
    """

    def __init__(self, text: str, envelope: "Envelope") -> None:
        super().__init__(text)
        self.envelope = envelope


@dataclass(frozen=True, slots=True)
class Envelope:
    """One JSON object as received: its type as spelled, when its sender says it was sent, its body."""

    m_typ: str
    sent_ns: int  # 0: unknown
    body: Any = field(repr=False)  # may hold a password
    message: Message | None = None  # None: not a control message of this direction


def read(value: Mapping[str, Any], known: Mapping[str, type[Message]] = REQUESTS) -> Envelope:
    """The typed message in an envelope, or BadMessage, which says which field is wrong."""
    header = value.get("header")
    m_typ = header.get("mTyp") if isinstance(header, dict) else None
    if not isinstance(header, dict) or not isinstance(m_typ, str) or not m_typ:
        found = describe(header) if not isinstance(header, dict) else f"mTyp {describe(m_typ)}"
        raise BadMessage(
            f"header: expected an object with the message's name as mTyp, got {found}", Envelope("", 0, None)
        )
    # The body may be left out: a signal has nothing to say beyond its name.
    envelope = Envelope(m_typ[:M_TYP_SHOWN_CHARS], sent_ns_of(header.get("sTim")), value.get("message", {}))
    kind = known.get(m_typ.casefold())
    if kind is None:
        return envelope
    if kind is MLinkSubscribe:
        _check_items(envelope)
    try:
        message = kind.model_validate(envelope.body)
    except ValidationError as error:
        raise BadMessage(_first_error(error), envelope) from error
    return Envelope(envelope.m_typ, envelope.sent_ns, envelope.body, message)


def encode(message: Message, sent_ns: int, encoded_ns: int | None = None) -> bytes:
    """The message in its envelope as JSON without a frame; fields at their default are left out."""
    return orjson.dumps(
        {
            "header": {
                "mTyp": type(message).__name__,
                "sTim": utc_text(sent_ns),
                "encT": utc_text(sent_ns if encoded_ns is None else encoded_ns),
            },
            "message": message.model_dump(exclude_defaults=True),
        }
    )


def _names(value: str | int | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (str(value),) if value != "" else ()


def _check_items(envelope: Envelope) -> None:
    """Before a model is made of each: a list of a hundred thousand must cost nothing."""
    if isinstance(envelope.body, dict):
        lists = (envelope.body.get(name) for name in ("View", "Subscribe", "Unsubscribe"))
        count = sum(len(items) for items in lists if isinstance(items, list))
        if count > SUBSCRIBE_ITEMS_MAX:
            raise BadMessage(
                f"message: {count} items, expected at most {SUBSCRIBE_ITEMS_MAX} in one message", envelope
            )


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    path = "message"
    for step in (step for step in first["loc"] if step not in (_ONE, _MANY)):
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    text = "expected it, got nothing" if first["type"] == "missing" else first["msg"]
    return f"{path}: {text}"

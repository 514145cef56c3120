"""Acks: what a request looks like when it comes back, and the typed refusal of one that can't be taken.

Knows the messages; knows nothing of a session's state.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from gateway.mlink.actions import ItemResult
from gateway.mlink.choices import DataResult, StreamResult, YesNo
from gateway.mlink.control import (
    REQUESTS,
    BadMessage,
    Envelope,
    Message,
    MLinkDataAck,
    MLinkStream,
    MLinkStreamAck,
    MLinkSubscribe,
    MLinkSubscribeAck,
    SubscribeItem,
    SubscribeItemAck,
    UnsubscribeItem,
    ViewItemAck,
)

DETAIL_CHARS_MAX = 1_000
# An ack repeats a thousand items at most, and has to fit a frame with all their details.
ITEM_DETAIL_CHARS_MAX = 100


def short(detail: str, chars_max: int = DETAIL_CHARS_MAX) -> str:
    """A detail that fits its ack whatever it was made of."""
    return detail if len(detail) <= chars_max else f"{detail[: chars_max - 1]}…"


def refusal(envelope: Envelope, detail: str, *, stream: StreamResult, data: DataResult) -> Message:
    """The typed refusal of a message: with `stream` as result for an MLinkStream, with `data` where only
    an MLinkDataAck is left to say it with."""
    kind = REQUESTS.get(envelope.m_typ.casefold())
    if kind is MLinkStream:
        return MLinkStreamAck(
            result=stream,
            detail=short(detail),
            querySendTs=envelope.sent_ns,
            **_echo(
                envelope.body,
                MLinkStreamAck,
                ("sessionID", "queryID", "queryLabel", "msgName", "unsubscribe"),
            ),
        )
    if kind is MLinkSubscribe:
        echo = _echo(envelope.body, MLinkSubscribeAck, ("sessionID", "subscribeID"))
        return MLinkSubscribeAck(succeeded=YesNo.NO, errorMsg=short(detail), **echo)
    return data_ack(data, detail, envelope)


def refusal_of(error: BadMessage) -> Message:
    return refusal(error.envelope, str(error), stream=StreamResult.ERROR, data=DataResult.PROTO_ERROR)


def data_ack(result: DataResult, detail: str, envelope: Envelope | None = None) -> MLinkDataAck:
    if envelope is None:
        return MLinkDataAck(result=result, detail=short(detail))
    return MLinkDataAck(msgType=envelope.m_typ, sendTs=envelope.sent_ns, result=result, detail=short(detail))


def _echo(body: Any, ack: type[Message], names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the fields that the ack can carry as they were sent; a wrong one is left out."""
    if not isinstance(body, dict):
        return {}
    required = {"result": StreamResult.OK} if ack is MLinkStreamAck else {"succeeded": YesNo.NO}
    echo: dict[str, Any] = {}
    for name in names:
        try:
            ack.model_validate({name: body.get(name), **required})
        except ValidationError:
            continue
        if body.get(name) not in (None, ""):
            echo[name] = body[name]
    return echo


def stream_ack(request: MLinkStream, sent_ns: int, result: StreamResult, detail: str) -> MLinkStreamAck:
    return MLinkStreamAck(
        sessionID=request.sessionID,
        queryID=request.queryID,
        querySendTs=sent_ns,
        queryLabel=request.queryLabel,
        unsubscribe=request.unsubscribe,
        msgName=request.msgName,
        result=result,
        detail=short(detail),
    )


def subscribe_ack(
    request: MLinkSubscribe,
    view: Sequence[ItemResult],
    subscribe: Sequence[ItemResult],
    unsubscribe: Sequence[ItemResult],
    error: str,
    active: int,
) -> MLinkSubscribeAck:
    """Each item back with its result, its key as it was sent; or `error` for all of them."""
    common: dict[str, Any] = {
        "sessionID": request.sessionID,
        "subscribeID": request.subscribeID,
        "numActiveSubscriptions": active,
    }
    if error:
        return MLinkSubscribeAck(succeeded=YesNo.NO, errorMsg=short(error), **common)
    return MLinkSubscribeAck(
        succeeded=YesNo.YES,
        didReset=request.doReset,
        View=tuple(
            ViewItemAck(msgName=item.msgName, view=item.view, **_result(result))
            for item, result in zip(request.View, view, strict=True)
        ),
        Subscribe=_key_acks(request.Subscribe, subscribe),
        Unsubscribe=_key_acks(request.Unsubscribe, unsubscribe),
        **common,
    )


def _key_acks(
    items: Sequence[SubscribeItem | UnsubscribeItem], results: Sequence[ItemResult]
) -> tuple[SubscribeItemAck, ...]:
    return tuple(
        SubscribeItemAck(msgName=item.msgName, msgPKey=item.msgPKey, **_result(result))
        for item, result in zip(items, results, strict=True)
    )


def _result(item: ItemResult) -> dict[str, Any]:
    return {"result": item.result, "detail": short(item.detail, ITEM_DETAIL_CHARS_MAX)}

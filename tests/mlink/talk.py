"""How the session tests speak: a session at a fixed time, requests as bytes, replies as bodies."""

from collections.abc import Iterable
from typing import Any

import orjson

from gateway.mlink.actions import (
    Action,
    Reply,
    StreamId,
    StreamRequested,
)
from gateway.mlink.choices import StreamResult
from gateway.mlink.limits import SessionLimits
from gateway.mlink.session import SubscriberSession

WALL_NS = 1_699_543_583_464_116_000
WALL_TEXT = "2023-11-09 15:26:23.464116"


def new_session(*, logged_on: bool = True, framed: bool = False, **limits: Any) -> SubscriberSession:
    return SubscriberSession(
        framed=framed,
        now=0.0,
        wall_ns=lambda: WALL_NS,
        logged_on=logged_on,
        limits=SessionLimits(**limits),
    )


def said(m_typ: str, /, **fields: Any) -> bytes:
    return orjson.dumps({"header": {"mTyp": m_typ, "sTim": WALL_TEXT}, "message": fields})


def told(actions: Iterable[Action]) -> list[tuple[str, dict[str, Any]]]:
    """The replies among the actions: message type and body."""
    values = [orjson.loads(action.data) for action in actions if isinstance(action, Reply)]
    return [(value["header"]["mTyp"], value["message"]) for value in values]


def only(actions: list[Action]) -> Any:
    (action,) = actions
    return action


def started(session: SubscriberSession, **fields: Any) -> StreamId:
    asked = only(session.receive(said("MLinkStream", **{"msgName": "AddOrder", **fields}), 0.0))
    assert isinstance(asked, StreamRequested)
    session.ack_stream(asked, StreamResult.OK)
    return asked.id

"""The streams of one connection: which are asked for, which run, and which checkpoint each may send next.

Knows requests and answers as messages; knows nothing of bytes, of logon, or of how a stream is served.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gateway.errors import BadRequest, LocalProtocolError
from gateway.mlink.acks import short, stream_ack
from gateway.mlink.actions import (
    ENDED,
    NEXT_STREAM_STATES,
    Progress,
    StreamId,
    StreamRequested,
    StreamsCancelled,
    stream_id_of,
)
from gateway.mlink.choices import Delivery, StreamResult, StreamState, YesNo
from gateway.mlink.control import Message, MLinkStream, MLinkStreamAck, MLinkStreamCheckPt
from gateway.mlink.view import parse_view
from gateway.mlink.where import parse_where

_STARTED = frozenset((StreamResult.OK, StreamResult.WARN))


class Streams:
    """At most `streams_max` run or wait for their answer; one more is refused by an Error ack."""

    def __init__(self, streams_max: int) -> None:
        # Another one once somebody else has logged on; what runs goes on.
        self.streams_max = streams_max
        # Each running stream with the checkpoint it had last.
        self._running: dict[StreamId, StreamState | None] = {}
        self._names: dict[StreamId, frozenset[str]] = {}
        # Asked for and not answered yet; the same one may be asked for twice.
        self._asked: Counter[StreamId] = Counter()

    @property
    def running(self) -> tuple[StreamId, ...]:
        return tuple(self._running)

    def of_session(self, session_id: int | None) -> tuple[StreamId, ...]:
        """The running streams of one session of the connection; None: of all."""
        return tuple(id for id in self._running if session_id is None or id.session_id == session_id)

    def ask(self, request: MLinkStream, sent_ns: int) -> StreamRequested | StreamsCancelled | MLinkStreamAck:
        """What a request asks for, or the ack that refuses it."""
        if request.unsubscribe is YesNo.YES:
            ids = self._meant(request)
            if ids:
                return StreamsCancelled(ids, request, sent_ns)
            return stream_ack(
                request, sent_ns, StreamResult.WARN, "no such stream is running on this connection"
            )
        if not request.names:
            detail = "message.msgName: expected a name, a list of names, or *"
            return stream_ack(request, sent_ns, StreamResult.INVLD_MSG_TYPE, detail)
        try:
            where = parse_where(request.where) if request.where.strip() else None
            view = parse_view(request.view) if request.view.strip() else None
        except BadRequest as error:
            return stream_ack(request, sent_ns, StreamResult.ERROR, str(error))
        id = stream_id_of(request)
        replaces = id in self._running or id in self._asked
        if not replaces and len(self._running.keys() | self._asked.keys()) >= self.streams_max:
            detail = (
                f"{self.streams_max} streams run on this connection, no more are allowed; unsubscribe one"
            )
            return stream_ack(request, sent_ns, StreamResult.ERROR, detail)
        self._asked[id] += 1
        return StreamRequested(id, request, where, view, replaces, sent_ns)

    def answer(
        self,
        asked: StreamRequested | StreamsCancelled,
        result: StreamResult,
        detail: str,
        ends: Mapping[StreamId, Progress],
        timestamp: str,
        delivery: Delivery | None = None,
    ) -> list[Message]:
        """The ack, with the last checkpoint of each stream that ends by it."""
        ack = stream_ack(asked.request, asked.sent_ns, result, detail).model_copy(
            update={"delivery": delivery}
        )
        if isinstance(asked, StreamsCancelled):
            gone = [id for id in asked.ids if id in self._running] if result in _STARTED else []
            terminated = StreamState.TERMINATED
            return [
                ack,
                *(self.checkpoint(id, terminated, ends.get(id, Progress()), timestamp) for id in gone),
            ]
        id = asked.id
        if id not in self._asked:
            raise LocalProtocolError(f"{id} was not asked for, or was answered before")
        self._asked[id] -= 1
        if not self._asked[id]:
            del self._asked[id]
        if result not in _STARTED:
            return [ack]
        messages: list[Message] = []
        if id in self._running:
            # Before the ack: what comes after it belongs to the new stream.
            messages.append(self.checkpoint(id, StreamState.REPLACED, ends.get(id, Progress()), timestamp))
        self._running[id] = None
        self._names[id] = frozenset(name.casefold() for name in asked.request.names)
        return [*messages, ack]

    def checkpoint(
        self,
        id: StreamId,
        state: StreamState,
        progress: Progress,
        timestamp: str,
        signal_id: int = 0,
        detail: str = "",
    ) -> MLinkStreamCheckPt:
        """A checkpoint of a running stream, which ends by Replaced or Terminated."""
        if id not in self._running:
            raise LocalProtocolError(f"checkpoint {state.value} for {id}, which is not running")
        before = self._running[id]
        if state not in NEXT_STREAM_STATES[before]:
            had = "none" if before is None else before.value
            raise LocalProtocolError(f"checkpoint {state.value} for {id} after {had}")
        if state in ENDED:
            del self._running[id], self._names[id]
        elif before is not StreamState.COMPLETE:
            # What is complete stays so, however many batches are ended after it.
            self._running[id] = state
        return MLinkStreamCheckPt(
            sessionID=id.session_id,
            queryID=id.query_id,
            signalID=signal_id,
            state=state,
            detail=short(detail),
            highwaterTs=progress.highwater_ns,
            numBytesSent=progress.num_bytes,
            numMessagesSent=progress.num_messages,
            **_elapsed(progress),
            timestamp=timestamp,
            positions=tuple(progress.positions),
        )

    def _meant(self, request: MLinkStream) -> tuple[StreamId, ...]:
        """The streams an unsubscribe is about.

        The one with its queryID; without, those of its session with its message names; without these, all.
        """
        there_are = [*self._running, *(id for id in self._asked if id not in self._running)]
        exactly = stream_id_of(request)
        if exactly in there_are:
            return (exactly,)
        if request.queryID:
            return ()
        names = frozenset(exactly.names)
        return tuple(
            id
            for id in there_are
            if id.session_id == request.sessionID and (not names or self._names.get(id) == names)
        )


def _elapsed(progress: Progress) -> dict[str, Any]:
    """The dialect's fields for where time went; it has two more, for steps of its own that are not here."""
    if (spent := progress.elapsed) is None:
        return {}
    seconds = {"waitElapsed": spent.wait_s, "queryElapsed": spent.query_s, "sendElapsed": spent.send_s}
    return {name: round(value, 6) for name, value in seconds.items()}

"""What one connection's bytes mean for the streams on it: routing, acks, checkpoints, notices.

Bytes in, messages into the streams' buffers; no socket, no clock. A data message carries no number
of its request, so streams share a connection only when their message names are disjoint.
"""

from collections.abc import Sequence
from typing import Any

from gateway.client.errors import Incomplete, KeyRefused, RequestRefused
from gateway.client.message import Batch, not_an_envelope, parse, split
from gateway.client.notices import Reconnected, SnapshotComplete, Warned, of_admin
from gateway.client.subscription import LOG, Subscription
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.mlink import control
from gateway.mlink.choices import AdminState, DataResult, Delivery, StreamResult, StreamState
from gateway.mlink.control import BadMessage, StreamPosition

# A resume that the gateway refuses is tried so often, over some ten seconds: after a restart it may still be
# opening its journal, or get from the upstream again what a crash has cost it.
REFUSALS_MAX = 6
# Fewer bytes are parsed one message at a time, which then costs no more.
ROWS_BYTES_MIN = 262_144
_CONTROL = "MLink"
_REFUSED_STATES = frozenset((AdminState.LOGON_FAILED, AdminState.INVITE_ERROR, AdminState.ACCOUNT_SUSPENDED))


class Retry(GatewayError):
    """The connection has to be made anew. Never leaves the client."""


class Receiver:
    """The streams of one line. `start` and `remove` give the bytes to send, `receive` takes what came."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        #: Messages that fit no stream. Were they a stream's own, it would find itself `Incomplete`.
        self.unknown = 0
        #: Whether anything new has come since this was last set to False.
        self.progress = False
        #: Whether the gateway has answered since this was last set to False.
        self.answered = False
        #: Whether the gateway wants a logon by message.
        self.wants_logon = False
        self._by_number: dict[int, Subscription] = {}
        self._by_type: dict[str, Subscription | None] = {}
        # Names without case of all streams that ever ran here; one that was removed may still send.
        self._names: dict[str, Subscription | None] = {}
        self._only: Subscription | None = None
        self._number = 0
        self._current: Subscription | None = None

    def can_tell(self, subscription: Subscription) -> bool:
        """Whether messages of this stream could be told from those of the streams here."""
        names = subscription.request.routed_names
        if names is None or any(each.request.routed_names is None for each in self.subscriptions):
            return False
        return names.isdisjoint(self._names)

    def add(self, subscription: Subscription) -> None:
        """Take a stream in; `can_tell` said yes, or it is the first."""
        self._only = subscription if not self._names and not self.subscriptions else None
        self._by_type = {name: each for name, each in self._by_type.items() if each is not None}
        self.subscriptions.append(subscription)
        for name in subscription.request.routed_names or ():
            self._names[name] = subscription

    def remove(self, subscription: Subscription) -> bytes:
        """Let a stream go; what is still under way for it is dropped. Gives the request that ends it."""
        self.subscriptions.remove(subscription)
        self._by_number.pop(subscription.number, None)
        self._names = {name: None if each is subscription else each for name, each in self._names.items()}
        self._by_type = {name: None if each is subscription else each for name, each in self._by_type.items()}
        subscription.tracker.types.clear()
        if self._current is subscription:
            self._current = None
        if self._only is subscription:
            self._only = None
        return subscription.request.stop(subscription.number)

    def connected(self) -> None:
        """A new connection stands: nothing of the one before is under way any more."""
        self._by_number.clear()
        self._names = {name: each for name, each in self._names.items() if each is not None}
        self._by_type = {name: each for name, each in self._by_type.items() if each is not None}
        self.wants_logon = False

    def start(self, subscription: Subscription) -> bytes:
        """The request of a stream, at its place."""
        self._number += 1
        subscription.number = self._number
        self._by_number[self._number] = subscription
        return subscription.request.start(self._number, subscription.tracker.start())

    def receive(self, data: bytes) -> None:
        """Take one WebSocket message. What is good in front of an error is handed on before it is raised."""
        texts = split(data)
        values, error = parse(texts)
        at, count = 0, len(values)
        while at < count:
            if self._current is not None:
                at = self._hand_on(self._current, texts, values, at)
                if at == count:
                    break
            m_typ = _name_of(values[at])
            if m_typ.startswith(_CONTROL):
                self._control(values[at])
                at += 1
                continue
            owner = self._owner(m_typ)
            if owner is None:
                self.unknown += 1
                at += 1
            else:
                owner.tracker.types.add(m_typ)
                self._current = owner
        if error is not None:
            raise error

    @property
    def reads_rows(self) -> bool:
        """Whether a stream here can be read many messages at once."""
        return any(subscription.read is not None for subscription in self.subscriptions)

    def receive_all(self, taken: Sequence[bytes]) -> None:
        """Take several WebSocket messages; many are read at once, where that can be."""
        if self._receive_rows(taken):
            return
        # As a rule a stream's first ones: the others are read by where it stands after them.
        self.receive(taken[0])
        if len(taken) == 1 or self._receive_rows(taken[1:]):
            return
        for data in taken[1:]:
            self.receive(data)

    def _receive_rows(self, taken: Sequence[bytes]) -> bool:
        """False, and nothing has happened, when they have to be read one by one."""
        subscription = self._current
        if subscription is None or subscription.read is None or sum(map(len, taken)) < ROWS_BYTES_MIN:
            return False
        rows = subscription.read(b"".join(taken))
        if rows is None or not len(rows):
            return False
        tracker, first = subscription.tracker, int(rows.seqs[0])
        if not tracker.follows(rows.src, rows.session, first):
            return False
        if any(self._owner(name) is not subscription for name in rows.names):
            return False
        tracker.types |= rows.names
        self.progress = True
        subscription.give(rows)
        done = 0
        try:
            for at, proof in rows.proofs:
                if at > done:
                    tracker.took(at - done, int(rows.seqs[at - 1]))
                    done = at
                self._control(proof)
        finally:
            # Whatever a proof says of those before it: the others have come, too.
            if done < len(rows):
                tracker.took(len(rows) - done, int(rows.seqs[-1]))
        return True

    def _hand_on(self, subscription: Subscription, texts: list[bytes], values: list[Any], at: int) -> int:
        runs: list[tuple[int, int]] = []
        try:
            return subscription.tracker.take(values, at, runs)
        finally:
            for start, end in runs:
                self.progress = True
                try:
                    subscription.give(Batch(values[start:end], texts[start:end]))
                except Incomplete as error:
                    self._finish(subscription, error)
                    break

    def _owner(self, m_typ: str) -> Subscription | None:
        if m_typ in self._by_type:
            return self._by_type[m_typ]
        # Alone since the connection was made: all is its own, however its request spelled it.
        owner = self._only if self._only is not None else self._names.get(m_typ.casefold())
        self._by_type[m_typ] = owner
        return owner

    def _control(self, value: Any) -> None:
        try:
            message = control.read(value, control.ANSWERS).message
        except BadMessage as error:
            # A newer gateway, or another: what we can't read can't be acted on, but messages go on.
            LOG.warning("unreadable control message: %s", error)
            return
        match message:
            case control.MLinkAdmin():
                self._admin(message)
            case control.MLinkStreamAck():
                self._ack(message)
            case control.MLinkStreamCheckPt():
                self._checkpoint(message)
            case control.MLinkHeartbeat():
                self.answered = True
                positions: dict[int, list[StreamPosition]] = {}
                for position in message.positions:
                    positions.setdefault(position.queryID, []).append(position)
                for number, of_one in positions.items():
                    self._prove(self._by_number.get(number), None, of_one)
            case control.MLinkDataAck() if message.result is not DataResult.OK:
                raise RemoteProtocolError(
                    f"the gateway could not read a request: {message.detail or message.result}"
                )
            case _:
                pass

    def _admin(self, admin: control.MLinkAdmin) -> None:
        if admin.state in _REFUSED_STATES:
            raise KeyRefused(f"{admin.state.value}: {admin.detail or 'the gateway does not take this key'}")
        if admin.state is AdminState.WAITING_LOGON:
            self.wants_logon = True
            return
        notice = of_admin(admin)
        if notice is not None:
            one = self._by_number.get(admin.queryID)
            for subscription in [one] if one is not None else self.subscriptions:
                subscription.tell(notice)

    def _ack(self, ack: control.MLinkStreamAck) -> None:
        subscription = self._by_number.get(ack.queryID)
        if subscription is None:
            return  # of a stream that has gone
        self.answered = True
        tracker = subscription.tracker
        if ack.result in (StreamResult.OK, StreamResult.WARN):
            subscription.refusals = 0
            if ack.delivery is Delivery.LATEST:
                tracker.latest = True
            if ack.result is StreamResult.WARN:
                subscription.tell(Warned(ack.detail))
            if tracker.runs > 1:
                where = ", ".join(map(str, tracker.asked))
                subscription.tell(
                    Reconnected(f"goes on at {where}" if where else "starts anew", tracker.asked)
                )
            return
        detail = ack.detail or ack.result.value
        if tracker.runs > 1 and tracker.asked and ack.result is StreamResult.ERROR:
            subscription.refusals += 1
            if subscription.refusals < REFUSALS_MAX:
                raise Retry(f"resume refused: {detail}")
            where = ", ".join(map(str, tracker.asked))
            self._finish(
                subscription,
                Incomplete(f"can't go on at {where}, what follows is gone: {detail}", tracker.asked),
            )
            return
        self._finish(
            subscription, RequestRefused(f"stream {subscription.request}: {detail}", ack.result, ack.detail)
        )

    def _checkpoint(self, checkpoint: control.MLinkStreamCheckPt) -> None:
        subscription = self._by_number.get(checkpoint.queryID)
        if subscription is None:
            return
        self._prove(subscription, checkpoint.state, checkpoint.positions)
        if subscription.buffer.ended:
            return
        if checkpoint.state is StreamState.COMPLETE and not subscription.tracker.asked:
            subscription.tell(SnapshotComplete(checkpoint.detail, subscription.tracker.positions()))
        elif checkpoint.state in (StreamState.TERMINATED, StreamState.REPLACED):
            raise Retry(f"stream ended by the gateway: {checkpoint.detail or checkpoint.state.value}")

    def _prove(self, subscription: Subscription | None, state: StreamState | None, positions: Any) -> None:
        if subscription is None:
            return
        try:
            subscription.tracker.checkpoint(state, positions)
        except Incomplete as error:
            self._finish(subscription, error)

    def _finish(self, subscription: Subscription, error: GatewayError) -> None:
        subscription.fail(error)
        if subscription in self.subscriptions:
            self.remove(subscription)


def _name_of(value: Any) -> str:
    try:
        name = value["header"]["mTyp"]
    except (KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise not_an_envelope(value)
    return name

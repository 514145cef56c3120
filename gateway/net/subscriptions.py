"""MLinkSubscribe: the latest record of single keys, and what becomes of it.

Knows requests and the hub's conflated streams; writes nothing itself but through the hub and the
checkpoints it hands back. One stream of the hub serves all keys of one message of one sessionID.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.decode import MessageCodec
from gateway.errors import BadRequest
from gateway.hub import Delivery, Hub, Sink, State, Stream, StreamSpec
from gateway.mlink.actions import ItemResult, SignalReady
from gateway.mlink.choices import Compression, SubscribeResult, SubscribeState, YesNo
from gateway.mlink.control import MLinkSubscribe, SubscribeItem
from gateway.mlink.view import parse_view
from gateway.net.access import Access
from gateway.net.changes import FieldChanges
from gateway.net.resolve import Resolver
from gateway.views import ViewCodec, viewable

Pair = tuple[str, str]
# A mark that belongs to a part has a backslash in front of it.
_BETWEEN_PARTS = re.compile(r"(?<!\\)\|")
Checkpoint = Callable[[int, int, SubscribeState, int], None]


class TooSlow(Exception):
    """More keys changed than may wait for one subscriber."""


@dataclass(slots=True, eq=False)
class _Kept:
    """The keys of one message that are subscribed, and the hub's stream for them."""

    codec: MessageCodec
    spec: StreamSpec
    keys: set[Pair] = field(default_factory=set)
    stream: Stream | None = None


@dataclass(slots=True, eq=False)
class _Session:
    """All subscriptions under one sessionID. `view` holds the fields wanted, by message."""

    session_id: int
    subscribe_id: int = 0
    latency_s: float = 0.0
    changes_only: bool = False
    due: float = 0.0
    # Requests whose latest records are not sent yet.
    starting: list[int] = field(default_factory=list)
    # Signals not answered yet, and those that the batches under way answer.
    signals: list[int] = field(default_factory=list)
    answering: list[int] = field(default_factory=list)
    views: dict[str, frozenset[str] | None] = field(default_factory=dict)
    kept: dict[str, _Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each item of a request."""

    view: Sequence[ItemResult]
    subscribe: Sequence[ItemResult]
    unsubscribe: Sequence[ItemResult]
    active: int


class Subscriptions:
    """The subscriptions of one connection, at most `keys_max` keys."""

    def __init__(
        self, sink: Sink, framed: bool, hub: Hub, resolver: Resolver, checkpoint: Checkpoint, keys_max: int
    ) -> None:
        self._sink = sink
        self._framed = framed
        self._hub = hub
        self._resolver = resolver
        self._checkpoint = checkpoint
        self._keys_max = keys_max
        self._sessions: dict[int, _Session] = {}

    def __len__(self) -> int:
        return sum(len(kept.keys) for each in self._sessions.values() for kept in each.kept.values())

    def apply(self, request: MLinkSubscribe, access: Access) -> Applied:
        """Reset, views, unsubscribes, subscribes, in this order; call `begin` once that is acknowledged."""
        if request.doReset is YesNo.YES and (old := self._sessions.pop(request.sessionID, None)):
            self._close(old)
        session = self._sessions.setdefault(request.sessionID, _Session(request.sessionID))
        session.subscribe_id = request.subscribeID
        session.latency_s = request.activeLatency / 1000
        if session.changes_only != (request.compression is Compression.FIELD_CHANGES_ONLY):
            session.changes_only = not session.changes_only
            for kept in session.kept.values():
                self._rewrite(session, kept)
        views = [self._view(session, str(item.msgName), item.view, access) for item in request.View]
        gone = [
            self._unsubscribe(session, str(item.msgName), item.msgPKey, access)
            for item in request.Unsubscribe
        ]
        wanted: dict[tuple[str, int], set[Pair]] = {}
        came = [self._subscribe(session, item, access, wanted) for item in request.Subscribe]
        for (name, newer_than_ns), pairs in wanted.items():
            stream = session.kept[name].stream
            assert stream is not None
            self._hub.send_records(stream, pairs, newer_than_ns)
        return Applied(views, came, gone, len(self))

    def begin(self, session_id: int) -> None:
        """Start what was subscribed last: Begin, the latest records, Active."""
        session = self._sessions[session_id]
        self._checkpoint(session_id, session.subscribe_id, SubscribeState.BEGIN, 0)
        session.starting.append(session.subscribe_id)

    def signal(self, signal: SignalReady) -> None:
        """Send what changed since the last time, or all there is, ended by a checkpoint."""
        for session in self._sessions.values():
            if signal.session_id in (None, session.session_id):
                session.signals.append(signal.signal_id)
                if signal.full_scan:
                    for kept in session.kept.values():
                        if kept.stream is not None:
                            self._rewrite(session, kept)
                            self._hub.send_records(kept.stream, kept.keys)

    def advance(self, now: float) -> tuple[bool, float]:
        """Write one piece; whether there is more, and when something is due. TooSlow ends the connection."""
        until = float("inf")
        for session in self._sessions.values():
            streams = [kept.stream for kept in session.kept.values() if kept.stream is not None]
            for stream in streams:
                if stream.state is State.SNAPSHOT and self._hub.step(stream):
                    return True, now
                if stream.outbox is not None and stream.outbox.overflowed:
                    raise TooSlow(f"{self._keys_max} keys were waiting")
            for subscribe_id in session.starting:
                self._checkpoint(session.session_id, subscribe_id, SubscribeState.ACTIVE, 0)
            session.starting = []
            leaving = [stream for stream in streams if stream.outbox and stream.outbox.is_leaving]
            if not leaving:
                if session.signals:
                    session.answering, session.signals = session.signals, []
                elif not session.latency_s:
                    continue
                elif now < session.due:
                    if any(stream.outbox for stream in streams):
                        until = min(until, session.due)
                    continue
                leaving = [stream for stream in streams if stream.outbox]
                for stream in leaving:
                    self._hub.begin_latest(stream)
                    session.due = now + session.latency_s
            for stream in leaving:
                if self._hub.take_latest(stream):
                    return True, now
            for signal_id in session.answering:
                self._checkpoint(session.session_id, session.subscribe_id, SubscribeState.ACTIVE, signal_id)
            session.answering = []
            if session.signals or (session.latency_s and any(stream.outbox for stream in streams)):
                until = now
        return False, until

    def end(self) -> None:
        """End all of them, each with a checkpoint that says so."""
        for session in self._sessions.values():
            self._checkpoint(session.session_id, session.subscribe_id, SubscribeState.TERMINATED, 0)
        self.close()

    def close(self) -> None:
        """End all of them without a word."""
        for session in self._sessions.values():
            self._close(session)
        self._sessions.clear()

    def _view(self, session: _Session, name: str, text: str, access: Access) -> ItemResult:
        result, codec = self._codec(name, access)
        if codec is None:
            return result
        try:
            view = parse_view(text) if text.strip() else None
            if view is not None:
                view.of(viewable(codec))
        except BadRequest as exc:
            return ItemResult(SubscribeResult.VIEW_ERR, str(exc))
        session.views[codec.name] = None if view is None else view.names
        if (kept := session.kept.get(codec.name)) is not None:
            # The same keys in the new form, from now on.
            self._stop(kept)
            kept.spec = self._spec(session, codec, access)
            self._start(session, kept)
            assert kept.stream is not None
            self._hub.send_records(kept.stream, kept.keys)
        return ItemResult()

    def _subscribe(
        self,
        session: _Session,
        item: SubscribeItem,
        access: Access,
        wanted: dict[tuple[str, int], set[Pair]],
    ) -> ItemResult:
        result, codec = self._codec(str(item.msgName), access)
        if codec is None:
            return result
        result, text = self._key(codec, item.msgPKey, access)
        if text is None:
            return result
        kept = session.kept.get(codec.name)
        if kept is None:
            kept = session.kept[codec.name] = _Kept(codec, self._spec(session, codec, access))
            self._start(session, kept)
        pair = (codec.name, text)
        if pair not in kept.keys and len(self) >= self._keys_max:
            # The dialect has no result for a limit; it is not that nobody knows the key.
            detail = f"{self._keys_max} keys are subscribed on this connection, no more are allowed"
            return ItemResult(SubscribeResult.UNAUTH_PKEY, detail)
        kept.keys.add(pair)
        if item.highwaterTs >= 0:
            wanted.setdefault((codec.name, item.highwaterTs), set()).add(pair)
        return ItemResult()

    def _unsubscribe(self, session: _Session, name: str, key: Any, access: Access) -> ItemResult:
        result, codec = self._codec(name, access)
        if codec is None:
            return result
        kept = session.kept.get(codec.name)
        if key in ("", None):
            if kept is not None:
                self._stop(session.kept.pop(codec.name))
            return ItemResult()
        result, text = self._key(codec, key, access)
        if text is None:
            return result
        if kept is None or (codec.name, text) not in kept.keys:
            return ItemResult(SubscribeResult.UNKWN_PKEY, "this key is not subscribed")
        kept.keys.discard((codec.name, text))
        if kept.stream is not None and kept.stream.outbox is not None:
            kept.stream.outbox.discard({(codec.name, text)})
        return ItemResult()

    def _codec(self, name: str, access: Access) -> tuple[ItemResult, MessageCodec | None]:
        if not name:
            return ItemResult(SubscribeResult.INVLD_MSG_TYPE, "expected the name of a message"), None
        found = self._resolver.named(name)
        if not found:
            return ItemResult(SubscribeResult.UNKWN_MSG_TYPE, f"no message {name[:40]!r}"), None
        allowed = [codec for feed, codec in found if self._resolver.may_read(access, feed, codec)]
        if not allowed:
            return ItemResult(SubscribeResult.UNAUTH_MSG_TYPE, "this key may not see it"), None
        records = [codec for codec in allowed if codec.definition.kind == "record"]
        if not records:
            return ItemResult(SubscribeResult.INVLD_MSG_TYPE, "has no key; ask for an MLinkStream"), None
        return ItemResult(), records[0]

    def _key(self, codec: MessageCodec, key: Any, access: Access) -> tuple[ItemResult, str | None]:
        names = codec.definition.key
        expected = "|".join(names)
        if isinstance(key, dict) and isinstance(codec, ViewCodec):
            try:
                text = codec.key_text(key)
            except KeyError as exc:
                return ItemResult(SubscribeResult.INVLD_PKEY, f"no {exc.args[0]}, expected it"), None
        elif isinstance(key, dict):
            folded = {str(name).casefold(): value for name, value in key.items()}
            missing = [name for name in names if not isinstance(folded.get(name.casefold()), str | int)]
            if missing:
                return ItemResult(SubscribeResult.INVLD_PKEY, f"no {missing[0]}, expected {expected}"), None
            text = codec.key_text({name: folded[name.casefold()] for name in names})
        else:
            text = codec.read_key(str(key or ""))
            if not text and names:
                return ItemResult(SubscribeResult.MISSING_PKEY, f"expected {expected}"), None
            if text and not names:
                return ItemResult(SubscribeResult.INVLD_PKEY, "expected none, there is one record"), None
            if len(names) > 1 and len(_BETWEEN_PARTS.split(text)) != len(names):
                return ItemResult(SubscribeResult.INVLD_PKEY, f"expected {expected}"), None
        if not self._resolver.may_read_key(access, codec, text):
            return ItemResult(
                SubscribeResult.UNAUTH_PKEY, "it is in a stripe that this key may not see"
            ), None
        return ItemResult(), text

    def _spec(self, session: _Session, codec: MessageCodec, access: Access) -> StreamSpec:
        return StreamSpec(
            self._framed,
            frozenset(
                (feed, found.name)
                for feed, found in self._resolver.named(codec.name)
                if self._resolver.may_read(access, feed, found) and _same_key(found, codec)
            ),
            self._resolver.allowed_stripes(access),
            view=session.views.get(codec.name),
        )

    def _start(self, session: _Session, kept: _Kept) -> None:
        kept.stream = self._hub.open(
            self._sink, kept.spec, Delivery.LATEST, None, newer_than_ns=-1, keys=kept.keys
        )
        self._rewrite(session, kept)

    def _rewrite(self, session: _Session, kept: _Kept) -> None:
        """Begin anew to leave out what did not change, or leave nothing out."""
        assert kept.stream is not None
        changes = FieldChanges(self._framed, kept.codec.definition.key, self._keys_max)
        kept.stream.rewrite = changes.rewrite if session.changes_only else None

    def _stop(self, kept: _Kept) -> None:
        if kept.stream is not None:
            self._hub.close(kept.stream)
            kept.stream = None

    def _close(self, session: _Session) -> None:
        for kept in session.kept.values():
            self._stop(kept)


def _same_key(one: MessageCodec, other: MessageCodec) -> bool:
    """Whether two feeds' messages of one name can be asked for by the same key; one may be an event."""
    theirs, ours = one.definition, other.definition
    return theirs.kind == ours.kind == "record" and theirs.key == ours.key

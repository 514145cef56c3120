"""From a block to the JSON texts that groups want: one pass, each text written once per form.

Knows message layouts through their codecs, and specs; knows nothing of subscribers. The live
way of a feed and a reader of the journal use this same code with different targets, so both
give the same bytes (but for the time of encoding).
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from json import dumps, loads
from typing import Any

import orjson

from gateway.decode import Codecs, MessageCodec
from gateway.decode.codec import Write, WriteWithTicker
from gateway.errors import DecodeError
from gateway.hub.context import SessionContext
from gateway.hub.spec import StreamSpec
from gateway.hub.ticker_alias import with_own_ticker
from gateway.mlink.frames import FrameTooLong, frame_text
from gateway.mlink.predicate import Kind, compile_where
from gateway.mlink.times import utc_text
from gateway.mlink.where import Where
from gateway.values import Block
from gateway.views import ViewedCodecs

Append = Callable[[str], None]
Predicate = Callable[[Mapping[str, Any]], bool]
# (feed, message name, key), text
Put = Callable[[tuple[str, str, str], str], None]
Learns = Callable[[MessageCodec, bytes, int, int, int], None]

# Longer payloads have their header formatted one by one; nearly every message is shorter.
_HEADS_MAX = 4096
_HEADS = [f"\r\nJ00000{size:06d}" for size in range(_HEADS_MAX)]

# Compiled filters; of one forgotten, a new one is made when it is next asked for.
PREDICATES_KEPT_MAX = 4096

_KINDS = {int: Kind.INT, Decimal: Kind.PRICE, str: Kind.TEXT, bool: Kind.BOOL}
_ANY = StreamSpec(True, frozenset())


def framed_text(payload: str) -> str:
    """The payload, all ASCII, behind its MLink header, number 00000 (a message type of ours)."""
    size = len(payload)
    return _HEADS[size] + payload if size < _HEADS_MAX else frame_text(payload)


def escaped(json: bytes) -> str:
    """JSON as ASCII text, the rest as `\\u` escapes: characters and bytes count the same."""
    if json.isascii():
        return json.decode("ascii")
    return dumps(loads(json))


@dataclass(slots=True, eq=False)
class Target:
    """Somebody who wants texts of one feed.

    Either `append` (every text, in order) or `put` (a text per key, for conflation). With
    `keys`, only records with one of those (message name, key) pairs.
    """

    spec: StreamSpec
    append: Append | None = None
    put: Put | None = None
    keys: Collection[tuple[str, str]] | None = None


@dataclass(slots=True)
class _Plan:
    """All targets of one message type and stripe that want the same text."""

    prefix: str
    framed: bool
    write: Write
    write_with_ticker: WriteWithTicker
    appends: list[Append] = field(default_factory=list)
    # Those that look at the message first.
    choosers: list[tuple[Predicate | None, Target]] = field(default_factory=list)


# Targets that want the same text: framed or not, and which fields.
_Form = tuple[bool, frozenset[str] | None]
_Plans = dict[_Form, _Plan]


@dataclass(slots=True)
class Route:
    """What happens to the messages of one type."""

    codec: MessageCodec
    # The exact payload length of a fixed layout, 0 when it varies and the codec checks.
    size: int
    # The least length it has: what stands at a fixed place may be looked at before the codec has checked.
    least: int
    # Where the locate code stands in a message that carries no ticker itself, else -1.
    locate_at: int
    ticker_from: int
    ticker_to: int
    learned: bool
    # In the order in which they came.
    targets: dict[Target, None] = field(default_factory=dict)
    plans: dict[str | None, _Plans] = field(default_factory=dict)
    # How many of the targets want some stripes only; with none, nobody asks for a message's stripe.
    striped: int = 0
    undecodable: int = 0


class Router:
    """Routes the blocks of one feed to targets.

    `learns` (codec, raw, start, end, seq) is told each directory and record message before
    any target is.
    """

    def __init__(self, feed: str, codecs: Codecs, learns: Learns | None = None) -> None:
        self._feed = feed
        self._learns = learns
        self._session = ""
        self._routes: list[Route | None] = [None if c is None else _route(c, learns) for c in codecs.by_id]
        # Not among those that an upstream can name.
        views = codecs.views if isinstance(codecs, ViewedCodecs) else ()
        self._views = {codec.id_byte: _route(codec, None) for codec in views}
        self.unknown = 0
        # Made when it is first asked for.
        self._unlearned: re.Pattern[bytes] | None = None

    @property
    def undecodable(self) -> dict[str, int]:
        """How many messages did not fit their definition, by message name."""
        return {route.codec.name: route.undecodable for route in self._routes if route and route.undecodable}

    def add_target(self, target: Target) -> None:
        """Route to this one, too. Costs a pass over its message types, whoever else there is."""
        for route in self._routes_of(target):
            route.targets[target] = None
            route.striped += target.spec.stripes is not None
            for stripe, plans in route.plans.items():
                self._plan_for(target, route, stripe, plans)

    def remove_target(self, target: Target) -> None:
        """Route to this one no more."""
        for route in self._routes_of(target):
            if target not in route.targets:
                continue
            del route.targets[target]
            route.striped -= target.spec.stripes is not None
            form = (target.spec.framed, target.spec.view)
            for plans in route.plans.values():
                plan = plans.get(form)
                if plan is None:
                    continue
                if target.append in plan.appends:
                    plan.appends.remove(target.append)
                plan.choosers = [each for each in plan.choosers if each[1] is not target]
                if not plan.appends and not plan.choosers:
                    del plans[form]

    def _routes_of(self, target: Target) -> list[Route]:
        wanted = target.spec.messages
        routes = (*self._routes, *self._views.values())
        return [route for route in routes if route and (self._feed, route.codec.name) in wanted]

    def route(self, block: Block, context: SessionContext, encoded_ns: int) -> None:
        """Put the text of each message of the block where it is wanted, in order."""
        self._begin(block.session)
        learns, routes, raw = self._learns, self._routes, block.raw
        stripes_by_locate, json_by_locate = context.stripes_by_locate, context.json_by_locate
        # Someone who reads old messages must not see today's answer to "whose locate code is this?".
        past = learns is None and block.first_seq <= context.directory.last_change_seq
        times = f',"sTim":"{utc_text(block.received_ns)}","encT":"{utc_text(encoded_ns)}"'
        middle = times + '},"message":{'
        end = 0
        for seq in range(block.first_seq, block.first_seq + block.count):
            start = end + 3
            end += 2 + (raw[end] << 8 | raw[end + 1])
            route = routes[raw[start]] if end > start else None
            if route is None:
                self.unknown += 1
                continue
            if route.size:
                if end - start != route.size:
                    route.undecodable += 1
                    continue
            elif end - start < route.least:
                route.undecodable += 1
                continue
            try:
                if route.learned:
                    learns(route.codec, raw, start, end, seq)  # type: ignore[misc]  # learned implies learns
                if not route.targets:
                    continue
                stripe = ticker = None
                if route.locate_at >= 0:
                    locate_at = start + route.locate_at
                    locate = raw[locate_at] << 8 | raw[locate_at + 1]
                    if past:
                        stripe, ticker = context.at(locate, seq)
                    else:
                        stripe, ticker = stripes_by_locate[locate], json_by_locate[locate]
                elif route.striped and route.ticker_to:
                    stripe = context.stripe_of_raw[raw[start + route.ticker_from : start + route.ticker_to]]
                if not route.striped:
                    stripe = None
                plans = route.plans.get(stripe)
                if plans is None:
                    plans = route.plans[stripe] = self._planned(route, stripe, self._session)
                for plan in plans.values():
                    try:
                        if plan.choosers:
                            self._choose(plan, route.codec, raw, start, end, ticker, seq, middle)
                            if not plan.appends:
                                continue
                        if ticker is None:
                            text = f"{plan.prefix}{seq}{middle}{plan.write(raw, start, end)}}}}}"
                        else:
                            body = plan.write_with_ticker(raw, start, end, ticker)
                            text = f"{plan.prefix}{seq}{middle}{body}}}}}"
                        if plan.framed:
                            size = len(text)
                            text = _HEADS[size] + text if size < _HEADS_MAX else frame_text(text)
                        for append in plan.appends:
                            append(text)
                    except FrameTooLong:
                        # Who reads without frames, or fewer fields, still gets it.
                        route.undecodable += 1
            except DecodeError:
                route.undecodable += 1

    def route_derived(
        self,
        derived: Sequence[tuple[int, bytes]],
        session: str,
        received_ns: int,
        context: SessionContext,
        encoded_ns: int,
    ) -> None:
        """Put the texts of views' messages, each with the number of the message that caused it."""
        self._begin(session)
        times = f',"sTim":"{utc_text(received_ns)}","encT":"{utc_text(encoded_ns)}"'
        middle = times + '},"message":{'
        for seq, payload in derived:
            route = self._views[payload[0]]
            stripe = None
            if route.striped:
                stripe = context.stripe_of_raw[payload[route.ticker_from : route.ticker_to]]
            plans = route.plans.get(stripe)
            if plans is None:
                plans = route.plans[stripe] = self._planned(route, stripe, session)
            for plan in plans.values():
                if plan.choosers:
                    self._choose(plan, route.codec, payload, 0, len(payload), None, seq, middle)
                if plan.appends:
                    text = f"{plan.prefix}{seq}{middle}{plan.write(payload, 0, len(payload))}}}}}"
                    if plan.framed:
                        text = framed_text(text)
                    for append in plan.appends:
                        append(text)

    def is_view(self, payload: bytes) -> bool:
        """Whether a record's bytes are those of a view's message."""
        return payload[0] in self._views

    def learns_nothing(self, raw: bytes) -> bool:
        """Whether a block's packets are all of known types and sizes of which nothing is learned.

        Where nobody wants texts, as after a restart, such a block need not be walked through in Python.
        """
        if self._unlearned is None:
            self._unlearned = _unlearned(route for route in self._routes if route is not None)
        return self._unlearned.fullmatch(raw) is not None

    def _begin(self, session: str) -> None:
        """Texts name their session, so what was planned for another is worked out anew."""
        if session != self._session:
            self._session = session
            for route in (*self._routes, *self._views.values()):
                if route is not None:
                    route.plans = {}

    def route_unsequenced(
        self, payload: bytes, received_ns: int, context: SessionContext, encoded_ns: int
    ) -> None:
        """Put the text of a message without a number, marked as such, where it is wanted."""
        route = self._routes[payload[0]] if payload else None
        if route is None:
            self.unknown += 1
            return
        if (route.size and len(payload) != route.size) or len(payload) < route.least:
            route.undecodable += 1
            return
        middle = f',"sTim":"{utc_text(received_ns)}","encT":"{utc_text(encoded_ns)}"}},"message":{{'
        stripe = ticker = None
        if route.locate_at >= 0:
            locate = int.from_bytes(payload[route.locate_at : route.locate_at + 2], "big")
            stripe, ticker = context.stripes_by_locate[locate], context.json_by_locate[locate]
        elif route.ticker_to:
            stripe = context.stripe_of_raw[payload[route.ticker_from : route.ticker_to]]
        try:
            for plan in self._planned(route, stripe, context.session).values():
                plan.prefix = plan.prefix.removesuffix('"seqN":') + '"unsequenced":'
                plan.choosers += [(None, Target(_ANY, append=append)) for append in plan.appends]
                self._choose(plan, route.codec, payload, 0, len(payload), ticker, "true", middle)
        except (DecodeError, FrameTooLong):
            route.undecodable += 1

    def _choose(
        self,
        plan: _Plan,
        codec: MessageCodec,
        raw: bytes,
        start: int,
        end: int,
        ticker: str | None,
        seq: int | str,
        middle: str,
    ) -> None:
        """Give the text to those of the plan's choosers that want this very message."""
        values: dict[str, Any] | None = None
        text: str | None = None
        key = codec.key(raw, start, end)
        for predicate, target in plan.choosers:
            if target.keys is not None and (codec.name, key) not in target.keys:
                continue
            if predicate is not None:
                if values is None:
                    values = codec.decode(raw, start, end)
                    if ticker is not None and codec.added_ticker is not None:
                        values[codec.added_ticker] = orjson.loads(ticker)
                if not predicate(values):
                    continue
            if text is None:
                body = (
                    plan.write(raw, start, end)
                    if ticker is None
                    else plan.write_with_ticker(raw, start, end, ticker)
                )
                text = f"{plan.prefix}{seq}{middle}{body}}}}}"
                if plan.framed:
                    text = framed_text(text)
            if target.append is not None:
                target.append(text)
            elif target.put is not None:
                target.put((self._feed, codec.name, key or ""), text)

    def _planned(self, route: Route, stripe: str | None, session: str) -> _Plans:
        """Work out, once per message type and stripe, who wants what; None is market-wide: everybody."""
        plans: _Plans = {}
        for target in route.targets:
            self._plan_for(target, route, stripe, plans, session)
        return plans

    def _plan_for(
        self, target: Target, route: Route, stripe: str | None, plans: _Plans, session: str | None = None
    ) -> None:
        spec, codec = target.spec, route.codec
        if stripe is not None and spec.stripes is not None and stripe not in spec.stripes:
            return
        form = (spec.framed, spec.view)
        plan = plans.get(form)
        if plan is None:
            header = orjson.dumps(
                {
                    "mTyp": codec.name,
                    "src": self._feed,
                    "ses": self._session if session is None else session,
                    "seqN": 0,
                }
            )
            prefix = '{"header":' + escaped(header).removesuffix("0}")
            write, with_ticker = codec.write, codec.write_with_ticker
            if spec.view is not None:
                names = [name for name in codec.field_types if name.casefold() in spec.view]
                write, with_ticker = codec.writer(names), codec.writer_with_ticker(names)
            plan = plans[form] = _Plan(prefix, spec.framed, write, with_ticker)
        if spec.where is not None:
            plan.choosers.append((predicate_for(codec, spec.where), target))
        elif target.append is None or target.keys is not None:
            plan.choosers.append((None, target))
        else:
            plan.appends.append(target.append)


@lru_cache(maxsize=PREDICATES_KEPT_MAX)
def predicate_for(codec: MessageCodec, where: Where) -> Predicate:
    """Whether a decoded message satisfies a filter; BadRequest when the filter does not fit the message."""
    kinds = field_kinds(codec)
    return compile_where(with_own_ticker(where, codec, kinds), kinds)


def field_kinds(codec: MessageCodec) -> dict[str, Kind]:
    """What a `where` may ask of a message, the ticker that the directory adds included."""
    return {name: _KINDS[kind] for name, kind in codec.field_types.items() if kind in _KINDS}


def _unlearned(routes: Iterable[Route]) -> re.Pattern[bytes]:
    """Any number of whole packets of types that are not learned and have one size."""
    by_size: dict[int, bytes] = {}
    for route in routes:
        if route.size and not route.learned:
            kind = bytes((route.codec.definition.id_byte,))
            by_size[route.size] = by_size.get(route.size, b"") + re.escape(kind)
    packets = (
        re.escape((size + 1).to_bytes(2, "big")) + b"S[%b].{%d}" % (kinds, size - 1)
        for size, kinds in by_size.items()
    )
    return re.compile(b"(?:" + b"|".join(packets) + b")*+" if by_size else b"", re.DOTALL)


def _route(codec: MessageCodec, learns: Learns | None) -> Route:
    definition, lengths = codec.definition, codec.definition.lengths
    ticker_from, ticker_size = codec.ticker_at or (0, 0)
    return Route(
        codec,
        size=codec.definition.length or 0,
        least=min(lengths.fixed, default=lengths.at_least or 0),
        locate_at=codec.locate_at if codec.locate_at is not None and not ticker_size else -1,
        ticker_from=ticker_from,
        ticker_to=ticker_from + ticker_size,
        learned=learns is not None and (definition.is_directory or definition.kind == "record"),
    )

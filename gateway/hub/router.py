"""From a block to the JSON texts that groups want: one pass, each text written once per form.

Knows message layouts through their codecs, and specs; knows nothing of subscribers. The live
way of a feed and a reader of the journal use this same code with different targets, so both
give the same bytes (but for the time of encoding).
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from json import dumps, loads
from typing import Any

import orjson

from gateway.decode import Codecs, MessageCodec
from gateway.decode.codec import Write, WriteWithTicker
from gateway.errors import DecodeError
from gateway.hub.context import SessionContext
from gateway.hub.spec import StreamSpec
from gateway.mlink.predicate import Kind, compile_where
from gateway.mlink.times import utc_text
from gateway.values import Block

Append = Callable[[str], None]
Predicate = Callable[[Mapping[str, Any]], bool]
Put = Callable[[str, str, str], None]
Learns = Callable[[MessageCodec, bytes, int, int, int], None]

# Longer payloads have their header formatted one by one; nearly every message is shorter.
_HEADS_MAX = 4096
_HEADS = [f"\r\nJ00000{size:06d}" for size in range(_HEADS_MAX)]


_KINDS = {int: Kind.INT, Decimal: Kind.PRICE, str: Kind.TEXT, bool: Kind.BOOL}
_ANY = StreamSpec(True, frozenset())


def framed_text(payload: str) -> str:
    """The payload behind its MLink header, number 00000 (a message type of ours)."""
    size = len(payload)
    return (_HEADS[size] if size < _HEADS_MAX else f"\r\nJ00000{size:06d}") + payload


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
    keys: Container[tuple[str, str]] | None = None


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


@dataclass(slots=True)
class Route:
    """What happens to the messages of one type."""

    codec: MessageCodec
    # The exact payload length of a fixed layout, 0 when it varies and the codec checks.
    size: int
    # Where the locate code stands in a message that carries no ticker itself, else -1.
    locate_at: int
    ticker_from: int
    ticker_to: int
    learned: bool
    targets: list[Target] = field(default_factory=list)
    plans: dict[str | None, list[_Plan]] = field(default_factory=dict)
    striped: bool = False
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
        self.unknown = 0

    @property
    def undecodable(self) -> dict[str, int]:
        """How many messages did not fit their definition, by message name."""
        return {route.codec.name: route.undecodable for route in self._routes if route and route.undecodable}

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Route to exactly these from now on. Costs a pass over the message types, so not per message."""
        for route in self._routes:
            if route is not None:
                pair = (self._feed, route.codec.name)
                route.targets = [target for target in targets if pair in target.spec.messages]
                route.striped = any(target.spec.stripes is not None for target in route.targets)
                route.plans = {}

    def route(self, block: Block, context: SessionContext, encoded_ns: int) -> None:
        """Put the text of each message of the block where it is wanted, in order."""
        if block.session != self._session:
            self._session = block.session
            for route in self._routes:
                if route is not None:
                    route.plans = {}
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
            if route.size and end - start != route.size:
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
                    plans = self._plan(route, stripe)
                for plan in plans:
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
                        text = (_HEADS[size] if size < _HEADS_MAX else f"\r\nJ00000{size:06d}") + text
                    for append in plan.appends:
                        append(text)
            except DecodeError:
                route.undecodable += 1

    def route_unsequenced(
        self, payload: bytes, received_ns: int, context: SessionContext, encoded_ns: int
    ) -> None:
        """Put the text of a message without a number, marked as such, where it is wanted."""
        route = self._routes[payload[0]] if payload else None
        if route is None:
            self.unknown += 1
            return
        self._session = context.session
        middle = f',"sTim":"{utc_text(received_ns)}","encT":"{utc_text(encoded_ns)}"}},"message":{{'
        stripe = ticker = None
        if route.locate_at >= 0:
            locate = int.from_bytes(payload[route.locate_at : route.locate_at + 2], "big")
            stripe, ticker = context.stripes_by_locate[locate], context.json_by_locate[locate]
        elif route.ticker_to:
            stripe = context.stripe_of_raw[payload[route.ticker_from : route.ticker_to]]
        try:
            for plan in self._plan(route, stripe):
                prefix = plan.prefix.removesuffix('"seqN":') + '"unsequenced":'
                choosers = [*plan.choosers, *((None, Target(_ANY, append=append)) for append in plan.appends)]
                marked = _Plan(prefix, plan.framed, plan.write, plan.write_with_ticker, choosers=choosers)
                self._choose(marked, route.codec, payload, 0, len(payload), ticker, "true", middle)
        except DecodeError:
            route.undecodable += 1
        finally:
            route.plans = {}

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
                target.put(codec.name, key or "", text)

    def _plan(self, route: Route, stripe: str | None) -> list[_Plan]:
        """Work out, once per message type and stripe, who wants what; None is market-wide: everybody."""
        codec = route.codec
        header = orjson.dumps({"mTyp": codec.name, "src": self._feed, "ses": self._session, "seqN": 0})
        prefix = '{"header":' + escaped(header).removesuffix("0}")
        plans: dict[tuple[bool, frozenset[str] | None], _Plan] = {}
        for target in route.targets:
            spec = target.spec
            if stripe is not None and spec.stripes is not None and stripe not in spec.stripes:
                continue
            form = (spec.framed, spec.view)
            plan = plans.get(form)
            if plan is None:
                write, with_ticker = codec.write, codec.write_with_ticker
                if spec.view is not None:
                    names = [name for name in codec.field_types if name.casefold() in spec.view]
                    write, with_ticker = codec.writer(names), codec.writer_with_ticker(names)
                plan = plans[form] = _Plan(prefix, spec.framed, write, with_ticker)
            if spec.where is not None:
                plan.choosers.append((compile_where(spec.where, field_kinds(codec)), target))
            elif target.append is None or target.keys is not None:
                plan.choosers.append((None, target))
            else:
                plan.appends.append(target.append)
        route.plans[stripe] = list(plans.values())
        return route.plans[stripe]


def field_kinds(codec: MessageCodec) -> dict[str, Kind]:
    """What a `where` may ask of a message, the ticker that the directory adds included."""
    return {name: _KINDS[kind] for name, kind in codec.field_types.items() if kind in _KINDS}


def _route(codec: MessageCodec, learns: Learns | None) -> Route:
    definition = codec.definition
    ticker_from, ticker_size = codec.ticker_at or (0, 0)
    return Route(
        codec,
        size=codec.definition.length or 0,
        locate_at=codec.locate_at if codec.locate_at is not None and not ticker_size else -1,
        ticker_from=ticker_from,
        ticker_to=ticker_from + ticker_size,
        learned=learns is not None and (definition.is_directory or definition.kind == "record"),
    )

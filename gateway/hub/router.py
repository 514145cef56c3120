"""From a block to the JSON texts that are wanted of it: one pass, each text written once per form.

The live way of a feed and a reader of the journal use this same code with different targets, so both give
the same bytes (but for the time of encoding). Knows the bytes of messages and their targets; knows nothing
of subscribers.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from gateway.decode import Codecs, MessageCodec
from gateway.errors import DecodeError
from gateway.hub.context import SessionContext
from gateway.hub.spec import StreamSpec
from gateway.hub.targets import Plan, Route, Target
from gateway.hub.texts import HEADS, HEADS_MAX, framed_text, header_behind_number
from gateway.mlink.frames import FrameTooLong, frame_text
from gateway.values import Block
from gateway.views import ViewedCodecs

Learns = Callable[[MessageCodec, bytes, int, int, int], None]

_ANY = StreamSpec(True, frozenset())


class Router:
    """Routes the blocks of one feed to targets.

    `learns` (codec, raw, start, end, seq) is told each directory and record message before
    any target is. With `only`, messages of other names are passed over; there may be many such routers.
    """

    def __init__(
        self,
        feed: str,
        codecs: Codecs,
        learns: Learns | None = None,
        *,
        only: Container[str] | None = None,
    ) -> None:
        self._feed = feed
        self._learns = learns
        self._session = ""
        self._routes: list[Route | None] = [
            Route(feed, codec, learns=learns is not None)
            if codec is not None and (only is None or codec.name in only)
            else None
            for codec in codecs.by_id
        ]
        # Not among those that an upstream can name.
        views = codecs.views if isinstance(codecs, ViewedCodecs) else ()
        self._views = {codec.id_byte: Route(feed, codec, learns=False) for codec in views}
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
            route.add(target, self._session)

    def remove_target(self, target: Target) -> None:
        """Route to this one no more."""
        for route in self._routes_of(target):
            route.remove(target)

    def route(self, block: Block, context: SessionContext, encoded_ns: int) -> None:
        """Put the text of each message of the block where it is wanted, in order."""
        self._begin(block.session)
        learns, routes, raw = self._learns, self._routes, block.raw
        stripes_by_locate, json_by_locate = context.stripes_by_locate, context.json_by_locate
        # Someone who reads old messages must not see today's answer to "whose locate code is this?".
        past = learns is None and block.first_seq <= context.directory.last_change_seq
        middle = header_behind_number(block.received_ns, encoded_ns)
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
                    plans = route.plans[stripe] = route.planned(stripe, self._session)
                for plan in plans.values():
                    try:
                        if plan.choosers:
                            chosen = self._choose(plan, route.codec, raw, start, end, ticker, seq, middle)
                            if chosen is not None:
                                for append in plan.appends:
                                    append(chosen)
                            if chosen is not None or not plan.appends:
                                continue
                        if ticker is None:
                            text = f"{plan.prefix}{seq}{middle}{plan.write(raw, start, end)}}}}}"
                        else:
                            body = plan.write_with_ticker(raw, start, end, ticker)
                            text = f"{plan.prefix}{seq}{middle}{body}}}}}"
                        if plan.framed:
                            size = len(text)
                            text = HEADS[size] + text if size < HEADS_MAX else frame_text(text)
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
        middle = header_behind_number(received_ns, encoded_ns)
        for seq, payload in derived:
            route = self._views[payload[0]]
            stripe = None
            if route.striped:
                stripe = context.stripe_of_raw[payload[route.ticker_from : route.ticker_to]]
            plans = route.plans.get(stripe)
            if plans is None:
                plans = route.plans[stripe] = route.planned(stripe, session)
            for plan in plans.values():
                size = len(payload)
                text = self._choose(plan, route.codec, payload, 0, size, None, seq, middle)
                if plan.appends:
                    text = text or _text(plan, payload, 0, size, None, seq, middle)
                    for append in plan.appends:
                        append(text)

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
        middle = header_behind_number(received_ns, encoded_ns)
        stripe = ticker = None
        if route.locate_at >= 0:
            locate = int.from_bytes(payload[route.locate_at : route.locate_at + 2], "big")
            stripe, ticker = context.stripes_by_locate[locate], context.json_by_locate[locate]
        elif route.ticker_to:
            stripe = context.stripe_of_raw[payload[route.ticker_from : route.ticker_to]]
        try:
            for plan in route.planned(stripe, context.session).values():
                plan.prefix = plan.prefix.removesuffix('"seqN":') + '"unsequenced":'
                for append in plan.appends:
                    plan.choose(Target(_ANY, append=append), None)
                self._choose(plan, route.codec, payload, 0, len(payload), ticker, "true", middle)
        except (DecodeError, FrameTooLong):
            route.undecodable += 1

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

    def _routes_of(self, target: Target) -> list[Route]:
        wanted = target.spec.messages
        routes = (*self._routes, *self._views.values())
        return [route for route in routes if route and (self._feed, route.codec.name) in wanted]

    def _begin(self, session: str) -> None:
        """Texts name their session, so what was planned for another is worked out anew."""
        if session != self._session:
            self._session = session
            for route in (*self._routes, *self._views.values()):
                if route is not None:
                    route.plans = {}

    def _choose(
        self,
        plan: Plan,
        codec: MessageCodec,
        raw: bytes,
        start: int,
        end: int,
        ticker: str | None,
        seq: int | str,
        middle: str,
    ) -> str | None:
        """Give the text to those of the plan's choosers that want this very message, if any does."""
        if not plan.choosers:
            return None
        values: Mapping[str, Any] | None = None
        text: str | None = None
        of: tuple[str, str, str] | None = None
        key = codec.key(raw, start, end)
        for filter_, target in plan.choosers:
            if target.keys is not None and (codec.name, key) not in target.keys:
                continue
            if filter_ is not None:
                if values is None:
                    values = plan.values(raw, start, end, ticker)
                if not filter_.matches(values):
                    continue
            if text is None:
                text = _text(plan, raw, start, end, ticker, seq, middle)
            if target.append is not None:
                target.append(text)
            elif target.put is not None:
                # One for all of them: it stays with each until the text has left.
                of = of or (self._feed, codec.name, key or "")
                target.put(of, text)
        return text


def _text(
    plan: Plan, raw: bytes, start: int, end: int, ticker: str | None, seq: int | str, middle: str
) -> str:
    """The whole text of one message; `Router.route` has the same written out, for speed."""
    write, with_ticker = plan.write, plan.write_with_ticker
    body = write(raw, start, end) if ticker is None else with_ticker(raw, start, end, ticker)
    text = f"{plan.prefix}{seq}{middle}{body}}}}}"
    return framed_text(text) if plan.framed else text


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

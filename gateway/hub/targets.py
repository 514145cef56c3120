"""Who wants the messages of one type, and what is worked out for them once instead of per message.

Knows message layouts through their codecs, and specs; knows nothing of blocks and subscribers.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.decode import MessageCodec
from gateway.decode.codec import Decode, Write, WriteWithTicker
from gateway.hub.filters import Filter, filter_for
from gateway.hub.spec import StreamSpec
from gateway.hub.texts import header_until_number

Append = Callable[[str], None]
# (feed, message name, key), text
Put = Callable[[tuple[str, str, str], str], None]


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
class Plan:
    """All targets of one message type and stripe that want the same text."""

    codec: MessageCodec
    prefix: str
    framed: bool
    write: Write
    write_with_ticker: WriteWithTicker
    appends: list[Append] = field(default_factory=list)
    # Those that look at the message first.
    choosers: list[tuple[Filter | None, Target]] = field(default_factory=list)
    # What their filters ask for; made when the first message comes.
    _decode: Decode | None = None
    _asks_ticker: bool = False

    def choose(self, target: Target, filter_: Filter | None) -> None:
        """Let a target look at each message, through its filter if it has one."""
        self.choosers.append((filter_, target))
        self._decode = None

    def values(self, raw: bytes, start: int, end: int, ticker_json: str | None) -> Mapping[str, Any]:
        """The fields that any of the filters asks for, decoded once for all of them."""
        if self._decode is None:
            fields = frozenset[str]().union(*(each.fields for each, _ in self.choosers if each))
            self._decode = self.codec.decode_fields(fields)
            self._asks_ticker = self.codec.added_ticker in fields
        values = self._decode(raw, start, end)
        if self._asks_ticker and ticker_json is not None and self.codec.added_ticker is not None:
            values[self.codec.added_ticker] = orjson.loads(ticker_json)
        return values


# By what makes texts differ: framed or not, and which fields.
Plans = dict[tuple[bool, frozenset[str] | None], Plan]


class Route:
    """What happens to the messages of one type of one feed."""

    __slots__ = (
        "_feed",
        "codec",
        "learned",
        "least",
        "locate_at",
        "plans",
        "size",
        "striped",
        "targets",
        "ticker_from",
        "ticker_to",
        "undecodable",
    )

    def __init__(self, feed: str, codec: MessageCodec, *, learns: bool) -> None:
        definition, lengths = codec.definition, codec.definition.lengths
        ticker_from, ticker_size = codec.ticker_at or (0, 0)
        self._feed = feed
        self.codec = codec
        # The exact payload length of a fixed layout, 0 when it varies and the codec checks.
        self.size = definition.length or 0
        # The least length it has: what stands at a fixed place may be looked at before the codec has checked.
        self.least = min(lengths.fixed, default=lengths.at_least or 0)
        # Where the locate code stands in a message that carries no ticker itself, else -1.
        self.locate_at = codec.locate_at if codec.locate_at is not None and not ticker_size else -1
        self.ticker_from = ticker_from
        self.ticker_to = ticker_from + ticker_size
        self.learned = learns and (definition.is_directory or definition.kind == "record")
        # In the order in which they came.
        self.targets: dict[Target, None] = {}
        # By stripe, made when a message of it comes.
        self.plans: dict[str | None, Plans] = {}
        # How many of the targets want some stripes only; with none, nobody asks for a message's stripe.
        self.striped = 0
        self.undecodable = 0

    def add(self, target: Target, session: str) -> None:
        """One more wants these messages."""
        self.targets[target] = None
        self.striped += target.spec.stripes is not None
        for stripe, plans in self.plans.items():
            self._plan_for(target, stripe, session, plans)

    def remove(self, target: Target) -> None:
        """It wants them no more, if it did."""
        if target not in self.targets:
            return
        del self.targets[target]
        self.striped -= target.spec.stripes is not None
        form = (target.spec.framed, target.spec.view)
        for plans in self.plans.values():
            plan = plans.get(form)
            if plan is None:
                continue
            if target.append in plan.appends:
                plan.appends.remove(target.append)
            plan.choosers = [each for each in plan.choosers if each[1] is not target]
            if not plan.appends and not plan.choosers:
                del plans[form]

    def planned(self, stripe: str | None, session: str) -> Plans:
        """Who wants what of a stripe's messages; None is market-wide: everybody. Costs a pass over all."""
        plans: Plans = {}
        for target in self.targets:
            self._plan_for(target, stripe, session, plans)
        return plans

    def _plan_for(self, target: Target, stripe: str | None, session: str, plans: Plans) -> None:
        spec, codec = target.spec, self.codec
        if stripe is not None and spec.stripes is not None and stripe not in spec.stripes:
            return
        form = (spec.framed, spec.view)
        plan = plans.get(form)
        if plan is None:
            write, with_ticker = codec.write, codec.write_with_ticker
            if spec.view is not None:
                names = [name for name in codec.field_types if name.casefold() in spec.view]
                write, with_ticker = codec.writer(names), codec.writer_with_ticker(names)
            prefix = header_until_number(codec.name, self._feed, session)
            plan = plans[form] = Plan(codec, prefix, spec.framed, write, with_ticker)
        if spec.where is not None:
            plan.choose(target, filter_for(codec, spec.where))
        elif target.append is None or target.keys is not None:
            plan.choose(target, None)
        else:
            plan.appends.append(target.append)

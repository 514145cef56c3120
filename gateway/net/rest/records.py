"""The latest records that match a spec, in slices, as texts or as values.

Goes the way of a subscriber's snapshot (the same router), so that REST and streams say the same.
What one turn of the loop does is bounded; between two others run, and records that change
meanwhile are as they were when their message's turn came.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.decode import MessageCodec
from gateway.hub import Channel, Record, StreamSpec
from gateway.hub.context import SessionContext
from gateway.hub.router import Router
from gateway.hub.targets import Target

# Records that are encoded in one turn of the loop.
SLICE = 100


@dataclass(frozen=True, slots=True)
class Found:
    """One record that matches, and its text."""

    feed: str
    codec: MessageCodec
    record: Record
    context: SessionContext
    text: str

    def values(self) -> dict[str, Any]:
        """Its fields, the ticker that the directory adds among them."""
        payload = self.record.payload
        values = self.codec.decode(payload, 0, len(payload))
        if self.codec.added_ticker is not None:
            ticker = self.context.json_by_locate[self.codec.locate(payload, 0) or 0]
            if ticker is not None:
                values[self.codec.added_ticker] = orjson.loads(ticker)
        return values


class Records:
    """What a spec selects of the channels' latest records."""

    def __init__(self, channels: list[Channel], spec: StreamSpec, clock_ns: Callable[[], int]) -> None:
        self._channels = channels
        self._spec = spec
        self._clock_ns = clock_ns

    async def matching(self) -> AsyncIterator[Found]:
        """Each record that matches, by feed and message, each message's in the order of their numbers."""
        for channel, codec in self._pairs():
            # A copy: they change while others have their turn.
            records = channel.records_of(frozenset({(channel.name, codec.name)}))
            context, encode = channel.context, self._encoder(channel)
            for at, record in enumerate(records):
                if at % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                text = encode(record, context)
                if text is not None:
                    yield Found(channel.name, codec, record, context, text)
            await asyncio.sleep(0)

    def of_key(self, key: str) -> list[Found]:
        """The record of one key, of each feed that has it."""
        found = []
        for channel, codec in self._pairs():
            name = codec.name
            wanted = [(name, codec.read_key(key))]
            for record in channel.records_at(frozenset({(channel.name, name)}), wanted):
                text = self._encoder(channel)(record, channel.context)
                if text is not None:
                    found.append(Found(channel.name, codec, record, channel.context, text))
        return found

    def _pairs(self) -> Iterator[tuple[Channel, MessageCodec]]:
        for channel in self._channels:
            for codec in channel.codecs.by_name.values():
                if (channel.name, codec.name) in self._spec.messages:
                    yield channel, codec

    def _encoder(self, channel: Channel) -> Callable[[Record, SessionContext], str | None]:
        texts: list[str] = []
        router = Router(channel.name, channel.codecs)
        router.add_target(Target(self._spec, append=texts.append))

        def encode(record: Record, context: SessionContext) -> str | None:
            now_ns, session = self._clock_ns(), context.session
            if router.is_view(record.payload):
                derived = [(record.seq, record.payload)]
                router.route_derived(derived, session, record.received_ns, context, now_ns)
            else:
                router.route(record.block(session), context, now_ns)
            return texts.pop() if texts else None

        return encode

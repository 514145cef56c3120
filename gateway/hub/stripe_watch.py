"""How many messages each stripe has, for whoever watches: counted only while somebody looks.

Knows blocks, codecs and a session's stripes; knows no clock: each look grants another so many messages.
"""

from collections import Counter

from gateway.hub.channel import Channel
from gateway.values import Block

# Looked at until the next look. Busier than this, what was looked at stands for the rest.
LOOKED_MAX = 50_000


class StripeWatch:
    """Counts since the start of the process. All messages are counted per block; stripes per message."""

    def __init__(self, looked_max: int = LOOKED_MAX) -> None:
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        # Of these messages the stripe was looked up.
        self.looked: Counter[str] = Counter()
        self._stripes: dict[str, Counter[str | None]] = {}
        self._looked_max = looked_max
        self._left = 0
        self._places: dict[str, _Places] = {}

    def look(self) -> None:
        """Somebody watches: look at what comes next."""
        self._left = self._looked_max

    def stripes(self, feed: str) -> dict[str, int]:
        """Of the messages looked at, how many each stripe had; those of no ticker belong to every stripe."""
        return {stripe: count for stripe, count in self._stripes.get(feed, {}).items() if stripe is not None}

    def count(self, channel: Channel, block: Block) -> None:
        """Take in a block that was published."""
        feed = channel.name
        self.messages[feed] += block.count
        self.bytes[feed] += len(block.raw)
        if self._left <= 0:
            return
        self._left -= block.count
        self.looked[feed] += block.count
        places = self._places.get(feed)
        if places is None:
            places = self._places[feed] = _Places(channel)
            self._stripes[feed] = Counter()
        places.count(channel, block.raw, block.count, self._stripes[feed])


class _Places:
    """Where in each type of message of one feed its ticker or its locate code stands."""

    def __init__(self, channel: Channel) -> None:
        self._locate_at = [-1] * 256
        self._ticker_at = [(0, 0)] * 256
        for id_byte, codec in enumerate(channel.codecs.by_id):
            if codec is None or getattr(codec, "is_view", False):
                continue
            if codec.ticker_at is not None:
                at, size = codec.ticker_at
                self._ticker_at[id_byte] = (at, at + size)
            elif codec.locate_at is not None:
                self._locate_at[id_byte] = codec.locate_at

    def count(self, channel: Channel, raw: bytes, messages: int, counts: Counter[str | None]) -> None:
        locate_at, ticker_at = self._locate_at, self._ticker_at
        by_locate, of_raw = channel.context.stripes_by_locate, channel.context.stripe_of_raw
        end = 0
        for _ in range(messages):
            start = end + 3
            end += 2 + (raw[end] << 8 | raw[end + 1])
            if end - start < 3:
                continue
            at = locate_at[raw[start]]
            if at >= 0:
                at += start
                # A message cut short is counted somewhere; whether it can be read is told elsewhere.
                counts[by_locate[int.from_bytes(raw[at : at + 2], "big")]] += 1
            else:
                ticker_from, ticker_to = ticker_at[raw[start]]
                counts[of_raw[raw[start + ticker_from : start + ticker_to]] if ticker_to else None] += 1

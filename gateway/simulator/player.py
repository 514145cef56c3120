"""When each message is due: as time-stamped, N times as fast, so many a second, or at once.

Pure: takes an iterator of messages and the time, gives back the messages that are due. It draws a message
from the iterator only when the one before is on its way, so nothing is read ahead but one message.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf, isfinite

from gateway.errors import ConfigError
from gateway.simulator.files import time_ns_of

BATCH_MAX = 1024
BEHIND_MAX_S = 1.0

Pace = Callable[[int, bytes], float]
"""When a message is due, in seconds after the first: from how many went before, and its bytes."""


def by_rate(messages_per_s: float) -> Pace:
    """So many messages a second, evenly."""
    if not (messages_per_s > 0 and isfinite(messages_per_s)):
        raise ConfigError(f"a rate is more than 0 messages a second, not {messages_per_s:g}")
    gap_s = 1 / messages_per_s
    return lambda sent, _message: sent * gap_s


def by_time_stamp(speed: float = 1.0) -> Pace:
    """As the ITCH time stamps say, `speed` times as fast. What has none, or an older one, goes at once."""
    if not (speed > 0 and isfinite(speed)):
        raise ConfigError(f"a speed is more than 0, or 'max', not {speed:g}")
    first_ns: int | None = None

    def pace(_sent: int, message: bytes) -> float:
        nonlocal first_ns
        time_ns = time_ns_of(message)
        if time_ns is None:
            return 0.0
        if first_ns is None:
            first_ns = time_ns
        return (time_ns - first_ns) / 1e9 / speed

    return pace


def at_once(_sent: int, _message: bytes) -> float:
    """Every message is due from the start: as fast as whoever takes them can."""
    return 0.0


def promptly(first: int, pace: Pace) -> Pace:
    """The first messages at once, such as a day's directory; the others by `pace`, counted from there."""
    if pace is at_once:
        return at_once
    return lambda sent, message: 0.0 if sent < first else pace(sent - first, message)


class Player:
    """Hands out messages when they are due.

    At most `batch_max` at a time. What is late is handed out at once, but never more than `behind_max_s`
    of it: whatever is later delays all that follows, so that a pause does not end in a flood.
    """

    def __init__(
        self,
        messages: Iterable[bytes],
        pace: Pace,
        now: float,
        *,
        batch_max: int = BATCH_MAX,
        behind_max_s: float = BEHIND_MAX_S,
    ) -> None:
        self.taken = 0
        """Messages handed out so far."""
        self.delayed_s = 0.0
        """How much later than planned everything goes because it was taken too late."""
        self._messages: Iterator[bytes] = iter(messages)
        self._pace = pace
        self._start = now
        self._batch_max = batch_max
        self._behind_max_s = behind_max_s
        self._next: bytes | None = None
        self._due = now
        self._draw()

    @property
    def done(self) -> bool:
        """Whether every message has been handed out."""
        return self._next is None

    def deadline(self) -> float:
        """When the next message is due; infinity when there is none."""
        return inf if self._next is None else self._due

    def take(self, now: float, limit: float = inf) -> list[bytes]:
        """The messages due by `now`, in order, at most `limit`."""
        most = int(min(limit, self._batch_max))
        if self._pace is at_once:
            return self._take_at_once(most)
        late = now - self._due - self._behind_max_s
        if late > 0 and self._next is not None:
            self.delayed_s += late
            self._start += late
            self._due += late
        batch: list[bytes] = []
        while self._next is not None and self._due <= now and len(batch) < most:
            batch.append(self._next)
            self.taken += 1
            self._draw()
        return batch

    def _take_at_once(self, most: int) -> list[bytes]:
        if self._next is None or most < 1:
            return []
        batch = [self._next, *islice(self._messages, most - 1)]
        self.taken += len(batch)
        self._next = next(self._messages, None)
        return batch

    def _draw(self) -> None:
        self._next = next(self._messages, None)
        if self._next is not None:
            # Never earlier than the one before: order counts for more than time stamps.
            self._due = max(self._due, self._start + self._pace(self.taken, self._next))

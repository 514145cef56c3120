"""How long to wait before the next try: longer each time, never twice the same, never longer than a limit.

Knows numbers only; the clock and the dice are the caller's.
"""

from collections.abc import Callable

GROWTH = 2.0


class Backoff:
    """Delays that grow from `first_s` to `max_s`, each moved by up to `jitter` of itself.

    Without the jitter all feeds that lost the same exchange would come back in the same instant.
    """

    def __init__(
        self, first_s: float, max_s: float, jitter: float, uniform: Callable[[float, float], float]
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._uniform = uniform
        self._next_s = first_s

    def next_delay(self) -> float:
        """The delay before the next try, in seconds."""
        delay_s = self._next_s
        self._next_s = min(delay_s * GROWTH, self._max_s)
        return min(delay_s * (1 + self._uniform(-self._jitter, self._jitter)), self._max_s)

    def reset(self) -> None:
        """What we wait for has come: the next delay is the first again."""
        self._next_s = self._first_s

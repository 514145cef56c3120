"""Turns at work that is not live: one piece per turn of the loop, whoever is behind.

Knows callbacks; knows nothing of streams.
"""

from collections import deque
from collections.abc import Callable


class Turns:
    """First come, first served. However many are behind, a live message waits for one piece at most.

    Without this each of a hundred lagging subscribers would do a piece in every turn of the loop, and
    those that are not behind would wait for all of them.
    """

    def __init__(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._schedule = schedule
        self._waiting: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, begin: Callable[[], object]) -> None:
        """Have `begin` called when it is its turn."""
        self._waiting.append(begin)
        if len(self._waiting) == 1:
            self._schedule(self._next)

    def _next(self) -> None:
        begin = self._waiting.popleft()
        if self._waiting:
            self._schedule(self._next)
        begin()

"""A histogram that costs next to nothing to add to. Knows numbers, and nothing of who reads them."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

# From a tenth of a millisecond, a good moment on loopback, to a minute: a reader far behind.
LATENCY_BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Histogram:
    """How often a value was at or below each bound. One thread adds; any may read."""

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """How many values were added."""
        return sum(self._counts)

    def add(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[float, int]]:
        """(bound, how many were at or below it), the last bound being infinity."""
        return list(zip((*self.bounds, float("inf")), accumulate(self._counts), strict=True))

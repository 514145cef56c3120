"""Which of a feed's addresses is dialled next: the preferred one, unless it has just failed.

Knows preference, failures and hold-down; knows no names, no sockets and no clock.
"""

from math import inf

# A preferred address that fails again soon after each return is held down twice as long, so many times.
STRIKES_MAX = 5


class Endpoints:
    """Addresses as indexes, the preferred one first. Times are passed in.

    An address that failed is held down: for `hold_down_s` no working connection is given up for it, and
    longer when it fails again and again. It is dialled all the same when there is none better.
    """

    def __init__(self, count: int, hold_down_s: float, probe_s_min: float) -> None:
        self._all = range(count)
        self._hold_down_s = hold_down_s
        # Without this a hold-down of 0 would probe a dead address all the time.
        self._probe_s_min = probe_s_min
        self._down_until = [-inf] * count
        self._strikes = [0] * count
        self._tried: set[int] = set()
        # Not authorized: dialled no more, until an operator acts.
        self._barred: set[int] = set()
        # Not authorized while another connection was up: perhaps the account may have one only.
        self._barred_beside: set[int] = set()

    @property
    def barred(self) -> frozenset[int]:
        return frozenset(self._barred)

    @property
    def all_barred(self) -> bool:
        return len(self._barred) == len(self._all)

    def choose(self, now: float) -> int | None:
        """The address to dial; None when all are barred."""
        free = [each for each in self._all if each not in self._barred]
        if not free:
            return None
        untried = [each for each in free if each not in self._tried]
        if not untried:
            self._tried.clear()
            untried = free
        rested = [each for each in untried if self._down_until[each] <= now]
        return (rested or untried)[0]

    def preferred_to(self, current: int, now: float) -> int | None:
        """An address worth returning to while `current` works."""
        for each in range(current):
            if self._may_return(each) and self._down_until[each] <= now:
                return each
        return None

    def return_at(self, current: int) -> float:
        """When `preferred_to` should be asked; infinity when never."""
        return min((self._down_until[each] for each in range(current) if self._may_return(each)), default=inf)

    def _may_return(self, each: int) -> bool:
        return each not in self._barred and each not in self._barred_beside

    def failed(self, which: int, now: float, up_s: float = 0.0) -> None:
        """A connection failed or was lost after it had worked for `up_s`."""
        self._strikes[which] = 1 if up_s > self._hold_down_s else min(self._strikes[which] + 1, STRIKES_MAX)
        hold_s = max(self._hold_down_s, self._probe_s_min)
        self._down_until[which] = now + hold_s * 2 ** (self._strikes[which] - 1)
        free = set(self._all) - self._barred
        self._tried.add(which)
        if self._tried >= free and len(free) > 1:
            # A new round; but not again with the one that failed last.
            self._tried = {which}

    def worked(self) -> None:
        """Messages flow: the next loss starts a new round."""
        self._tried.clear()

    def bar(self, which: int) -> None:
        """Not authorized there."""
        self._barred.add(which)

    def bar_beside(self, which: int) -> None:
        """Not authorized there while another connection is up; forgotten when that one is lost."""
        self._barred_beside.add(which)

    def alone(self) -> None:
        """No connection is left: what was refused beside one may be tried."""
        self._barred_beside.clear()

    def pardon(self) -> None:
        """An operator has acted: everything may be tried again."""
        self._barred.clear()
        self._barred_beside.clear()
        self._tried.clear()

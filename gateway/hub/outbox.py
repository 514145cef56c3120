"""What one conflated stream still has to be sent. Knows keys and texts; knows no clock and no socket."""

from collections import deque
from collections.abc import Callable, Container

# (feed, message name, key); a notice has no message name.
Key = tuple[str, str, str]


def _nobody() -> None:
    pass


class Outbox:
    """The newest text of each key. Bounded, and never makes the hub wait.

    A newer text of a key replaces the one not sent yet, so a slow reader loses steps, never
    the latest value. More than `keys_max` different keys waiting is too slow: everything is
    dropped at once and `overflowed` is set, for the connection's own task to act on.

    What waits leaves as a batch, in slices as the socket takes them: once it has begun to leave,
    newer texts wait for the next batch. So all texts leave in the order of their numbers, and a
    key that changes all the time does not wait for ever behind the others. Both together hold
    two texts per key at most.
    """

    def __init__(self, keys_max: int, on_first: Callable[[], object] = _nobody) -> None:
        self._keys_max = keys_max
        self._on_first = on_first
        self._texts: dict[Key, str] = {}
        self._leaving: deque[tuple[Key, str]] = deque()
        self._notices = 0
        self.overflowed = False
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._texts) + len(self._leaving)

    @property
    def owes(self) -> bool:
        """Whether not all that was put has left: it waits, or was dropped for being too much."""
        return self.overflowed or len(self) > 0

    @property
    def is_leaving(self) -> bool:
        """Whether part of a batch has left and part has not."""
        return bool(self._leaving)

    def put(self, key: Key, text: str) -> None:
        """Have `text` sent for this key, instead of an older one."""
        if self.overflowed:
            return
        # Removed and added again, not overwritten: texts leave in sequence order.
        if self._texts.pop(key, None) is not None:
            self.conflated += 1
        elif len(self._texts) >= self._keys_max:
            self._texts.clear()
            self._leaving.clear()
            self.overflowed = True
            self._on_first()
            return
        elif not self._texts:
            self._on_first()
        self._texts[key] = text

    def put_notice(self, feed: str, text: str) -> None:
        """Have a notice sent at its place; none replaces another."""
        self._notices += 1
        self.put((feed, "", str(self._notices)), text)

    def begin(self) -> bool:
        """Let what waits leave as the next batch; False while the one before has not left whole."""
        if self._leaving:
            return False
        self._leaving.extend(self._texts.items())
        self._texts.clear()
        return True

    def take(self, count_max: int) -> list[tuple[Key, str]]:
        """The next slice of the batch, oldest first."""
        leaving = self._leaving
        return [leaving.popleft() for _ in range(min(count_max, len(leaving)))]

    def clear(self) -> None:
        """Forget the records that wait, for newer ones are sent in another way; notices stay."""
        self._leaving = deque(each for each in self._leaving if not each[0][1])
        self._texts = {key: text for key, text in self._texts.items() if not key[1]}

    def discard(self, keys: Container[tuple[str, str]]) -> None:
        """Forget the records of these (message name, key) pairs, of every feed."""
        if not self:
            return
        self._texts = {key: text for key, text in self._texts.items() if key[1:] not in keys}
        self._leaving = deque(each for each in self._leaving if each[0][1:] not in keys)

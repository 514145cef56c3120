"""What one conflated stream still has to be sent. Knows keys and texts; knows no clock and no socket."""


class Outbox:
    """The newest text of each key. Bounded, and never makes the hub wait.

    A newer text of a key replaces the one not sent yet, so a slow reader loses steps, never
    the latest value. More than `keys_max` different keys waiting is too slow: everything is
    dropped at once and `overflowed` is set, for the connection's own task to act on.
    """

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._texts: dict[tuple[str, str], str] = {}
        self.overflowed = False
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, name: str, key: str, text: str) -> None:
        """Have `text` sent for this key, instead of an older one."""
        if self.overflowed:
            return
        # Removed and added again, not overwritten: texts leave in sequence order.
        if self._texts.pop((name, key), None) is not None:
            self.conflated += 1
        elif len(self._texts) == self._keys_max:
            self._texts.clear()
            self.overflowed = True
            return
        self._texts[name, key] = text

    def take(self) -> list[str]:
        """All that waits, oldest first."""
        texts = list(self._texts.values())
        self._texts.clear()
        return texts

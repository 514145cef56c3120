"""States on their way to the disk: written down piece by piece in a thread, one after the other.

Knows threads and what has to be on the disk before a state; how its file looks, `checkpoint` knows.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway.journal import checkpoint
from gateway.journal.errands import Errand, Errands
from gateway.values import Position

# States that may wait to be saved. One more is left out: a restart then reads more of the journal.
SAVES_MAX = 4
# Between two pieces of a state the thread that writes it down lets the loop have the interpreter.
SAVE_PAUSE_S = 0.0005


class StateSaver:
    """Saves states in the order in which they come, SAVES_MAX of them at once."""

    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._under_way: list[Errand] = []

    @property
    def is_saving(self) -> bool:
        """Whether a state is on its way to the disk."""
        return any(not each.is_done for each in self._under_way)

    def save(
        self,
        path: Path,
        position: Position,
        state: bytes | Iterable[bytes],
        messages_synced: Callable[[], None],
    ) -> bool:
        """Save one; False when too many are under way. With a background its pieces are made in the thread.

        `messages_synced` returns when the messages up to `position` are on the disk, or raises: a state
        must not survive a loss of power that its own messages do not.
        """
        before = self._under_way = [each for each in self._under_way if not each.is_done]
        if len(before) >= SAVES_MAX:
            return False

        def save() -> None:
            whole = state if isinstance(state, bytes) else b"".join(_slowly(state))
            for errand in before:
                errand.wait()
            messages_synced()
            checkpoint.save(path, position, whole)

        errand = self._errands.send(str(path), save)
        if errand is not None:
            self._under_way = [*before, errand]
        return True


def _slowly(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        time.sleep(SAVE_PAUSE_S)

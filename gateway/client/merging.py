"""Several stripes as one stream: what belongs to every stripe is given out once.

Knows messages and trackers; no socket. A message of one ticker is in one stripe only and just passes;
one of no ticker arrives in every stripe, and its number is remembered until all stripes are past it.
"""

from collections.abc import Sequence

from gateway.client.errors import Incomplete
from gateway.client.message import Batch
from gateway.client.positions import FeedPosition
from gateway.client.tracker import Tracker

# Where a message says whose it is. One that has none of these is remembered: more memory, same result.
TICKER_FIELDS = ("stock", "ticker", "symbol", "pkey")
# Numbers remembered while stripes run apart. One more ends the stream: it says so, and where to resume.
REMEMBERED_MAX = 1_000_000
_PRUNE_EVERY = 1_024


class StripeMerge:
    """Filters what the stripes of one stream bring. `trackers` are those of its stripes."""

    def __init__(self, trackers: Sequence[Tracker], remembered_max: int = REMEMBERED_MAX) -> None:
        self._trackers = trackers
        self._max = remembered_max
        self._size = 0
        self._prune_at = min(_PRUNE_EVERY, remembered_max)
        # Per feed its sessions, oldest first, each with the numbers seen in any stripe.
        self._seen: dict[str, dict[str, set[int]]] = {}
        #: Why the stream has to end once what `keep` gave is handed on.
        self.overrun: Incomplete | None = None
        #: Messages that another stripe had brought already.
        self.doubles = 0

    def keep(self, batch: Batch) -> Batch:
        """Those messages of `batch` that no other stripe brought."""
        kept = Batch([], [])
        for value, text in batch.pairs():
            header, fields = value["header"], value["message"]
            seq = header.get("seqN")
            if seq is not None and not any(fields.get(name) for name in TICKER_FIELDS):
                seen = self._seen.setdefault(header["src"], {}).setdefault(header["ses"], set())
                if seq in seen:
                    self.doubles += 1
                    continue
                seen.add(seq)
                self._size += 1
            kept.values.append(value)
            kept.texts.append(text)
        if self._size >= self._prune_at:
            self._prune()
            if self._size > self._max:
                self.overrun = Incomplete(
                    f"the stripes ran apart by more than {self._max} messages without a ticker; read each "
                    f"stripe by itself, or keep the ticker in the view",
                    self._earliest(),
                )
            self._prune_at = min(self._size + _PRUNE_EVERY, self._max)
        return kept

    def sessions(self, src: str) -> list[str]:
        """The sessions of a feed in the order they appeared."""
        return list(self._seen.get(src, ()))

    def _earliest(self) -> tuple[FeedPosition, ...]:
        """Per feed the position of the stripe that is furthest behind."""
        earliest: dict[str, FeedPosition] = {}
        for at in (at for tracker in self._trackers for at in tracker.positions()):
            order = self.sessions(at.src)
            had = earliest.setdefault(at.src, at)
            if (_index(order, at.session), at.next_seq) < (_index(order, had.session), had.next_seq):
                earliest[at.src] = at
        return tuple(earliest.values())

    def _prune(self) -> None:
        """Forget what every stripe is past."""
        positions = [{at.src: at for at in tracker.positions()} for tracker in self._trackers]
        for src, by_session in self._seen.items():
            order = list(by_session)
            for index, session in enumerate(order):
                floor: int | None = None
                for each in positions:
                    at = each.get(src)
                    if at is None or at.session not in by_session:
                        floor = 0
                    elif at.session == session:
                        floor = at.next_seq if floor is None else min(floor, at.next_seq)
                    elif order.index(at.session) < index:
                        floor = 0
                    if floor == 0:
                        break
                seen = by_session[session]
                # No floor: every stripe is in a later session.
                by_session[session] = set() if floor is None else {seq for seq in seen if seq >= floor}
        self._size = sum(len(seen) for by_session in self._seen.values() for seen in by_session.values())


def _index(order: list[str], session: str) -> int:
    """Where a session stands among those that have sent something; one that has not is the newest.

    None at all is before the first.
    """
    if not session:
        return -1
    return order.index(session) if session in order else len(order)

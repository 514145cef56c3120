"""The newest messages of views, kept for streams that come a little later. Knows numbers and bytes."""

from bisect import bisect_left
from collections.abc import Iterable

from gateway.values import Block
from gateway.views.engine import Derived


class Recent:
    """Messages of a view or of several, whole from `from_seq` on. At most twice `keep` of them."""

    def __init__(self, from_seq: int, keep: int) -> None:
        self.from_seq = from_seq
        self._keep = keep
        self._seqs: list[int] = []
        self._payloads: list[bytes] = []

    def __len__(self) -> int:
        return len(self._seqs)

    def add(self, derived: Derived) -> None:
        """One more, the newest."""
        seq, payload = derived
        self._seqs.append(seq)
        self._payloads.append(payload)
        if len(self._seqs) >= 2 * self._keep:
            # One number may have messages of several views: what is cut through is not whole.
            self.from_seq = self._seqs[self._keep - 1] + 1
            del self._seqs[: self._keep], self._payloads[: self._keep]

    def of(self, block: Block) -> list[Derived]:
        """Those that the block's messages caused."""
        return self._between(block.first_seq, block.next_seq)

    def put_in_front(self, older: "Recent", id_byte: int) -> None:
        """Reach back as far as `older` does, which has all of the view up to here, or as there is room."""
        if older.from_seq >= self.from_seq:
            return
        found = [each for each in older._between(older.from_seq, self.from_seq) if each[1][0] == id_byte]
        room = max(0, 2 * self._keep - 1 - len(self._seqs))
        cut = max(0, len(found) - room)
        self.from_seq = older.from_seq if not cut else found[cut][0] if room else self.from_seq
        self._seqs[:0], self._payloads[:0] = _unzipped(found[cut:])

    def _between(self, first_seq: int, end_seq: int) -> list[Derived]:
        first, end = bisect_left(self._seqs, first_seq), bisect_left(self._seqs, end_seq)
        return list(zip(self._seqs[first:end], self._payloads[first:end], strict=True))


def _unzipped(derived: Iterable[Derived]) -> tuple[list[int], list[bytes]]:
    seqs, payloads = [], []
    for seq, payload in derived:
        seqs.append(seq)
        payloads.append(payload)
    return seqs, payloads

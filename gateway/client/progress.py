"""A progress bar on what takes long, where somebody sees it.

Knows tqdm, if it is installed; counts messages, or sequence numbers where the last one wanted is known.
"""

import sys
from typing import Any

from gateway.client.extras import need
from gateway.client.message import Batch
from gateway.client.positions import FeedPosition

# What is there sooner gets no bar, unless one was asked for.
AFTER_S = 1.0


class Progress:
    """`wanted` None: on a terminal or in Jupyter, if tqdm is installed. Made in the thread that shows it."""

    def __init__(self, wanted: bool | None, count: int | None, up_to: FeedPosition | None) -> None:
        self._up_to = up_to
        self._seq: int | None = None
        self._bar: Any = None
        after_s = 0.0 if wanted else AFTER_S
        if wanted:
            need("tqdm", "progress", "notebook")
        elif wanted is None:
            wanted = sys.stderr.isatty() or "ipykernel" in sys.modules
        if not wanted:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        unit = " messages" if up_to is None else " numbers"
        self._bar = tqdm(total=count, unit=unit, unit_scale=True, delay=after_s)

    def begin(self, positions: tuple[FeedPosition, ...]) -> None:
        """Where the stream stands before it is read."""
        up_to = self._up_to
        if self._bar is not None and up_to is not None:
            for at in positions:
                if up_to.src in ("", at.src) and up_to.session in ("", at.session):
                    self._seq = at.next_seq
                    self._bar.total = max(up_to.next_seq - at.next_seq, 0)

    def saw(self, batch: Batch) -> None:
        """What was taken in."""
        if self._bar is None or not len(batch):
            return
        if self._seq is None:
            self._bar.update(len(batch))
            return
        seq = batch.last_seq + 1
        if seq > self._seq:
            self._bar.update(seq - self._seq)
            self._seq = seq

    def close(self) -> None:
        """All that was wanted is there, or nothing more comes."""
        if self._bar is not None:
            self._bar.close()

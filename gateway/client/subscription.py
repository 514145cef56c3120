"""One running request: what it asks, where it stands, where its messages go.

Knows the request, the tracker and the buffer; knows nothing of sockets. A stream has one of these, or
one per stripe.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.client.buffer import Buffer
from gateway.client.merging import StripeMerge
from gateway.client.message import Batch
from gateway.client.notices import Notice, SequenceGap, SessionChange
from gateway.client.request import Request
from gateway.client.tracker import Tracker

if TYPE_CHECKING:
    from gateway.client.rows import Rows

ReadRows = Callable[[bytes], "Rows | None"]

LOG = logging.getLogger("gateway.client")

# Session changes and gaps that are remembered as told; they come again when a stream resumes before one.
TOLD_MAX = 64


class Subscription:
    """`merge` may drop what another stripe of the same stream has brought already."""

    def __init__(
        self,
        request: Request,
        tracker: Tracker,
        buffer: Buffer,
        merge: StripeMerge | None = None,
        read: ReadRows | None = None,
    ) -> None:
        self.request = request
        self.tracker = tracker
        self.buffer = buffer
        #: Its number in the socket that it runs on, new with each start.
        self.number = 0
        #: How often its own resume was refused in a row.
        self.refusals = 0
        #: How to read many messages at once, where nobody wants them one by one. Such a stream is alone.
        self.read = read
        self._merge = merge
        self._told: deque[Notice] = deque(maxlen=TOLD_MAX)

    def give(self, batch: Batch) -> None:
        """Hand on what arrived."""
        if self._merge is not None:
            batch = self._merge.keep(batch)
        if len(batch):
            self.buffer.put(batch)
        if self._merge is not None and self._merge.overrun is not None:
            raise self._merge.overrun

    def tell(self, notice: Notice) -> None:
        """Put a notice at its place in the stream."""
        if isinstance(notice, SessionChange | SequenceGap):
            if notice in self._told:
                return
            self._told.append(notice)
        name = type(notice).__name__
        LOG.log(
            logging.WARNING if notice.serious else logging.DEBUG,
            "stream=%r notice=%s %s",
            str(self.request),
            name,
            notice.detail,
        )
        self.buffer.put(notice)

    def fail(self, error: BaseException) -> None:
        """End the stream with an error, after what has arrived."""
        self.buffer.end(error)

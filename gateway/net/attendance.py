"""Who was turned away, who left and why, and how many bytes they took with them: counts for whoever watches.

Knows how a connection ended; ends none.
"""

from collections import Counter

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode as Standard

from gateway.mlink.close_codes import CloseCode

# Ends that are not ours.
LEFT, LOST = "left", "lost"


class Attendance:
    """Sums since the start of the process. Reasons are few: the names of the close codes, and two more."""

    def __init__(self) -> None:
        # Of requests, by HTTP status.
        self.refused: Counter[int] = Counter()
        # Of subscribers, by reason.
        self.ended: Counter[str] = Counter()
        self.past_bytes = 0

    def end(self, connection: ServerConnection, bytes_written: int) -> str:
        """A subscriber is gone; gives the reason."""
        reason = reason_of_end(connection)
        self.ended[reason] += 1
        self.past_bytes += bytes_written
        return reason


def reason_of_end(connection: ServerConnection) -> str:
    """The name of the close code with which we ended it; LEFT or LOST when it was not us."""
    sent, received = connection.protocol.close_sent, connection.protocol.close_rcvd
    if received is not None and connection.protocol.close_rcvd_then_sent:
        return LEFT
    if sent is None:
        return LOST
    try:
        return CloseCode(sent.code).name.lower()
    except ValueError:
        pass
    try:
        return Standard(sent.code).name.lower()
    except ValueError:
        return "other"

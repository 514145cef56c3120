"""What one subscriber may do, as numbers with names; the rate among them as a token bucket.

Reads no clock: the time is passed in.
"""

from dataclasses import dataclass

from gateway.mlink.frames import DEPTH_MAX, MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Each bound of a subscriber's session. What happens at it stands behind it."""

    message_bytes_max: int = MESSAGE_BYTES_MAX  # larger: FrameError, closed TOO_BIG
    depth_max: int = DEPTH_MAX  # deeper JSON: JsonError
    requests_per_s: float = 20.0  # more, for longer than the burst: closed FLOOD
    requests_burst: int = 200  # all at once, e.g. just after connecting
    logon_s: float = 10.0  # not logged on by then: closed LOGON_TIMEOUT
    logon_attempts_max: int = 3  # failed in a row: closed LOGON_FAILED
    held_max: int = 64  # requests that wait for the answer to a logon; more: closed FLOOD
    streams_max: int = 64  # running at once; one more: Error ack. And as many sessionIDs with subscriptions
    heartbeat_s: float = 5.0  # a real client drops the line at 10


class RequestRate:
    """A token bucket: `burst` at once, `per_s` in the long run."""

    __slots__ = ("_at", "_burst", "_tokens", "per_s")

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        # Another one once somebody else has logged on.
        self.per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more request is within the rate."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self.per_s)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

"""What can end a stream, told apart by who has to act.

Knows the gateway's error tree; a broken line that heals by itself is not here, it is a notice.
"""

from gateway.client.positions import FeedPosition
from gateway.errors import BadRequest, GatewayError, SequenceGap, UpstreamLost
from gateway.mlink.choices import StreamResult


class KeyRefused(GatewayError):
    """The key's owner acts: the gateway does not let this key in, or let it in and then revoked it."""


class RequestRefused(BadRequest):
    """The caller acts: the gateway can't serve this stream. `detail` is its own sentence why."""

    def __init__(self, text: str, result: StreamResult = StreamResult.ERROR, detail: str = "") -> None:
        super().__init__(text)
        self.result = result
        self.detail = detail


class Unreachable(UpstreamLost):
    """Time heals it, or the operator: no line to the gateway for longer than `give_up_after_s`."""


class Incomplete(SequenceGap):
    """A person decides: messages are missing (or too many came) and can't be had by trying again.

    Up to `positions` everything was proven complete: a new stream that resumes there has all of it.
    """

    def __init__(self, text: str, positions: tuple[FeedPosition, ...] = ()) -> None:
        super().__init__(text)
        self.positions = positions

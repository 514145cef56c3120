"""What the system knows of a socket and asyncio does not say."""

import struct
import sys
from typing import Any, Protocol


class HasSocket(Protocol):
    """A transport, or a link that has one."""

    def get_extra_info(self, name: str) -> Any:
        """`socket` gives the socket, or None when it is gone."""


def bytes_not_acknowledged(transport: HasSocket) -> int:
    """Bytes that the kernel took and the other machine has not acknowledged; 0 where that can't be asked."""
    return _asked(transport, "TIOCOUTQ")


def bytes_not_read(transport: HasSocket) -> int:
    """Bytes that have come and that nobody has read yet; 0 where that can't be asked."""
    return _asked(transport, "FIONREAD")


# Offsets in Linux' struct tcp_info: retransmissions and probes without an answer, ms since the last one.
_UNANSWERED_AT, _LAST_ACK_MS_AT, _TCP_INFO_BYTES = slice(2, 4), 56, 60


def machine_is_silent(transport: HasSocket, for_s: float) -> bool:
    """Whether the other machine itself, not only its program, has left what we sent unanswered for so long.

    A program that reads nothing still has a machine that acknowledges; one that was unplugged has not.
    False where that can't be asked.
    """
    if sys.platform != "linux":
        return False
    import socket

    try:
        info = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES
        )
    except (OSError, AttributeError):
        # Closed meanwhile.
        return False
    if len(info) < _TCP_INFO_BYTES or not any(info[_UNANSWERED_AT]):
        return False
    (last_ack_ms,) = struct.unpack_from("I", info, _LAST_ACK_MS_AT)
    return bool(last_ack_ms >= for_s * 1000)


def _asked(transport: HasSocket, what: str) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    socket = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(socket.fileno(), getattr(termios, what), bytes(4))
    except (OSError, ValueError, AttributeError):
        # Closed meanwhile.
        return 0
    return int(struct.unpack("i", answer)[0])

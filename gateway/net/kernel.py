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

"""What the system knows of a socket and asyncio does not say."""

import asyncio
import struct
import sys


def bytes_not_acknowledged(transport: asyncio.BaseTransport) -> int:
    """Bytes that the kernel took and the other machine has not acknowledged; 0 where that can't be asked."""
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    socket = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError, AttributeError):
        # Closed meanwhile.
        return 0
    return int(struct.unpack("i", answer)[0])

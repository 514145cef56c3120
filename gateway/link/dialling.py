"""A client's link for a feed: callbacks on the loop, no queue, no object per message.

Knows how a socket and a ClientSession are put together; what the events mean is the caller's to know.
"""

import asyncio
import socket
import ssl as ssl_module
import time
from collections.abc import Callable, Iterable, Iterator

from gateway.errors import LocalProtocolError, RemoteProtocolError, UpstreamLost
from gateway.link.closing import REJECTED, Closed, CloseReason
from gateway.link.wire import CLOSE_TIMEOUT_S, SEND_BUFFER_BYTES_MAX, STALL_TIMEOUT_S, Wire
from gateway.soup import ClientEvent, ClientSession, ClientState, EndOfSession, Rejected

CONNECT_TIMEOUT_S = 5.0
# A read of a quarter megabyte is taken in pieces: what becomes of a small one stays in the processor's
# cache (a tenth faster over the whole way), and no block of the gateway's is long.
TAKEN_AT_ONCE_BYTES = 32 << 10

OnEvents = Callable[[Iterator[ClientEvent], int], None]
SocketOption = tuple[int, int, int]


class ClientLink(Wire):
    """One connection to a server. Made by `dial`.

    `on_events` is called with each read's events and its time; it must take them all. What it raises
    ends the link, and `closed` raises it again.
    """

    def __init__(
        self,
        session: ClientSession,
        on_events: OnEvents,
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        send_buffer_bytes_max: int = SEND_BUFFER_BYTES_MAX,
    ) -> None:
        super().__init__(
            session,
            stall_timeout_s=stall_timeout_s,
            close_timeout_s=close_timeout_s,
            send_buffer_bytes_max=send_buffer_bytes_max,
        )
        self.session = session
        self._on_events = on_events

    def send_unsequenced(self, payload: bytes) -> None:
        self.session.send_unsequenced(payload, self._loop.time())
        self._flush()

    def send_debug(self, text: str | bytes) -> None:
        self.session.send_debug(text, self._loop.time())
        self._flush()

    def logout(self) -> None:
        """Ask the server to close. What is under way still comes; `closed` then says LOGOUT."""
        self.session.logout(self._loop.time())
        self._flush()
        self._arm()

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), TAKEN_AT_ONCE_BYTES):
            self._take(data[at : at + TAKEN_AT_ONCE_BYTES])

    def _take(self, data: bytes) -> None:
        if self._end is not None:
            return
        session = self.session
        state = session.state
        events = session.receive(data, self._loop.time())
        try:
            self._on_events(events, time.time_ns())
            for event in events:
                raise LocalProtocolError(f"on_events left {event!r}, it must take every event")
        except RemoteProtocolError as exc:
            if exc is not session.broken:
                self._fail(exc)
                return
        except Exception as exc:  # noqa: BLE001 (it is raised again by `closed`)
            self._fail(exc)
            return
        if session.farewell is not None:
            self._take_farewell(session.farewell)
        elif session.broken is not None:
            self._broke(session.broken)
        elif session.state is not state:
            self._arm()

    def _take_farewell(self, farewell: Rejected | EndOfSession) -> None:
        match farewell:
            case EndOfSession():
                self._finish(CloseReason.END_OF_SESSION, softly=True)
            case Rejected(reason):
                self._finish(REJECTED[reason], softly=True)

    def _broke(self, error: RemoteProtocolError) -> None:
        if self.session.state is ClientState.LOGGING_OUT:
            self._finish(CloseReason.LOGOUT, str(error))
        else:
            super()._broke(error)

    def _lost(self, exc: Exception | None) -> Closed:
        if self.session.state is ClientState.LOGGING_OUT:
            return Closed(CloseReason.LOGOUT)
        lost = super()._lost(exc)
        if self.session.state is ClientState.LOGGING_IN:
            return Closed(lost.reason, f"{lost.detail}, before the login was answered")
        return lost


async def dial(
    host: str,
    port: int,
    session: ClientSession,
    on_events: OnEvents,
    *,
    ssl: ssl_module.SSLContext | None = None,
    server_hostname: str | None = None,
    nodelay: bool = True,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    local_addr: tuple[str, int] | None = None,
    socket_options: Iterable[SocketOption] = (),
    stall_timeout_s: float = STALL_TIMEOUT_S,
    close_timeout_s: float = CLOSE_TIMEOUT_S,
    send_buffer_bytes_max: int = SEND_BUFFER_BYTES_MAX,
) -> ClientLink:
    """Connect (IPv4 or IPv6, TLS with `ssl`), send the session's login, and hand its events to `on_events`.

    Returns once TCP (and TLS) stand; the login's answer comes as an event, perhaps before this returns.
    Raises UpstreamLost when nobody answers within `connect_timeout_s`.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout_s):
            _, link = await loop.create_connection(
                lambda: ClientLink(
                    session,
                    on_events,
                    stall_timeout_s=stall_timeout_s,
                    close_timeout_s=close_timeout_s,
                    send_buffer_bytes_max=send_buffer_bytes_max,
                ),
                host,
                port,
                ssl=ssl,
                server_hostname=server_hostname,
                local_addr=local_addr,
            )
    except TimeoutError as exc:
        raise UpstreamLost(f"no connection to {host}:{port} within {connect_timeout_s:g} s") from exc
    except OSError as exc:
        raise UpstreamLost(f"no connection to {host}:{port}: {exc}") from exc
    link.set_socket_options([(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(nodelay)), *socket_options])
    return link

"""A SoupBinTCP server: many connections, one way to let clients in.

Knows listening, limits and the rules of a login; a connection's life is `Connection`'s.
"""

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

from gateway.link.closing import Closed
from gateway.link.connection import Accept, Connection, Reject
from gateway.link.served import ServedSession
from gateway.link.wire import CLOSE_TIMEOUT_S, SEND_BUFFER_BYTES_MAX, STALL_TIMEOUT_S
from gateway.soup import Justify, LoginRequested, ServerSession, Version
from gateway.soup import server as soup_server

CONNECTIONS_MAX = 1000

Answer = Accept | Reject
OnLogin = Callable[[Connection, LoginRequested], Answer | Awaitable[Answer]]
OnBytes = Callable[[Connection, bytes], None]


class SoupServer:
    """Serves sessions to many clients. Use it as it is, with callbacks, or override the `on_...` methods.

    As it is: `current` is the session for a blank name, `sessions` holds all that can be joined, `accounts`
    (user to password, compared without case) says who may; without accounts everybody may.
    Above `connections_max` a new connection is closed at once. `on_login` may be async: until it answers,
    the connection can be used for debug text, raw bytes, or an abort.
    """

    def __init__(
        self,
        current: ServedSession | None = None,
        *,
        accounts: Mapping[str, str] | None = None,
        on_login: OnLogin | None = None,
        on_unsequenced: OnBytes | None = None,
        on_debug: OnBytes | None = None,
        on_connect: Callable[[Connection], None] | None = None,
        on_close: Callable[[Connection, Closed], None] | None = None,
        version: Version = Version.V4_00,
        justify: Justify = Justify.RIGHT,
        heartbeat_s: float = soup_server.HEARTBEAT_S,
        silence_s: float = soup_server.SILENCE_S,
        login_timeout_s: float = soup_server.LOGIN_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        send_buffer_bytes_max: int = SEND_BUFFER_BYTES_MAX,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.current = current
        self.sessions: dict[str, ServedSession] = {current.name: current} if current else {}
        self.accounts = accounts
        self.version = version
        self.justify = justify
        self.heartbeat_s = heartbeat_s
        self.silence_s = silence_s
        self.login_timeout_s = login_timeout_s
        self.stall_timeout_s = stall_timeout_s
        self.close_timeout_s = close_timeout_s
        self.send_buffer_bytes_max = send_buffer_bytes_max
        self.connections_max = connections_max
        self.connections: set[Connection] = set()
        self._callbacks = (on_login, on_unsequenced, on_debug, on_connect, on_close)
        self._listeners: list[asyncio.Server] = []

    async def listen(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl: ssl_module.SSLContext | None = None
    ) -> tuple[str, int]:
        """Open one more address (IPv4 or IPv6, TLS with `ssl`) and return it; port 0 is any free one."""
        listener = await asyncio.get_running_loop().create_server(
            self._connection,
            host,
            port,
            ssl=ssl,
            ssl_handshake_timeout=self.login_timeout_s if ssl else None,
        )
        self._listeners.append(listener)
        address = listener.sockets[0].getsockname()
        return address[0], address[1]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        names = [each.getsockname() for listener in self._listeners for each in listener.sockets]
        return [(name[0], name[1]) for name in names]

    def serve(self, served: ServedSession) -> None:
        """Make `served` the current session; earlier ones can still be joined by name until they end."""
        self.current = served
        self.sessions[served.name] = served

    async def close(self) -> None:
        """Stop listening, drop all connections, and wait until they are gone."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort("the server closed")
        for connection in list(self.connections):
            await connection.settled()
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    async def __aenter__(self) -> "SoupServer":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def on_login(self, connection: Connection, request: LoginRequested) -> Answer | Awaitable[Answer]:
        """Decide on a login; override or pass a callback to decide otherwise."""
        if self._callbacks[0] is not None:
            return self._callbacks[0](connection, request)
        return self.admit(request)

    def on_unsequenced(self, connection: Connection, payload: bytes) -> None:
        """Take unsequenced data from a client, such as its orders."""
        if self._callbacks[1] is not None:
            self._callbacks[1](connection, payload)

    def on_debug(self, connection: Connection, text: bytes) -> None:
        """Take text for the log from a client; it may come before the login."""
        if self._callbacks[2] is not None:
            self._callbacks[2](connection, text)

    def on_connect(self, connection: Connection) -> None:
        """Learn of a connection whose TCP (and TLS) stands; nobody has logged in on it yet."""
        if self._callbacks[3] is not None:
            self._callbacks[3](connection)

    def on_close(self, connection: Connection, closed: Closed) -> None:
        """Learn that a connection has ended, and why; of one that `connections_max` turned away, too."""
        if self._callbacks[4] is not None:
            self._callbacks[4](connection, closed)

    def admit(self, request: LoginRequested) -> Answer:
        """The common rules: a right account, a session that goes on, a number that it holds or gives next."""
        if not self._knows(request):
            return Reject("A")
        served = self.sessions.get(request.session) if request.session else self.current
        if served is None or served.ended:
            return Reject("S")
        # 0 asks for "the newest message": like Nasdaq, we start with the next one.
        next_seq = request.next_seq or served.next_seq
        if not served.oldest_seq <= next_seq <= served.next_seq:
            return Reject("S")
        return Accept(served.name, next_seq, served)

    def _knows(self, request: LoginRequested) -> bool:
        if self.accounts is None:
            return True
        asked = (request.user.casefold(), request.password.casefold())
        return any(
            asked == (user.casefold(), password.casefold()) for user, password in self.accounts.items()
        )

    def _connection(self) -> Connection:
        session = ServerSession(
            asyncio.get_running_loop().time(),
            version=self.version,
            justify=self.justify,
            heartbeat_s=self.heartbeat_s,
            silence_s=self.silence_s,
            login_timeout_s=self.login_timeout_s,
        )
        return Connection(self, session)

    def joined(self, connection: Connection) -> None:
        """Called by a connection when its TCP stands."""
        self.connections.add(connection)
        if len(self.connections) > self.connections_max:
            connection.abort(f"{self.connections_max} connections is the limit")
            return
        self.on_connect(connection)

    def left(self, connection: Connection) -> None:
        """Called by a connection when its TCP has ended."""
        self.connections.discard(connection)
        assert connection.end is not None
        self.on_close(connection, connection.end)

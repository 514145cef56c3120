"""The one port: who may connect, what they get before a WebSocket stands, and the order of good night.

Knows handshakes, limits on connections, and the subscribers there are; what a subscriber says is its own.
"""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.errors import ConfigError
from gateway.hub import Hub
from gateway.net.access import Authority, Refused, origin_allowed
from gateway.net.feed_values import FeedNotice
from gateway.net.http import Health, Pages, refuse
from gateway.net.resolve import Resolver
from gateway.net.subscriber import Subscriber
from gateway.net.websocket import SubscriberConnection
from gateway.settings import ServerSettings
from gateway.stripes import StripeTable

log = logging.getLogger("gateway.net")

# Path → whether frames are wanted, or one JSON object per message.
PATHS = {"/mlink/jsonf": True, "/mlink/json": False}
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Server:
    """Subscribers and plain HTTP on one port. Use it as an async context manager."""

    def __init__(
        self,
        settings: ServerSettings,
        hub: Hub,
        stripes: StripeTable,
        authority: Authority,
        health: Callable[[], Health],
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._authority = authority
        self._resolver = Resolver(hub.channels, stripes)
        self._pages = Pages(health)
        self._subscribers: set[Subscriber] = set()
        self._addresses: Counter[str] = Counter()
        self._server: WebSocketServer | None = None
        self.port = settings.port

    @property
    def subscribers(self) -> int:
        """How many are connected."""
        return len(self._subscribers)

    async def __aenter__(self) -> Self:
        settings = self._settings
        try:
            self._server = await serve(
                self._handle,
                settings.host,
                settings.port,
                create_connection=SubscriberConnection,
                process_request=self._admit,
                server_header=None,
                compression=None,
                ssl=_tls(settings),
                open_timeout=settings.handshake_timeout_s,
                ping_interval=settings.ping_interval_s,
                ping_timeout=settings.ping_timeout_s,
                close_timeout=settings.close_timeout_s,
                max_size=settings.max_message_bytes,
                write_limit=(settings.write_buffer_high_bytes, settings.write_buffer_low_bytes),
                logger=logging.getLogger("gateway.websockets"),
            )
        except OSError as exc:
            raise ConfigError(
                f"[server] host = {settings.host!r}, port = {settings.port}: can't listen there: {exc}"
            ) from exc
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close(close_connections=False)
        for subscriber in list(self._subscribers):
            subscriber.good_night(0.0)
        try:
            async with asyncio.timeout(self._settings.close_timeout_s + 1):
                await self._server.wait_closed()
        except TimeoutError:
            log.warning("event=connections-cut detail='some did not close in time'")

    def tell(self, feed: str, notice: FeedNotice) -> None:
        """Say to whoever streams a feed what befell it."""
        for subscriber in list(self._subscribers):
            subscriber.tell(feed, notice)

    async def watch_keys(self, every_s: float) -> None:
        """Look at the key file now and then; who may not any more is closed."""
        while True:
            await asyncio.sleep(every_s)
            try:
                self._authority.reload_if_changed()
            except ConfigError as exc:
                log.error("event=keys-not-reloaded detail=%r", str(exc))
            for subscriber in list(self._subscribers):
                subscriber.renew(time.time())

    async def good_night(self) -> None:
        """Stop accepting, tell everybody, and wait for them to be gone, all within the shutdown timeout."""
        assert self._server is not None
        self._server.close(close_connections=False)
        timeout_s = self._settings.shutdown_timeout_s
        for subscriber in list(self._subscribers):
            subscriber.good_night(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._server.wait_closed()
        except TimeoutError:
            log.warning("event=good-night-cut subscribers=%d", len(self._subscribers))

    # Before the WebSocket stands.

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        if parts.path not in PATHS:
            return self._pages.answer(request)
        assert isinstance(connection, SubscriberConnection)
        settings = self._settings
        host = request.headers.get("Host", "")
        if (
            settings.is_loopback
            and host.rpartition(":")[0] not in LOOPBACK_NAMES
            and host not in LOOPBACK_NAMES
        ):
            # A page that has its own name resolve to this machine must not get in by that name.
            return refuse(HTTPStatus.FORBIDDEN, f"host {host[:80]!r} is not this machine's")
        if not origin_allowed(request.headers.get("Origin"), settings.allowed_origins, host):
            return refuse(
                HTTPStatus.FORBIDDEN, "pages of this origin may not connect; see [server] allowed_origins"
            )
        credential = _bearer(request)
        for name, value in parse_qsl(parts.query):
            if name.casefold() == "apikey" and value:
                if not settings.query_key_allowed:
                    return refuse(
                        HTTPStatus.UNAUTHORIZED,
                        "keys in addresses are not taken; see [server] query_key_allowed",
                    )
                credential = credential or value
        found = self._authority.admit(credential, time.time())
        if isinstance(found, Refused):
            if credential:
                return refuse(HTTPStatus.UNAUTHORIZED, "this key or token is not good")
            # It may still log on by message, within the logon timeout.
            connection.access = None
        else:
            connection.access = found
        connection.framed = PATHS[parts.path]
        return self._room_for(connection)

    def _room_for(self, connection: SubscriberConnection) -> Response | None:
        settings = self._settings
        if len(self._subscribers) >= settings.connections_max:
            return refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{settings.connections_max} subscribers are connected"
            )
        if self._addresses[_address(connection)] >= settings.connections_per_address_max:
            return refuse(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{settings.connections_per_address_max} connections from this address are open",
            )
        return None

    # Once it stands.

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, SubscriberConnection)
        address = _address(connection)
        subscriber = Subscriber(
            connection,
            connection.framed,
            connection.access,
            self._hub,
            self._resolver,
            self._authority,
            self._settings,
        )
        self._subscribers.add(subscriber)
        self._addresses[address] += 1
        log.info("event=connected peer=%s holder=%s", address, connection.access and connection.access.holder)
        try:
            await subscriber.serve()
        finally:
            self._subscribers.discard(subscriber)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            log.info("event=disconnected peer=%s code=%s", address, connection.close_code)


def _bearer(request: Request) -> str | None:
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() or None if kind.casefold() == "bearer" else None


def _address(connection: ServerConnection) -> str:
    address = connection.remote_address
    return str(address[0]) if address else "?"


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    except (ssl.SSLError, OSError) as exc:
        raise ConfigError(
            f"[server] tls_certificate_file = {str(settings.tls_certificate_file)!r}: {exc}"
        ) from exc
    return context

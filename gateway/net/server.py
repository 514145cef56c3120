"""The one port: who may connect, what they get before a WebSocket stands, and the order of good night.

Knows handshakes, places, and the subscribers there are; what a subscriber says is its own.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidHeader
from websockets.http11 import Request, Response

from gateway.errors import ConfigError
from gateway.hub import Hub
from gateway.net import deflate, rest
from gateway.net.access import Access, Authority, origin_allowed
from gateway.net.attendance import Attendance
from gateway.net.feed_values import FeedNotice
from gateway.net.health import Health
from gateway.net.http import Pages, is_from_here, is_own_host, json_body, refuse
from gateway.net.places import Places
from gateway.net.resolve import Resolver
from gateway.net.stats import Stats
from gateway.net.subscriber import Subscriber
from gateway.net.websocket import ConnectionLimits, SubscriberConnection
from gateway.settings import ServerSettings
from gateway.stripes import StripeTable

log = logging.getLogger("gateway.net")

# What the library says of handshakes and broken connections is strangers' doing, and it writes whole
# requests at its debug level, keys in them: it stays silent, and what matters is said here.
_library_log = logging.getLogger("gateway.websockets")
_library_log.setLevel(logging.CRITICAL)

# Path → whether frames are wanted, or one JSON object per message.
PATHS = {"/mlink/jsonf": True, "/mlink/json": False}
STATS_PATH = "/stats"
# Connections that the kernel holds until we take them; more are dropped and tried again a second later,
# which is what a thousand that reconnect at once would see of asyncio's hundred.
CONNECTS_WAITING_MAX = 4_096
# Plain HTTP answers, all together, that may wait in memory for slow readers; one more is refused.
ANSWERS_BYTES_MAX = 64 << 20
# How often it is looked at whether a key or token has expired meanwhile.
EXPIRY_LOOK_S = 0.5
# At the end subscribers are let go one after the other, so that not all of them come back at once.
CLOSES_PER_S = 1_000
# The part of the time left for the end that this may take.
CLOSES_SHARE = 0.3
# Subscribers that are told good night before others have their turn on the loop.
TOLD_AT_ONCE = 50


class _NotAdmitted(Exception):
    """A request for a WebSocket that is answered in plain HTTP, with status and sentence."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server:
    """Subscribers and plain HTTP on one port. Use it as an async context manager."""

    def __init__(
        self,
        settings: ServerSettings,
        hub: Hub,
        stripes: StripeTable,
        authority: Authority,
        health: Callable[[], Health],
        metrics: Callable[[], bytes],
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._authority = authority
        self._resolver = Resolver(hub.channels, stripes)
        self._pages = Pages(health, metrics)
        self._rest = rest.RestService(hub.channels, self._resolver, time.time_ns)
        self._places = Places(
            settings.connections_max, settings.connections_per_address_max, settings.ghost_timeout_s
        )
        self.attendance = Attendance()
        self._unsent_bytes = 0
        self._deflater = deflate.Deflater() if settings.compression else None
        self._subscribers: dict[SubscriberConnection, Subscriber] = {}
        self._stats = Stats(hub, stripes, self._subscribers.values)
        self._server: WebSocketServer | None = None
        self.port = settings.port

    @property
    def subscribers(self) -> Collection[SubscriberConnection]:
        """Those who are connected."""
        return self._subscribers.keys()

    async def __aenter__(self) -> Self:
        settings = self._settings
        tls = _tls(settings)
        more: dict[str, Any] = {} if tls is None else {"ssl_handshake_timeout": settings.handshake_timeout_s}
        create: Any = partial(
            SubscriberConnection,
            limits=ConnectionLimits(
                handshake_s=settings.handshake_timeout_s,
                answer_s=settings.answer_timeout_s,
                close_s=settings.close_timeout_s,
                ping_interval_s=settings.ping_interval_s,
                ping_timeout_s=settings.ping_timeout_s,
                control_per_s=settings.requests_per_second,
                control_burst=settings.requests_burst,
            ),
            arrived=self._arrived,
            # Whoever has said goodbye keeps nobody out, however long the line takes to go down.
            closing=self._places.stand_up,
            left=self._places.leave,
        )
        try:
            self._server = await serve(
                self._handle,
                settings.host,
                settings.port,
                create_connection=create,
                process_request=self._admit,
                server_header=None,
                compression=None,
                extensions=deflate.offered() if self._deflater else None,
                ssl=tls,
                # Bounded by the connection itself, the request and the answer apart.
                open_timeout=None,
                ping_interval=settings.ping_interval_s,
                ping_timeout=settings.ping_timeout_s,
                close_timeout=settings.close_timeout_s,
                max_size=settings.max_message_bytes,
                backlog=CONNECTS_WAITING_MAX,
                write_limit=(settings.write_buffer_high_bytes, settings.write_buffer_low_bytes),
                logger=_library_log,
                **more,
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
        # After a good night nobody is left; after an error there is no time for one.
        await self.good_night(asyncio.get_running_loop().time())

    def tell(self, feed: str, notice: FeedNotice) -> None:
        """Say to whoever streams a feed what befell it."""
        for subscriber in list(self._subscribers.values()):
            subscriber.tell(feed, notice)

    async def watch_keys(self, every_s: float) -> None:
        """Look at the key file now and then; who may not any more is closed."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + every_s
        while True:
            await asyncio.sleep(min(every_s, EXPIRY_LOOK_S))
            if loop.time() >= look_at:
                look_at = loop.time() + every_s
                try:
                    self._authority.reload_if_changed()
                except ConfigError as exc:
                    log.error("event=keys-not-reloaded detail=%r", str(exc))
            for subscriber in list(self._subscribers.values()):
                subscriber.renew(time.time())

    # The end.

    def stop_accepting(self) -> None:
        """Nobody new from now on; whoever is connected stays."""
        assert self._server is not None
        self._server.close(close_connections=False)

    async def good_night(self, deadline: float) -> None:
        """Tell everybody where to resume, let them go one after the other, and cut who is left at `deadline`.

        `deadline` is in the loop's time. It holds whatever the other sides do or do not do.
        """
        assert self._server is not None
        self.stop_accepting()
        try:
            async with asyncio.timeout_at(deadline):
                await self._let_go(deadline)
                await self._server.wait_closed()
        except TimeoutError:
            left = [each for each in self._places.occupants if isinstance(each, SubscriberConnection)]
            if left:
                log.warning("event=good-night-cut connections=%d", len(left))
            for connection in left:
                connection.transport.abort()
            await self._server.wait_closed()

    async def _let_go(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        present = list(self._subscribers.values())
        for at, subscriber in enumerate(present):
            subscriber.good_night(max(0.0, deadline - loop.time()))
            if at % TOLD_AT_ONCE == TOLD_AT_ONCE - 1:
                await asyncio.sleep(0)
        spread_s = min(len(present) / CLOSES_PER_S, CLOSES_SHARE * max(0.0, deadline - loop.time()))
        begun = loop.time()
        for at, subscriber in enumerate(present):
            wait_s = begun + spread_s * at / len(present) - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            subscriber.depart()

    # Before the WebSocket stands.

    def _arrived(self, connection: SubscriberConnection) -> bool:
        return self._places.arrive(connection, _address(connection))

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, SubscriberConnection)
        try:
            response = await self._answer(connection, request)
        except _NotAdmitted as exc:
            log.info("event=refused peer=%s status=%d detail=%r", _address(connection), exc.status, str(exc))
            self.attendance.refused[exc.status] += 1
            self._places.stand_up(connection)
            framed = rest.PATHS.get(urlsplit(request.path).path)
            if framed is None:
                response = refuse(exc.status, str(exc))
            else:
                response = json_body(exc.status, self._rest.error(str(exc), framed))
        except (LookupError, InvalidHeader):
            response = refuse(HTTPStatus.BAD_REQUEST, "a header that must stand once stands twice")
        if response is not None:
            await self._send(connection, response, with_body=request.method != "HEAD")
        return response

    async def _send(self, connection: SubscriberConnection, response: Response, with_body: bool) -> None:
        size = len(response.body)
        if self._unsent_bytes + size > ANSWERS_BYTES_MAX:
            response = refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many answers wait for their readers")
            size = len(response.body)
        self._unsent_bytes += size
        try:
            await connection.answer(response, with_body=with_body)
        finally:
            self._unsent_bytes -= size

    async def _answer(self, connection: SubscriberConnection, request: Request) -> Response | None:
        """What a request gets in plain HTTP; None where a WebSocket follows."""
        host = request.headers.get("Host", "")
        if self._settings.is_loopback and not is_own_host(host):
            # A page that has its own name resolve to this machine must not get in by that name.
            raise _NotAdmitted(HTTPStatus.FORBIDDEN, f"host {host[:80]!r} is not this machine's")
        if self._places.is_crowded(connection):
            raise _NotAdmitted(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._settings.connections_per_address_max} connections from this address are open",
            )
        parts = urlsplit(request.path)
        if parts.path == STATS_PATH:
            return self._answer_stats(request, parts.query)
        if parts.path not in PATHS and parts.path not in rest.PATHS:
            return self._pages.answer(request, monitors=self._monitors(connection, request))
        origin = request.headers.get("Origin")
        if not origin_allowed(origin, self._settings.allowed_origins, host):
            raise _NotAdmitted(
                HTTPStatus.FORBIDDEN, "pages of this origin may not connect; see [server] allowed_origins"
            )
        if parts.path in rest.PATHS:
            return await self._answer_rest(request, parts.query, rest.PATHS[parts.path], origin)
        if request.method != "GET":
            raise _NotAdmitted(HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket begins with GET")
        # Without a key it may still log on by message, within the logon timeout.
        connection.access = self._access(request, parts.query)
        connection.framed = PATHS[parts.path]
        if not self._places.sit_down(connection):
            raise _NotAdmitted(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._settings.connections_max} subscribers are connected",
            )
        if connection.access is not None and not await self._places.charge(connection, connection.access):
            raise _NotAdmitted(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{connection.access.connections_max} connections with this key are open and alive",
            )
        return None

    async def _answer_rest(self, request: Request, query: str, framed: bool, origin: str | None) -> Response:
        access = self._access(request, query)
        if access is None:
            raise _NotAdmitted(HTTPStatus.UNAUTHORIZED, "a key is needed: Authorization: Bearer …")
        response = json_body(*await self._rest.answer(query, access, framed))
        if origin is not None:
            # It was compared above: a page that may connect may read the answer, too.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    def _answer_stats(self, request: Request, query: str) -> Response:
        access = self._access(request, query)
        if access is None:
            raise _NotAdmitted(HTTPStatus.UNAUTHORIZED, "a key is needed: Authorization: Bearer …")
        return json_body(HTTPStatus.OK, orjson.dumps(self._stats.body(access)) + b"\n")

    def _monitors(self, connection: SubscriberConnection, request: Request) -> bool:
        """Whether a request may see metrics and why the gateway is not ready."""
        if is_from_here(_address(connection), request.headers):
            return True
        match self._settings.monitoring:
            case "open":
                return True
            case "key":
                return isinstance(self._authority.admit(_bearer(request), time.time()), Access)
            case _:
                return False

    def _access(self, request: Request, query: str) -> Access | None:
        """What the request's key allows; None if it has none and one is needed."""
        credential = _bearer(request)
        for name, value in parse_qsl(query):
            if name.casefold() == "apikey" and value:
                if not self._settings.query_key_allowed:
                    raise _NotAdmitted(
                        HTTPStatus.UNAUTHORIZED,
                        "keys in addresses are not taken; see [server] query_key_allowed",
                    )
                credential = credential or value
        found = self._authority.admit(credential, time.time())
        if isinstance(found, Access):
            return found
        if credential:
            log.info("event=key-refused detail=%r", found.reason)
            raise _NotAdmitted(HTTPStatus.UNAUTHORIZED, "this key or token is not good")
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
            partial(self._places.charge, connection),
            self._settings,
        )
        self._subscribers[connection] = subscriber
        connection.on_evict = subscriber.evict
        if deflate.is_agreed(connection.protocol.extensions):
            connection.deflater = self._deflater
        log.info("event=connected peer=%s holder=%s", address, connection.access and connection.access.holder)
        try:
            await subscriber.serve()
        except Exception:
            # The library would keep it to itself.
            log.exception("event=subscriber-failed peer=%s", address)
            raise
        finally:
            del self._subscribers[connection]
            reason = self.attendance.end(connection, connection.bytes_written)
            log.info(
                "event=disconnected peer=%s reason=%s code=%s bytes=%d",
                address,
                reason,
                connection.close_code,
                connection.bytes_written,
            )


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

"""The one port: it listens, has the subscribers there are, and knows the order of good night.

Who gets in is the admission's to say, what a subscriber says is its own.
"""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Callable, Collection
from functools import partial
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve

from gateway.errors import ConfigError
from gateway.hub import Hub
from gateway.net import deflate, rest
from gateway.net.access import Authority
from gateway.net.admission import Admission
from gateway.net.attendance import Attendance
from gateway.net.feed_values import FeedNotice
from gateway.net.health import Health
from gateway.net.http import Pages
from gateway.net.notices import Standing
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

# Connections that the kernel holds until we take them; more are dropped and tried again a second later,
# which is what a thousand that reconnect at once would see of asyncio's hundred.
CONNECTS_WAITING_MAX = 4_096
# Messages of one subscriber that wait while it does not read our answers; then its line is not read either.
REQUESTS_WAITING_MAX = 4
# How often it is looked at whether a key or token has expired meanwhile.
EXPIRY_LOOK_S = 0.5
# At the end subscribers are let go one after the other, so that not all of them come back at once.
CLOSES_PER_S = 1_000
# The part of the time left for the end that this may take.
CLOSES_SHARE = 0.3
# Subscribers that are told good night before others have their turn on the loop.
TOLD_AT_ONCE = 50


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
        self._places = Places(
            settings.connections_max, settings.connections_per_address_max, settings.ghost_timeout_s
        )
        self._standing = Standing()
        self.attendance = Attendance()
        self._deflater = deflate.Deflater() if settings.compression else None
        self._subscribers: dict[SubscriberConnection, Subscriber] = {}
        self._admission = Admission(
            settings,
            authority,
            self._places,
            self.attendance,
            Pages(health, metrics),
            rest.RestService(hub.channels, self._resolver, time.time_ns),
            Stats(hub, stripes, self._subscribers.values),
        )
        self._server: WebSocketServer | None = None
        self._tls: ssl.SSLContext | None = None
        self.port = settings.port

    @property
    def subscribers(self) -> Collection[SubscriberConnection]:
        """Those who are connected."""
        return self._subscribers.keys()

    async def __aenter__(self) -> Self:
        settings = self._settings
        tls = self._tls = _tls(settings)
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
            arrived=self._admission.arrived,
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
                process_request=self._admission.admit,
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
                max_queue=REQUESTS_WAITING_MAX,
                backlog=CONNECTS_WAITING_MAX,
                write_limit=(settings.write_buffer_high_bytes, settings.write_buffer_low_bytes),
                logger=_library_log,
                **more,
            )
        except OSError as exc:
            raise ConfigError(
                f"[server] host = {settings.host!r}, port = {settings.port}: can't listen there: {_why(exc)}"
            ) from exc
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a good night nobody is left; after an error there is no time for one.
        await self.good_night(asyncio.get_running_loop().time())

    def tell(self, feed: str, notice: FeedNotice) -> None:
        """Say to whoever streams a feed what befell it, and to those who will what of it still holds."""
        self._standing.note(feed, notice)
        for subscriber in list(self._subscribers.values()):
            subscriber.tell(feed, notice)

    def certificate_renewal(self) -> Callable[[], None]:
        """Check what the certificate's files hold by now (ConfigError); call what it gives to take it over.

        Whoever connects from then on is shown the new one; whoever is connected notices nothing.
        """
        if self._tls is None:
            return lambda: None
        _tls(self._settings)
        return partial(_load_pair, self._tls, self._settings)

    async def watch_keys(self, every_s: float) -> None:
        """Look at the key file now and then; who may not any more is closed."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + every_s
        while True:
            await asyncio.sleep(min(every_s, EXPIRY_LOOK_S))
            if loop.time() >= look_at:
                look_at = loop.time() + every_s
                try:
                    if self._authority.reload_if_changed():
                        log.info("event=keys-reloaded")
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

    # Once it stands.

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, SubscriberConnection)
        subscriber = Subscriber(
            connection,
            connection.framed,
            connection.access,
            self._hub,
            self._resolver,
            self._authority,
            partial(self._places.charge, connection),
            self._standing,
            self._settings,
        )
        self._subscribers[connection] = subscriber
        connection.on_evict = subscriber.evict
        if deflate.is_agreed(connection.protocol.extensions):
            connection.deflater = self._deflater
        log.info(
            "event=connected peer=%s subscriber=%d holder=%s",
            connection.address,
            subscriber.number,
            subscriber.access and subscriber.access.holder,
        )
        try:
            await subscriber.serve()
        except Exception:
            # The library would keep it to itself.
            log.exception("event=subscriber-failed peer=%s", connection.address)
            raise
        finally:
            del self._subscribers[connection]
            reason = self.attendance.end(connection, connection.bytes_written)
            log.info(
                "event=disconnected peer=%s subscriber=%d holder=%s reason=%s bytes=%d detail=%r",
                connection.address,
                subscriber.number,
                subscriber.access and subscriber.access.holder,
                reason,
                connection.bytes_written,
                # What it was told, too.
                sent.reason if (sent := connection.protocol.close_sent) else "",
            )


def _why(error: OSError) -> str:
    """Why nobody can listen at an address, and what to do."""
    match error.errno:
        case errno.EADDRINUSE:
            return "somebody does already; stop them, or choose another port (0 takes a free one)"
        case errno.EACCES:
            return "ports below 1024 want a right of their own (CAP_NET_BIND_SERVICE); choose another"
        case errno.EADDRNOTAVAIL:
            return 'this machine has no such address; "0.0.0.0" and "::" are all it has'
        case _:
            return str(error)


def _load_pair(context: ssl.SSLContext, settings: ServerSettings) -> None:
    assert settings.tls_certificate_file is not None
    # Without a password function OpenSSL would ask the terminal for the password of a key that has one.
    context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, password=lambda: "")


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        _load_pair(context, settings)
    except (ssl.SSLError, OSError) as exc:
        raise ConfigError(
            f"[server] tls_certificate_file = {str(settings.tls_certificate_file)!r}: {exc}"
        ) from exc
    return context

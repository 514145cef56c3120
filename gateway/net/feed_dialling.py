"""From a feed's settings to what a dial needs: the login, TLS, socket options.

Reads certificate files once, when it is built, so that a wrong one stops the start; opens no socket.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.errors import ConfigError
from gateway.link import ClientLink, dial
from gateway.link.dialling import SocketOption
from gateway.settings import EndpointSettings, FeedSettings
from gateway.soup import ClientEvent, ClientSession, Justify, Login, Version
from gateway.values import Position

# How long a logout may take before the connection is just closed.
LOGOUT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address, ready to be dialled."""

    name: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str | None


class Dialler:
    """Makes connections of one feed."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self.endpoints = tuple(_endpoint(each) for each in settings.endpoints)
        self._login = _login(settings)
        self._socket_options = tuple(_socket_options(settings))

    def log_in_as(self, settings: FeedSettings) -> None:
        """From the next login on, use this user and password."""
        self._login = _login(settings)

    async def dial(
        self, rank: int, asked: Position, on_events: Callable[[Iterator[ClientEvent], int], None]
    ) -> ClientLink:
        """Connect to the address and send the login. Raises UpstreamLost."""
        settings, endpoint = self._settings, self.endpoints[rank]
        session = ClientSession(
            self._login,
            asked,
            asyncio.get_running_loop().time(),
            heartbeat_s=settings.heartbeat_s,
            silence_s=settings.silence_s,
            login_timeout_s=settings.login_timeout_s,
            logout_timeout_s=LOGOUT_TIMEOUT_S,
        )
        return await dial(
            endpoint.host,
            endpoint.port,
            session,
            on_events,
            ssl=endpoint.tls,
            server_hostname=endpoint.server_name,
            nodelay=settings.nodelay,
            connect_timeout_s=settings.connect_timeout_s,
            socket_options=self._socket_options,
        )


def _login(settings: FeedSettings) -> Login:
    return Login(
        settings.user,
        settings.password.get_secret_value(),
        Version(settings.version),
        Justify(settings.login_justify),
        settings.heartbeat_timeout_ms,
    )


def _socket_options(settings: FeedSettings) -> Iterator[SocketOption]:
    if settings.receive_buffer_bytes:
        yield socket.SOL_SOCKET, socket.SO_RCVBUF, settings.receive_buffer_bytes
    if settings.keepalive:
        yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1


def _endpoint(settings: EndpointSettings) -> Endpoint:
    tls = _tls(settings) if settings.tls else None
    server_name = (settings.tls_server_name or settings.host) if tls is not None else None
    return Endpoint(settings.name, settings.host, settings.port, tls, server_name)


def _tls(settings: EndpointSettings) -> ssl.SSLContext:
    """The system's authorities or the one given, and our certificate if there is one."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as exc:
        raise ConfigError(f"endpoint {settings.name}: tls_ca_file {settings.tls_ca_file}: {exc}") from exc
    if settings.tls_certificate_file is not None:
        try:
            # A key with a password would wait for somebody to type it.
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, password=lambda: "")
        except OSError as exc:
            raise ConfigError(
                f"endpoint {settings.name}: tls_certificate_file {settings.tls_certificate_file} with "
                f"tls_key_file {settings.tls_key_file}: {exc}; expected a PEM certificate and its key, "
                f"without a password"
            ) from exc
    return context

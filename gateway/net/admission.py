"""What a request gets before a WebSocket stands: a plain answer, a refusal, or a subscriber's place.

Knows hosts, origins, keys, places and paths; what is answered behind a path, others know.
"""

import logging
import time
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import MultipleValuesError
from websockets.exceptions import InvalidHeader
from websockets.http11 import Request, Response

from gateway.net import rest
from gateway.net.access import OPEN_ACCESS, Access, Authority, origin_allowed
from gateway.net.attendance import Attendance
from gateway.net.forwarded import TrustedProxies, canonical
from gateway.net.http import Pages, is_from_here, is_own_host, json_body, refuse
from gateway.net.places import Places
from gateway.net.stats import Stats
from gateway.net.websocket import SubscriberConnection
from gateway.settings import ServerSettings

# Path → whether frames are wanted, or one JSON object per message.
PATHS = {"/mlink/jsonf": True, "/mlink/json": False}
STATS_PATH = "/stats"
# Plain HTTP answers, all together, that may wait in memory for slow readers; one more is refused.
ANSWERS_BYTES_MAX = 64 << 20

log = logging.getLogger("gateway.net")


class _NotAdmitted(Exception):
    """A request for a WebSocket that is answered in plain HTTP, with status and sentence."""

    def __init__(self, status: HTTPStatus, reason: str, why: str = "") -> None:
        """`why` is for the operator only."""
        super().__init__(reason)
        self.status = status
        self.why = why


class Admission:
    """Answers each request of the one port; `admit` is what the library asks before a handshake."""

    def __init__(
        self,
        settings: ServerSettings,
        authority: Authority,
        places: Places,
        attendance: Attendance,
        pages: Pages,
        rest_service: rest.RestService,
        stats: Stats,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._places = places
        self._attendance = attendance
        self._pages = pages
        self._rest = rest_service
        self._stats = stats
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._unsent_bytes = 0

    def arrived(self, connection: SubscriberConnection) -> bool:
        """A TCP connection stands. False: there are so many that it is not even told why."""
        address = connection.remote_address
        peer = connection.peer = connection.address = canonical(str(address[0])) if address else "?"
        return self._places.arrive(connection, None if self._proxies.trusts(peer) else peer)

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, SubscriberConnection)
        if self._proxies.trusts(connection.peer):
            connection.address = self._proxies.client_of(connection.peer, request.headers)
            self._places.speaks_for(connection, connection.address)
        try:
            response = await self._answer(connection, request)
        except _NotAdmitted as exc:
            response = self._refused(connection, request, exc.status, str(exc), exc.why)
        except (MultipleValuesError, InvalidHeader):
            said = "a header that must stand once stands twice"
            response = self._refused(connection, request, HTTPStatus.BAD_REQUEST, said)
        except Exception:
            # The library would keep it to itself.
            log.exception("event=request-failed peer=%s", connection.address)
            self._places.stand_up(connection)
            response = refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR, "this went wrong here; the gateway's log says how"
            )
        if response is not None:
            await self._send(connection, response, with_body=request.method != "HEAD")
        return response

    def _refused(
        self,
        connection: SubscriberConnection,
        request: Request,
        status: HTTPStatus,
        reason: str,
        why: str = "",
    ) -> Response:
        detail = f"{reason}: {why}" if why else reason
        log.info("event=refused peer=%s status=%d detail=%r", connection.address, status, detail)
        self._attendance.refused[status] += 1
        self._places.stand_up(connection)
        framed = rest.PATHS.get(request.path.partition("?")[0])
        if framed is None:
            return refuse(status, reason)
        return json_body(status, self._rest.error(reason, framed))

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
        try:
            parts = urlsplit(request.path)
        except ValueError as exc:
            raise _NotAdmitted(HTTPStatus.BAD_REQUEST, "this is no path") from exc
        host = request.headers.get("Host", "")
        if self._settings.is_loopback and not is_own_host(host):
            # A page that has its own name resolve to this machine must not get in by that name.
            raise _NotAdmitted(HTTPStatus.FORBIDDEN, f"host {host[:80]!r} is not this machine's")
        if self._places.is_crowded(connection):
            raise _NotAdmitted(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._settings.connections_per_address_max} connections from this address are open",
            )
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
        access = self._known(request, query)
        response = json_body(*await self._rest.answer(query, access, framed))
        if origin is not None:
            # It was compared above: a page that may connect may read the answer, too.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    def _answer_stats(self, request: Request, query: str) -> Response:
        access = self._known(request, query)
        return json_body(HTTPStatus.OK, orjson.dumps(self._stats.body(access)) + b"\n")

    def _monitors(self, connection: SubscriberConnection, request: Request) -> bool:
        """Whether a request may see metrics and why the gateway is not ready."""
        if is_from_here(connection.peer, request.headers):
            return True
        match self._settings.monitoring:
            case "open":
                return True
            case "key":
                found = self._authority.admit(_bearer(request), time.time())
                # What is open to everybody are the streams; this asks for somebody's key all the same.
                return isinstance(found, Access) and found is not OPEN_ACCESS
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
            raise _NotAdmitted(HTTPStatus.UNAUTHORIZED, "this key or token is not good", found.reason)
        return None

    def _known(self, request: Request, query: str) -> Access:
        """The same, where nobody is answered without a key."""
        access = self._access(request, query)
        if access is None:
            raise _NotAdmitted(HTTPStatus.UNAUTHORIZED, "a key is needed: Authorization: Bearer …")
        return access


def _bearer(request: Request) -> str | None:
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() or None if kind.casefold() == "bearer" else None

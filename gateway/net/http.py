"""The answers to plain HTTP requests on the one port: page, scripts, health. Everything else is 404.

Knows paths and headers; knows nothing of WebSocket. What health says is given by whoever built it.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from gateway.net.forwarded import address_in, is_forwarded
from gateway.net.health import Health
from gateway.settings.sections import is_loopback

WEB = Path(__file__).resolve().parents[1] / "web"
HTML, JAVASCRIPT, CSS, PLAIN = (
    f"text/{kind}; charset=utf-8" for kind in ("html", "javascript", "css", "plain")
)
SVG = "image/svg+xml"
# The whole list of what is served from the disk: a request names an entry, never a path.
FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", HTML),
    **{
        f"/{name}": (name, JAVASCRIPT)
        for name in (
            "client.js",
            "page.js",
            "page/book.js",
            "page/builder.js",
            "page/chart.js",
            "page/dom.js",
            "page/feeds.js",
            "page/gateway.js",
            "page/history.js",
            "page/search.js",
            "page/snippets.js",
            "page/subscribers.js",
            "page/ticker.js",
            "page/watch.js",
            "vendor/uplot.js",
        )
    },
    "/client.d.ts": ("client.d.ts", PLAIN),
    "/page.css": ("page.css", CSS),
    "/icon.svg": ("icon.svg", SVG),
    "/icon-down.svg": ("icon-down.svg", SVG),
    "/vendor/uplot.css": ("vendor/uplot.css", CSS),
    "/vendor/uplot-LICENSE.txt": ("vendor/uplot-LICENSE.txt", PLAIN),
}
# A page of another site imports it only if it is told that it may; whether it may connect is another matter.
FOR_ALL_SITES = "/client.js"
METRICS = "/metrics"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# No inline scripts, no requests elsewhere, no frames around it.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

# Nothing is written through this port, so nothing else is taken.
_METHODS = (b"GET ", b"HEAD ")
METHOD_BYTES_MAX = max(map(len, _METHODS))


def is_taken(start: bytes) -> bool:
    """Whether a request that begins so has, or may yet have, a method that is taken."""
    return any(method.startswith(start) or start.startswith(method) for method in _METHODS)


def method_not_allowed() -> Response:
    """The answer to all other methods."""
    response = refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are taken here")
    response.headers["Allow"] = "GET, HEAD"
    return response


def is_own_host(host: str) -> bool:
    """Whether a request's Host is this machine's own name for itself, with any port."""
    name = host.casefold()
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?", name)
    return match is not None and is_loopback(match[1].strip("[]"))


def is_from_here(peer: str, headers: Headers) -> bool:
    """Whether a request was made on this machine, not merely passed on by a proxy on it.

    What is passed on never was, whoever the proxy says that it is from: `peer` is who is connected.
    """
    return is_loopback(str(address_in(peer))) and not is_forwarded(headers)


def respond(status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> Response:
    """A whole answer; the connection closes after it."""
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **SECURITY_HEADERS,
        }
    )
    return Response(status.value, status.phrase, headers, body)


def refuse(status: HTTPStatus, reason: str) -> Response:
    """An answer that says in a line what was wrong."""
    return respond(status, f"{reason}\n".encode())


class Pages:
    """Answers by exact path. Files are read once, so a request never reaches the disk."""

    def __init__(self, health: Callable[[], Health], metrics: Callable[[], bytes]) -> None:
        self._health = health
        self._metrics = metrics
        self._files = {
            path: ((WEB / name).read_bytes(), content_type)
            for path, (name, content_type) in FILES.items()
            if (WEB / name).is_file()
        }

    def answer(self, request: Request, *, monitors: bool) -> Response:
        """The answer to a request that does not ask for a WebSocket.

        Whoever `monitors` is told everything, others only whether the gateway is ready.
        """
        path = urlsplit(request.path).path
        if path in self._files:
            body, content_type = self._files[path]
            response = respond(HTTPStatus.OK, body, content_type)
            if path == FOR_ALL_SITES:
                response.headers["Access-Control-Allow-Origin"] = "*"
            return response
        if path == "/healthz":
            return _json(HTTPStatus.OK, {"alive": True})
        if path == "/readyz":
            health = self._health()
            status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
            return _json(status, health.told(whole=monitors))
        if path == METRICS:
            if not monitors:
                return refuse(HTTPStatus.FORBIDDEN, "not for you from there; see [server] monitoring")
            return respond(HTTPStatus.OK, self._metrics(), METRICS_TYPE)
        return refuse(
            HTTPStatus.NOT_FOUND,
            "nothing here; there are " + ", ".join([*self._files, "/healthz", "/readyz", METRICS]),
        )


def json_body(status: HTTPStatus, body: bytes) -> Response:
    """An answer that is JSON already."""
    return respond(status, body, "application/json")


def _json(status: HTTPStatus, body: Mapping[str, Any]) -> Response:
    return json_body(status, orjson.dumps(body) + b"\n")

"""`gateway status`: what a running gateway says of itself, as a table. Knows its /readyz only."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from http.client import HTTPException
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.client.options import websocket_url
from gateway.errors import BadRequest, UpstreamLost

TIMEOUT_S = 5.0
# Longer than any answer of a gateway's; whoever else answers there does not fill the memory.
ANSWER_BYTES_MAX = 4 << 20


REDIRECTS = frozenset((301, 302, 303, 307, 308))


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follow nobody: the key is for the address that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def status(
    url: Annotated[
        str, typer.Argument(envvar="GATEWAY_URL", help="Where the gateway serves; HOST:PORT will do.")
    ] = "http://127.0.0.1:8765/",
    key: Annotated[
        str, typer.Option(envvar="GATEWAY_KEY", help="A key, to be told everything from another machine.")
    ] = "",
    alive: Annotated[
        bool, typer.Option("--alive", help="Ask only whether the process answers, whatever its feeds do.")
    ] = False,
) -> None:
    """Show how a running gateway is: its feeds, its journal, its subscribers, and why it is not ready.

    Exit code 0 when it is ready, 1 when it is not or does not answer.
    """
    if alive:
        ask(url, key, "/healthz", "alive")
        return
    told = ask(url, key, "/readyz", "ready")
    console = Console()
    ready = bool(told.get("ready"))
    console.print("[green]ready[/]" if ready else "[red]not ready[/]")
    for why in told.get("why", ()):
        console.print(f"  {escape(str(why))}", soft_wrap=True)
    if "feeds" in told:
        show(told, console)
    else:
        console.print("It tells strangers no more; ask from its own machine, or with --key.")
    if not ready:
        raise typer.Exit(1)


def ask(url: str, key: str, path: str, word: str) -> Mapping[str, Any]:
    """The gateway's own words at a path, `word` among them. Any of its addresses will do."""
    try:
        # As `subscribe` understands it, and in plain HTTP.
        parts = urlsplit(websocket_url(url))
    except BadRequest as exc:
        expected = "expected HOST:PORT, or one such as http://127.0.0.1:8765/"
        raise BadRequest(f"{url!r} is no address of a gateway; {expected}") from exc
    host = parts.netloc
    request = urllib.request.Request(f"{'https' if parts.scheme == 'wss' else 'http'}://{host}{path}")
    if key:
        if not (key.isascii() and key.isprintable()):
            raise BadRequest("--key: a key is one line of ASCII")
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT_S) as answer:
            body = answer.read(ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as exc:
        if exc.code in REDIRECTS:
            raise UpstreamLost(
                f"{host} sends on to {exc.headers.get('Location')!r}; expected the gateway's own address"
            ) from exc
        # Not ready is 503, with a body that says why.
        body = exc.read(ANSWER_BYTES_MAX)
        exc.close()
    except OSError as exc:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, ssl.SSLCertVerificationError):
            what = f"its certificate is not good: {reason.verify_message}; SSL_CERT_FILE names authorities"
            raise UpstreamLost(f"who answers at {host} is not trusted: {what}") from exc
        raise UpstreamLost(f"nothing answers at {host}: {reason}") from exc
    except HTTPException as exc:
        raise UpstreamLost(f"what answers at {host} is no gateway") from exc
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise UpstreamLost(f"what answers at {host} is no gateway") from exc
    if not isinstance(told, dict) or word not in told:
        raise UpstreamLost(f"what answers at {host} is no gateway")
    return told


def show(told: Mapping[str, Any], console: Console) -> None:
    """Everything a gateway tells those who watch it."""
    up = timedelta(seconds=int(told.get("uptimeSeconds", 0)))
    console.print(f"version {escape(str(told.get('version', '?')))}, up {up}")
    # Nothing is cut off in a narrow terminal: a state or a number that ends in … tells nobody anything.
    feeds = Table(title="Feeds", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for name in ("feed", "state", "endpoint", "session", "next", "gaps", "lost", "journal"):
        feeds.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    journals = told.get("journals", {})
    for name, feed in told["feeds"].items():
        state = feed["state"] + (", stale" if feed["stale"] else "") + (", paused" if feed["paused"] else "")
        feeds.add_row(
            escape(name),
            escape(state),
            escape(feed["endpoint"]),
            escape(feed["session"]),
            f"{feed['next_seq']:,}",
            f"{feed['gaps']:,}",
            f"{sum(feed['reconnects'].values()):,}",
            f"{journals.get(name, {}).get('bytes', 0) / 1e6:,.1f} MB",
        )
    console.print(feeds)
    subscribers = told.get("subscribers", {})
    streams = ", ".join(f"{count} {state}" for state, count in subscribers.get("streams", {}).items())
    console.print(
        f"{subscribers.get('connected', 0):,} subscribers, {subscribers.get('groups', 0):,} groups, "
        f"streams: {escape(streams) or 'none'}"
    )


_NUMBERS = {"next", "gaps", "lost", "journal"}

"""`gateway check-config`: reads everything that a start would read, and says what it comes to.

Knows which settings are right and still unwise. Opens no socket and writes nothing.
"""

import os
import resource
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.decode import Codecs
from gateway.definitions import Definitions, load_definitions
from gateway.errors import ConfigError
from gateway.net.access import TokenVerifier
from gateway.net.access.grants import EVERYTHING
from gateway.net.access.keys import KeyEntry, read_key_file
from gateway.settings import EndpointSettings, FeedSettings, ServerSettings, Settings, load_settings
from gateway.settings.problems import Problem, shown
from gateway.settings.sections import is_loopback
from gateway.stripes import StripeTable
from gateway.views import ViewedCodecs

# Open files beside the connections: journal, feeds, the log, the interpreter's own.
FILES_BESIDE = 64
# Readable by anybody, or writable by more than its owner. By its group a service may be given what it reads.
WEAK_MODE = 0o037


@dataclass(slots=True)
class Examination:
    """What was found. Nothing may start while there are `problems`; `warnings` are for a person to weigh."""

    settings: Settings | None = None
    stripes: StripeTable | None = None
    definitions: dict[str, Definitions] = field(default_factory=dict)
    keys: tuple[KeyEntry, ...] = ()
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def examine(path: Path | None, environ: Mapping[str, str], files_max: int | None = None) -> Examination:
    """Load all that a start would load. `files_max` is how many files the process may have open."""
    found = Examination()
    with _collecting(found):
        found.settings = load_settings(path, environ)
    if (settings := found.settings) is None:
        return found
    file = str(path or "settings")
    with _collecting(found):
        found.stripes = StripeTable.load(settings.stripes.file)
    with _collecting(found):
        if settings.keys.file.exists():
            found.keys = read_key_file(settings.keys.file).keys
    with _collecting(found):
        if settings.jwt.enabled:
            TokenVerifier.load(settings.jwt)
    found.problems += _server_tls(settings.server, file)
    found.problems += _journal(settings, file)
    for feed in settings.feeds:
        _examine_feed(feed, file, found)
    found.warnings += [
        *_unwise_server(settings, file, files_max),
        *_unwise_feeds(settings, file),
        *_unwise_keys(found, settings),
        *_weak_files(settings, path),
    ]
    return found


@contextmanager
def _collecting(found: Examination) -> Iterator[None]:
    """Go on after an error, so that all that is wrong is told at once."""
    try:
        yield
    except ConfigError as exc:
        found.problems += str(exc).splitlines()


def _examine_feed(feed: FeedSettings, file: str, found: Examination) -> None:
    try:
        found.definitions[feed.name] = load_definitions(feed.definitions)
    except ConfigError as exc:
        found.problems.append(_line(file, f"feeds.{feed.name}.definitions", feed.definitions, str(exc)))
    try:
        if feed.views and feed.name in found.definitions:
            ViewedCodecs(Codecs(found.definitions[feed.name]), feed.views)
    except ConfigError as exc:
        found.problems.append(_line(file, f"feeds.{feed.name}.views", list(feed.views), str(exc)))
    for endpoint in feed.endpoints:
        found.problems += _endpoint_tls(endpoint, file, f"feeds.{feed.name}.endpoints.{endpoint.name}")


def _line(file: str | Path, key: str, value: object, remedy: str) -> str:
    return str(Problem(str(file), key, shown(key.rpartition(".")[2], value), remedy))


def _server_tls(server: ServerSettings, file: str) -> Iterator[str]:
    if server.tls_certificate_file is not None and server.tls_key_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrong = _pair_error(context, server.tls_certificate_file, server.tls_key_file)
        if wrong:
            yield _line(file, "server.tls_certificate_file", server.tls_certificate_file, wrong)


def _endpoint_tls(endpoint: EndpointSettings, file: str, key: str) -> Iterator[str]:
    if endpoint.tls_ca_file is not None:
        try:
            ssl.create_default_context(cafile=str(endpoint.tls_ca_file))
        except (OSError, ValueError) as exc:
            remedy = f"holds no certificate in PEM ({exc}); name a file that does"
            yield _line(file, f"{key}.tls_ca_file", endpoint.tls_ca_file, remedy)
    if endpoint.tls_certificate_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        wrong = _pair_error(context, endpoint.tls_certificate_file, endpoint.tls_key_file)
        if wrong:
            yield _line(file, f"{key}.tls_certificate_file", endpoint.tls_certificate_file, wrong)


def _pair_error(context: ssl.SSLContext, certificate: Path, key: Path | None) -> str | None:
    try:
        # Without a password function OpenSSL would ask the terminal for the password of a key that has one.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as exc:
        return f"does not go with the key in {key or certificate} ({exc}); name a PEM file and its own key"
    return None


def _journal(settings: Settings, file: str) -> Iterator[str]:
    folder = settings.journal.folder
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield _line(
            file, "journal.folder", folder, f"can't write to {there}; name a folder that can be written"
        )


def _unwise_server(settings: Settings, file: str, files_max: int | None) -> Iterator[str]:
    server = settings.server
    if server.open_access:
        reach = "is on this machine" if server.is_loopback else f"can reach {server.host}"
        yield _line(
            file, "server.open_access", True, f"everybody who {reach} may read everything, without a key"
        )
    if not server.is_loopback and server.tls_certificate_file is None:
        remedy = (
            "keys and data cross the network in clear; set tls_certificate_file and tls_key_file, or let only"
        )
        yield _line(file, "server.host", server.host, f"{remedy} a proxy with TLS reach it")
    if server.query_key_allowed:
        yield _line(file, "server.query_key_allowed", True, "keys in addresses end in the logs of proxies")
    needed = server.connections_max + FILES_BESIDE
    if files_max is not None and needed > files_max:
        remedy = f"the process may open {files_max} files; allow {needed} or more (ulimit -n, LimitNOFILE)"
        yield _line(file, "server.connections_max", server.connections_max, remedy)
    if not settings.feeds:
        yield _line(file, "feeds", [], "nothing will be received; add a [[feeds]]")


def _unwise_feeds(settings: Settings, file: str) -> Iterator[str]:
    for feed in settings.feeds:
        for each in feed.endpoints:
            if not each.tls and not is_loopback(each.host) and feed.password.get_secret_value():
                key = f"feeds.{feed.name}.endpoints.{each.name}.address"
                remedy = (
                    "the password crosses the network in clear; set tls = true, unless the line is private"
                )
                yield _line(file, key, each.address, remedy)


def _unwise_keys(found: Examination, settings: Settings) -> Iterator[str]:
    file = settings.keys.file
    usable = [each for each in found.keys if each.revoked is None]
    if not (usable or settings.jwt.enabled or settings.server.open_access or found.problems):
        yield _line(file, "keys", [], "nobody can log on; add a key with `gateway keys add`")
    feeds = {feed.name.casefold() for feed in settings.feeds}
    messages = {each.name.casefold() for one in found.definitions.values() for each in one.messages}
    messages |= {view.casefold() for feed in settings.feeds for view in feed.views}
    for key in usable:
        for name in key.feeds:
            if name != EVERYTHING and name.casefold() not in feeds:
                yield _line(file, f"keys.{key.id}.feeds", name, "no such feed; it allows nothing")
        for name in key.messages:
            if name != EVERYTHING and name.casefold() not in messages:
                yield _line(file, f"keys.{key.id}.messages", name, "no feed has it; it allows nothing")
        for name in key.stripes:
            if name != EVERYTHING and found.stripes is not None and not found.stripes.holds(name):
                yield _line(file, f"keys.{key.id}.stripes", name, "no such stripe; it allows nothing")


def _weak_files(settings: Settings, path: Path | None) -> Iterator[str]:
    secret = [
        (settings.keys.file, "who may what"),
        (settings.server.tls_key_file, "the server's private key"),
        (settings.jwt.secret_file, "the secret of all tokens"),
    ]
    for feed in settings.feeds:
        secret.append((feed.password_file, f"the password of feed {feed.name}"))
        secret += [(each.tls_key_file, f"a private key of feed {feed.name}") for each in feed.endpoints]
        if path is not None and feed.password_file is None and feed.password.get_secret_value():
            secret.append((path, f"the password of feed {feed.name}"))
    for file, what in secret:
        if file is not None and file.exists() and (mode := stat.S_IMODE(file.stat().st_mode)) & WEAK_MODE:
            yield f"{file}: mode = {mode:04o}: holds {what}, and is open to others; chmod 600 {file}"


def _summary(found: Examination, settings: Settings, console: Console) -> None:
    server = settings.server
    scheme = "wss" if server.tls_certificate_file else "ws"
    host = escape(f"[{server.host}]" if ":" in server.host else server.host)
    who = [f"{sum(each.revoked is None for each in found.keys)} keys"]
    who += ["tokens"] if settings.jwt.enabled else []
    who = ["everybody, without a key"] if server.open_access else who
    console.print(f"[bold]Subscribers[/]  {scheme}://{host}:{server.port}, let in: {', '.join(who)}")
    console.print(
        f"[bold]Journal[/]      {escape(str(settings.journal.folder))},"
        f" {settings.journal.retention_days:g} days, at most {settings.journal.retention_bytes / 1e9:.1f} GB"
    )
    feeds = Table(
        "feed", "definitions", "user", "endpoints in order of preference", title="Feeds", title_justify="left"
    )
    for feed in settings.feeds:
        definitions = found.definitions.get(feed.name)
        size = f" ({len(definitions.messages)} messages)" if definitions else ""
        endpoints = ", ".join(f"{each.name} {each.address}{' TLS' * each.tls}" for each in feed.endpoints)
        standby = ", hot standby" if feed.hot_standby else ""
        feeds.add_row(
            feed.name, escape(feed.definitions) + size, escape(feed.user), escape(endpoints) + standby
        )
    console.print(feeds)
    if found.stripes is not None:
        stripes = Table("stripe", "kind", "holds", title="Stripes", title_justify="left")
        for name in found.stripes.names:
            stripes.add_row(name, found.stripes.kinds[name], escape(found.stripes.what(name)))
        console.print(stripes)
        gaps = "; ".join(map(str, found.stripes.gaps))
        console.print(f"In no range, so in {found.stripes.catch_all} unless a set names them: {escape(gaps)}")


def check_config(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="GATEWAY_CONFIG", help="The settings to check.")
    ] = Path("config/gateway.toml"),
    strict: Annotated[bool, typer.Option(help="Take warnings for errors.")] = False,
) -> None:
    """Check settings, definitions, stripes and keys, and show what they come to. Exit code 0 or 2."""
    found = examine(config, os.environ, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    console, errors = Console(), Console(stderr=True, soft_wrap=True, highlight=False)
    if found.settings is not None:
        _summary(found, found.settings, console)
    for warning in found.warnings:
        errors.print(f"[yellow]warning[/] {escape(warning)}")
    for problem in found.problems:
        errors.print(f"[red]error[/] {escape(problem)}")
    if found.problems or (strict and found.warnings):
        raise typer.Exit(2)
    console.print(
        f"{escape(str(config))} is right." if not found.warnings else f"{escape(str(config))} can be used."
    )

"""Which settings are right and still unwise, for a person to weigh.

Knows what was loaded, and what it is told of the machine; finds no errors and changes nothing.
"""

import os
import resource
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.certificates import ending, pair_error
from gateway.definitions import Definitions
from gateway.net.access.grants import EVERYTHING
from gateway.net.access.keys import KeyEntry
from gateway.settings import Settings
from gateway.settings.problems import Problem, shown
from gateway.settings.sections import is_loopback
from gateway.stripes import StripeTable

# Open files beside the connections: journal, feeds, the log, the interpreter's own.
FILES_BESIDE = 64
# SoupBinTCP's own: how often a server says something, and how long it waits for us to.
HEARTBEATS_EACH_S = 1.0
SERVERS_PATIENCE_S = 15.0
# Readable by anybody, or writable by more than its owner. By its group a service may be given what it reads.
WEAK_MODE = 0o037
# Where engines mount secrets into a container. They keep the modes of a machine whose users are others, and
# nobody but this process lives in there: closing such a file there would close it to the gateway.
MOUNTED_SECRETS = Path("/run/secrets")


@dataclass(frozen=True, slots=True)
class Machine:
    """What settings are weighed against. None is not known, and not warned of."""

    now_s: float | None = None
    files_max: int | None = None
    free_bytes: Callable[[Path], int] | None = None


NOT_KNOWN = Machine()


def this_machine() -> Machine:
    """The machine and the process that we are."""
    return Machine(
        time.time(),
        # The hard limit: up to that, a start raises the other by itself.
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        lambda folder: shutil.disk_usage(folder).free,
    )


def line_of(file: str | Path, key: str, value: object, remedy: str) -> str:
    """File, key, value and remedy, as everything that is told of settings is written."""
    return str(Problem(str(file), key, shown(key.rpartition(".")[2], value), remedy))


def standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def unwise_settings(settings: Settings, path: Path | None, machine: Machine) -> Iterator[str]:
    """What is unwise whoever the subscribers are."""
    file = str(path or "settings")
    yield from _unwise_server(settings, file, machine.files_max)
    yield from _unwise_certificates(settings, file, machine.now_s)
    yield from _unwise_journal(settings, file, machine.free_bytes)
    yield from _unwise_feeds(settings, file)
    yield from _weak_files(settings, path)


def _unwise_certificates(settings: Settings, file: str, now_s: float | None) -> Iterator[str]:
    pairs = [("server", settings.server.tls_certificate_file, settings.server.tls_key_file)]
    for feed in settings.feeds:
        for each in feed.endpoints:
            key = f"feeds.{feed.name}.endpoints.{each.name}"
            pairs.append((key, each.tls_certificate_file, each.tls_key_file))
    for where, certificate, key_file in pairs:
        if certificate is None or now_s is None or pair_error(certificate, key_file):
            continue
        if why := ending(certificate, key_file, now_s):
            yield line_of(file, f"{where}.tls_certificate_file", certificate, why)


def _unwise_journal(settings: Settings, file: str, free_bytes: Callable[[Path], int] | None) -> Iterator[str]:
    folder, wanted = settings.journal.folder, settings.journal.retention_bytes
    if free_bytes is None:
        return
    # What the journal has already is no more to be found room for.
    had = sum(each.stat().st_size for each in folder.glob("*/*") if each.is_file())
    if (room := free_bytes(standing(folder)) + had) < wanted:
        remedy = f"the disk under {folder} has room for {room}, and a full disk pauses the feeds; keep less"
        yield line_of(file, "journal.retention_bytes", wanted, f"{remedy}, or use a larger disk")


def _unwise_server(settings: Settings, file: str, files_max: int | None) -> Iterator[str]:
    server = settings.server
    if server.open_access:
        reach = "is on this machine" if server.is_loopback else f"can reach {server.host}"
        yield line_of(
            file, "server.open_access", True, f"everybody who {reach} may read everything, without a key"
        )
    if not server.is_loopback and server.tls_certificate_file is None:
        remedy = (
            "keys and data cross the network in clear; set tls_certificate_file and tls_key_file, or let only"
        )
        yield line_of(file, "server.host", server.host, f"{remedy} a proxy with TLS reach it")
    if server.query_key_allowed:
        yield line_of(file, "server.query_key_allowed", True, "keys in addresses end in the logs of proxies")
    needed = server.connections_max + FILES_BESIDE
    if files_max is not None and needed > files_max:
        remedy = f"the process may open {files_max} files; allow {needed} or more (ulimit -Hn, LimitNOFILE)"
        yield line_of(file, "server.connections_max", server.connections_max, remedy)
    if not settings.feeds:
        yield line_of(file, "feeds", [], "nothing will be received; add a [[feeds]]")


def _unwise_feeds(settings: Settings, file: str) -> Iterator[str]:
    for feed in settings.feeds:
        if feed.silence_s < HEARTBEATS_EACH_S * 2:
            remedy = (
                "a server need say no more than a heartbeat each second; below 2 a late one drops the line"
            )
            yield line_of(file, f"feeds.{feed.name}.silence_s", feed.silence_s, remedy)
        if feed.heartbeat_s >= SERVERS_PATIENCE_S and feed.version != "4.10":
            remedy = "servers end a line on which nothing comes for 15 s; say something more often"
            yield line_of(file, f"feeds.{feed.name}.heartbeat_s", feed.heartbeat_s, remedy)
        for each in feed.endpoints:
            if not each.tls and not is_loopback(each.host) and feed.password.get_secret_value():
                key = f"feeds.{feed.name}.endpoints.{each.name}.address"
                remedy = (
                    "the password crosses the network in clear; set tls = true, unless the line is private"
                )
                yield line_of(file, key, each.address, remedy)


def unwise_keys(
    settings: Settings,
    keys: Iterable[KeyEntry],
    definitions: Mapping[str, Definitions],
    stripes: StripeTable | None,
) -> Iterator[str]:
    """Keys that open nothing, and rights that lead nowhere."""
    file = settings.keys.file
    usable = [each for each in keys if each.revoked is None]
    if not (usable or settings.jwt.enabled or settings.server.open_access):
        yield line_of(file, "keys", [], "nobody can log on; add a key with `gateway keys add`")
    feeds = {feed.name.casefold() for feed in settings.feeds}
    messages = {each.name.casefold() for one in definitions.values() for each in one.messages}
    messages |= {view.casefold() for feed in settings.feeds for view in feed.views}
    for key in usable:
        for name in key.feeds:
            if name != EVERYTHING and name.casefold() not in feeds:
                yield line_of(file, f"keys.{key.id}.feeds", name, "no such feed; it allows nothing")
        for name in key.messages:
            if name != EVERYTHING and name.casefold() not in messages:
                yield line_of(file, f"keys.{key.id}.messages", name, "no feed has it; it allows nothing")
        for name in key.stripes:
            if name != EVERYTHING and stripes is not None and not stripes.holds(name):
                yield line_of(file, f"keys.{key.id}.stripes", name, "no such stripe; it allows nothing")


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
        if file is None or file.is_relative_to(MOUNTED_SECRETS) or not os.path.exists(file):
            continue
        if (mode := stat.S_IMODE(file.stat().st_mode)) & WEAK_MODE:
            yield f"{file}: mode = {mode:04o}: holds {what}, and is open to others; chmod 600 {file}"

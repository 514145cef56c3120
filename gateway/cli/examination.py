"""Reads everything that a start would read, and tells all that is wrong with it at once.

Knows which files settings lead to. Opens no socket and writes nothing.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.certificates import pair_error
from gateway.cli.unwise import (
    NOT_KNOWN,
    Machine,
    line_of,
    standing,
    this_machine,
    unwise_keys,
    unwise_settings,
)
from gateway.decode import Codecs
from gateway.definitions import Definitions, load_definitions
from gateway.errors import ConfigError
from gateway.net.access import TokenVerifier
from gateway.net.access.keys import KeyEntry, read_key_file
from gateway.settings import EndpointSettings, FeedSettings, ServerSettings, Settings, load_settings
from gateway.settings.types import may_be_there
from gateway.stripes import StripeTable
from gateway.views import ViewedCodecs


@dataclass(slots=True)
class Examination:
    """What was found. Nothing may start while there are `problems`; `warnings` are for a person to weigh."""

    settings: Settings | None = None
    stripes: StripeTable | None = None
    definitions: dict[str, Definitions] = field(default_factory=dict)
    keys: tuple[KeyEntry, ...] = ()
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def examine_here(path: Path) -> Examination:
    """Examine with the environment and the limits of this process."""
    return examine(path, os.environ, this_machine())


def examine(path: Path | None, environ: Mapping[str, str], machine: Machine = NOT_KNOWN) -> Examination:
    """Load all that a start would load, and tell all that is wrong with it, and what is unwise."""
    found = Examination()
    with _collecting(found):
        found.settings = load_settings(path, environ)
    if (settings := found.settings) is None:
        return found
    file = str(path or "settings")
    with _collecting(found):
        found.stripes = StripeTable.load(settings.stripes.file)
    with _collecting(found):
        if may_be_there(settings.keys.file):
            found.keys = read_key_file(settings.keys.file).keys
    with _collecting(found):
        if settings.jwt.enabled:
            TokenVerifier.load(settings.jwt)
    found.problems += _server_tls(settings.server, file)
    found.problems += _journal(settings, file)
    for feed in settings.feeds:
        _examine_feed(feed, file, found)
    found.warnings += unwise_settings(settings, path, machine)
    # Of what could not be read nobody can say that it opens nothing.
    if not found.problems:
        found.warnings += unwise_keys(settings, found.keys, found.definitions, found.stripes)
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
        definitions = load_definitions(feed.definitions)
        codecs = Codecs(definitions)
        found.definitions[feed.name] = definitions
    except ConfigError as exc:
        found.problems.append(line_of(file, f"feeds.{feed.name}.definitions", feed.definitions, str(exc)))
    else:
        try:
            if feed.views:
                ViewedCodecs(codecs, feed.views)
        except ConfigError as exc:
            remedy = f"{exc}; correct it, or leave the line out"
            found.problems.append(line_of(file, f"feeds.{feed.name}.views", list(feed.views), remedy))
    for endpoint in feed.endpoints:
        found.problems += _endpoint_tls(endpoint, file, f"feeds.{feed.name}.endpoints.{endpoint.name}")


def _server_tls(server: ServerSettings, file: str) -> Iterator[str]:
    if server.tls_certificate_file is not None and server.tls_key_file is not None:
        wrong = pair_error(server.tls_certificate_file, server.tls_key_file)
        if wrong:
            yield line_of(file, "server.tls_certificate_file", server.tls_certificate_file, wrong)


def _endpoint_tls(endpoint: EndpointSettings, file: str, key: str) -> Iterator[str]:
    if endpoint.tls_ca_file is not None:
        try:
            ssl.create_default_context(cafile=str(endpoint.tls_ca_file))
        except (OSError, ValueError) as exc:
            remedy = f"holds no certificate in PEM ({exc}); name a file that does"
            yield line_of(file, f"{key}.tls_ca_file", endpoint.tls_ca_file, remedy)
    if endpoint.tls_certificate_file is not None:
        wrong = pair_error(endpoint.tls_certificate_file, endpoint.tls_key_file)
        if wrong:
            yield line_of(file, f"{key}.tls_certificate_file", endpoint.tls_certificate_file, wrong)


def _journal(settings: Settings, file: str) -> Iterator[str]:
    folder = settings.journal.folder
    there = standing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield line_of(
            file, "journal.folder", folder, f"can't write to {there}; name a folder that can be written"
        )

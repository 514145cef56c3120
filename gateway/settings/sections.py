"""The tables of `gateway.toml` about the gateway itself: server, journal, views, stripes, keys, JWT, log.

Each key stands in `config/gateway.toml` with its unit and what happens when it is too small; a test holds
the two together. Knows nothing of where the values come from.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.types import (
    AsTuple,
    Conflict,
    ExistingFile,
    FilePath,
    Folder,
    Host,
    Networks,
    Origins,
    Section,
    Word,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def is_loopback(host: str) -> bool:
    """Is it this machine itself? A name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


class ServerSettings(Section):
    """Where subscribers connect, and how much one of them may take."""

    host: Host = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65_535)
    tls_certificate_file: ExistingFile = None
    tls_key_file: ExistingFile = None
    open_access: bool = False
    allowed_origins: Origins = ()
    trusted_proxies: Networks = ()
    query_key_allowed: bool = False
    compression: bool = False
    monitoring: Literal["local", "key", "open"] = "local"
    handshake_timeout_s: float = Field(default=10.0, ge=0.1, le=120)
    logon_timeout_s: float = Field(default=30.0, ge=0.1, le=600)
    heartbeat_s: float = Field(default=5.0, ge=0.1, le=9.5)
    ping_interval_s: float = Field(default=20.0, ge=0.1, le=600)
    ping_timeout_s: float = Field(default=20.0, ge=0.1, le=600)
    ghost_timeout_s: float = Field(default=2.0, ge=0.05, le=60)
    answer_timeout_s: float = Field(default=60.0, ge=0.1, le=3_600)
    close_timeout_s: float = Field(default=5.0, ge=0.1, le=60)
    shutdown_timeout_s: float = Field(default=10.0, ge=0.5, le=600)
    never_reads_timeout_s: float = Field(default=300.0, ge=1, le=86_400)
    max_message_bytes: int = Field(default=64 * KIB, ge=1 * KIB, le=16 * MIB)
    write_buffer_high_bytes: int = Field(default=256 * KIB, ge=64 * KIB, le=64 * MIB)
    write_buffer_low_bytes: int = Field(default=64 * KIB, ge=1 * KIB, le=64 * MIB)
    connections_max: int = Field(default=2_000, ge=1, le=100_000)
    connections_per_address_max: int = Field(default=200, ge=1, le=100_000)
    streams_max: int = Field(default=64, ge=1, le=10_000)
    requests_per_second: float = Field(default=20.0, ge=0.1, le=10_000)
    requests_burst: int = Field(default=100, ge=1, le=100_000)
    keys_max: int = Field(default=100_000, ge=100, le=10_000_000)

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return is_loopback(self.host)

    def conflicts(self) -> Iterator[Conflict]:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            given, missing = "tls_certificate_file", "tls_key_file"
            if self.tls_certificate_file is None:
                given, missing = missing, given
            yield Conflict(
                (missing, given), f"TLS needs {given} and {missing}; name both, or none for plain TCP"
            )
        if self.write_buffer_low_bytes >= self.write_buffer_high_bytes:
            yield Conflict(
                ("write_buffer_low_bytes", "write_buffer_high_bytes"),
                f"must be below write_buffer_high_bytes = {self.write_buffer_high_bytes}",
            )
        if self.requests_burst < self.requests_per_second:
            yield Conflict(
                ("requests_burst", "requests_per_second"),
                f"must be at least requests_per_second = {self.requests_per_second:g}",
            )
        if self.connections_per_address_max > self.connections_max:
            yield Conflict(
                ("connections_per_address_max", "connections_max"),
                f"must not be above connections_max = {self.connections_max}",
            )


class JournalSettings(Section):
    """Where received messages are kept, and for how long."""

    folder: Folder = Path("var/journal")
    retention_days: float = Field(default=7.0, ge=0.01, le=3_650)
    retention_bytes: int = Field(default=50 * GIB, ge=16 * MIB, le=1 << 50)
    fsync_ms: float = Field(default=100.0, ge=1, le=10_000)
    checkpoint_s: float = Field(default=30.0, ge=0.5, le=3_600)


class ViewsSettings(Section):
    """What views of a feed keep for streams that fall behind or ask for old records; of each feed."""

    recent_messages: int = Field(default=20_000, ge=100, le=10_000_000)
    states_bytes: int = Field(default=64 * MIB, ge=64 * KIB, le=64 * GIB)
    engines: int = Field(default=4, ge=1, le=64)


class StripesSettings(Section):
    """Which table cuts the feed into stripes."""

    file: FilePath = Path("stripes.toml")


class KeysSettings(Section):
    """Where the hashes of the subscribers' keys stand."""

    file: FilePath = Path("keys.toml")
    reload_s: float = Field(default=5.0, ge=0.1, le=3_600)


Algorithm = Literal["HS256", "RS256", "ES256"]


class JwtSettings(Section):
    """Tokens that someone else signs. Off while `algorithms` is empty."""

    algorithms: Annotated[tuple[Algorithm, ...], AsTuple] = ()
    secret_file: ExistingFile = None
    public_key_file: ExistingFile = None
    jwks_file: ExistingFile = None
    audience: Word = Field(default="", max_length=200)
    issuer: Word = Field(default="", max_length=200)
    leeway_s: float = Field(default=5.0, ge=0, le=60)

    @property
    def enabled(self) -> bool:
        return bool(self.algorithms)

    def conflicts(self) -> Iterator[Conflict]:
        files = {name: getattr(self, name) for name in ("secret_file", "public_key_file", "jwks_file")}
        given = [name for name, path in files.items() if path is not None]
        if not self.algorithms:
            for name in given:
                yield Conflict(
                    (name, "algorithms"), 'has no effect; write algorithms = ["RS256"] or remove it'
                )
            return
        shared = "HS256" in self.algorithms
        if shared and len(self.algorithms) > 1:
            # With both, whoever knows the public key could sign with it as if it were the shared secret.
            yield Conflict(
                ("algorithms",), "HS256 must stand alone; a public key must never serve as a secret"
            )
        elif shared and given != ["secret_file"]:
            yield Conflict(
                ("secret_file", *files, "algorithms"), "HS256 needs secret_file, and no other key file"
            )
        elif not shared and (len(given) != 1 or "secret_file" in given):
            yield Conflict(
                ("public_key_file", *files, "algorithms"),
                f"{self.algorithms[0]} needs exactly one of public_key_file and jwks_file",
            )
        if not self.audience:
            yield Conflict(
                ("audience", "algorithms"), "name the audience, so that tokens meant for others are refused"
            )


class LogSettings(Section):
    """What the log says, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"

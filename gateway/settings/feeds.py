"""The tables of `gateway.toml` that are about upstreams: a feed and its endpoints.

Each key stands in `config/gateway.toml` with its unit and what happens when it is too small; a test holds
the two together. Dials nobody.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.settings.types import (
    Address,
    AsTuple,
    Conflict,
    DefinitionsName,
    ExistingFile,
    Name,
    Names,
    Section,
    Word,
    split_address,
)

SEQUENCE_MAX = 2**63 - 1
PASSWORD_SIZE = 10


class EndpointSettings(Section):
    """One address of a feed."""

    name: Name
    address: Address
    tls: bool = False
    tls_ca_file: ExistingFile = None
    tls_certificate_file: ExistingFile = None
    tls_key_file: ExistingFile = None
    tls_server_name: Word = Field(default="", max_length=255)

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_address(self.address)[1]

    def conflicts(self) -> Iterator[Conflict]:
        for key in ("tls_ca_file", "tls_certificate_file", "tls_key_file", "tls_server_name"):
            if getattr(self, key) and not self.tls:
                yield Conflict((key, "tls"), "has no effect without TLS; write tls = true or remove it")
        if self.tls_key_file is not None and self.tls_certificate_file is None:
            yield Conflict(
                ("tls_certificate_file", "tls_key_file"), "tls_key_file needs the certificate with it"
            )


class FeedSettings(Section):
    """One upstream: who we are there, where it is, and how patient we are."""

    name: Name
    definitions: DefinitionsName = "itch50"
    source: Word = Field(default="", max_length=16)
    views: Names = ()
    user: Word = Field(default="", max_length=6)
    password: SecretStr = SecretStr("")
    password_file: ExistingFile = None
    session: Word = Field(default="", max_length=10)
    sequence: int = Field(default=1, ge=0, le=SEQUENCE_MAX)
    version: Literal["3.00", "4.00", "4.10"] = "4.00"
    login_justify: Literal["right", "left"] = "right"
    heartbeat_s: float = Field(default=1.0, ge=0.1, le=60)
    heartbeat_timeout_ms: int = Field(default=15_000, ge=1, le=99_999)
    silence_s: float = Field(default=15.0, ge=0.2, le=300)
    connect_timeout_s: float = Field(default=5.0, ge=0.1, le=120)
    login_timeout_s: float = Field(default=10.0, ge=0.1, le=120)
    stale_after_s: float = Field(default=30.0, ge=0.1, le=86_400)
    hot_standby: bool = False
    hold_down_s: float = Field(default=60.0, ge=0, le=86_400)
    backoff_first_s: float = Field(default=0.5, ge=0.01, le=60)
    backoff_max_s: float = Field(default=30.0, ge=0.01, le=3_600)
    backoff_jitter: float = Field(default=0.3, ge=0, le=1)
    receive_buffer_bytes: int = Field(default=0, ge=0, le=1 << 30)
    nodelay: bool = True
    keepalive: bool = True
    endpoints: Annotated[tuple[EndpointSettings, ...], AsTuple, Field(min_length=1, max_length=8)]

    @field_validator("password")
    @classmethod
    def _password_fits_the_login(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) > PASSWORD_SIZE or not (text.isascii() and text.isprintable()):
            raise ValueError(f"a password is at most {PASSWORD_SIZE} printable ASCII characters")
        return value

    def conflicts(self) -> Iterator[Conflict]:
        if self.hot_standby and len(self.endpoints) < 2:
            yield Conflict(("hot_standby", "endpoints"), "needs a second [[feeds.endpoints]] to stand by")
        if self.backoff_max_s < self.backoff_first_s:
            yield Conflict(
                ("backoff_max_s", "backoff_first_s"),
                f"must be at least backoff_first_s = {self.backoff_first_s:g}",
            )
        if self.version == "4.10" and self.heartbeat_timeout_ms <= self.heartbeat_s * 1000:
            yield Conflict(
                ("heartbeat_timeout_ms", "heartbeat_s", "version"),
                f"must be above heartbeat_s = {self.heartbeat_s:g}, or the server drops us between two",
            )
        for at, each in enumerate(self.endpoints):
            for other in self.endpoints[:at]:
                if each.name.casefold() == other.name.casefold():
                    yield Conflict((f"endpoints.{at}.name",), "two endpoints have this name; rename one")
                if each.address.casefold() == other.address.casefold():
                    yield Conflict(
                        (f"endpoints.{at}.address",),
                        f"is the address of endpoint {other.name} too; name another",
                    )

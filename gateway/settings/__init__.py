"""Settings: read from TOML and environment, checked as a whole, all that is wrong told at once.

Knows what can be set and what goes together. Opens no socket and reads no definitions, stripes or keys.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.settings.check import checked
from gateway.settings.feeds import EndpointSettings, FeedSettings
from gateway.settings.sections import (
    JournalSettings,
    JwtSettings,
    KeysSettings,
    LogSettings,
    ServerSettings,
    StripesSettings,
    ViewsSettings,
)
from gateway.settings.sources import lay_environment_over, read_file, read_secret_files
from gateway.settings.types import AsTuple, Conflict, Section

__all__ = [
    "EndpointSettings",
    "FeedSettings",
    "JournalSettings",
    "JwtSettings",
    "KeysSettings",
    "LogSettings",
    "ServerSettings",
    "Settings",
    "StripesSettings",
    "ViewsSettings",
    "load_settings",
]


class Settings(Section):
    """All that can be set. Made by `load_settings`; tests may make one by hand."""

    server: ServerSettings = ServerSettings()
    journal: JournalSettings = JournalSettings()
    views: ViewsSettings = ViewsSettings()
    stripes: StripesSettings = StripesSettings()
    keys: KeysSettings = KeysSettings()
    jwt: JwtSettings = JwtSettings()
    log: LogSettings = LogSettings()
    feeds: Annotated[tuple[FeedSettings, ...], AsTuple, Field(max_length=64)] = ()

    def conflicts(self) -> Iterator[Conflict]:
        for at, feed in enumerate(self.feeds):
            if feed.name.casefold() in (other.name.casefold() for other in self.feeds[:at]):
                # Names are folders of the journal, and not every disk tells case apart.
                yield Conflict(
                    (f"feeds.{at}.name",), "two feeds have this name (case does not count); rename one"
                )
        if not self.server.open_access and not self.jwt.enabled and not os.path.isfile(self.keys.file):
            yield Conflict(
                ("server.open_access", "jwt.algorithms", "keys.file"),
                f"nobody could log on: {self.keys.file} is no file that can be seen, and [jwt] is off; add a"
                " key with `gateway keys add`, or write open_access = true to let everybody in who can reach"
                f" {self.server.host}",
            )


def load_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (None: defaults), then `environ` over it. ConfigError has a line for everything wrong."""
    raw = read_file(path)
    lay_environment_over(raw, Settings, environ)
    read_secret_files(raw)
    # Each table is there, if only empty: a default made beforehand would not know the folder.
    for name in Settings.model_fields:
        if name != "feeds":
            raw.data.setdefault(name, {})
    return checked(raw, Settings)

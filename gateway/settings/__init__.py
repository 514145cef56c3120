"""Settings: read from TOML and environment, checked as a whole, all that is wrong told at once.

Knows what can be set and what goes together. Opens no socket and reads no definitions, stripes or keys.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError
from gateway.settings.feeds import EndpointSettings, FeedSettings
from gateway.settings.problems import ABSENT, Loc, Problem, remedy_for, shown
from gateway.settings.sections import (
    JournalSettings,
    JwtSettings,
    KeysSettings,
    LogSettings,
    ServerSettings,
    StripesSettings,
)
from gateway.settings.sources import Raw, lay_environment_over, read_file, read_secret_files
from gateway.settings.types import BASE, AsTuple, Conflict, Section

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
    "load_settings",
]


class Settings(Section):
    """All that can be set. Made by `load_settings`; tests may make one by hand."""

    server: ServerSettings = ServerSettings()
    journal: JournalSettings = JournalSettings()
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
        if not self.server.open_access and not self.jwt.enabled and not self.keys.file.is_file():
            yield Conflict(
                ("server.open_access", "jwt.algorithms", "keys.file"),
                f"nobody could log on: there is no key file {self.keys.file} and [jwt] is off; add a key with"
                " `gateway keys add`, or write open_access = true to let everybody in who can reach"
                f" {self.server.host}",
            )


def load_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (None: defaults), then `environ` over it. ConfigError has a line for everything wrong."""
    raw = read_file(path)
    lay_environment_over(raw, Settings, environ)
    read_secret_files(raw)
    settings, wrong = _validate(raw)
    problems = [*raw.problems, *wrong]
    if settings is None or problems:
        raise ConfigError("\n".join(map(str, problems)))
    return settings


def _validate(raw: Raw) -> tuple[Settings | None, list[Problem]]:
    context = {BASE: raw.base}
    # Each table is there, if only empty: a default made beforehand would not know the folder.
    tables: dict[str, Any] = {name: {} for name in Settings.model_fields if name != "feeds"}
    data = tables | raw.data
    try:
        settings = Settings.model_validate(data, context=context)
    except ValidationError as exc:
        # As `input` is hidden from the text, it is taken from what we read, and hidden there if it is secret.
        errors = exc.errors(include_url=False, include_context=False)
        problems = [_problem(raw, error) for error in errors]
        # What does not go together is asked of the rest as well, so that nobody has to correct twice.
        wrong = {error["loc"] for error in errors}
        try:
            settings = Settings.model_validate(_without(data, (), wrong), context=context)
        except ValidationError:
            return None, problems
        return None, problems + list(_conflicts(raw, settings, wrong))
    return settings, list(_conflicts(raw, settings, set()))


def _problem(raw: Raw, error: ErrorDetails) -> Problem:
    loc = error["loc"]
    try:
        value = raw.value(loc)
    except (LookupError, TypeError):
        value = ABSENT
    return Problem(raw.origin(loc), raw.key(loc), shown(str(loc[-1]), value), remedy_for(error, Settings))


def _without(node: Any, loc: Loc, wrong: Iterable[Loc]) -> Any:
    """A copy of what was said, without the wrong values (so that their defaults stand in)."""
    if isinstance(node, dict):
        return {
            key: _without(each, (*loc, key), wrong) for key, each in node.items() if (*loc, key) not in wrong
        }
    if isinstance(node, list):
        return [_without(each, (*loc, at), wrong) for at, each in enumerate(node) if (*loc, at) not in wrong]
    return node


def _conflicts(raw: Raw, settings: Settings, wrong: set[Loc]) -> Iterator[Problem]:
    for loc, section in _sections(settings, ()):
        for conflict in section.conflicts():
            locs = [(*loc, *_parts(key)) for key in conflict.keys]
            if wrong.intersection(locs):
                continue  # One of them is a default that stands in for a wrong value.
            try:
                value = raw.value(locs[0])
            except (LookupError, TypeError):
                value = ABSENT
            origin = next((found for each in locs if (found := raw.origin(each)) != raw.file), raw.file)
            yield Problem(origin, raw.key(locs[0]), shown(str(locs[0][-1]), value), conflict.remedy)


def _parts(key: str) -> Loc:
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def _sections(section: Section, loc: Loc) -> Iterator[tuple[Loc, Section]]:
    yield loc, section
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _sections(value, (*loc, name))
        elif isinstance(value, tuple):
            for at, each in enumerate(value):
                if isinstance(each, Section):
                    yield from _sections(each, (*loc, name, at))

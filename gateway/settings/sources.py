"""Where settings come from: a TOML file, then the environment over it, then the secret files they name.

Knows how a variable's name leads to a place in the file, and remembers for each value who said it, so that
an error names the right culprit. (pydantic-settings does neither for the items of a list.)
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_origin

from gateway.errors import ConfigError
from gateway.settings.problems import Loc, Problem, did_you_mean, plain, section_in, shown
from gateway.settings.types import Section

PREFIX = "GATEWAY_"
# Variables that begin like ours and are none: the command line's own, and what Kubernetes sets in every
# container beside a service that is called `gateway`. Its GATEWAY_PORT is an address, and only then not ours.
FOREIGN = re.compile(
    r"GATEWAY_(CONFIG|URL|KEY|SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)=.*|GATEWAY_PORT=\w+://.*",
    re.DOTALL,
)
SECRET_MAX = 4_096
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(slots=True)
class Raw:
    """Settings as they were said, not yet checked."""

    file: str
    base: Path
    data: dict[str, Any] = field(default_factory=dict)
    variables: dict[Loc, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, origin: str, loc: Loc, value: str, remedy: str) -> None:
        self.problems.append(Problem(origin, self.key(loc), value, remedy))

    def origin(self, loc: Loc) -> str:
        """Who said the value at `loc`: the variable that set it or something around it, else the file."""
        for end in range(len(loc), 0, -1):
            if (variable := self.variables.get(loc[:end])) is not None:
                return variable
        return self.file

    def value(self, loc: Loc) -> Any:
        node: Any = self.data
        for part in loc:
            node = node[part]
        return node

    def key(self, loc: Loc) -> str:
        """The way to a value in words: items of a list by their names where they have one."""
        words: list[str] = []
        node: Any = self.data
        for part in loc:
            try:
                node = node[part]
            except (LookupError, TypeError):
                node = None
            name = node.get("name") if isinstance(part, int) and isinstance(node, dict) else None
            words.append(name[:32] if isinstance(name, str) and name else str(part))
        return ".".join(words)


def read_file(path: Path | None) -> Raw:
    """The file as it is; ConfigError if it can't be read at all."""
    if path is None:
        return Raw("settings", Path())
    try:
        # Some editors put a mark in front that is no text.
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        what = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigError(f"{path}: can't be read ({what}); correct the path or the file") from exc
    try:
        return Raw(str(path), path.parent, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: is not TOML: {exc}") from exc


def lay_environment_over(raw: Raw, model: type[Section], environ: Mapping[str, str]) -> None:
    """Set what `GATEWAY_SECTION__KEY` variables say; items of a list by number or by their name."""
    ours = [
        name
        for name, text in environ.items()
        if name.startswith(PREFIX) and not FOREIGN.fullmatch(f"{name}={text}")
    ]
    # Numbers by their size, so that an item 10 comes after item 9; a whole section before its parts.
    for name in sorted(ours, key=lambda name: [part.zfill(4) for part in name.split("__")]):
        _set(raw, model, name, environ[name])


def _set(raw: Raw, model: type[Section], variable: str, text: str) -> None:
    node: Any = raw.data
    loc: Loc = ()
    table = model
    parts = variable.removeprefix(PREFIX).split("__")
    while parts and isinstance(node, dict):
        key = parts.pop(0).lower()
        loc = (*loc, key)
        if key not in table.model_fields:
            hint = _variable_meant(variable, model) or did_you_mean(key, table.model_fields)
            raw.wrong(variable, loc, shown(key, text), f"no such setting; {hint}")
            return
        annotation = table.model_fields[key].annotation
        inside, is_list = section_in(annotation)
        if not parts:
            _put(raw, node, loc, variable, text, annotation)
            return
        if inside is None:
            what = "no such setting; nothing stands inside it"
            raw.wrong(variable, (*loc, *map(str.lower, parts)), shown(parts[-1], text), what)
            return
        table = inside
        if not is_list:
            node = node.setdefault(key, {})
        elif isinstance(items := node.setdefault(key, []), list):
            item = parts.pop(0)
            at = _item_called(item, items)
            if at is None or not parts:
                names = [str(each["name"]) for each in items if isinstance(each, dict) and each.get("name")]
                there = f"there are {', '.join(names) or 'none'}, and number {len(items)} adds one"
                raw.wrong(
                    variable, (*loc, item.lower()), "(hidden)", f"name an item and a key in it; {there}"
                )
                return
            node, loc = items[at], (*loc, at)
        else:
            return  # What stands there instead of tables is told when the whole is checked.


def _variable_meant(variable: str, model: type[Section]) -> str | None:
    """A hint for a name whose parts stand wrong: one underscore for two, or the section left out."""
    known = [
        f"{PREFIX}{section}__{key}".upper()
        for section, field in model.model_fields.items()
        if (table := section_in(field.annotation)) and table[0] is not None and not table[1]
        for key in table[0].model_fields
    ]
    squeezed = {name.replace("__", "_"): name for name in known}
    word = variable.upper().replace("__", "_")
    near = squeezed.get(word) or next(
        (name for name in known if name.endswith(f"__{word.removeprefix(PREFIX)}")), None
    )
    if near is None and (close := get_close_matches(word, squeezed, 1, 0.85)):
        near = squeezed[close[0]]
    return f"did you mean {near}?" if near and near != variable else None


def _item_called(part: str, items: Any) -> int | None:
    if not isinstance(items, list):
        return None
    if part.isdigit():
        if int(part) == len(items):
            items.append({})
        return int(part) if int(part) < len(items) else None
    for at, item in enumerate(items):
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str) and re.sub(r"\W", "_", name).casefold() == part.casefold():
            return at
    return None


def _put(raw: Raw, node: dict[str, Any], loc: Loc, variable: str, text: str, annotation: Any) -> None:
    key = str(loc[-1])
    try:
        node[key] = _from_text(text, annotation)
    except (ValueError, RecursionError) as exc:
        # The text is not shown: a list of feeds holds passwords.
        raw.wrong(variable, loc, "(hidden)", f"write it as JSON; {exc}")
        return
    raw.variables[loc] = variable
    # A password said here takes the place of the file's, whichever way either of them is given.
    other = {"password": "password_file", "password_file": "password"}.get(key)
    if other in node and (*loc[:-1], other) not in raw.variables:
        del node[other]


def _from_text(text: str, annotation: Any) -> Any:
    """What a variable means for a field; text that does not fit stays text and is told as wrong later."""
    inner = plain(annotation)
    table, is_list = section_in(annotation)
    if table is not None:
        return json.loads(text)
    if is_list or get_origin(inner) is tuple:
        if text.lstrip().startswith("["):
            return json.loads(text)
        return [each.strip() for each in text.split(",") if each.strip()]
    if inner is bool:
        word = text.strip().casefold()
        return True if word in TRUE_WORDS else False if word in FALSE_WORDS else text
    if inner in (int, float):
        try:
            return inner(text)
        except ValueError:
            return text
    return text


def read_secret_files(raw: Raw) -> None:
    """Put the content of each feed's `password_file` in its place."""
    feeds = raw.data.get("feeds")
    for at, feed in enumerate(feeds if isinstance(feeds, list) else []):
        named = feed.get("password_file") if isinstance(feed, dict) else None
        if not isinstance(named, str) or not named:
            continue
        loc: Loc = ("feeds", at, "password_file")
        if feed.get("password"):
            raw.wrong(
                raw.origin(loc), loc, shown("", named), "password is set as well; remove one of the two"
            )
            continue
        path = raw.base / named
        try:
            with path.open("rb") as file:
                secret = file.read(SECRET_MAX + 1).decode("ascii").rstrip("\r\n")
        except (FileNotFoundError, IsADirectoryError):
            continue  # Told when the path itself is checked.
        except PermissionError as exc:
            if not os.path.isfile(path):
                continue  # So is a closed folder.
            told = f"can't be read ({exc.strerror}); let the service read it"
            raw.wrong(raw.origin(loc), loc, shown("", named), told)
            continue
        except (OSError, UnicodeDecodeError) as exc:
            what = exc.strerror if isinstance(exc, OSError) else "it is not ASCII text"
            remedy = (
                f"can't be read ({what}); name a file that the service may read and that holds nothing else"
            )
            raw.wrong(raw.origin(loc), loc, shown("", named), remedy)
            continue
        feed["password"] = secret
        raw.variables[(*loc[:2], "password")] = str(path)

"""The shipped `config/gateway.toml` documents every key with its true default, and none that is not there."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import Settings, load_settings
from gateway.settings.problems import plain, section_in
from gateway.settings.types import Section

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "gateway.toml"
TEXT = SHIPPED.read_text()
DATA = tomllib.loads(TEXT)


def fields_of(model: type[Section], at: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        table, _ = section_in(field.annotation)
        if table is None:
            yield f"{at}{name}", field
        else:
            yield from fields_of(table, f"{at}{name}.")


def values_of(node: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from values_of(value, f"{at}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                yield from values_of(each, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def comments() -> dict[str, str]:
    """The comment above each key, on one line."""
    found, section, above = {}, "", ""
    for line in TEXT.splitlines():
        if line.startswith("#"):
            above += " " + line.removeprefix("#").strip()
        elif line.startswith("["):
            section, above = line.strip("[]") + ".", ""
        elif "=" in line:
            found[section + line.split(" =")[0]], above = above.strip(), ""
    return found


FIELDS = dict(fields_of(Settings))
COMMENTS = comments()


def as_written(default: Any) -> Any:
    """A default as the file would say it."""
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, Path):
        return str(default)
    return list(default) if isinstance(default, tuple) else default


def test_the_file_has_every_key_of_the_model_and_no_other() -> None:
    assert set(dict(values_of(DATA))) == set(FIELDS)
    assert set(COMMENTS) == set(FIELDS)


@pytest.mark.parametrize("key", FIELDS)
def test_each_key_stands_with_its_true_default(key: str) -> None:
    field, comment = FIELDS[key], COMMENTS[key]

    assert comment, f"{key} has no comment"
    if field.is_required():
        assert comment.endswith("Required.")
        return
    default = as_written(field.default)
    value = dict(values_of(DATA))[key]
    assert (value, type(value)) == (default, type(default))
    assert comment.endswith(f"Default {json.dumps(default)}.")


@pytest.mark.parametrize(
    "key", [key for key, field in FIELDS.items() if plain(field.annotation) in (int, float)]
)
def test_each_number_is_bounded_and_tells_its_unit_and_what_too_small_does(key: str) -> None:
    kinds = {type(each) for each in FIELDS[key].metadata}

    assert {Ge, Le} <= kinds, f"{key} has no bounds"
    if key in ("server.port", "feeds.sequence"):  # Names of things, not amounts.
        return
    units = r"Seconds|Milliseconds|Bytes|Days|Connections|Streams|Requests|Messages|Books|keys|Part"
    assert re.search(units, COMMENTS[key])
    assert "Too small:" in COMMENTS[key]


@pytest.mark.parametrize("key", [key for key, field in FIELDS.items() if plain(field.annotation) is str])
def test_each_text_is_bounded(key: str) -> None:
    field = FIELDS[key]
    named = "endpoints.name", "feeds.name"

    assert key.endswith(named) or any(hasattr(each, "max_length") for each in field.metadata)


def test_the_shipped_file_loads_to_the_defaults(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text("")

    loaded = load_settings(SHIPPED, {"GATEWAY_KEYS__FILE": str(keys)})

    assert loaded.server == Settings().server
    assert loaded.journal == Settings().journal
    assert loaded.views == Settings().views
    assert loaded.stripes.file == SHIPPED.parent / "stripes.toml"
    assert loaded.feeds[0].endpoints[0].host == "127.0.0.1"

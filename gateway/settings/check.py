"""Checks what was read against a model, as a whole, so that all that is wrong is told at once.

Knows no setting by name. Serves every file of the operator's that a model describes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError
from gateway.settings.problems import ABSENT, Loc, Problem, remedy_for, shown
from gateway.settings.sources import Raw
from gateway.settings.types import BASE, Section

S = TypeVar("S", bound=Section)


def checked(raw: Raw, model: type[S]) -> S:
    """What was read as a value of `model`; ConfigError with a line for each thing that is wrong."""
    found, wrong = _validate(raw, model)
    problems = [*raw.problems, *wrong]
    if found is None or problems:
        raise ConfigError("\n".join(map(str, problems)))
    return found


def _validate(raw: Raw, model: type[S]) -> tuple[S | None, list[Problem]]:
    context = {BASE: raw.base}
    try:
        found = model.model_validate(raw.data, context=context)
    except ValidationError as exc:
        # `input` is left out of the text: values are taken from what we read, and hidden there if secret.
        errors = exc.errors(include_url=False, include_context=False)
        problems = [_problem(raw, error, model) for error in errors]
        # What does not go together is asked of the rest as well, so that nobody has to correct twice.
        wrong = {error["loc"] for error in errors}
        try:
            found = model.model_validate(_without(raw.data, (), wrong), context=context)
        except ValidationError:
            return None, problems
        return None, problems + list(_conflicts(raw, found, wrong))
    return found, list(_conflicts(raw, found, set()))


def _problem(raw: Raw, error: ErrorDetails, model: type[Section]) -> Problem:
    loc = error["loc"]
    try:
        value = raw.value(loc)
    except (LookupError, TypeError):
        value = ABSENT
    return Problem(raw.origin(loc), raw.key(loc), shown(str(loc[-1]), value), remedy_for(error, model))


def _without(node: Any, loc: Loc, wrong: Iterable[Loc]) -> Any:
    """A copy of what was said, without the wrong values (so that their defaults stand in)."""
    if isinstance(node, dict):
        return {
            key: _without(each, (*loc, key), wrong) for key, each in node.items() if (*loc, key) not in wrong
        }
    if isinstance(node, list):
        return [_without(each, (*loc, at), wrong) for at, each in enumerate(node) if (*loc, at) not in wrong]
    return node


def _conflicts(raw: Raw, found: Section, wrong: set[Loc]) -> Iterator[Problem]:
    for loc, section in _sections(found, ()):
        for conflict in section.conflicts():
            locs = [(*loc, *_parts(key)) for key in conflict.keys]
            if wrong.intersection(locs):
                continue  # One of them is a default that stands in for a wrong value.
            try:
                value = raw.value(locs[0])
            except (LookupError, TypeError):
                value = ABSENT
            origin = next((name for each in locs if (name := raw.origin(each)) != raw.file), raw.file)
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

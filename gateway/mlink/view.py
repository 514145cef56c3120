"""The `view` of a message: which of its fields a subscriber wants, as a parsed value.

Names are separated by pipes or commas and are without case; the same names in another order or
spelling give an equal view. That the key is always returned is the writer's business.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.errors import BadRequest

VIEW_CHARS_MAX = 8_192
VIEW_NAMES_MAX = 256
_NAMES_SHOWN_MAX = 40
_SEPARATOR = re.compile(r"[|,]")


class BadView(BadRequest):
    """A view that can't be understood; the text gives the position and what was expected there."""

    def __init__(self, position: int, text: str) -> None:
        super().__init__(f"view, position {position}: {text}")
        self.position = position


@dataclass(frozen=True, slots=True)
class View:
    names: frozenset[str]  # in lower case
    positions: tuple[tuple[str, int], ...] = field(default=(), compare=False, repr=False)

    def of(self, fields: Iterable[str]) -> frozenset[str]:
        """The names as the message spells them; BadView for one it does not have."""
        spelled: dict[str, str] = {}
        for name in fields:
            spelled.setdefault(name.casefold(), name)
        for name, position in self.positions:
            if name not in spelled:
                known = list(spelled.values())
                shown = ", ".join(known[:_NAMES_SHOWN_MAX]) + (", …" if len(known) > _NAMES_SHOWN_MAX else "")
                raise BadView(position, f"no field {name[:40]!r}, expected one of {shown}")
        return frozenset(spelled[name] for name in self.names)


def parse_view(text: str) -> View:
    if len(text) > VIEW_CHARS_MAX:
        raise BadView(VIEW_CHARS_MAX, f"{len(text)} characters, expected at most {VIEW_CHARS_MAX}")
    positions: list[tuple[str, int]] = []
    at = 0
    for part in _SEPARATOR.split(text):
        name = part.strip()
        position = at + len(part) - len(part.lstrip())
        if not name:
            raise BadView(position, "expected a field name")
        if len(positions) == VIEW_NAMES_MAX:
            raise BadView(position, f"expected at most {VIEW_NAMES_MAX} names")
        positions.append((name.casefold(), position))
        at += len(part) + 1
    return View(frozenset(name for name, _ in positions), tuple(positions))

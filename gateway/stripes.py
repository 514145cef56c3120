"""Stripes: which part of the whole feed a ticker belongs to, and what the parts are called.

Knows the table of `config/stripes.toml` and checks all of it when it is loaded; knows nothing of feeds,
messages or subscribers, and remembers no ticker it was asked about (who asks often keeps the answer).
"""

import tomllib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.errors import BadRequest, ConfigError

SECTIONS = ("ranges", "sets", "sources", "compounds")
# A stripe is a name in URLs, file names and metrics: short, and not without end.
NAME_MAX = 16
STRIPES_MAX = 1_000


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Tickers in ASCII order. `first` is inside, `end` is not."""

    first: str
    end: str
    name: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Tickers that no range holds, so that they go to the catch-all. `end` None means without end."""

    first: str
    end: str | None

    def __str__(self) -> str:
        if self.end is None:
            return f"{self.first} and above" if self.first else "every ticker"
        return f"{self.first} up to {self.end}" if self.first else f"below {self.end}"


@dataclass(slots=True)
class _Draft:
    """What a file says, as far as it could be read, and everything that is wrong with it."""

    file: str
    ranges: list[Range] = field(default_factory=list)
    sets: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    compounds: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    catch_all: str = ""
    problems: list[str] = field(default_factory=list)

    def wrong(self, key: str, value: object, remedy: str) -> None:
        self.problems.append(f"{self.file}: {key} = {value!r}: {remedy}")


class StripeTable:
    """Which stripe a ticker, or a whole source, is in.

    A set wins over a range; what is in neither is in the catch-all stripe, so that the primary stripes
    together are everything and no ticker is in two. Names are found without case.
    """

    def __init__(self, draft: _Draft) -> None:
        self._ranges = sorted(draft.ranges)
        self._firsts = [each.first for each in self._ranges]
        self._set_of = {ticker: name for name, tickers in draft.sets.items() for ticker in tickers}
        self._source_of = {
            source.casefold(): name for name, sources in draft.sources.items() for source in sources
        }
        self.catch_all = draft.catch_all
        # The stripe of every ticker, in the table of a feed that belongs to one as a whole.
        self._whole: str | None = None
        self.kinds: Mapping[str, str] = draft.kinds
        self.names = tuple(draft.kinds)
        self.primaries = tuple(name for name, kind in draft.kinds.items() if kind != "compound")
        self.gaps = tuple(_gaps(self._ranges))
        self._members = {name.casefold(): frozenset({name}) for name in self.primaries}
        for name in draft.compounds:
            self._members[name.casefold()] = frozenset(_flatten(name, draft.compounds))

    def take_over(self, other: "StripeTable") -> None:
        """Become what another table is, for everybody who holds this one."""
        self.__dict__.update(other.__dict__)

    @classmethod
    def load(cls, path: Path) -> "StripeTable":
        """Read and check a file. ConfigError tells everything that is wrong with it, a line each."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{path}: can't be read ({exc}); correct [stripes] file or the file") from exc
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise ConfigError(f"{path}: is not TOML: {exc}") from exc
        return cls.from_mapping(data, str(path))

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], file: str = "stripes.toml") -> "StripeTable":
        """Check what such a file says; `file` is the name used in errors."""
        draft = _Draft(file)
        _read(data, draft)
        for check in (_check_ranges, _check_owners, _check_compounds, _check_catch_all):
            check(draft)
        if draft.problems:
            raise ConfigError("\n".join(draft.problems))
        return cls(draft)

    def of_feed(self, source: str) -> "StripeTable":
        """The table for a feed of this ticker source: one stripe has all of it, if one holds the source."""
        name = self.stripe_of_source(source)
        if name is None:
            return self
        table = copy(self)
        table._whole = name
        return table

    def stripe_of(self, ticker: str | None) -> str:
        """The one primary stripe of a ticker (without padding); None is a ticker not known."""
        if self._whole is not None:
            return self._whole
        if ticker is None:
            return self.catch_all
        if (name := self._set_of.get(ticker)) is not None:
            return name
        at = bisect_right(self._firsts, ticker) - 1
        if at < 0 or ticker >= self._ranges[at].end:
            return self.catch_all
        return self._ranges[at].name

    def stripe_of_source(self, source: str) -> str | None:
        """The stripe that a whole ticker source belongs to; None if its tickers decide one by one."""
        return self._source_of.get(source.casefold())

    def members(self, names: str | Iterable[str]) -> frozenset[str]:
        """The primary stripes that a name, or all of several, stand for; BadRequest for an unknown one."""
        found: frozenset[str] = frozenset()
        for name in [names] if isinstance(names, str) else names:
            members = self._members.get(name.strip().casefold())
            if members is None:
                raise BadRequest(f"no stripe {name[:32]!r}; there are {', '.join(self.names)}")
            found |= members
        return found

    def holds(self, name: str) -> bool:
        """Is there a stripe, primary or compound, of this name?"""
        return name.strip().casefold() in self._members

    def what(self, name: str) -> str:
        """In a few words what a stripe holds, for people."""
        kind = self.kinds[name]
        if kind == "range":
            one = next(each for each in self._ranges if each.name == name)
            text = f"{one.first} up to {one.end}"
        elif kind == "compound":
            text = " + ".join(sorted(self._members[name.casefold()]))
        elif kind == "set":
            text = ", ".join(ticker for ticker, stripe in self._set_of.items() if stripe == name)
        else:
            sources = (source.upper() for source, stripe in self._source_of.items() if stripe == name)
            text = "sources " + (", ".join(sources) or "(none)")
        return f"{text}; and all else" if name == self.catch_all else text


def _gaps(ranges: list[Range]) -> Iterator[Gap]:
    reached = ""
    for each in ranges:
        if each.first > reached:
            yield Gap(reached, each.first)
        reached = each.end
    yield Gap(reached, None)


def _flatten(name: str, compounds: Mapping[str, list[str]]) -> Iterator[str]:
    # Each compound once, however often it is a member: a table can't make this slow.
    seen, to_visit = {name}, [name]
    while to_visit:
        for member in compounds[to_visit.pop()]:
            if member not in compounds:
                yield member
            elif member not in seen:
                seen.add(member)
                to_visit.append(member)


def _read(data: Mapping[str, Any], draft: _Draft) -> None:
    """Take the file's sections apart; what has the wrong shape is told and left out."""
    for key in data:
        if key not in (*SECTIONS, "catch_all"):
            near = get_close_matches(key, (*SECTIONS, "catch_all"), 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are catch_all, {', '.join(SECTIONS)}"
            draft.wrong(key, data[key], f"unknown key; {remedy}")
    catch_all = data.get("catch_all")
    if isinstance(catch_all, str) and catch_all:
        draft.catch_all = catch_all
    else:
        draft.wrong("catch_all", catch_all, 'name the stripe of all other tickers, as in catch_all = "X"')
    for section in SECTIONS:
        entries = data.get(section, {})
        if not isinstance(entries, Mapping):
            draft.wrong(section, entries, f"make it a table: [{section}] and a line for each stripe")
            continue
        for name, value in entries.items():
            if _name_is_right(name, f"{section}.{name}", draft):
                draft.kinds[name] = section.removesuffix("s")
                _read_stripe(section, name, value, draft)
    if len(draft.kinds) > STRIPES_MAX:
        draft.wrong("stripes", len(draft.kinds), f"at most {STRIPES_MAX} may stand in one table")


def _name_is_right(name: str, key: str, draft: _Draft) -> bool:
    same = next((other for other in draft.kinds if other.casefold() == name.casefold()), None)
    if same is not None:
        draft.wrong(
            key, name, f"{same!r} in [{draft.kinds[same]}s] has the same name without case; rename one"
        )
    elif not (name.isascii() and name.isalnum() and len(name) <= NAME_MAX):
        draft.wrong(key, name, f"a stripe's name is 1 to {NAME_MAX} ASCII letters and digits")
    return same is None


def _is_ticker(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value == value.strip()


def _read_stripe(section: str, name: str, value: object, draft: _Draft) -> None:
    key = f"{section}.{name}"
    if section == "ranges":
        if not (isinstance(value, Mapping) and set(value) == {"first", "end"}):
            draft.wrong(key, value, 'write a range as { first = "A", end = "AMZN" }')
        elif not (_is_ticker(value["first"]) and _is_ticker(value["end"])):
            draft.wrong(key, value, "`first` and `end` are tickers in ASCII without spaces around them")
        else:
            draft.ranges.append(Range(value["first"], value["end"], name))
        return
    if not (isinstance(value, list) and all(_is_ticker(each) for each in value)):
        draft.wrong(key, value, 'write a list of names in ASCII, as in ["SPY", "VXX"]')
        return
    if not value and section != "sources":
        draft.wrong(key, value, "it holds nothing; name at least one, or remove the line")
    entries = {"sets": draft.sets, "sources": draft.sources, "compounds": draft.compounds}[section]
    entries[name] = value


def _check_ranges(draft: _Draft) -> None:
    whole = []
    for each in draft.ranges:
        if each.first >= each.end:
            draft.wrong(
                f"ranges.{each.name}",
                {"first": each.first, "end": each.end},
                "the range is empty: `end` must stand after `first` in ASCII order (and is not in the range)",
            )
        else:
            whole.append(each)
    widest: Range | None = None
    for left, right in pairwise(sorted(whole)):
        if widest is None or left.end > widest.end:
            widest = left
        if widest.end > right.first:
            draft.wrong(
                f"ranges.{right.name}",
                {"first": right.first, "end": right.end},
                f"stripes {widest.name} and {right.name} both hold {right.first!r} ({widest.name} is"
                f" {widest.first!r} up to {widest.end!r}); let one end where the other begins",
            )


def _check_owners(draft: _Draft) -> None:
    _check_one_owner("sets", draft.sets, str, draft)
    _check_one_owner("sources", draft.sources, str.casefold, draft)


def _check_one_owner(
    section: str, entries: Mapping[str, list[str]], fold: Callable[[str], str], draft: _Draft
) -> None:
    owners: dict[str, str] = {}
    for name, things in entries.items():
        for thing in things:
            other = owners.setdefault(fold(thing), name)
            if other != name:
                draft.wrong(
                    f"{section}.{name}", thing, f"stripes {other} and {name} both hold it; remove it from one"
                )


def _check_compounds(draft: _Draft) -> None:
    known = {name.casefold(): name for name in draft.kinds}
    for name, members in draft.compounds.items():
        for member in members:
            if member.casefold() not in known:
                near = get_close_matches(member, known.values(), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known.values())}"
                draft.wrong(f"compounds.{name}", member, f"no such stripe; {hint}")
        draft.compounds[name] = [known.get(member.casefold(), member) for member in members]
    for circle in _circles(draft.compounds):
        text = " → ".join((*circle, circle[0]))
        draft.wrong(f"compounds.{circle[0]}", text, "a compound must not contain itself; break the circle")


def _circles(compounds: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """One circle for each knot of compounds that contain themselves."""
    # Strip off what contains nothing unsettled until nothing changes: what stays is, or leads to, a circle.
    inside = {name: {each for each in members if each in compounds} for name, members in compounds.items()}
    while ready := [name for name, members in inside.items() if not members & inside.keys()]:
        for name in ready:
            del inside[name]
    while inside:
        path = [next(iter(inside))]
        while (member := min(inside[path[-1]] & inside.keys(), default=None)) not in (*path, None):
            path.append(str(member))
        if member is not None:
            yield path[path.index(member) :]
        for name in path:
            del inside[name]


def _check_catch_all(draft: _Draft) -> None:
    known = {name.casefold(): name for name in draft.kinds}
    name = known.get(draft.catch_all.casefold())
    primaries = [each for each, kind in draft.kinds.items() if kind != "compound"]
    if not draft.catch_all:
        return  # Told already, when it was read.
    if name is None:
        draft.wrong("catch_all", draft.catch_all, f"no such stripe; choose one of {', '.join(primaries)}")
    elif draft.kinds[name] == "compound":
        draft.wrong(
            "catch_all", draft.catch_all, f"it is a compound; choose one stripe of {', '.join(primaries)}"
        )
    else:
        draft.catch_all = name

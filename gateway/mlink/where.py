"""The `where` filter: `field:op:value` clauses joined by `&` and `|`, as a parsed value.

`&` binds tighter than `|`; spaces are free; field names and operators are without case. A value runs
to the next `&`, `|`, `)` or the end; one that holds such a sign, or spaces at its ends, stands in
double quotes (`""` is one quote in it). Requests that differ only in spelling give equal values, so
that their streams share a group. Types come later (see `predicate`), for one filter may be asked of
several messages.
"""

import dataclasses
import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from gateway.errors import BadRequest

WHERE_CHARS_MAX = 8_192
WHERE_CLAUSES_MAX = 256
WHERE_DEPTH_MAX = 32


class Op(StrEnum):
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"
    EQ = "eq"
    NE = "ne"
    SW = "sw"  # starts with
    EW = "ew"  # ends with
    CV = "cv"  # contains the value
    NV = "nv"  # does not contain the value
    CB = "cb"  # between a and b, both included: `a$b`


class BadWhere(BadRequest):
    """A filter that can't be understood; the text gives the position and what was expected there."""

    def __init__(self, position: int, text: str) -> None:
        super().__init__(f"where, position {position}: {text}")
        self.position = position


Value = str | int | Decimal | bool


@dataclasses.dataclass(frozen=True, slots=True)
class Clause:
    """`field` is in lower case and `values` are text as parsed; typed, both are the message's own."""

    field: str
    op: Op
    values: tuple[Value, ...]
    position: int = dataclasses.field(default=0, compare=False, repr=False)
    value_position: int = dataclasses.field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.field}:{self.op}:{'$'.join(map(_spelled, self.values))}"


@dataclasses.dataclass(frozen=True, slots=True)
class AllOf:
    items: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " & ".join(f"({item})" if isinstance(item, AnyOf) else str(item) for item in self.items)


@dataclasses.dataclass(frozen=True, slots=True)
class AnyOf:
    items: "tuple[Node, ...]"

    def __str__(self) -> str:
        return " | ".join(map(str, self.items))


Node = Clause | AllOf | AnyOf


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """A whole filter. Equal and hashable by meaning; `str()` gives a text that parses to an equal one."""

    root: Node

    @property
    def fields(self) -> frozenset[str]:
        """The fields it looks at: in lower case, or as the message spells them once it is typed."""
        return frozenset(clause.field for clause in clauses(self.root))

    def __str__(self) -> str:
        return str(self.root)


def clauses(node: Node) -> Iterator[Clause]:
    if isinstance(node, Clause):
        yield node
        return
    for item in node.items:
        yield from clauses(item)


def joined(kind: type[AllOf] | type[AnyOf], items: list[Node]) -> Node:
    """One node for several: itself when it is one, and no group of the same kind inside another."""
    flat: list[Node] = []
    for item in items:
        flat.extend(item.items if isinstance(item, kind) else (item,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def parse_where(text: str) -> Where:
    return _Parser(text).whole()


_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[^\s:&|().\"$]+(?:\.[^\s:&|().\"$]+)*")
_OP = re.compile(r"[A-Za-z]+")
_BARE = re.compile(r"[^&|()]+")
_BARE_BOUND = re.compile(r"[^&|()$]+")
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')
_OPS = ", ".join(Op)


class _Parser:
    """Recursive descent; the depth is bounded by WHERE_DEPTH_MAX parentheses."""

    def __init__(self, text: str) -> None:
        if len(text) > WHERE_CHARS_MAX:
            raise BadWhere(
                WHERE_CHARS_MAX, f"{len(text)} characters, expected at most {WHERE_CHARS_MAX} in a filter"
            )
        self._text = text
        self._at = 0
        self._clauses = 0

    def whole(self) -> Where:
        root = self._any_of(depth=0)
        if self._at < len(self._text):
            raise self._unexpected("& or | or the end")
        return Where(root)

    def _any_of(self, depth: int) -> Node:
        items = [self._all_of(depth)]
        while self._took("|"):
            items.append(self._all_of(depth))
        return joined(AnyOf, items)

    def _all_of(self, depth: int) -> Node:
        items = [self._term(depth)]
        while self._took("&"):
            items.append(self._term(depth))
        return joined(AllOf, items)

    def _term(self, depth: int) -> Node:
        self._skip_space()
        opened_at = self._at
        if not self._took("("):
            return self._clause()
        if depth == WHERE_DEPTH_MAX:
            raise BadWhere(opened_at, f"expected at most {WHERE_DEPTH_MAX} parentheses inside each other")
        inner = self._any_of(depth + 1)
        if not self._took(")"):
            raise self._unexpected(f"& or | or the ) for the ( at position {opened_at}")
        return inner

    def _clause(self) -> Clause:
        position = self._at
        self._clauses += 1
        if self._clauses > WHERE_CLAUSES_MAX:
            raise BadWhere(position, f"expected at most {WHERE_CLAUSES_MAX} clauses in a filter")
        name = self._match(_NAME, "a field name or (")
        self._colon("behind the field name")
        op = self._op()
        self._colon("behind the operator")
        self._skip_space()
        value_position = self._at
        if op is not Op.CB:
            return Clause(name.casefold(), op, (self._value(_BARE),), position, value_position)
        low = self._value(_BARE_BOUND)
        if not self._took("$"):
            raise self._unexpected("$ and the upper bound, as in cb:10$20")
        high = self._value(_BARE_BOUND)
        return Clause(name.casefold(), op, (low, high), position, value_position)

    def _op(self) -> Op:
        self._skip_space()
        position = self._at
        word = self._match(_OP, f"an operator, one of {_OPS}")
        try:
            return Op(word.lower())
        except ValueError:
            raise BadWhere(position, f"expected an operator, one of {_OPS}, got {word[:20]!r}") from None

    def _value(self, bare: re.Pattern[str]) -> str:
        self._skip_space()
        if self._text.startswith('"', self._at):
            quoted = _QUOTED.match(self._text, self._at)
            if quoted is None:
                raise BadWhere(self._at, 'expected a closing " for this one')
            self._at = quoted.end()
            self._skip_space()
            return quoted[1].replace('""', '"')
        return self._match(bare, "a value").rstrip()

    def _colon(self, where: str) -> None:
        if not self._took(":"):
            raise self._unexpected(f": {where}")

    def _match(self, pattern: re.Pattern[str], expected: str) -> str:
        self._skip_space()
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._unexpected(expected)
        self._at = found.end()
        return found[0]

    def _took(self, sign: str) -> bool:
        self._skip_space()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self._at)
        assert space is not None  # it matches nothing, too
        self._at = space.end()

    def _unexpected(self, expected: str) -> BadWhere:
        rest = self._text[self._at : self._at + 20]
        return BadWhere(self._at, f"expected {expected}, got {repr(rest) if rest else 'the end'}")


_NEEDS_NO_QUOTES = re.compile(r"[^\s&|()$\"](?:[^&|()$]*[^\s&|()$])?")


def _spelled(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    if _NEEDS_NO_QUOTES.fullmatch(text):
        return text
    return '"' + text.replace('"', '""') + '"'

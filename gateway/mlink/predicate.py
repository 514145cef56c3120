"""A `where` filter made to fit one message: types checked, then one Python function over its decoded dict.

Prices are compared as decimals, exactly: 150.0001 is 150.0001 whether the message carries a Decimal or
the nearest float. A field that a message does not carry (an optional tail) satisfies no clause, not
even `ne` or `nv`. Knows nothing of definitions beyond a field's name and kind.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.mlink.where import AllOf, BadWhere, Clause, Node, Op, Value, Where, joined

NUMBER_CHARS_MAX = 40
_NAMES_SHOWN_MAX = 40


class Kind(StrEnum):
    INT = "int"
    PRICE = "price"
    TEXT = "str"
    BOOL = "bool"


_KIND_NAMES = {
    Kind.INT: "a whole number",
    Kind.PRICE: "a price",
    Kind.TEXT: "a text",
    Kind.BOOL: "true or false",
}
_TEXT_OPS = frozenset((Op.SW, Op.EW, Op.CV, Op.NV))
_ORDER_OPS = frozenset((Op.GT, Op.GE, Op.LT, Op.LE, Op.CB))
_BOOLS = {"true": True, "yes": True, "false": False, "no": False}
_INT = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def type_where(where: Where, kinds: Mapping[str, str]) -> Where:
    """The filter with the message's own field names and typed values. Equal for requests that mean the same.

    `kinds` gives the kind of each field (a `Kind` or its text); fields inside another are dotted.
    """
    folded: dict[str, str] = {}
    for name in kinds:
        folded.setdefault(name.casefold(), name)
    return Where(_typed(where.root, folded, kinds))


def compile_where(
    where: Where, kinds: Mapping[str, str], *, flat: bool = False
) -> Callable[[Mapping[str, Any]], bool]:
    """One function for the whole filter; BadWhere if it does not fit the message's fields.

    With `flat` it takes dicts as a decoder makes them for it: dotted names, and no price a float.
    """
    constants: dict[str, Any] = {"exact": _exact, "dig": _dig, "__builtins__": {}}
    # Names and values travel as constants: nothing of a subscriber's text becomes source.
    source = _source(type_where(where, kinds).root, kinds, constants, flat)
    matches: Callable[[Mapping[str, Any]], bool] = eval(f"lambda m: {source}", constants)
    return matches


def _typed(node: Node, folded: Mapping[str, str], kinds: Mapping[str, str]) -> Node:
    if not isinstance(node, Clause):
        return joined(type(node), [_typed(item, folded, kinds) for item in node.items])
    name = folded.get(node.field)
    if name is None:
        shown = ", ".join(list(kinds)[:_NAMES_SHOWN_MAX]) + (", …" if len(kinds) > _NAMES_SHOWN_MAX else "")
        raise BadWhere(node.position, f"no field {node.field[:40]!r}, expected one of {shown}")
    kind = Kind(kinds[name])
    if (node.op in _TEXT_OPS and kind is not Kind.TEXT) or (node.op in _ORDER_OPS and kind is Kind.BOOL):
        allowed = ", ".join(
            op for op in Op if op not in _TEXT_OPS and (kind is not Kind.BOOL or op not in _ORDER_OPS)
        )
        raise BadWhere(
            node.position, f"{name} is {_KIND_NAMES[kind]}, expected one of {allowed}, got {node.op.value!r}"
        )
    values = tuple(_value(node, name, kind, value) for value in node.values)
    if node.op is Op.CB and values[0] > values[1]:  # type: ignore[operator]  # both are of the same kind
        raise BadWhere(
            node.value_position, f"expected the lower bound first, got {values[0]} and {values[1]}"
        )
    return Clause(name, node.op, values, node.position, node.value_position)


def _value(clause: Clause, name: str, kind: Kind, value: Value) -> Value:
    text = str(value)
    if kind is Kind.TEXT:
        return text
    if kind is Kind.BOOL:
        found: Value | None = _BOOLS.get(text.casefold())
    else:
        pattern, number = (_INT, int) if kind is Kind.INT else (_DECIMAL, Decimal)
        found = number(text) if len(text) <= NUMBER_CHARS_MAX and pattern.fullmatch(text) else None
    if found is None:
        raise BadWhere(clause.value_position, f"{name}: expected {_KIND_NAMES[kind]}, got {text[:40]!r}")
    return found


_SIGNS = {Op.GT: ">", Op.GE: ">=", Op.LT: "<", Op.LE: "<=", Op.EQ: "==", Op.NE: "!="}


def _source(node: Node, kinds: Mapping[str, str], constants: dict[str, Any], flat: bool) -> str:
    if not isinstance(node, Clause):
        word = " and " if isinstance(node, AllOf) else " or "
        return f"({word.join(_source(item, kinds, constants, flat) for item in node.items)})"

    def constant(value: Any) -> str:
        name = f"c{len(constants)}"
        constants[name] = value
        return name

    path = node.field.split(".")
    found = f"m.get({constant(node.field)})" if flat or len(path) == 1 else f"dig(m, {constant(tuple(path))})"
    if kinds[node.field] == Kind.PRICE and not flat:
        found = f"exact({found})"
    values = [constant(value) for value in node.values]
    if node.op in _SIGNS:
        test = f"v {_SIGNS[node.op]} {values[0]}"
    elif node.op is Op.CB:
        test = f"{values[0]} <= v <= {values[1]}"
    elif node.op is Op.SW:
        test = f"v.startswith({values[0]})"
    elif node.op is Op.EW:
        test = f"v.endswith({values[0]})"
    else:
        test = f"{values[0]} {'in' if node.op is Op.CV else 'not in'} v"
    return f"((v := {found}) is not None and {test})"


def _exact(value: Any) -> Any:
    if type(value) is not float:
        return value
    # The shortest text that means this float is the price as it was written, up to 15 digits.
    return Decimal(repr(value)) if value - value == 0 else None


def _dig(message: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = message
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value

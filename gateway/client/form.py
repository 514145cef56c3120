"""How messages of one form stand in their text, and their fields as columns: numpy instead of a parser.

Knows JSON and numpy; knows neither frames nor streams. Messages of a form are alike but for their values, and
no value has a comma in it: so their commas are all it takes to find these, and what stands around the commas,
keys and all, proves that each is where it should be. What does not fit is not read here.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from gateway.client.column import BOOL, CATEGORY, FLOAT, INT, UINT, Array, Ready

Path = tuple[str, ...]
Columns = Mapping[Path, Ready]

_COMMA, _MINUS, _POINT = b",-."
_TOKEN = re.compile(rb'"[^"\\]*"|[{}:,]|[^"{}:,\[\]\\\s]+')
_WORD = 8
# A whole number of more digits, a fraction of more, a text of more bytes is for the parser.
DIGITS_MAX = 19
DECIMALS_MAX = 8
TEXT_BYTES_MAX = 64
# Texts that are the same for fewer messages in a row, as tickers are, are sorted to find which are the same.
_RUN = 8
# Below it a whole number is exact as a float, and so is what it is divided by.
_EXACT_MAX = 2**53


class Text:
    """Bytes that can be read eight at a time, at many places at once."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self._words: Array = np.ndarray(max(len(data) - _WORD + 1, 0), "<u8", data, 0, (1,))

    def has(self, literal: bytes, at: Array) -> bool:
        """Whether it stands at each of these places."""
        size = len(literal)
        if at.size and int(at.max()) + size > len(self.data):
            return False
        found: Array = np.ndarray(len(self.data) - size + 1, f"V{size}", self.data, 0, (1,))[at]
        return found.tobytes() == literal * len(at)

    def words(self, at: Array) -> Array:
        """The eight bytes at each of these places, the first one lowest; zeros where the text has ended."""
        beyond = at >= len(self._words)
        return self._words[at] if not beyond.any() else np.where(beyond, 0, self._words[at * ~beyond])

    def words_before(self, end: Array, size: Array) -> list[tuple[Array, Array]]:
        """The `size` bytes in front of each `end` by eights, the last ones first, and zeros in front of them;
        with each word, how many of its bits are these zeros."""
        words = []
        for left in range(0, int(size.max(initial=0)), _WORD):
            word = self._words[end - (left + _WORD)]
            blank = (np.maximum(_WORD + left - size, 0) * 8).view(np.uint64)
            words.append(((word >> blank) << blank, blank))
        return words


@dataclass(frozen=True, slots=True)
class _Field:
    """A value: `behind` which comma, and how far; how far in front of which comma it ends."""

    path: Path
    kind: type
    decimals: int
    left: int
    behind: int
    right: int
    before: int


@dataclass(frozen=True, slots=True)
class _Joint:
    """What stands between two values in all messages of the form, beginning so far behind a comma."""

    literal: bytes
    comma: int
    behind: int


class Form:
    """`of` makes it of one message, `read` reads all that are alike.

    Commas are counted from 1; number 0 is in front of the message, and the one behind the last is its end.
    """

    def __init__(self, fields: list[_Field], joints: list[_Joint], commas: int) -> None:
        self._fields = fields
        self._joints = joints
        self.commas = commas

    @classmethod
    def of(cls, text: bytes, same: Collection[Path]) -> "Form | None":
        """`same`: what has to be the same in all messages, as it is in this one.

        None when there is something that has no form: a list, null, a comma or an escape in a text.
        """
        leaves = _leaves(text)
        if not leaves or len(leaves) != text.count(b",") + 1:
            return None
        text = b",%b," % text
        fields: list[_Field] = []
        joints: list[_Joint] = []
        begin = comma = 0
        end = _Leaf((), str, len(text), len(text))
        value: tuple[_Leaf, int, int] | None = None
        for leaf in [*(leaf for leaf in leaves if leaf.path not in same), end]:
            literal = text[begin : leaf.start]
            first, last = literal.find(b","), literal.rfind(b",")
            if value is not None:
                had, left, behind = value
                decimals = len(text[had.start : had.end].partition(b".")[2]) if had.kind is float else 0
                if decimals > DECIMALS_MAX:
                    return None
                fields.append(_Field(had.path, had.kind, decimals, left, behind, comma, first))
            comma += literal.count(b",") - 1
            # The commas around the message are not there.
            real = slice(0 if begin else 1, len(literal) if leaf is not end else -1)
            joints.append(_Joint(literal[real], comma, (real.start or 0) - last))
            value = leaf, comma, len(literal) - last
            begin, comma = leaf.end, comma + 1
        return cls(fields, joints, len(leaves) - 1)

    def read(self, text: Text, cuts: Sequence[Array], unread: Collection[Path] = ()) -> Columns | None:
        """The columns but `unread`; None when one of the messages is not of this form after all.

        `cuts` are the places of the commas, by their numbers.
        """
        for joint in self._joints:
            if not text.has(joint.literal, cuts[joint.comma] + joint.behind):
                return None
        columns: dict[Path, Ready] = {}
        for field in self._fields:
            if field.path in unread:
                continue
            start, end = cuts[field.left] + field.behind, cuts[field.right] - field.before
            column = _READ[field.kind](text, field, start, end)
            if column is None:
                return None
            columns[field.path] = column
        return columns


class _Leaf(NamedTuple):
    """Where a value stands, a text without its quotes; counted from 1, for there is a comma in front."""

    path: Path
    kind: type
    start: int
    end: int


def _leaves(text: bytes) -> list[_Leaf] | None:
    """The values of what is known to be a JSON object, None when there are others than texts and numbers."""
    found: list[_Leaf] = []
    path: list[str] = []
    key: str | None = None
    at = 0
    for match in _TOKEN.finditer(text):
        token, start = match[0], match.start()
        if start != at:
            return None
        at = match.end()
        if token == b"{":
            path.append(key or "")
            key = None
        elif token == b"}":
            path.pop()
            key = None
        elif token in (b",", b":"):
            continue
        elif key is None:
            key = token[1:-1].decode()
        else:
            kind = _kind(token)
            if kind is None:
                return None
            quote = kind is str
            found.append(_Leaf((*path[1:], key), kind, start + 1 + quote, at + 1 - quote))
            key = None
    return found if at == len(text) else None


def _kind(token: bytes) -> type | None:
    if token.startswith(b'"'):
        return str
    if token in (b"true", b"false"):
        return bool
    whole, point, fraction = token.removeprefix(b"-").partition(b".")
    if not whole.isdigit():
        return None
    if not point:
        return int
    return float if fraction.isdigit() else None


# The columns of each kind, None when a value is of another.


def _read_int(text: Text, field: _Field, start: Array, end: Array) -> Ready | None:
    negative = text.bytes[start] == _MINUS
    value = _digits(text, end, end - start - negative)
    if value is None:
        return None
    if value.max(initial=0) < 2**63:
        whole = value.astype(np.int64)
        return Ready(INT, np.negative(whole, out=whole, where=negative))
    return None if negative.any() else Ready(UINT, value)


def _read_float(text: Text, field: _Field, start: Array, end: Array) -> Ready | None:
    negative = text.bytes[start] == _MINUS
    point = end - field.decimals - 1
    whole = _digits(text, point, point - start - negative)
    fraction = _digits(text, end, np.full(len(end), field.decimals))
    if whole is None or fraction is None or not (text.bytes[point] == _POINT).all():
        return None
    scale = 10**field.decimals
    if whole.max(initial=0) >= _EXACT_MAX // scale:
        return None
    # Both are exact, so this is the float that is nearest, as a parser finds it.
    value = (whole * np.uint64(scale) + fraction).astype(np.float64) / scale
    return Ready(FLOAT, np.negative(value, out=value, where=negative))


def _read_bool(text: Text, field: _Field, start: Array, end: Array) -> Ready | None:
    size = end - start
    true = size == 4
    if not (true | (size == 5)).all():
        return None
    if not text.has(b"true", start[true]) or not text.has(b"false", start[~true]):
        return None
    return Ready(BOOL, true)


def _read_text(text: Text, field: _Field, start: Array, end: Array) -> Ready | None:
    size = end - start
    if size.max(initial=0) > TEXT_BYTES_MAX:
        return None
    words = [word for word, _ in text.words_before(end, size)]
    other = np.ones(len(end), bool)
    other[1:] = False
    for word in words:
        other[1:] |= word[1:] != word[:-1]
    first = np.flatnonzero(other)
    if len(words) == 1 and len(first) * _RUN > len(end):
        known, codes = np.unique(words[0], return_inverse=True)
        first = np.empty(len(known), np.intp)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        # In the order in which they were first seen.
        order = np.argsort(first)
        first, codes = first[order], np.argsort(order)[codes]
    else:
        # The same for many messages in a row, as feeds and times of receipt are; or long, and each its own.
        codes = np.cumsum(other) - 1
    places = zip(start[first].tolist(), end[first].tolist(), strict=True)
    try:
        texts = [orjson.loads(b'"%b"' % text.data[at:to]) for at, to in places]
    except orjson.JSONDecodeError:
        return None
    return Ready(CATEGORY, codes, texts)


_READ: dict[type, Any] = {int: _read_int, float: _read_float, bool: _read_bool, str: _read_text}


def _digits(text: Text, end: Array, size: Array) -> Array | None:
    """The whole numbers of `size` digits in front of `end`, None when one of them is none."""
    if size.min(initial=1) < 1 or size.max(initial=1) > DIGITS_MAX:
        return None
    value: Array = np.zeros(len(end), np.uint64)
    unit = 1
    for word, shift in text.words_before(end, size):
        digits = word - ((np.uint64(0x3030303030303030) >> shift) << shift)
        # The high bit of each byte that is no digit.
        if (((digits + np.uint64(0x7676767676767676)) | digits) & np.uint64(0x8080808080808080)).any():
            return None
        # Neighbours become one number: by twos, by fours, by eights.
        digits = (digits * np.uint64(10 * 2**8 + 1)) >> np.uint64(8)
        digits = ((digits & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 2**16 + 1)) >> np.uint64(16)
        digits = ((digits & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1)) >> np.uint64(32)
        value += digits * np.uint64(unit)
        unit *= 10**_WORD
    return value

"""Thousands of messages read at once, for tables: their columns, and no object for any of them.

Knows frames, the envelope and numpy; what one form of message looks like is known in `form`. Messages that
have no form are parsed; and what is not a clean run of one session's messages is left to who reads them one
by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from gateway.client.column import INT, Array
from gateway.client.form import Columns, Form, Text
from gateway.client.message import Batch
from gateway.mlink.frames import HEADER, HEADER_SIZE

# Fewer messages of a form are parsed one by one: to read columns costs as much as to parse so many.
FORM_ROWS_MIN = 200
# Two words of a message's name stand here, by which messages are told apart at first sight.
_NAME_AT = HEADER_SIZE + len(b'{"header":{"mTyp":"')
_WORD = 8
_BLOCK_BYTES = 1 << 17
_CR, _COMMA = b"\r,"
_MIXER = np.uint64(0x9E3779B97F4A7C15)

HEADER_FIELDS = ("mTyp", "src", "ses", "seqN", "sTim")
_SAME = tuple(("header", name) for name in HEADER_FIELDS[:3])
SEQ, SENT = (("header", name) for name in HEADER_FIELDS[3:])
# When it was written as JSON is in no table.
_UNREAD = (("header", "encT"),)
_CONTROL = "MLink"
# What may stand among messages that are read at once; anything else has a place of its own among them.
_PROOFS = frozenset(("MLinkStreamCheckPt", "MLinkHeartbeat"))


@dataclass(frozen=True, slots=True)
class Part:
    """Messages of one form, by their index: their columns; or they themselves, if they have no form."""

    at: Array
    #: What is the same in all of them.
    header: Mapping[str, str]
    columns: Columns
    values: Sequence[Mapping[str, Any]] = ()


class Rows(Batch):
    """Messages of one session with rising numbers. Read one by one, they are parsed then."""

    def __init__(
        self, src: str, session: str, seqs: Array, parts: list[Part], texts: Sequence[bytes]
    ) -> None:
        self.src = src
        self.session = session
        self.seqs = seqs
        self.parts = parts
        #: The names of the messages.
        self.names: frozenset[str] = frozenset()
        #: Proofs that stand among the messages, each with the number of those in front of it.
        self.proofs: list[tuple[int, Any]] = []
        self._texts = texts

    def __len__(self) -> int:
        return len(self.seqs)

    @property
    def last_seq(self) -> int:
        return int(self.seqs[-1])

    @cached_property
    def texts(self) -> list[bytes]:  # type: ignore[override]  # of a plain batch they are there
        return list(self._texts)

    @cached_property
    def values(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return list(map(orjson.loads, self.texts))


class _Frames:
    """The frames of a text: where their JSON begins and ends, and where its commas are."""

    def __init__(self, data: bytes) -> None:
        self.text = text = Text(data)
        self._marks = _places(text.bytes, _CR, _COMMA)
        # A frame's commas are the marks between its line break and the next one's.
        self._breaks = np.flatnonzero(text.bytes[self._marks] == _CR)
        found = self._marks[self._breaks]
        self.starts = found + HEADER_SIZE
        self.ends = np.append(found[1:], len(data))
        begun = data.startswith(HEADER) and text.has(HEADER, found)
        self.are_whole = begun and bool((self.starts < self.ends).all())

    def __len__(self) -> int:
        return len(self.starts)

    def json(self, at: int) -> bytes:
        return self.text.data[self.starts[at] : self.ends[at]]

    def alike(self) -> list[Array]:
        """The frames by what they look like at first sight: the name they begin with, and how many commas."""
        counts = np.diff(self._breaks, append=len(self._marks)).astype(np.uint64)
        # Different ones that look alike by accident cost time: they are found to have no common form.
        looks = counts
        for at in (_NAME_AT, _NAME_AT + _WORD):
            looks = (looks ^ self.text.words(self.starts - HEADER_SIZE + at)) * _MIXER
        if (looks == looks[0]).all():
            return [np.arange(len(looks))]
        _, kinds = np.unique(looks, return_inverse=True)
        order = np.argsort(kinds, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
        return sorted(groups, key=lambda group: int(group[0]))

    def read(self, at: Array, form: Form) -> Columns | None:
        first = self._breaks[at]
        if int(first.max()) + form.commas >= len(self._marks):
            return None
        starts = self.starts[at]
        commas = [self._marks[first + number] for number in range(1, form.commas + 1)]
        return form.read(self.text, [starts - 1, *commas, self.ends[at]], _UNREAD)


def _places(data: Array, one: int, other: int) -> Array:
    """Where one of two bytes stands."""
    found = []
    # Block by block: larger arrays come fresh from the system each time, which costs more than the search.
    for at in range(0, len(data), _BLOCK_BYTES):
        block = data[at : at + _BLOCK_BYTES]
        is_one = block == one
        is_one |= block == other
        found.append(np.flatnonzero(is_one) + at)
    return np.concatenate(found)


def read(data: bytes) -> Rows | None:
    """The messages in these frames; None when they have to be read one by one, whatever the reason."""
    frames = _Frames(data)
    if not frames.are_whole:
        return None
    read = _Reading(len(frames))
    try:
        for at in frames.alike():
            if not read.take(frames, at):
                return None
    except (orjson.JSONDecodeError, KeyError, TypeError, OverflowError):
        return None
    return read.rows(frames)


class _Reading:
    """What has been read so far, and whether it fits together."""

    def __init__(self, size: int) -> None:
        self._seqs: Array = np.zeros(size, np.int64)
        self._is_message: Array = np.ones(size, bool)
        self._parts: list[Part] = []
        self._proofs: list[tuple[int, Any]] = []
        self._names: set[str] = set()
        self._sources: set[tuple[str, str]] = set()

    def take(self, frames: _Frames, at: Array) -> bool:
        """Frames that look alike. False when they can't be read at once with the others."""
        text = frames.json(int(at[0]))
        header = orjson.loads(text)["header"]
        if header["mTyp"].startswith(_CONTROL):
            return self._take_proofs(frames, at)
        form = Form.of(text, _SAME) if len(at) >= FORM_ROWS_MIN else None
        columns = form and frames.read(at, form)
        if columns and SEQ in columns and columns[SEQ].kind == INT:
            self._seqs[at] = columns[SEQ].values
            self._parts.append(
                Part(at, {"mTyp": header["mTyp"], "src": header["src"], "ses": header["ses"]}, columns)
            )
            headers = [header]
        else:
            values = [orjson.loads(frames.json(one)) for one in at.tolist()]
            headers = [value["header"] for value in values]
            self._seqs[at] = [header["seqN"] for header in headers]
            if not all(value["message"].__class__ is dict for value in values):
                return False
            self._parts.append(Part(at, {}, {}, values))
        self._names.update(header["mTyp"] for header in headers)
        self._sources.update((header["src"], header["ses"]) for header in headers)
        return True

    def _take_proofs(self, frames: _Frames, at: Array) -> bool:
        for one in at.tolist():
            value = orjson.loads(frames.json(one))
            if value["header"]["mTyp"] not in _PROOFS:
                return False
            self._proofs.append((one, value))
        self._is_message[at] = False
        return True

    def rows(self, frames: _Frames) -> Rows | None:
        seqs = self._seqs[self._is_message]
        if len(self._sources) != 1 or not (seqs[1:] > seqs[:-1]).all():
            return None
        (source,) = self._sources
        parts, before = self._parts, np.cumsum(self._is_message)
        if self._proofs:
            parts = [replace(part, at=before[part.at] - 1) for part in parts]
        rows = Rows(*source, seqs, parts, _Texts(frames, np.flatnonzero(self._is_message)))
        rows.names = frozenset(self._names)
        rows.proofs = sorted(
            ((int(before[at]), value) for at, value in self._proofs), key=lambda each: each[0]
        )
        return rows


class _Texts(Sequence[bytes]):
    """The JSON of some frames, cut out when it is asked for."""

    def __init__(self, frames: _Frames, at: Array) -> None:
        self._frames = frames
        self._at = at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index: Any) -> Any:
        return self._frames.json(self._at[index])

"""Reads appendages: a total, then TagValues in any order, each at most once.

Knows the layout around the values; the value of a tag is read by a compiled function of its own,
because a tag and its value look like a message: one byte that says which, then a field.
A tag without a definition is kept as hex under the name `tag` and its number: exchanges add tags
without asking, and their length says where the next one begins.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gateway.errors import DecodeError

TagReader: TypeAlias = Callable[[bytes, int, int], Any]

TOTAL_SIZE = 2


class AppendageReader:
    """The appendage of one message. `readers` give a tag's dict, or its JSON text, by its number.

    Tags without a reader are checked like all others, and taken along where the whole appendage is wanted.
    """

    def __init__(self, field: str, readers: Mapping[int, TagReader], *, takes_unknown: bool) -> None:
        self._field = field
        self._readers = readers
        self._takes_unknown = takes_unknown

    def to_dict(self, buffer: bytes, at: int, end: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for tag, start, stop in self._tag_values(buffer, at, end):
            if tag in self._readers:
                values |= self._value(tag, buffer, start, stop)
            elif self._takes_unknown:
                values[f"tag{tag}"] = buffer[start + 1 : stop].hex()
        return values

    def to_json(self, buffer: bytes, at: int, end: int) -> str:
        texts = []
        for tag, start, stop in self._tag_values(buffer, at, end):
            if tag in self._readers:
                texts.append(self._value(tag, buffer, start, stop))
            elif self._takes_unknown:
                texts.append(f'"tag{tag}":"{buffer[start + 1 : stop].hex()}"')
        # A tag that nobody asked for leaves no text.
        return "{" + ",".join(filter(None, texts)) + "}"

    def _value(self, tag: int, buffer: bytes, start: int, stop: int) -> Any:
        try:
            return self._readers[tag](buffer, start, stop)
        except DecodeError as error:
            raise DecodeError(f"{self._field}, tag {tag}: {error}") from error

    def _tag_values(self, buffer: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
        """Each tag, where it stands, and one past its value; checked to fill the message exactly."""
        if at + TOTAL_SIZE > end:
            raise DecodeError(f"{self._field}: expected 2 bytes of total, got {end - at}")
        total = int.from_bytes(buffer[at : at + TOTAL_SIZE], "big")
        at += TOTAL_SIZE
        if at + total != end:
            raise DecodeError(f"{self._field}: expected {total} bytes as its total says, got {end - at}")
        found: dict[int, tuple[int, int, int]] = {}
        while at < end:
            stop = at + 1 + buffer[at]
            if stop < at + 2 or stop > end:
                raise DecodeError(
                    f"{self._field}: TagValue of length {buffer[at]} with {end - at - 1} bytes left"
                )
            tag = buffer[at + 1]
            if tag in found:
                raise DecodeError(f"{self._field}: tag {tag} stands there twice")
            found[tag] = (tag, at + 1, stop)
            at = stop
        return list(found.values())

"""Numbers, byte strings and arrays one after the other, for a state that is large and changes often.

Knows how they are written: each behind its length, in the machine's own byte order, which is told first. A
state that was saved by a machine of the other order is not read.
"""

from array import array
from sys import byteorder

_LENGTH = 8
# Tickers that are read at once from a saved state.
LOADED_AT_ONCE = 200
MAGIC = b"views2" + byteorder[:1].encode()


class Packed:
    """Collects parts; `bytes()` of it is the whole."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [MAGIC]

    def text(self, data: bytes) -> None:
        self._parts += (len(data).to_bytes(_LENGTH, "little"), data)

    def array(self, values: "array[int]") -> None:
        self.text(values.tobytes())

    def numbers(self, *values: int) -> None:
        self.array(array("q", values))

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)


class Unpacked:
    """Gives the parts back in order; ValueError as soon as something does not fit."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise ValueError(f"views: the saved state starts with {data[:8]!r}, expected {MAGIC!r}")
        self._data = memoryview(data)
        self._at = len(MAGIC)

    def text(self) -> bytes:
        start = self._at + _LENGTH
        size = int.from_bytes(self._data[self._at : start], "little")
        self._at = start + size
        if self._at > len(self._data):
            raise ValueError(f"views: the saved state ends inside a part of {size} bytes")
        return bytes(self._data[start : self._at])

    def array(self, code: str) -> "array[int]":
        values = array(code)
        values.frombytes(self.text())
        return values

    def numbers(self, count: int) -> list[int]:
        values = self.array("q").tolist()
        if len(values) != count:
            raise ValueError(f"views: {len(values)} numbers, expected {count}")
        return values

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._data):
            raise ValueError(f"views: {len(self._data) - self._at} bytes left over in the saved state")

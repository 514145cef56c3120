"""Wire values as Python values and as JSON text: characters, padded texts, decimals.

Knows how one value looks; knows nothing of fields and messages. JSON text is ASCII only. A byte
above 127 is read as ISO-8859-1 whatever the type says, so that decoding never fails on a text
and no two different bytes look the same.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import Generic, TypeVar

from gateway.errors import DecodeError

K = TypeVar("K")
V = TypeVar("V")

# Tickers of a day, prices of a day: tens of thousands. Full means empty and start again:
# what is still in use is back after one message each, and nothing has to be kept in order.
CACHED_MAX = 65_536
# Longer texts are tokens of one order each; a cache would only fill with them.
CACHED_TEXT_LENGTH_MAX = 8

CHARS = tuple(map(chr, range(256)))
BOOLEANS = tuple(byte == 1 for byte in range(256))
JSON_CHARS = tuple(map(encode_basestring_ascii, CHARS))
JSON_BOOLEANS = tuple("true" if boolean else "false" for boolean in BOOLEANS)


class Remembered(dict[K, V], Generic[K, V]):
    """The values of a function without side effects, looked up as `remembered[key]`; at most `CACHED_MAX`."""

    def __init__(self, compute: Callable[[K], V]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: K) -> V:
        if len(self) >= CACHED_MAX:
            self.clear()
        value = self[key] = self._compute(key)
        return value


def json_text(text: str) -> str:
    """`text` as a JSON string, quotes included, in ASCII."""
    return encode_basestring_ascii(text)


def padded_text(raw: bytes) -> str:
    """Bytes without the spaces that pad them on the right."""
    return raw.decode("latin-1").rstrip(" ")


def json_char_text(raw: bytes) -> str:
    return encode_basestring_ascii(raw.decode("latin-1"))


def json_padded_text(raw: bytes) -> str:
    return encode_basestring_ascii(raw.decode("latin-1").rstrip(" "))


def decimal_text(scaled: int, decimals: int) -> str:
    """The number `scaled` / 10**decimals with exactly so many decimals; integers only, so it is exact."""
    sign = "-" if scaled < 0 else ""
    digits = f"{abs(scaled):0{decimals + 1}d}"
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def decimal_value(scaled: int, decimals: int) -> Decimal:
    return Decimal(decimal_text(scaled, decimals))


def number_of_digits(raw: bytes, field: str) -> int:
    """The number in ASCII digits, padded on either side."""
    digits = raw.strip(b" ")
    if not digits.isdigit():
        raise DecodeError(f"{field}: expected {len(raw)} ASCII digits padded with spaces, got {raw!r}")
    return int(digits)


TEXTS: Remembered[bytes, str] = Remembered(padded_text)
JSON_TEXTS: Remembered[bytes, str] = Remembered(json_padded_text)


@cache
def decimals_of(decimals: int) -> Remembered[int, Decimal]:
    """The table of values with so many decimals; there are at most twenty such tables."""
    return Remembered(lambda scaled: decimal_value(scaled, decimals))


@cache
def json_decimals_of(decimals: int) -> Remembered[int, str]:
    return Remembered(lambda scaled: decimal_text(scaled, decimals))


@cache
def json_shorts() -> tuple[str, ...]:
    """The JSON of every unsigned number of two bytes: looking one up is faster than writing it (4 MB)."""
    return tuple(map(str, range(65_536)))

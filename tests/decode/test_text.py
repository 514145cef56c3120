"""Single values as text: exact decimals, and caches that end."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import text
from gateway.decode.text import Remembered, decimal_text


@given(st.integers(-(1 << 63), (1 << 64) - 1), st.integers(1, 20))
def test_a_decimal_has_every_digit_and_its_decimals(scaled: int, decimals: int) -> None:
    written = decimal_text(scaled, decimals)

    assert Decimal(written) == Decimal(scaled).scaleb(-decimals)
    assert len(written.partition(".")[2]) == decimals


def test_what_is_remembered_is_computed_once_and_starts_over_when_full() -> None:
    asked: list[int] = []

    def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    remembered: Remembered[int, int] = Remembered(double)
    for number in range(text.CACHED_MAX):
        assert remembered[number] == 2 * number
    assert remembered[7] == 14
    assert len(asked) == len(remembered) == text.CACHED_MAX

    assert remembered[-1] == -2

    assert len(remembered) == 1
    assert remembered[7] == 14

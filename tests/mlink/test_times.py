"""Times of the envelope, written and read."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mlink.times import TIME_NS_MAX, TimeText, sent_ns_of, utc_text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (999, "1970-01-01 00:00:00.000000"),
        (1_000, "1970-01-01 00:00:00.000001"),
        (1_699_543_583_464_116_999, "2023-11-09 15:26:23.464116"),
        (1_709_164_800_000_000_000, "2024-02-29 00:00:00.000000"),
        (TIME_NS_MAX, "9999-12-31 23:59:59.999999"),
    ],
)
def test_a_time_is_written_in_utc_with_microseconds(ns: int, text: str) -> None:
    assert TimeText()(ns) == text


def test_a_remembered_second_never_leaks_into_another() -> None:
    text = TimeText()

    assert text(1_500_000_000) == "1970-01-01 00:00:01.500000"
    assert text(1_600_000_000) == "1970-01-01 00:00:01.600000"
    assert text(3_000_000_000) == "1970-01-01 00:00:03.000000"
    assert text(1_500_000_000) == "1970-01-01 00:00:01.500000"


@pytest.mark.parametrize("ns", [-1, TIME_NS_MAX + 1])
def test_a_time_outside_of_four_digit_years_is_refused(ns: int) -> None:
    text = TimeText()

    for _ in range(2):  # and is not remembered
        with pytest.raises(ValueError, match="outside of the years"):
            text(ns)


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        ("2023-11-09 15:26:23.464116", 1_699_543_583_464_116_000),
        ("2023-11-09T15:26:23.464116Z", 1_699_543_583_464_116_000),
        ("2023-11-09 16:26:23.464116+01:00", 1_699_543_583_464_116_000),
        ("2023-11-09 15:26:23", 1_699_543_583_000_000_000),
        ("2023-11-09 15:26:23.123456789", 1_699_543_583_123_456_789),
        ("2023-11-09 15:26:23,5", 1_699_543_583_500_000_000),
        (1_699_543_583_464_116_001, 1_699_543_583_464_116_001),
        ("", 0),
        ("yesterday", 0),
        ("2023-13-45 99:99:99", 0),
        ("1969-12-31 23:59:59", 0),
        ("x" * 10_000, 0),
        ("2023-11-09 15:26:23.٣", 0),
        (None, 0),
        (True, 0),
        (-5, 0),
        (10**30, 0),
        (1.5, 0),
        ([], 0),
        ({"a": 1}, 0),
    ],
)
def test_what_a_subscriber_calls_a_time_is_read_or_is_zero(value: Any, ns: int) -> None:
    assert sent_ns_of(value) == ns


@given(st.text(max_size=45) | st.from_regex(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d\.\d*", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_reading_a_time_fail(text: str) -> None:
    assert 0 <= sent_ns_of(text) <= TIME_NS_MAX


@given(st.integers(0, TIME_NS_MAX))
@settings(max_examples=200, deadline=None)
def test_a_written_time_reads_back_to_the_microsecond(ns: int) -> None:
    assert sent_ns_of(utc_text(ns)) == ns // 1000 * 1000

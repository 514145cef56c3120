"""Close codes: one table, valid on the wire, with reasons a person can read."""

import pytest

from gateway.mlink.close_codes import REASON_BYTES_MAX, REASONS, CloseCode, reason_for


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_code_has_a_sentence_and_may_stand_in_a_close_frame(code: CloseCode) -> None:
    assert reason_for(code)
    assert code in REASONS
    assert code in (1000, 1001, 1002, 1007, 1008, 1009, 1011) or 4000 <= code <= 4999


def test_no_two_codes_share_a_sentence() -> None:
    assert len(set(REASONS.values())) == len(CloseCode)


def test_the_codes_of_the_standard_and_of_the_promises_are_these() -> None:
    assert CloseCode.GOING_AWAY == 1001
    assert CloseCode.FLOOD == 1008
    assert CloseCode.TOO_BIG == 1009
    assert CloseCode.TOO_SLOW == 4001
    assert CloseCode.AGED_OUT == 4002


def test_what_is_known_beyond_the_code_is_added() -> None:
    assert reason_for(CloseCode.AGED_OUT, "oldest is 17").endswith(": oldest is 17")


@pytest.mark.parametrize("detail", ["x" * 500, "é" * 500, "€" * 500, "𝄞" * 500, "a𝄞" * 99, "\ud800" * 200])
def test_a_reason_is_cut_to_what_a_close_frame_holds_without_half_a_character(detail: str) -> None:
    reason = reason_for(CloseCode.FLOOD, detail)

    assert len(reason.encode()) <= REASON_BYTES_MAX
    assert len(reason.encode()) > REASON_BYTES_MAX - 4
    assert reason.endswith("…")

"""What the travelling values promise."""

import pytest

from gateway.values import Block

RAW = b"\x00\x02Sa" + b"\x00\x01S" + b"\x00\x04Sbcd"
BLOCK = Block("S1", 7, 3, 0, RAW)


def test_a_block_gives_each_payload_with_its_number() -> None:
    assert list(BLOCK.payloads()) == [(7, b"a"), (8, b""), (9, b"bcd")]
    assert BLOCK.next_seq == 10


def test_the_tail_of_a_block_starts_at_the_number_asked_for() -> None:
    assert BLOCK.tail(7) is BLOCK
    assert BLOCK.tail(3) is BLOCK
    assert list(BLOCK.tail(9).payloads()) == [(9, b"bcd")]


def test_a_tail_behind_the_block_is_an_error_not_an_empty_block() -> None:
    with pytest.raises(ValueError, match=r"holds 7\.\.9, nothing from 10"):
        BLOCK.tail(10)


@pytest.mark.parametrize(("bytes_max", "count"), [(0, 1), (4, 1), (6, 1), (7, 2), (12, 2), (13, 3), (99, 3)])
def test_the_head_of_a_block_is_what_fits_but_at_least_one_message(bytes_max: int, count: int) -> None:
    head = BLOCK.head(bytes_max)

    assert list(head.payloads()) == list(BLOCK.payloads())[:count]

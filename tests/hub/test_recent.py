"""What is kept of views' newest messages: whole from some number on, bounded, and extended backwards."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.hub.recent import Recent
from gateway.values import Block

ALL = Block("S1", 1, 1_000, 0, b"")


def recent(from_seq: int, seqs: list[int], keep: int = 10, id_byte: int = 7) -> Recent:
    made = Recent(from_seq, keep)
    for seq in seqs:
        made.add((seq, bytes((id_byte, seq))))
    return made


def seqs_of(made: Recent) -> list[int]:
    return [seq for seq, _ in made.of(ALL)]


def test_it_gives_what_a_blocks_messages_caused() -> None:
    made = recent(1, [3, 4, 9])

    assert [seq for seq, _ in made.of(Block("S1", 4, 5, 0, b""))] == [4]
    assert made.of(Block("S1", 4, 6, 0, b"")) == [(4, b"\7\4"), (9, b"\7\x09")]


def test_what_is_above_twice_its_limit_goes_and_it_says_from_where_it_is_whole() -> None:
    made = recent(1, list(range(2, 22)))

    assert (made.from_seq, seqs_of(made)) == (12, list(range(12, 22)))


def test_older_ones_put_in_front_make_it_whole_from_farther_back() -> None:
    made, older = recent(50, [52, 60]), recent(20, [21, 30, 49, 52])

    made.put_in_front(older, 7)

    assert (made.from_seq, seqs_of(made)) == (20, [21, 30, 49, 52, 60])


def test_ones_of_other_views_are_left_out() -> None:
    made, older = recent(50, [52]), recent(20, [21], id_byte=8)

    made.put_in_front(older, 7)

    assert (made.from_seq, seqs_of(made)) == (20, [52])


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(1, 99)), st.integers(1, 99), st.integers(1, 99), st.integers(1, 12))
def test_it_has_all_from_where_it_says_on_and_never_too_many(
    seqs: set[int], begin: int, join: int, keep: int
) -> None:
    ordered = sorted(seqs)
    begin, join = min(begin, join), max(begin, join)
    made = recent(join, [seq for seq in ordered if seq >= join], keep)
    older = recent(begin, [seq for seq in ordered if begin <= seq], keep)

    made.put_in_front(older, 7)

    assert seqs_of(made) == [seq for seq in ordered if seq >= made.from_seq]
    assert len(made) < 2 * keep
    made.add((100, b"\7d"))
    assert seqs_of(made) == [seq for seq in [*ordered, 100] if seq >= made.from_seq]


def test_a_number_with_messages_of_several_views_is_whole_or_not_claimed() -> None:
    made = recent(1, [1, 2, 3, 3, 4, 5], keep=3)

    assert made.from_seq == 4
    assert [seq for seq, _ in made.of(Block("S1", made.from_seq, 10, 0, b""))] == [4, 5]

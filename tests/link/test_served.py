"""What a served session keeps, and how a cursor walks through it. No sockets."""

import pytest

from gateway.errors import LocalProtocolError
from gateway.link.served import CHUNK_BYTES, HistoryLost, ServedSession
from gateway.values import Block


def payload(seq: int) -> bytes:
    return b"%06d" % seq


def filled(count: int, **settings: int) -> ServedSession:
    served = ServedSession("TODAY01", **settings)
    served.extend(payload(seq) for seq in range(1, count + 1))
    return served


def all_behind(served: ServedSession, from_seq: int) -> list[tuple[int, bytes]]:
    cursor, found = served.cursor(from_seq), []
    while True:
        first_seq = cursor.next_seq
        if (piece := served.read(cursor)) is None:
            return found
        raw, count = piece
        found += Block("", first_seq, count, 0, raw).payloads()


def test_numbers_start_at_1_and_grow_by_one() -> None:
    served = ServedSession("TODAY01")

    assert served.next_seq == 1
    assert served.append(b"a") == 1
    assert served.append(b"b") == 2
    assert served.extend([b"c", b"d"]) == 5
    assert served.extend([]) == 5
    assert served.next_seq == 5


@pytest.mark.parametrize("from_seq", range(1, 12))
def test_a_cursor_starts_at_any_number_held_or_next(from_seq: int) -> None:
    served = filled(10)

    assert all_behind(served, from_seq) == [(seq, payload(seq)) for seq in range(from_seq, 11)]


@pytest.mark.parametrize("from_seq", [-1, 0, 12])
def test_a_cursor_elsewhere_is_refused(from_seq: int) -> None:
    with pytest.raises(ValueError, match=f"number {from_seq} asked for, 1 to 11 can be had"):
        filled(10).cursor(from_seq)


def test_a_cursor_at_the_end_goes_on_when_more_comes() -> None:
    served = filled(1)
    cursor = served.cursor(2)
    assert served.read(cursor) is None

    served.append(b"more")

    assert served.read(cursor) == (b"\x00\x05Smore", 1)
    assert served.read(cursor) is None


def test_chunks_join_without_a_seam() -> None:
    served = ServedSession("TODAY01")
    big = [bytes([seq]) * 60_000 for seq in range(20)]
    for one in big:
        served.append(one)

    assert [found for _, found in all_behind(served, 1)] == big
    assert all_behind(served, 6)[0] == (6, big[5])
    cursor = served.cursor(1)
    raw, count = served.read(cursor) or (b"", 0)
    assert (len(raw), count) == (5 * 60_003, 5)
    assert len(raw) >= CHUNK_BYTES


@pytest.mark.parametrize(("size", "count"), [(36, 30_000), (20_000, 600)])
def test_however_much_is_added_at_once_comes_out_in_pieces_that_a_write_buffer_bears(
    size: int, count: int
) -> None:
    served = ServedSession("TODAY01")
    served.extend(b"x" * size for _ in range(count))
    cursor, pieces = served.cursor(1), []

    while (piece := served.read(cursor)) is not None:
        pieces.append(piece)

    assert sum(of_piece for _, of_piece in pieces) == count
    assert max(len(raw) for raw, _ in pieces) < 2 * CHUNK_BYTES


def test_followers_at_the_end_share_one_copy_of_what_is_new() -> None:
    served = filled(3)
    first, second = served.cursor(2), served.cursor(2)

    one, other = served.read(first), served.read(second)

    assert one is not None
    assert other is not None
    assert one[0] is other[0]
    served.append(b"new")
    assert served.read(served.cursor(2)) == (one[0] + b"\x00\x04Snew", 3)
    assert served.read(first) == (b"\x00\x04Snew", 1)


def test_above_its_limit_the_oldest_messages_go_and_can_t_be_asked_for() -> None:
    served = ServedSession("TODAY01", history_bytes_max=CHUNK_BYTES * 2)
    stuck = served.cursor(1)
    for _ in range(30):
        served.append(b"x" * 60_000)

    assert served.oldest_seq > 1
    with pytest.raises(ValueError, match=f"number 1 asked for, {served.oldest_seq} to 31 can be had"):
        served.cursor(1)
    with pytest.raises(HistoryLost, match=f"number 1 is no longer held, the oldest is {served.oldest_seq}"):
        served.read(stuck)
    assert [seq for seq, _ in all_behind(served, served.oldest_seq)] == list(range(served.oldest_seq, 31))


def test_an_ended_session_takes_no_more_messages() -> None:
    served = filled(1)

    served.end()

    assert served.ended
    with pytest.raises(LocalProtocolError, match="session 'TODAY01' has ended"):
        served.append(b"late")


async def test_the_backlog_is_that_of_the_slowest_follower() -> None:
    served = filled(10)
    slow, fast = served.cursor(3), served.cursor(11)
    served.follow(slow, lambda: None)
    served.follow(fast, lambda: None)

    assert (served.followers, served.backlog) == (2, 8)
    served.unfollow(slow)
    assert (served.followers, served.backlog) == (1, 0)


async def test_followers_are_called_once_for_all_that_one_turn_of_the_loop_appended() -> None:
    served, calls = filled(0), []
    cursor = served.cursor(1)

    def on_more() -> None:
        calls.append(served.read(cursor))
        served.moved()

    served.follow(cursor, on_more)
    served.append(b"a")
    served.extend([b"b", b"c"])
    await served.caught_up()

    assert calls == [(b"\x00\x02Sa\x00\x02Sb\x00\x02Sc", 3)]


async def test_nobody_waits_for_followers_that_are_gone() -> None:
    served = filled(5)
    cursor = served.cursor(1)
    served.follow(cursor, lambda: served.unfollow(cursor))
    served.append(b"wakes the follower, who leaves")

    await served.caught_up()

    assert served.followers == 0

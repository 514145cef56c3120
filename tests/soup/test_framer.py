"""Where packets end: by hand, and for any packets cut anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.soup import Framer, Packet


def take_all(framer: Framer) -> list[Packet]:
    """Everything that can be taken, runs first as a session does it, as single packets."""
    taken: list[Packet] = []
    while True:
        if (run := framer.take_run()) is not None:
            count, raw = run
            singles = split(raw)
            assert len(singles) == count
            assert all(packet.kind == ord("S") for packet in singles)
            taken += singles
        if (packet := framer.next_packet()) is None:
            return taken
        taken.append(packet)


def split(raw: bytes) -> list[Packet]:
    packets, at = [], 0
    while at < len(raw):
        size = raw[at] * 256 + raw[at + 1]
        packets.append(Packet(raw[at + 2], raw[at + 3 : at + 2 + size]))
        at += 2 + size
    return packets


def test_a_packet_is_its_type_and_what_follows() -> None:
    framer = Framer()

    framer.feed(b"\x00\x04Sabc\x00\x01H")

    assert framer.next_packet() == Packet(ord("S"), b"abc")
    assert framer.next_packet() == Packet(ord("H"), b"")
    assert framer.next_packet() is None
    assert framer.pending == 0


def test_a_run_is_all_sequenced_packets_up_to_another_one_in_one_slice() -> None:
    framer = Framer()

    framer.feed(b"\x00\x02Sa\x00\x01S\x00\x03Sbc" + b"\x00\x01H" + b"\x00\x02Sd" + b"\x00\x09Spart")

    assert framer.take_run() == (3, b"\x00\x02Sa\x00\x01S\x00\x03Sbc")
    assert framer.take_run() is None
    assert framer.next_packet() == Packet(ord("H"), b"")
    assert framer.take_run() == (1, b"\x00\x02Sd")
    assert framer.take_run() is None
    assert framer.next_packet() is None
    assert framer.pending == 7


def test_a_run_that_is_the_whole_read_is_not_copied() -> None:
    framer, data = Framer(), b"\x00\x02Sa" * 100

    framer.feed(data)

    run = framer.take_run()
    assert run is not None
    assert run[1] is data


def test_length_0_is_named_behind_the_good_packets_and_needs_no_third_byte() -> None:
    framer = Framer()

    framer.feed(b"\x00\x02Sa\x00\x00")

    assert framer.take_run() == (1, b"\x00\x02Sa")
    with pytest.raises(RemoteProtocolError, match="packet of length 0 has no type byte"):
        framer.next_packet()


def test_length_0_before_a_byte_that_looks_like_sequenced_is_not_a_message() -> None:
    framer = Framer()

    framer.feed(b"\x00\x00S\x00\x01S")

    assert framer.take_run() is None
    with pytest.raises(RemoteProtocolError, match="length 0"):
        framer.next_packet()


def test_the_largest_packet_may_come_a_byte_at_a_time() -> None:
    framer = Framer()
    packet = b"\xff\xffS" + b"x" * 65_534

    for at in range(len(packet) - 1):
        framer.feed(packet[at : at + 1])
        assert framer.take_run() is None
        assert framer.next_packet() is None
    framer.feed(packet[-1:])

    assert framer.take_run() == (1, packet)


def test_what_was_not_taken_is_still_there_after_the_next_feed() -> None:
    framer = Framer()

    framer.feed(b"\x00\x02Sa\x00\x02Sb")
    framer.feed(b"\x00\x02Sc\x00")
    framer.feed(b"\x01H")

    assert framer.take_run() == (3, b"\x00\x02Sa\x00\x02Sb\x00\x02Sc")
    assert framer.next_packet() == Packet(ord("H"), b"")
    assert framer.pending == 0


PACKETS = st.lists(
    st.builds(Packet, st.sampled_from(b"SSSSHU+AZ"), st.one_of(st.binary(max_size=20), st.just(b"y" * 300))),
    max_size=30,
)


@settings(deadline=None, max_examples=200)
@given(PACKETS, st.data())
def test_any_packets_cut_anywhere_come_out_as_they_went_in(
    packets: list[Packet], data: st.DataObject
) -> None:
    stream = b"".join(
        (1 + len(payload)).to_bytes(2, "big") + bytes([kind]) + payload for kind, payload in packets
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    framer, taken = Framer(), []

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        framer.feed(stream[start:end])
        taken += take_all(framer)

    assert taken == packets
    assert framer.pending == 0


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_bytes_give_the_same_packets_and_the_same_error_however_they_are_cut(
    noise: bytes, cut: int
) -> None:
    def outcome(*parts: bytes) -> tuple[list[Packet], bool, int]:
        framer, taken = Framer(), []
        try:
            for part in parts:
                framer.feed(part)
                while (packet := framer.next_packet()) is not None:
                    taken.append(packet)
        except RemoteProtocolError:
            return taken, True, 0
        return taken, False, framer.pending

    assert outcome(noise[:cut], noise[cut:]) == outcome(noise)

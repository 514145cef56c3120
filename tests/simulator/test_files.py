"""ITCH files are read whole as far as they are whole, and the way they end is told."""

import gzip
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.files import ItchFile, messages_of, time_ns_of

MESSAGES = [b"S" * 12, b"D" * 19, b"A" * 36, b"!"]
STREAM = b"".join(len(message).to_bytes(2, "big") + message for message in MESSAGES)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "day.itch"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 20, 1 << 18])
def test_messages_do_not_depend_on_how_the_file_is_packed_and_read(
    tmp_path: Path, chunk_size: int, pack: "type[bytes]"
) -> None:
    file = ItchFile(written(tmp_path, pack(STREAM)), chunk_size)

    assert list(file) == MESSAGES
    assert file.messages == 4
    assert file.damage is None


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_truncated_end_is_reported_and_all_whole_messages_are_given(tmp_path: Path, cut: int) -> None:
    ends = [sum(2 + len(message) for message in MESSAGES[:count]) for count in range(5)]
    file = ItchFile(written(tmp_path, STREAM[:cut]))

    got = list(file)

    assert got == MESSAGES[: sum(end <= cut for end in ends[1:])]
    assert (file.damage is None) == (cut in ends)


def test_the_report_says_how_much_of_the_last_message_is_there(tmp_path: Path) -> None:
    inside_message = ItchFile(written(tmp_path, STREAM[:20]))
    assert list(inside_message) == MESSAGES[:1]
    assert inside_message.damage == "the file is cut short inside a message: 4 bytes of 19"

    inside_length = ItchFile(written(tmp_path, STREAM[:15]))
    assert list(inside_length) == MESSAGES[:1]
    assert inside_length.damage == "the file is cut short inside a length: 1 byte of 2"


@pytest.mark.parametrize("cut", [1, 4, 9, 12])
def test_gzip_data_cut_short_gives_what_it_holds(tmp_path: Path, cut: int) -> None:
    file = ItchFile(written(tmp_path, gzip.compress(STREAM)[:-cut]))

    got = list(file)

    assert got == MESSAGES[: len(got)]
    assert file.damage == "the gzip data is cut short"
    assert len(got) == 4 or cut > 8


def test_gzip_data_with_a_flipped_bit_is_reported(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(STREAM))
    packed[-6] ^= 1  # inside the checksum
    file = ItchFile(written(tmp_path, bytes(packed)))

    assert list(file) == MESSAGES
    assert file.damage is not None
    assert "damaged" in file.damage


def test_a_length_of_zero_ends_the_file_on_purpose(tmp_path: Path) -> None:
    file = ItchFile(written(tmp_path, STREAM + b"\0\0"))

    assert list(file) == MESSAGES
    assert file.damage is None


@pytest.mark.parametrize("chunk_size", [1, len(STREAM) + 2, 1 << 18])
def test_what_follows_a_length_of_zero_is_not_played_and_not_passed_over_in_silence(
    tmp_path: Path, chunk_size: int
) -> None:
    file = ItchFile(written(tmp_path, STREAM + b"\0\0" + STREAM), chunk_size)

    assert list(file) == MESSAGES
    assert file.damage == "a length of 0 that ends it, with more behind"


def test_a_message_that_no_packet_can_hold_ends_the_file_and_is_told(tmp_path: Path) -> None:
    largest = b"\xff\xfe" + b"!" * 65_534
    file = ItchFile(written(tmp_path, STREAM + largest + b"\xff\xff" + b"?" * 65_535 + STREAM))

    assert list(file) == [*MESSAGES, b"!" * 65_534]
    assert file.damage == "a message of 65535 bytes, a packet holds at most 65534"


def test_an_empty_file_has_no_messages_and_no_damage(tmp_path: Path) -> None:
    file = ItchFile(written(tmp_path, b""))

    assert list(file) == []
    assert file.damage is None


def test_a_file_that_is_not_there_is_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.itch can't be read: No such file"):
        ItchFile(tmp_path / "nowhere.itch")
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        ItchFile(tmp_path)


def test_files_are_played_one_after_the_other_and_how_each_ended_is_told(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.write_bytes(STREAM)
    cut.write_bytes(STREAM[:20])
    notes: list[str] = []

    messages = list(messages_of([ItchFile(whole), ItchFile(cut)], notes.append))

    assert messages == [*MESSAGES, MESSAGES[0]]
    assert notes == [
        f"file {whole}: 4 whole messages",
        f"file {cut}: 1 whole message, then the file is cut short inside a message: 4 bytes of 19",
    ]


def test_a_real_file_is_read_whole(itch_data: Path) -> None:
    file = ItchFile(itch_data / "aapl-20200130-10001.itch")

    messages = list(file)

    assert len(messages) == file.messages == 10_001
    assert file.damage is None
    assert messages[0][11:19] == b"AAPL    "


def test_the_time_stamp_is_six_bytes_from_the_sixth() -> None:
    assert time_ns_of(bytes.fromhex("53 0000 0000 1f1aced9f0e6 51")) == 0x1F1ACED9F0E6
    assert time_ns_of(b"short") is None

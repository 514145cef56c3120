"""Compressed messages: golden bytes, the same messages after inflating, and made once for all."""

import zlib

import pytest

from gateway.hub.wire import binary_message
from gateway.net.deflate import WORTH_BYTES, Deflater, compressed, deflated


def inflated(data: bytes) -> list[tuple[int, bytes]]:
    """(first byte, payload) of each message, each inflated without what came before it."""
    found = []
    while data:
        first, size, at = data[0], data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        payload = data[at : at + size]
        if first & 0x40:
            payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
        found.append((first, payload))
        data = data[at + size :]
    return found


def test_the_example_of_rfc_7692_has_its_bytes() -> None:
    assert compressed(memoryview(b"Hello")) == bytes.fromhex("f248cdc9c90700")


@pytest.mark.parametrize("size", [0, 1, 125, 126, WORTH_BYTES - 1, WORTH_BYTES, 65_535, 65_536, 200_000])
def test_messages_of_any_size_come_out_as_they_went_in(size: int) -> None:
    payload = (b'{"header":{"mTyp":"AddOrder"}}' * (size // 30 + 1))[:size]
    between = b"x" * 10

    out = inflated(deflated(binary_message(payload) + binary_message(between) + binary_message(payload)))

    first = 0xC2 if size >= WORTH_BYTES else 0x82
    assert out == [(first, payload), (0x82, between), (first, payload)]


def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    noise = bytes((at * 167 + at * at * 31 + (at >> 3) * 89) % 256 for at in range(300))
    message = binary_message(zlib.compress(noise, 9))

    assert deflated(message) == message


def test_the_same_bytes_are_compressed_once() -> None:
    deflater = Deflater()
    message = binary_message(b"again and again " * 100)

    first = deflater.of(message)

    assert deflater.of(message) is first
    assert inflated(deflater.of(binary_message(b"another " * 100))) == [(0xC2, b"another " * 100)]

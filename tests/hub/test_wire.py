"""How frames become WebSocket messages: golden bytes after RFC 6455 section 5.2, and joining."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import OPEN, Side
from websockets.protocol import Protocol as SansIo

from gateway.hub.wire import MESSAGE_BYTES_MAX, binary_message, joined_messages, single_messages


def messages_in(data: bytes) -> list[bytes]:
    """What the websockets library reads as a client."""
    reader = SansIo(Side.CLIENT, state=OPEN, max_size=None)
    reader.receive_data(data)
    frames = reader.events_received()
    assert all(frame.opcode is Opcode.BINARY and frame.fin for frame in frames)
    return [bytes(frame.data) for frame in frames]


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_binary_message_has_the_header_of_the_rfc(size: int, header: bytes) -> None:
    payload = b"x" * size

    assert binary_message(payload) == header + payload


@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=12))
def test_frames_are_joined_in_order_and_no_frame_straddles_two_messages(sizes: list[int]) -> None:
    frames = [chr(ord("a") + at) * size for at, size in enumerate(sizes)]

    messages = messages_in(joined_messages(frames))

    assert b"".join(messages) == "".join(frames).encode()
    for message in messages:
        inside = [frame for frame in frames if frame.encode() in message]
        assert sum(map(len, inside)) == len(message)
        assert len(message) <= MESSAGE_BYTES_MAX or len(inside) == 1


def test_frames_that_fit_leave_in_one_message_and_one_byte_more_makes_two() -> None:
    fits = ["a" * 65_000, "b" * 535]

    assert len(messages_in(joined_messages(fits))) == 1
    assert len(messages_in(joined_messages([*fits, "c"]))) == 2


def test_unframed_objects_have_a_message_each() -> None:
    assert messages_in(single_messages(['{"a":1}', "{}"])) == [b'{"a":1}', b"{}"]

"""Frames out and messages in: golden bytes, tolerances, and what hostile input ends in."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest, LocalProtocolError
from gateway.mlink.frames import (
    HEADER,
    HEADER_SIZE,
    MENDED_TOKENS_MAX,
    PAYLOAD_BYTES_MAX,
    BadFrame,
    BadJson,
    FrameTooLong,
    InputReader,
    MessageTooBig,
    frame,
    frame_text,
)


def read_all(message: bytes | str, **limits: int) -> list[dict[str, Any]]:
    return list(InputReader(**limits).feed(message))


SIGNAL = {"header": {"mTyp": "MLinkSignalReady"}, "message": {}}
SIGNAL_TEXT = '{"header":{"mTyp":"MLinkSignalReady"},"message":{}}'


# --- out


def test_a_frame_has_the_bytes_of_the_specification() -> None:
    payload = b"{" + b" " * 421 + b"}"

    assert frame(payload, 2785) == b"\r\nJ02785000423" + payload
    assert frame(b"{}") == b"\r\nJ00000000002{}"
    assert len(frame(b"")) == HEADER_SIZE
    assert frame(b"{}").startswith(HEADER)


def test_the_length_counts_bytes_not_characters() -> None:
    assert frame('{"a":"é"}'.encode()) == b'\r\nJ00000000010{"a":"\xc3\xa9"}'


def test_text_and_bytes_give_the_same_frame() -> None:
    assert frame_text('{"a":1}').encode() == frame(b'{"a":1}')


def test_text_that_is_not_ascii_is_our_own_bug() -> None:
    with pytest.raises(LocalProtocolError, match="ASCII"):
        frame_text('{"a":"é"}')


def test_the_largest_payload_fits_and_one_byte_more_is_named() -> None:
    assert frame(b"x" * PAYLOAD_BYTES_MAX)[:14] == b"\r\nJ00000999999"
    with pytest.raises(FrameTooLong, match="1000000 bytes"):
        frame(b"x" * (PAYLOAD_BYTES_MAX + 1))
    with pytest.raises(FrameTooLong, match="1000000 bytes"):
        frame_text("x" * (PAYLOAD_BYTES_MAX + 1))


@pytest.mark.parametrize("number", [-1, 100_000])
def test_a_message_number_of_more_than_five_digits_is_our_own_bug(number: int) -> None:
    with pytest.raises(LocalProtocolError, match="expected 0 to 99999"):
        frame(b"{}", number)


# --- in


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(SIGNAL_TEXT, id="unframed"),
        pytest.param(f" \r\n\t{SIGNAL_TEXT}\r\n", id="unframed with space around it"),
        pytest.param(f"\r\nJ00000{len(SIGNAL_TEXT):06d}{SIGNAL_TEXT}", id="number and length"),
        pytest.param(f"\r\nJ03410{len(SIGNAL_TEXT):06d}{SIGNAL_TEXT}", id="a number of its own"),
        pytest.param(f"\r\nJ{len(SIGNAL_TEXT):011d}{SIGNAL_TEXT}", id="eleven digits"),
        pytest.param(f"J{len(SIGNAL_TEXT):011d}{SIGNAL_TEXT}", id="eleven digits without line break"),
    ],
)
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_framed_and_unframed_text_and_binary_are_taken(message: str, binary: bool) -> None:
    assert read_all(message.encode() if binary else message) == [SIGNAL]


def test_several_frames_in_one_message_come_out_in_order() -> None:
    message = b"".join(frame(b'{"n":%d}' % n) for n in range(5))

    assert read_all(message) == [{"n": n} for n in range(5)]


def test_good_frames_in_front_of_a_broken_one_come_out_first() -> None:
    values = InputReader().feed(frame(b'{"n":1}') + b"\r\nJ0000x000002{}")

    assert next(values) == {"n": 1}
    with pytest.raises(BadFrame, match="position 21"):
        next(values)


def test_a_line_break_inside_a_payload_is_not_the_start_of_a_frame() -> None:
    assert read_all(frame(b'{"a":\r\n1}')) == [{"a": 1}]


@pytest.mark.parametrize("gap", ["", " ", "\r\n\t"])
@pytest.mark.parametrize("name", ["Subscribe", "Unsubscribe", "View"])
def test_a_missing_comma_between_objects_of_a_subscribe_list_is_mended(name: str, gap: str) -> None:
    objects = ['{"k":"a"}', '{"k":"}{"}', '{"k":{"x":1}}', '{"k":"\\"}{"}']
    text = '{"message":{"' + name + '":[' + gap.join(objects) + "]}}"

    items = [{"k": "a"}, {"k": "}{"}, {"k": {"x": 1}}, {"k": '"}{'}]
    assert read_all(text) == [{"message": {name: items}}]


def test_a_list_without_commas_is_mended_up_to_a_thousand_items_and_not_without_end() -> None:
    item = '{"msgName":"StockDirectory","msgPKey":"AAPL","highwaterTs":-1}'

    assert len(read_all('{"Subscribe":[' + item * 1_000 + "]}")[0]["Subscribe"]) == 1_000
    with pytest.raises(BadJson, match=r"position \d+"):
        read_all('{"Subscribe":[' + "{}" * MENDED_TOKENS_MAX + "]}")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}{"b":2}',
        '{"other":[{"a":1}{"b":2}]}',
        '{"Subscribe":{"a":{"b":1}{"c":2}}}',
        '{"Subscribe":[[{"a":1}{"b":2}]]}',
        '{"Subscribe":["a" "b"]}',
        '{"Subscribe":[{"a":1}{"b":2}}',
        '{"Subscribe":[{"a":1}{"b":2}]',
    ],
)
def test_a_missing_comma_elsewhere_is_an_error(text: str) -> None:
    with pytest.raises(BadJson, match=r"position \d+"):
        read_all(text)


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        pytest.param(b"", BadFrame, "empty, expected a frame or one JSON object", id="empty"),
        pytest.param("", BadFrame, "empty", id="empty text"),
        pytest.param(b" ", BadJson, "position 0", id="only a space"),
        pytest.param(b"\r\n", BadJson, "position 0", id="only a line break"),
        pytest.param(b"J", BadFrame, "position 0: 'J', expected a frame header", id="header cut"),
        pytest.param(b"\r\nJ0000000000", BadFrame, "expected a frame header", id="header one short"),
        pytest.param(b"\r\nJ00000000003{}", BadFrame, "says 3 bytes .*, 2 follow", id="length too long"),
        pytest.param(b"\r\nJ00000000001{}", BadJson, "position 15", id="length too short"),
        pytest.param(b"\r\nJ00000000000", BadJson, "position 14: nothing, expected", id="length 0"),
        pytest.param(b"\r\nJ-0000000002{}", BadFrame, "expected a frame header", id="sign in the length"),
        pytest.param(
            "\r\nJ00000٠٠٠٠٠٢{}", BadFrame, "expected a frame header", id="digits of another script"
        ),
        pytest.param(b"\r\nJ99999999999{}", BadFrame, "says 999999 bytes", id="all nines"),
        pytest.param(
            b"\r\nP00000000002{}", BadFrame, r"position 2: protocol 'P', expected 'J'", id="protobuf"
        ),
        pytest.param(b"\r\nJ00000000002{}\r\n", BadFrame, "position 16", id="left over line break"),
        pytest.param(b"\r\nJ00000000002{}{}", BadFrame, "position 16", id="left over object"),
        pytest.param(b"\r\nJ00000000002[]", BadJson, "position 14: a list, expected a JSON obj", id="a list"),
        pytest.param(b"[]", BadJson, "a list, expected a JSON object", id="unframed list"),
        pytest.param(b'"x"', BadJson, "a plain value, expected a JSON object", id="a string"),
        pytest.param(b"NaN", BadJson, "position 0", id="NaN"),
        pytest.param(b'{"a":NaN}', BadJson, "position 5", id="NaN inside"),
        pytest.param(b'{"a":Infinity}', BadJson, "position 5", id="infinity"),
        pytest.param(b'{"a":1e999}', BadJson, "position 5", id="beyond a double"),
        pytest.param(b'{"a":%s}' % (b"1" * 400), BadJson, "position 5", id="400 digits"),
        pytest.param(b'{"a":"\xff"}', BadJson, "position 6: byte 0xff, expected UTF-8", id="not UTF-8"),
        pytest.param(b'{"\xc3\xa9":x}', BadJson, "position 6", id="positions are bytes"),
        pytest.param(b'{"a":"\x00"}', BadJson, "position 6", id="NUL"),
        pytest.param(b"{}\x00", BadJson, "position 2", id="NUL behind it"),
        pytest.param(b"\x00", BadJson, "position 0", id="only NUL"),
        pytest.param(b"\xef\xbb\xbf{}", BadJson, "position 0", id="byte order mark"),
        pytest.param('{"a":"\ud800"}', BadJson, "position 6: half of a surrogate pair", id="surrogate"),
        pytest.param(b'{"a":"\\ud800"}', BadJson, r"position \d+", id="escaped surrogate"),
        pytest.param(b'{"a":' * 17 + b"1" + b"}" * 17, BadJson, "deeper than the 16", id="17 deep"),
        pytest.param(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", BadJson, "deeper", id="500 deep"),
        pytest.param(b'{"a":' + b"[" * 60_000, BadJson, r"position \d+", id="60,000 deep"),
        pytest.param(b'"' + b'\\"' * 30_000 + b"}{", BadJson, r"position \d+", id="a string without end"),
    ],
)
def test_hostile_input_ends_in_a_bad_request_with_its_position(
    message: bytes | str, error: type[BadRequest], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_all(message)


def test_sixteen_levels_are_taken() -> None:
    assert read_all(b'{"a":' * 16 + b"1" + b"}" * 16)


@pytest.mark.parametrize("message", [b"x" * 101, "x" * 101, "é" * 51], ids=["bytes", "text", "bytes of text"])
def test_a_message_above_the_limit_is_too_big(message: bytes | str) -> None:
    with pytest.raises(MessageTooBig, match=r"10[12] bytes, at most 100"):
        read_all(message, message_bytes_max=100)


def test_a_message_at_the_limit_is_taken() -> None:
    assert read_all(b'{"a":%s}' % (b" " * 93 + b"1"), message_bytes_max=100) == [{"a": 1}]


def test_a_large_number_a_double_holds_is_left_to_the_field_to_refuse() -> None:
    assert read_all(b'{"a":1e308}') == [{"a": 1e308}]


# --- properties

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
OBJECTS = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_size=4,
)


@given(st.lists(st.tuples(OBJECTS, st.integers(0, 99_999)), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_was_framed_is_read_back(values: list[tuple[dict[str, Any], int]]) -> None:
    message = b"".join(frame(orjson.dumps(value), number) for value, number in values)

    assert read_all(message) == [value for value, _ in values]


STREAM = [{"n": 1, "s": "é\r\nJ"}, {"Subscribe": [{"a": 1}, {"b": 2}]}, {}]
STREAM_BYTES = b"".join(frame(json.dumps(value).encode(), 7) for value in STREAM)


@pytest.mark.parametrize("cut", range(1, len(STREAM_BYTES)))
def test_every_cut_is_refused_or_read_whole(cut: int) -> None:
    sizes = [len(frame(json.dumps(value).encode())) for value in STREAM]
    whole = {sum(sizes[:count]): STREAM[:count] for count in range(1, len(STREAM))}

    if cut in whole:
        assert read_all(STREAM_BYTES[:cut]) == whole[cut]
    else:
        with pytest.raises(BadRequest):
            read_all(STREAM_BYTES[:cut])


@pytest.mark.parametrize("cut", range(1, len(STREAM_BYTES)))
def test_the_rest_behind_every_cut_is_refused_or_read_whole(cut: int) -> None:
    try:
        found = read_all(STREAM_BYTES[cut:])
    except BadRequest:
        return

    assert found
    assert found == STREAM[-len(found) :]


NOISE = (
    st.binary(max_size=60)
    | st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["\r\n", "J", "00000", "000002", "{", "}", "[", "]", '"', "\\", ",", ":", "Subscribe", "1e5"]
        ),
        max_size=30,
    ).map("".join)
)


@given(NOISE, st.booleans())
@settings(max_examples=500, deadline=None)
def test_noise_never_ends_in_another_error(noise: bytes | str, framed: bool) -> None:
    message = noise
    if framed:
        payload = noise.encode("utf-8", "surrogatepass") if isinstance(noise, str) else noise
        message = frame(payload)

    try:
        found = read_all(message)
    except BadRequest:
        return
    assert all(isinstance(value, dict) for value in found)

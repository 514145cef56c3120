"""For any definition and any values: bytes and back, JSON and back, and no cut goes unnoticed."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.decode import Codecs, MessageCodec
from gateway.definitions import read_definitions
from gateway.errors import DecodeError
from tests.decode.definitions_at_random import any_definition

THOROUGH = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def codec_of(xml: str) -> MessageCodec:
    return Codecs(read_definitions(xml.encode(), "any.xml")).by_name["any"]


def as_json_has_it(value: Any) -> Any:
    """What a JSON parser makes of numbers with decimals."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [as_json_has_it(each) for each in value]
        case dict():
            return {name: as_json_has_it(each) for name, each in value.items()}
        case _:
            return value


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


@given(st.data())
@THOROUGH
def test_values_go_to_bytes_to_json_and_back_unharmed(data: st.DataObject) -> None:
    definition = data.draw(any_definition())
    values = data.draw(definition.values)
    codec = codec_of(definition.xml)

    payload = codec.encode(values)
    raw, start, end = b"\x01" * 9 + payload + b"\x01" * 9, 9, 9 + len(payload)
    written = "{" + codec.write(raw, start, end) + "}"

    assert payload[0] == ord("M")
    assert codec.decode(raw, start, end) == values
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written, parse_float=Decimal) == values
    assert orjson.loads(written) == as_json_has_it(values)
    assert list(orjson.loads(written)) == definition.names


@given(st.data())
@THOROUGH
def test_some_fields_are_read_as_in_the_whole(data: st.DataObject) -> None:
    definition = data.draw(any_definition())
    values = data.draw(definition.values)
    codec = codec_of(definition.xml)
    wanted = data.draw(st.sets(st.sampled_from(sorted(codec.field_types)))) if codec.field_types else set()
    payload = codec.encode(values)

    some = codec.decode_fields(wanted)(payload, 0, len(payload))
    viewed = orjson.loads("{" + codec.writer(wanted)(payload, 0, len(payload)) + "}")

    expected = {name: value for name, value in flat(values).items() if name in wanted}
    assert some == expected
    assert flat(viewed) == as_json_has_it(expected)
    for name, value in some.items():
        assert isinstance(value, codec.field_types[name])


@given(st.data())
@THOROUGH
def test_a_message_cut_anywhere_or_with_bytes_left_over_is_a_decode_error(data: st.DataObject) -> None:
    definition = data.draw(any_definition())
    values = data.draw(definition.values)
    codec = codec_of(definition.xml)
    payload = codec.encode(values)
    # Without its optional tail, or with a part of it, a message is whole too.
    whole = {len(payload): values}
    for name in reversed(definition.optional):
        values = {other: value for other, value in values.items() if other != name}
        whole[len(codec.encode(values))] = values

    for end in range(1, len(payload) + 4):
        # What stands behind the message is there to be read by mistake.
        raw = payload + b"\x00\x00\x00\x00"
        if end in whole:
            assert codec.decode(raw, 0, end) == whole[end]
            continue
        for read in (codec.decode, codec.write, codec.check):
            with pytest.raises(DecodeError, match=r"^Any"):
                read(raw, 0, end)


@given(st.data(), st.binary(max_size=60))
@THOROUGH
def test_any_bytes_are_a_message_or_a_decode_error(data: st.DataObject, body: bytes) -> None:
    codec = codec_of(data.draw(any_definition()).xml)
    payload = b"M" + body

    try:
        values = codec.decode(payload, 0, len(payload))
    except DecodeError:
        with pytest.raises(DecodeError):
            codec.write(payload, 0, len(payload))
    else:
        written = json.loads("{" + codec.write(payload, 0, len(payload)) + "}", parse_float=Decimal)
        assert written == values

"""Random messages of all shipped definitions: the independent decoder and the compiled ones agree.

Real data exist for ITCH only; here every message of every direction gets random bytes.
"""

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.definitions.model import Direction
from gateway.errors import DecodeError
from tests.golden.reference_decoder import ReferenceDecoder, load_facts

ROUNDS = 20


def appendage(facts: dict[str, Any], dice: random.Random) -> bytes:
    tags = dice.sample(facts["appendage"]["tags"], dice.randrange(5))
    values = b"".join(bytes([1 + tag["size"], tag["tag"]]) + dice.randbytes(tag["size"]) for tag in tags)
    return len(values).to_bytes(2, "big") + values


def payloads_of(fact: dict[str, Any], facts: dict[str, Any], dice: random.Random) -> list[bytes]:
    """One random message, and its shorter forms."""
    length = fact["length"] - 2 * any(each["name"] == "appendage_length" for each in fact["fields"])
    payload = fact["type"].encode() + dice.randbytes(length - 1)
    if fact["name"] == "End of Snapshot":
        payload = b"G" + str(dice.randrange(10**20)).encode().rjust(20)
    if fact.get("appendage") == "required":
        return [payload + appendage(facts, dice)]
    if "appendage" in fact:
        return [payload, payload + appendage(facts, dice)]
    if "37 bytes" in fact.get("discrepancy", ""):
        return [payload, payload[:37]]
    return [payload]


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("itch50", None, "outgoing"),
        ("glimpse50", None, "outgoing"),
        ("ouch42", "inbound", "incoming"),
        ("ouch42", "outbound", "outgoing"),
        ("ouch50", "inbound", "incoming"),
        ("ouch50", "outbound", "outgoing"),
    ],
)
def test_random_bytes_mean_the_same_to_both_decoders(name: str, theirs: str | None, ours: Direction) -> None:
    facts = load_facts(name)
    reference = ReferenceDecoder(facts, theirs)
    codecs = Codecs(load_definitions(name), direction=ours)
    dice = random.Random(name)

    for type_, fact in reference.messages.items():
        codec = codecs.by_id[ord(type_)]
        assert codec is not None
        for _ in range(ROUNDS):
            for payload in payloads_of(fact, facts, dice):
                expected = reference.decode(payload)
                written = codec.write(b"\0" + payload + b"\0", 1, 1 + len(payload))
                assert codec.decode(payload, 0, len(payload)) == expected
                assert json.loads("{" + written + "}", parse_float=Decimal) == expected
                assert codec.encode(expected) == payload


@pytest.mark.parametrize("name", ["itch50", "glimpse50", "ouch42", "ouch50"])
@pytest.mark.parametrize("direction", ["outgoing", "incoming"])
def test_every_shipped_message_notices_every_cut_and_what_is_left_over(
    name: str, direction: Direction
) -> None:
    for codec in Codecs(load_definitions(name), direction=direction).by_name.values():
        lengths = codec.definition.lengths
        whole = codec.encode({})
        right = {*lengths.fixed, *([len(whole)] if lengths.at_least == len(whole) else [])}
        for length in range(1, max(right) + 2):
            if length in right:
                assert codec.write((whole + bytes(9))[:length], 0, length) is not None
                continue
            with pytest.raises(DecodeError, match=f"^{codec.name}"):
                codec.write((whole + b"\x01" * 9)[: length + 5], 0, length)


def test_the_real_appendage_of_the_specification() -> None:
    # Order Accepted of 2024-04-29: firm MLRO, BBO weight indicator 0.
    codec = Codecs(load_definitions("ouch50")).by_name["orderaccepted"]
    payload = codec.encode({"symbol": "AAPL"})[:-2] + bytes.fromhex("0009 05 02 4d4c524f 02 12 30")

    text = codec.write(payload, 0, len(payload))

    assert text.endswith(',"appendage":{"firm":"MLRO","bboWeightIndicator":"0"}')


@pytest.mark.parametrize(
    ("appended", "expected"),
    [
        ("0003 02 1230 ff", "expected 3 bytes as its total says, got 4"),
        ("0004 02 1230", "expected 4 bytes as its total says, got 3"),
        ("00", "expected 2 bytes of total, got 1|ends inside"),
        ("0001 00", "TagValue of length 0 with 0 bytes left"),
        ("0003 03 1230", "TagValue of length 3 with 2 bytes left"),
        ("0004 03 123031", "tag 18: bboWeightIndicator: expected 2 bytes, got 3"),
        ("0006 02 1230 02 1231", "tag 18 stands there twice"),
    ],
)
def test_a_broken_appendage_is_a_decode_error(appended: str, expected: str) -> None:
    codec = Codecs(load_definitions("ouch50")).by_name["orderaccepted"]
    payload = codec.encode({})[:-2] + bytes.fromhex(appended)

    for read in (codec.decode, codec.write, codec.check):
        with pytest.raises(DecodeError, match=expected):
            read(payload + b"\x02\x12\x30", 0, len(payload))


def test_a_tag_without_a_definition_is_kept_as_hex() -> None:
    codec = Codecs(load_definitions("ouch50")).by_name["cancelpending"]
    payload = codec.encode({}) + bytes.fromhex("0007 03 c80aff 02 1230")

    assert codec.decode(payload, 0, len(payload))["appendage"] == {
        "tag200": "0aff",
        "bboWeightIndicator": "0",
    }
    assert codec.write(payload, 0, len(payload)).endswith(
        '"appendage":{"tag200":"0aff","bboWeightIndicator":"0"}'
    )
    assert codec.decode_fields(["appendage.bboWeightIndicator"])(payload, 0, len(payload)) == {
        "appendage.bboWeightIndicator": "0"
    }

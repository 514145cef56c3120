"""Messages as values, and the bytes they come from."""

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.client import Message
from gateway.client.message import parse, split

# By hand, from the dialect's page: two frames in one WebSocket message, lengths in bytes.
GOLDEN = (
    b'\r\nJ00000000163{"header":{"mTyp":"AddOrder","src":"itch","ses":"0000000001","seqN":42,'
    b'"sTim":"2026-01-30 14:30:00.123456"},"message":{"stock":"AAPL","price":150.0001,"type":"x"}}'
    b'\r\nJ02785000028{"header":{"mTyp":"Second"}}'
)


def messages(data: bytes) -> list[Message]:
    texts = split(data)
    values, error = parse(texts)
    assert error is None
    return [
        Message(value["header"], value.get("message", {}), text)
        for value, text in zip(values, texts, strict=True)
    ]


def test_frames_are_taken_apart_and_the_text_is_kept_as_received() -> None:
    first, second = messages(GOLDEN)

    assert first.raw == GOLDEN[14:177]
    assert second.raw == b'{"header":{"mTyp":"Second"}}'
    assert (first.type, first.src, first.session, first.sequence_number) == (
        "AddOrder",
        "itch",
        "0000000001",
        42,
    )
    assert (second.type, second.src, second.session, second.sequence_number) == ("Second", "", "", None)


def test_an_unframed_object_is_one_message() -> None:
    assert [message.type for message in messages(b'{"header":{"mTyp":"Alone"}}')] == ["Alone"]


def test_fields_are_attributes_and_items_and_the_own_names_win() -> None:
    message = messages(GOLDEN)[0]

    assert message.price == message["price"] == message.get("price") == 150.0001
    assert message.type == "AddOrder"
    assert message["type"] == "x"
    assert "stock" in message
    assert "nope" not in message
    assert message.get("nope", 7) == 7
    with pytest.raises(AttributeError, match="AddOrder has no field 'nope'; it has stock, price, type"):
        _ = message.nope
    with pytest.raises(KeyError):
        _ = message["nope"]


def test_fields_are_completed_by_name_and_hide_no_method() -> None:
    names = {"get": 1, "exact_fields": 2, "header": 3, "fields": 4, "__dict__": 5, "price": 6.5}
    message = Message({"mTyp": "Odd"}, names, b'{"message":{"price":6.5}}')

    assert "price" in dir(message)
    assert message.price == message.get("price") == 6.5
    assert message.get("nope", 7) == 7
    assert message["get"] == message.get("get") == 1
    assert message.exact_fields() == {"price": Decimal("6.5")}
    assert message.header == {"mTyp": "Odd"}
    assert message.fields is names
    with pytest.raises(AttributeError, match="get is a method"):
        message.get = 1


def test_times_are_utc_and_absent_when_they_are_not_there() -> None:
    first, second = messages(GOLDEN)

    assert first.sent_at == datetime(2026, 1, 30, 14, 30, 0, 123456, UTC)
    assert first.encoded_at is None
    assert second.sent_at is None


def test_exact_fields_keep_every_decimal() -> None:
    message = messages(
        b'{"header":{"mTyp":"Trade"},"message":{"price":123456789012.1234,"shares":18446744073709551615}}'
    )[0]

    assert message.exact_fields() == {"price": Decimal("123456789012.1234"), "shares": 18446744073709551615}


def test_a_message_goes_through_pickle_and_copy() -> None:
    message = messages(GOLDEN)[0]

    for again in (pickle.loads(pickle.dumps(message)), copy.copy(message), copy.deepcopy(message)):
        assert again == message
        assert again.fields == message.fields
    assert len({message, copy.copy(message)}) == 1
    assert message != messages(GOLDEN)[1]


def test_a_message_shows_what_it_is() -> None:
    assert repr(messages(GOLDEN)[0]).startswith("<AddOrder itch/0000000001/42 {'stock': 'AAPL'")


def test_what_can_be_read_is_given_with_the_error_for_what_cannot() -> None:
    values, error = parse([b"{}", b"{]", b"{}"])

    assert values == [{}]
    assert "what is not JSON" in str(error)

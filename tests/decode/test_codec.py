"""One message's codec: golden bytes, errors, JSON that is safe, keys, tickers, views and filters' fields."""

from decimal import Decimal

import orjson
import pytest

from gateway.decode import Codecs, MessageCodec
from gateway.decode.codec import WISHES_KEPT_MAX
from gateway.definitions import DefinitionError, load_definitions, read_definitions
from gateway.errors import BadRequest, DecodeError

ITCH = Codecs(load_definitions("itch50"))

# Written by hand from the specification: locate 13, tracking 2, 09:30:00, order 7, buy 100 AAPL at 150.0001.
ADD_ORDER = bytes.fromhex("41 000d 0002 1f1aced9f000 0000000000000007 42 00000064 4141504c20202020 0016e361")
DECLINE_LEVEL = bytes.fromhex("56 0000 0001 000000000001 0000006a562d584e ab54a98ceb1f0ad2 0000000000000000")


def codec_of(fields: str) -> MessageCodec:
    message = f'<message id="M" message-id="M" direction="outgoing"><fields>{fields}</fields></message>'
    text = f"<root><messages-root>{message}</messages-root></root>"
    return Codecs(read_definitions(text.encode(), "mine.xml")).by_name["m"]


def test_add_order_from_golden_bytes() -> None:
    codec = ITCH.by_id[ord("A")]
    assert codec is not None

    assert codec.write(ADD_ORDER, 0, 36) == (
        '"stockLocate":13,"trackingNumber":2,"timestamp":34200000000000,"orderReferenceNumber":7,'
        '"side":"B","shares":100,"stock":"AAPL","price":150.0001'
    )
    assert codec.decode(ADD_ORDER, 0, 36) == {
        "stockLocate": 13,
        "trackingNumber": 2,
        "timestamp": 34_200_000_000_000,
        "orderReferenceNumber": 7,
        "side": "B",
        "shares": 100,
        "stock": "AAPL",
        "price": Decimal("150.0001"),
    }
    assert codec.encode(codec.decode(ADD_ORDER, 0, 36)) == ADD_ORDER


def test_a_price_of_eight_decimals_keeps_every_digit() -> None:
    codec = ITCH.by_name["mwcbdeclinelevel"]

    text = codec.write(DECLINE_LEVEL, 0, 35)

    assert text.endswith('"level1":4567.12345678,"level2":123456789012.34567890,"level3":0.00000000')
    assert codec.decode(DECLINE_LEVEL, 0, 35)["level2"] == Decimal("123456789012.34567890")


@pytest.mark.parametrize(
    ("raw", "text"),
    [("00000001", "0.0001"), ("00002710", "1.0000"), ("ffffffff", "-0.0001"), ("80000000", "-214748.3648")],
)
def test_decimals_are_exact_also_below_one_and_below_zero(raw: str, text: str) -> None:
    codec = codec_of('<field name="offset" type="int_4_be" decimals="4"/>')
    payload = b"M" + bytes.fromhex(raw)

    assert codec.write(payload, 0, 5) == f'"offset":{text}'
    assert codec.decode(payload, 0, 5) == {"offset": Decimal(text)}


@pytest.mark.parametrize("length", [length for length in range(1, 60) if length != 36])
def test_a_wrong_length_is_told_with_the_right_one(length: int) -> None:
    codec = ITCH.by_name["addorder"]
    raw = ADD_ORDER + bytes(60)

    for read in (codec.decode, codec.write, codec.check, codec.decode_fields(["shares"])):
        with pytest.raises(DecodeError, match=f"^AddOrder: expected 36 bytes, got {length}$"):
            read(raw, 0, length)


@pytest.mark.parametrize(
    ("name", "payload", "text"),
    [
        ("aiqcanceled", b"D" + bytes(35), "AIQCanceled: expected 37 or 38 bytes, got 36"),
        ("aiqcanceled", b"D" + bytes(38), "AIQCanceled: expected 37 or 38 bytes, got 39"),
    ],
)
def test_an_optional_tail_has_exactly_two_right_lengths(name: str, payload: bytes, text: str) -> None:
    codec = Codecs(load_definitions("ouch42")).by_name[name]

    with pytest.raises(DecodeError, match=text):
        codec.write(payload, 0, len(payload))
    assert "aiqStrategy" not in codec.decode(b"D" + bytes(36), 0, 37)
    assert codec.decode(b"D" + bytes(36) + b"x", 0, 38)["aiqStrategy"] == "x"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"M\x03\x00ab", "texts has 3 items of at least 1 bytes, but 2 bytes are left"),
        (b"M\xff\xffab", "texts has -1 items"),
        (b"M\x00", "expected at least 5 bytes, got 2, which ends inside texts"),
        (b"M\x00\x00\x00", "expected at least 5 bytes, got 4, which ends inside list"),
        (b"M\x00\x00\xff\xff\x00", "list has 65535 items of at least 4 bytes, but 1 bytes are left"),
        (b"M\x00\x00\x00\x00\x00", "1 bytes left over behind the last field"),
    ],
)
def test_counts_are_checked_before_anything_is_built(payload: bytes, text: str) -> None:
    codec = codec_of(
        '<field name="texts" type="str_ascii"/>'
        '<field name="list" type="uint_4_be" array="true" length_type="uint_2_be"/>'
    )

    with pytest.raises(DecodeError, match=text):
        codec.write(payload + b"\x00" * 100, 0, len(payload))


@pytest.mark.parametrize("digits", [b"   ", b"1 2", b"-12", b"1_0", b"\xb2  ", b"abc"])
def test_digits_that_are_none_are_a_decode_error(digits: bytes) -> None:
    codec = codec_of('<field name="number" type="uint_ascii_n" length="3"/>')

    with pytest.raises(DecodeError, match=r"M\.number: expected 3 ASCII digits"):
        codec.write(b"M" + digits, 0, 4)


@pytest.mark.parametrize(
    "digits", [b"42                  ", b"                  42", b"00000000000000000042"]
)
def test_the_number_at_the_end_of_a_snapshot_may_be_padded_on_either_side(digits: bytes) -> None:
    codec = Codecs(load_definitions("glimpse50")).by_name["endofsnapshot"]

    assert codec.write(b"G" + digits, 0, 21) == '"itchSequenceNumber":42'


@pytest.mark.parametrize(
    "stock", [bytes([byte]) * 3 for byte in range(256)] + [b'"},{"', b"\\u0041", b"\r\nJ0"]
)
def test_any_byte_in_a_text_gives_ascii_json_that_reads_back_as_that_byte(stock: bytes) -> None:
    codec = ITCH.by_name["addorder"]
    payload = ADD_ORDER[:24] + stock.ljust(8) + ADD_ORDER[32:]
    side = payload[:19] + stock[:1] + payload[20:]

    for each in (payload, side):
        text = codec.write(each, 0, 36)
        read = orjson.loads("{" + text + "}")
        assert text.isascii()
        assert text.isprintable()
        assert read["stock"] == stock.decode("latin-1").rstrip(" ")
        assert read["side"] == chr(each[19])
        assert codec.decode(each, 0, 36)["stock"] == read["stock"]


def test_a_code_of_one_blank_is_not_stripped() -> None:
    codec = ITCH.by_name["stockdirectory"]
    payload = codec.encode({"stock": "AAPL", "ipoFlag": " "})

    assert codec.decode(payload, 0, 39)["ipoFlag"] == " "
    assert '"ipoFlag":" "' in codec.write(payload, 0, 39)


def test_records_have_a_key_and_events_have_none() -> None:
    position = ITCH.by_name["marketparticipantposition"]
    halt = ITCH.by_name["operationalhalt"]
    status = ITCH.by_name["mwcbstatus"]
    directory = ITCH.by_name["stockdirectory"]

    assert ITCH.by_name["addorder"].key(ADD_ORDER, 0, 36) is None
    assert position.key(position.encode({"stock": "AAPL", "mpid": "NSDQ"}), 0, 26) == "AAPL|NSDQ"
    assert halt.key(halt.encode({"stock": "A", "marketCode": "Q"}), 0, 21) == "A|Q"
    assert status.key(status.encode({"breachedLevel": "1"}), 0, 12) == ""
    assert directory.key(directory.encode({"stock": "A|B"}), 0, 39) == "A|B"


def test_two_different_records_never_have_the_same_key() -> None:
    codec = ITCH.by_name["marketparticipantposition"]
    pairs = [("A|B", "C"), ("A", "B|C"), ("A\\", "B"), ("A", "\\|B"), ("A\\|B", ""), ("A", "B")]

    keys = {codec.key(codec.encode({"stock": stock, "mpid": mpid}), 0, 26) for stock, mpid in pairs}

    assert len(keys) == len(pairs)
    assert codec.key(codec.encode({"stock": "A|B", "mpid": "C\\"}), 0, 26) == "A\\|B|C\\\\"


def test_a_message_with_only_a_locate_code_takes_its_ticker_from_outside() -> None:
    executed = ITCH.by_name["orderexecuted"]
    payload = executed.encode({"stockLocate": 13, "executedShares": 5})

    assert (executed.added_ticker, executed.ticker_at, executed.locate_at) == ("stock", None, 1)
    assert executed.field_types["stock"] is str
    assert executed.locate(payload, 0) == 13
    assert executed.ticker(payload, 0) is None
    assert executed.write(payload, 0, 31) + ',"stock":"AAPL"' == executed.write_with_ticker(
        payload, 0, 31, '"AAPL"'
    )


def test_a_message_that_has_the_tickers_name_for_something_else_gets_no_second_one() -> None:
    code = '<field name="code" type="uint_2_be" locate="true"/>'
    listing = f'{code}<field name="stock" type="str_ascii_n" length="8" ticker="true"/>'
    text = f"""<root><messages-root>
      <message id="R" message-id="R" direction="outgoing" directory="true"><fields>{listing}</fields>
      </message>
      <message id="M" message-id="M" direction="outgoing"><fields>{code}<field name="stock" type="byte"/>
      </fields></message></messages-root></root>"""
    codec = Codecs(read_definitions(text.encode(), "mine.xml")).by_name["m"]

    assert codec.added_ticker is None
    assert codec.write_with_ticker(b"M\0\x0d\x05", 0, 4, '"AAPL"') == '"code":13,"stock":5'


def test_a_fixed_layout_costs_one_comparison_and_one_unpacking() -> None:
    for codec in ITCH.by_name.values():
        source = codec.write.__doc__ or ""

        assert source.count("if ") == 1
        assert source.count("unpack_") == 1


def test_a_message_with_its_own_ticker_needs_none() -> None:
    added = ITCH.by_name["addorder"]

    assert (added.added_ticker, added.ticker_at, added.locate_at) == (None, (24, 8), 1)
    assert added.ticker(b"xx" + ADD_ORDER, 2) == "AAPL"
    assert added.write_with_ticker(ADD_ORDER, 0, 36, '"MSFT"') == added.write(ADD_ORDER, 0, 36)


def test_a_view_has_the_wanted_fields_in_their_order_and_always_the_key() -> None:
    codec = ITCH.by_name["marketparticipantposition"]
    payload = codec.encode({"stock": "AAPL", "mpid": "NSDQ", "marketMakerMode": "N", "stockLocate": 13})

    assert codec.writer(["marketMakerMode", "stockLocate"])(payload, 0, 26) == (
        '"stockLocate":13,"mpid":"NSDQ","stock":"AAPL","marketMakerMode":"N"'
    )
    assert codec.writer([])(payload, 0, 26) == '"mpid":"NSDQ","stock":"AAPL"'
    assert codec.decode_fields(["stockLocate"])(payload, 0, 26) == {"stockLocate": 13}


def test_a_view_may_name_the_added_ticker() -> None:
    codec = ITCH.by_name["orderdelete"]
    payload = codec.encode({"stockLocate": 13})

    assert codec.writer_with_ticker(["stock"])(payload, 0, 19, '"AAPL"') == '"stock":"AAPL"'
    assert codec.writer_with_ticker(["stockLocate"])(payload, 0, 19, '"AAPL"') == '"stockLocate":13'
    assert codec.writer(["stock"])(payload, 0, 19) == ""


def test_a_view_of_an_unknown_field_is_a_bad_request() -> None:
    codec = ITCH.by_name["orderdelete"]

    for ask in (codec.writer, codec.writer_with_ticker, codec.decode_fields):
        with pytest.raises(BadRequest, match="OrderDelete has no field 'price'; expected one of stockLocate"):
            ask(["price"])


def test_equal_views_share_a_function_and_many_views_are_forgotten() -> None:
    codec = codec_of("".join(f'<field name="f{at}" type="byte"/>' for at in range(9)))
    names = [[f"f{at}" for at in range(9) if number >> at & 1] for number in range(WISHES_KEPT_MAX + 20)]

    writers = [codec.writer(each) for each in names]

    assert codec.writer(names[-1][::-1]) is writers[-1]
    assert codec.writer(names[0]) is not writers[0]
    assert len(codec._writers) == WISHES_KEPT_MAX


def test_a_view_may_name_a_record_whole_or_one_of_its_fields() -> None:
    text = """<root><records-root><record id="Level"><fields><field name="bid" type="byte"/>
      <field name="ask" type="byte"/></fields></record></records-root><messages-root>
      <message id="M" message-id="M" direction="outgoing"><fields><field name="top" ref="Level"/>
      <field name="x" type="byte"/></fields></message></messages-root></root>"""
    codec = Codecs(read_definitions(text.encode(), "mine.xml")).by_name["m"]

    assert dict(codec.field_types) == {"top.bid": int, "top.ask": int, "x": int}
    assert codec.writer(["top"])(b"M\x01\x02\x03", 0, 4) == '"top":{"bid":1,"ask":2}'
    assert codec.writer(["top.ask"])(b"M\x01\x02\x03", 0, 4) == '"top":{"ask":2}'
    assert codec.decode_fields(["top"])(b"M\x01\x02\x03", 0, 4) == {"top.bid": 1, "top.ask": 2}


def test_codecs_are_found_by_id_and_by_name_without_case() -> None:
    ouch = load_definitions("ouch50")

    assert ITCH.by_id[ord("h")] is ITCH.by_name["operationalhalt"]
    assert len(ITCH.by_id) == 256
    assert len(ITCH.names) == 23
    assert ITCH.by_id[ord("a")] is None
    assert "orderaccepted" in Codecs(ouch).by_name
    assert "enterorder" not in Codecs(ouch).by_name
    assert "enterorder" in Codecs(ouch, direction="incoming").by_name


def test_an_id_in_two_groups_needs_a_choice() -> None:
    message = '<message id="{}" message-id="1" message-group="{}" direction="outgoing"/>'
    text = f"<root><messages-root>{message.format('A', 'x')}{message.format('B', 'y')}</messages-root></root>"
    definitions = read_definitions(text.encode(), "mine.xml")

    with pytest.raises(DefinitionError, match="expected a group to choose one"):
        Codecs(definitions)
    assert Codecs(definitions, group="y").names == ("B",)

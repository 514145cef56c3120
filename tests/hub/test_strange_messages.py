"""What an upstream may send that fits no definition, or no ASCII: nobody loses anything else by it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.mlink.where import parse_where
from gateway.values import Position
from tests.hub.rig import CODECS, PretendedSink, Rig, numbers

# Texts of any length behind a locate code or a ticker, digits, a list of long names, an optional tail.
DEFINITIONS = """<root>
  <records-root><record id="Item"><fields><field name="{long}" type="byte"/></fields></record></records-root>
  <messages-root>
    <message id="Listing" message-id="R" direction="outgoing" directory="true"><fields>
      <field name="locate" type="uint_2_be" locate="true"/>
      <field name="stock" type="str_ascii_n" length="8" ticker="true"/>
    </fields></message>
    <message id="Note" message-id="N" direction="outgoing"><fields>
      <field name="locate" type="uint_2_be" locate="true"/>
      <field name="text" type="str_ascii"/>
    </fields></message>
    <message id="Named" message-id="M" direction="outgoing"><fields>
      <field name="stock" type="str_ascii_n" length="8" ticker="true"/>
      <field name="text" type="str_ascii"/>
    </fields></message>
    <message id="Counted" message-id="C" direction="outgoing"><fields>
      <field name="number" type="uint_ascii_n" length="4"/>
      <field name="size" type="byte"/>
    </fields></message>
    <message id="Many" message-id="L" direction="outgoing"><fields>
      <field name="items" type="record:Item" array="true"/>
    </fields></message>
    <message id="Tail" message-id="T" direction="outgoing"><fields>
      <field name="a" type="byte"/><field name="b" type="byte" optional="true"/>
    </fields></message>
  </messages-root>
</root>"""
LONG_NAME = "aRatherLongName" * 4
GOOD_NOTE = b"N\0\x01\x02\0hi"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    file = tmp_path / "strange.xml"
    file.write_text(DEFINITIONS.replace("{long}", LONG_NAME))
    rig = Rig(tmp_path / "journal", codecs=Codecs(load_definitions(file)))
    rig.roll("DAY1")
    yield rig
    rig.close()


def wanting(rig: Rig, *names: str, **more: Any) -> PretendedSink:
    """What a stream of these messages was sent, from here on or from the `resume` it names."""
    sink = PretendedSink()
    rig.run(rig.open(*names, sink=sink, **more))
    return sink


def replayed(rig: Rig, *names: str, **more: Any) -> PretendedSink:
    return wanting(rig, *names, resume={"itch": Position("DAY1", 1)}, **more)


@pytest.mark.parametrize("broken", [b"N", b"N\0", b"N\0\1", b"N\0\1\xff\0", b"M", b"MAB", b"M" + b"X" * 8])
def test_a_message_that_ends_before_its_ticker_or_its_text_costs_nobody_another(
    rig: Rig, broken: bytes
) -> None:
    every = wanting(rig, "Note", "Named")
    striped = wanting(rig, "Note", "Named", stripes=frozenset({"X"}))

    rig.publish([GOOD_NOTE, broken])
    rig.publish([broken])
    rig.publish([broken, GOOD_NOTE])
    rig.turn()

    assert numbers(every) == numbers(striped) == [1, 5]
    assert numbers(replayed(rig, "Note", "Named")) == [1, 5]
    assert sum(rig.hub.channels["itch"].router.undecodable.values()) == 3


@pytest.mark.parametrize("broken", [b"", b"N", b"M", b"?", b"N\0\1"])
def test_unsequenced_data_that_fits_no_definition_is_left_out(rig: Rig, broken: bytes) -> None:
    sink = wanting(rig, "Note", "Named")

    rig.hub.publish_unsequenced("itch", broken, 1)
    rig.hub.publish_unsequenced("itch", GOOD_NOTE, 1)
    rig.turn()

    assert [each["message"]["text"] for each in sink.messages()] == ["hi"]


def test_a_ticker_that_is_not_ascii_arrives_like_any_other(rig: Rig) -> None:
    live = wanting(rig, "Listing", "Note")

    rig.publish([b"R\0\1" + "ÄÖ\0\x9f".encode("latin-1").ljust(8), GOOD_NOTE])
    rig.publish([b"R\0\1AB      ", GOOD_NOTE])
    rig.turn()

    bodies = [each["message"] for each in live.messages()]
    assert [each["stock"] for each in bodies] == ["ÄÖ\0\x9f", "ÄÖ\0\x9f", "AB", "AB"]
    assert [each["message"] for each in replayed(rig, "Listing", "Note").messages()] == bodies
    assert numbers(wanting(rig, "Note", where=parse_where("stock:eq:AB"))) == []


def test_a_ticker_is_in_the_same_stripe_whether_it_stands_in_the_message_or_in_the_directory(
    rig: Rig,
) -> None:
    m2, g2 = (wanting(rig, "Note", "Named", stripes=frozenset({name})) for name in ("M2", "G2"))

    # SPY is in the set M2; SPY and a tabulator is another ticker, in the range behind it.
    rig.publish([b"R\0\1SPY\t    ", GOOD_NOTE, b"MSPY\t    \2\0hi", b"MSPY     \2\0hi"])
    rig.turn()

    assert numbers(m2) == [4]
    assert numbers(g2) == [2, 3]


def test_a_message_is_undecodable_for_all_who_want_it_whatever_fields_they_want(rig: Rig) -> None:
    some = wanting(rig, "Counted", view=frozenset({"size"}))
    whole = wanting(rig, "Counted")
    filtered = wanting(rig, "Counted", where=parse_where("size:gt:0"))

    rig.publish([b"C   7\1", b"Cabcd\1", b"C0008\1"])
    rig.turn()

    assert numbers(some) == numbers(whole) == numbers(filtered) == [1, 3]
    assert numbers(replayed(rig, "Counted", view=frozenset({"size"}))) == [1, 3]
    assert rig.hub.channels["itch"].router.undecodable == {"Counted": 1}


def test_a_text_that_no_frame_can_hold_is_left_out_of_frames_only(rig: Rig) -> None:
    framed = wanting(rig, "Many", "Note")
    plain = wanting(rig, "Many", "Note", framed=False)
    # 65,000 bytes become 4 million characters; the header has six digits for them.
    huge = b"L" + (65_000).to_bytes(2, "little") + b"\1" * 65_000

    rig.publish([GOOD_NOTE, huge, GOOD_NOTE])
    rig.turn()

    assert numbers(framed) == [1, 3]
    assert numbers(plain) == [1, 2, 3]
    assert numbers(replayed(rig, "Many", "Note")) == [1, 3]
    assert rig.hub.channels["itch"].router.undecodable == {"Many": 1}


def test_the_largest_payload_of_a_packet_arrives_whole(rig: Rig) -> None:
    live = wanting(rig, "Many", framed=False)
    items = 65_534 - len(b"L__")

    rig.publish([b"L" + items.to_bytes(2, "little") + b"\xff" * items])
    rig.turn()

    (message,) = live.messages()
    assert message["message"]["items"] == [{LONG_NAME: 255}] * items


def test_an_optional_field_that_is_missing_satisfies_no_filter(rig: Rig) -> None:
    equal, unequal = (wanting(rig, "Tail", where=parse_where(f"b:{op}:1")) for op in ("eq", "ne"))

    rig.publish([b"T\1", b"T\1\1", b"T\1\2", b"T\1\1\1", b"T"])
    rig.turn()

    assert numbers(equal) == [2]
    assert numbers(unequal) == [3]
    assert rig.hub.channels["itch"].router.undecodable == {"Tail": 2}


def test_empty_and_unknown_payloads_keep_their_numbers(rig: Rig) -> None:
    live = wanting(rig, "Note")

    rig.publish([b"", b"?", GOOD_NOTE, b"", b"\xff" * 65_534, GOOD_NOTE])
    rig.turn()

    assert numbers(live) == [3, 6]
    assert numbers(replayed(rig, "Note")) == [3, 6]
    assert rig.hub.channels["itch"].router.unknown == 4


def test_shipped_messages_of_one_byte_too_many_or_too_few_are_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.roll("DAY1")
    live = wanting(rig)

    for codec in CODECS.by_id:
        if codec is not None and codec.definition.length is not None:
            id_byte, length = bytes([codec.id_byte]), codec.definition.length
            rig.publish([id_byte + bytes(length - 2), id_byte + bytes(length)])
    rig.turn()
    rig.close()

    assert live.messages() == []
    assert set(rig.hub.channels["itch"].router.undecodable.values()) == {2}

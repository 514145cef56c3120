"""Many messages read at once: the same table as one by one, and nothing taken on trust."""

import asyncio
import json
from itertools import repeat

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client import Feed, FeedPosition, Incomplete
from gateway.client.buffer import Buffer
from gateway.client.columns import Columns
from gateway.client.form import Form
from gateway.client.frames import Times, to_frame
from gateway.client.message import Batch, parse, split
from gateway.client.receiver import Receiver
from gateway.client.request import Request
from gateway.client.rows import FORM_ROWS_MIN, Rows, read
from gateway.client.subscription import Subscription
from gateway.client.tracker import Tracker
from gateway.mlink.frames import frame
from tests.fakes.scripted_gateway import ScriptedGateway, until

ORDER = {
    "stock": "AAPL",
    "side": "B",
    "shares": 100,
    "timestamp": 34200000000001,
    "price": 150.0001,
    "printable": True,
}
HEADER = {
    "mTyp": "AddOrder",
    "sTim": "2026-01-30 14:30:00.123456",
    "encT": "2026-01-30 14:30:00.123499",
    "src": "itch",
    "ses": "S1",
}


def text_of(*bodies: dict | str, first: int = 1, **header: object) -> bytes:
    """Frames of messages; a body that is text stands as it is."""
    made = []
    for seq, body in enumerate(bodies, start=first):
        head = json.dumps({**HEADER, "seqN": seq, **header}, separators=(",", ":"))
        shown = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        made.append(frame(f'{{"header":{head},"message":{shown}}}'.encode()))
    return b"".join(made)


def table(*batches: Batch) -> pandas.DataFrame:
    columns = Columns()
    for batch in batches:
        columns.add(batch)
    return to_frame(columns, "pandas", Times())


def one_by_one(data: bytes) -> pandas.DataFrame:
    texts = split(data)
    values, error = parse(texts)
    assert error is None
    return table(Batch(values, texts))


def same(made: pandas.DataFrame, expected: pandas.DataFrame) -> None:
    """Of several forms, columns and categories are in the order of the forms."""
    pandas.testing.assert_frame_equal(
        made, expected, check_categorical=False, check_like=True, check_exact=True
    )


def forms(rows: Rows) -> list[bool]:
    """Of each part, whether it was read by its form."""
    return [bool(part.columns) for part in rows.parts]


# The same table.


def test_messages_of_one_form_are_read_without_a_parser() -> None:
    data = text_of(*({**ORDER, "shares": at, "stock": "ABC"[: at % 4]} for at in range(250)))
    rows = read(data)

    assert forms(rows) == [True]
    assert (rows.src, rows.session, rows.last_seq, len(rows)) == ("itch", "S1", 250, 250)
    pandas.testing.assert_frame_equal(table(rows), one_by_one(data), check_exact=True)
    assert rows.texts == split(data)
    assert [value["message"]["shares"] for value in rows.values] == list(range(250))


VALUES = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "large": st.integers(0, 10**19 - 1),
    "count": st.integers(0, 9_999_999),
    "price": st.integers(-(10**13), 10**13).map(lambda scaled: scaled / 10_000),
    "yes": st.booleans(),
    "ticker": st.sampled_from(["A", "BRK.A", "GOOGL", "LONGTICKERX", "", "ÄÖ", 'a"b', "back\\slash"]),
    "text": st.text(st.characters(codec="utf-8", exclude_characters=","), max_size=70),
    "anything": st.none() | st.text(max_size=5) | st.integers() | st.lists(st.integers(), max_size=2),
}


def written(body: dict, ascii_: bool) -> str:
    """As the gateway writes it: prices with all their decimals."""
    parts = []
    for name, value in body.items():
        if isinstance(value, float):
            shown = f"{value:.4f}"
        else:
            shown = json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_)
        parts.append(f'"{name}":{shown}')
    return "{" + ",".join(parts) + "}"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_messages_hold_it_is_the_same_table(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, unique=True))
    pool = data.draw(
        st.lists(st.fixed_dictionaries({name: VALUES[name] for name in names}), min_size=1, max_size=8)
    )
    picks = data.draw(st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=30))
    picks = (picks * FORM_ROWS_MIN)[: FORM_ROWS_MIN + 7]
    ascii_ = data.draw(st.booleans())
    text = text_of(*(written(pool[pick], ascii_) for pick in picks))
    rows = read(text)

    same(table(rows), one_by_one(text))


def test_messages_of_many_types_keep_the_order_in_which_they_came() -> None:
    bodies = [
        ("AddOrder", ORDER),
        ("OrderExecuted", {"shares": 5, "match": 2**62}),
        ("StockBookQuote", {"pkey": {"ticker": {"at": "EQT", "tk": "AAPL"}}, "bidPrice1": 1.25}),
        ("NOII", {"levels": [1, 2], "session": "night"}),
    ]
    data = b"".join(
        text_of(bodies[at % 7 % 4][1], first=at + 1, mTyp=bodies[at % 7 % 4][0]) for at in range(700)
    )
    rows = read(data)
    made = table(rows)

    assert forms(rows) == [True, True, True, False]
    assert made.sequenceNumber.tolist() == list(range(1, 701))
    assert list(made["field.session"].dropna().unique()) == ["night"]
    same(made, one_by_one(data))


def test_what_is_read_at_once_and_one_by_one_stands_in_one_table() -> None:
    bodies = [{**ORDER, "shares": at} for at in range(900)]
    parts = [text_of(*bodies[at : at + 300], first=at + 1) for at in range(0, 900, 300)]
    texts = split(parts[1])
    made = table(read(parts[0]), Batch(parse(texts)[0], texts), read(parts[2]))

    pandas.testing.assert_frame_equal(made, one_by_one(b"".join(parts)))


# What looks alike and is not.


@pytest.mark.parametrize(
    "odd",
    [
        '{"a":1,"b":"x","c":1.50}',  # two decimals where the others have four
        '{"a":1,"b":"x","c":1}',
        '{"a":1,"b":"x","c":1.5e30}',
        '{"a":1.0,"b":"x","c":1.5000}',
        '{"a":null,"b":"x","c":1.5000}',
        '{"a":true,"b":"x","c":1.5000}',
        '{"a":"1","b":"x","c":1.5000}',
        '{"a":1,"b":2,"c":1.5000}',
        '{"b":"x","a":1,"c":1.5000}',
        '{"a":1,"d":"x","c":1.5000}',
        '{"a":1,"b":"x","c":123456789012345.5000}',
        '{"a":1,"b":"x","c":999999999999.9999}',
        '{"a":123456789012345678901234567890,"b":"x","c":1.5000}',
        '{"a":1,"b":"x,y"}',
        '{"a":1,"b":"x,y","c":1.5000}',
        '{"a":1,"b":"\\",\\"c","c":1.5000}',
        '{"a":1,"b":"x","c":{"d":1.5000}}',
        '{ "a":1,"b":"x","c":1.5000}',
        '{"a":1,"b":"x","c":1.5000 }',
    ],
)
@pytest.mark.parametrize("at", [0, 50, 249])
def test_a_message_that_is_not_of_the_form_is_read_as_it_is(odd: str, at: int) -> None:
    bodies = ['{"a":1,"b":"x","c":1.5000}'] * 250
    bodies[at] = odd
    data = text_of(*bodies)

    same(table(read(data)), one_by_one(data))


@pytest.mark.parametrize(
    "broken",
    ['{"a":1,"b":"x","c":1.50x0}', '{"a":,"b":"x","c":1.5000}', '{"a":-,"b":"x","c":1.5000}', '{"a":1'],
)
def test_what_is_no_json_is_left_to_who_says_so(broken: str) -> None:
    assert read(text_of(*repeat('{"a":1,"b":"x","c":1.5000}', 249), broken)) is None


@pytest.mark.parametrize(
    "data",
    [
        text_of(*repeat(ORDER, 249)) + text_of(ORDER, first=250, ses="S2"),
        text_of(*repeat(ORDER, 249)) + text_of(ORDER, first=250, src="other"),
        text_of(*repeat(ORDER, 249)) + text_of(ORDER, first=249),
        text_of(*repeat(ORDER, 249)) + text_of(ORDER, seqN=None),
        text_of(*repeat(ORDER, 249)) + text_of("[]", first=250),
        text_of(*repeat(ORDER, 249)) + text_of({"state": "Active"}, mTyp="MLinkAdmin"),
        text_of(*repeat(ORDER, 249)) + b"\r\nX00000000002{}",
        text_of(*repeat(ORDER, 249)) + b"\r\n",
        b'{"header":{"mTyp":"Alone"},"message":{}}',
    ],
)
def test_what_is_no_clean_run_of_one_session_is_left_to_who_reads_one_by_one(data: bytes) -> None:
    assert read(data) is None


def test_a_proof_among_messages_knows_what_stands_in_front_of_it() -> None:
    proof = text_of({"queryID": 1, "state": "Active"}, mTyp="MLinkStreamCheckPt")
    rows = read(text_of(*repeat(ORDER, 70)) + proof + text_of(*repeat(ORDER, 30), first=71) + proof)

    assert [at for at, _ in rows.proofs] == [70, 100]
    assert table(rows).sequenceNumber.tolist() == list(range(1, 101))
    assert len(rows.texts) == 100


def test_a_form_knows_what_it_can_not_read() -> None:
    assert Form.of(b'{"a":[1]}', ()) is None
    assert Form.of(b'{"a":null}', ()) is None
    assert Form.of(b'{"a":"x,y"}', ()) is None
    assert Form.of(b'{"a":"\\n"}', ()) is None
    assert Form.of(b'{"a":{},"b":1}', ()) is None
    assert Form.of(b'{"a":1.5e3}', ()) is None
    assert Form.of(b'{"a": 1}', ()) is None
    assert Form.of(b'{"a":{"b":1},"c":"x"}', ()) is not None


# In a stream.


def opened() -> tuple[Receiver, Subscription]:
    """A stream that has been asked for, accepted, and has its first messages."""
    subscription = Subscription(
        Request(("AddOrder",)), Tracker((FeedPosition("itch", "S1", 1),)), Buffer(10_000), None, read
    )
    receiver = Receiver()
    receiver.add(subscription)
    receiver.start(subscription)
    receiver.receive(text_of({"queryID": 1, "sessionID": 1, "result": "OK"}, mTyp="MLinkStreamAck"))
    receiver.receive(text_of(*repeat(ORDER, 10)))
    return receiver, subscription


def numbers(subscription: Subscription) -> list[int]:
    """Of all that waits to be read."""
    return [header["seqN"] for header in subscription.buffer.headers()]


def proof_of(count: int, seq: int) -> bytes:
    position = {"queryID": 1, "src": "itch", "ses": "S1", "seqN": seq, "numMessagesSent": count}
    body = {"queryID": 1, "sessionID": 1, "state": "Active", "positions": [position]}
    return text_of(body, mTyp="MLinkStreamCheckPt")


async def test_a_proof_counts_what_was_read_at_once_in_front_of_it() -> None:
    receiver, subscription = opened()
    parts = [text_of(*repeat(ORDER, 400), first=at) for at in (11, 411, 811)]
    receiver.receive_all([parts[0], proof_of(410, 410), parts[1] + proof_of(810, 815), parts[2]])

    assert any(isinstance(item, Rows) for item in subscription.buffer._items)
    assert numbers(subscription) == list(range(1, 1_211))
    assert [str(at) for at in subscription.tracker.positions()] == ["itch/S1/1211"]
    receiver.receive(proof_of(1210, 1210))
    assert not subscription.buffer.ended


async def test_a_proof_of_another_count_ends_the_stream_behind_what_was_read_at_once() -> None:
    receiver, subscription = opened()
    receiver.receive_all([text_of(*repeat(ORDER, 1_000), first=11), proof_of(1011, 1011)])

    assert subscription.buffer.ended
    while len(await subscription.buffer.take()):
        if not subscription.buffer._items:
            break
    with pytest.raises(Incomplete, match="sent 1011 messages, 1010 arrived"):
        await subscription.buffer.take()


async def test_what_comes_again_is_dropped_however_many_it_is() -> None:
    receiver, subscription = opened()
    receiver.receive_all([text_of(*repeat(ORDER, 1_000), first=5)])
    receiver.receive_all([text_of(*repeat(ORDER, 1_000), first=at) for at in (700, 1_500)])

    assert numbers(subscription) == list(range(1, 2_500))
    assert subscription.tracker.doubles == 6 + 305 + 200


async def many(gateway: ScriptedGateway, count: int) -> None:
    gateway.batch = 200
    for at in range(count):
        gateway.publish("AddOrder" if at % 3 else "Trade", **{**ORDER, "shares": at})


async def test_a_long_stream_is_collected_at_once_and_complete(gateway: ScriptedGateway, feed: Feed) -> None:
    await many(gateway, 6_000)
    frame = await feed.collect("AddOrder", "Trade", resume="itch/S1/1", count=5_555)

    assert frame.sequenceNumber.tolist() == list(range(1, 5_556))
    assert frame.shares.tolist() == list(range(5_555))
    assert frame.attrs["resume"] == "itch/S1/5556"


async def test_cuts_while_a_table_is_collected_cost_nothing(gateway: ScriptedGateway, feed: Feed) -> None:
    await many(gateway, 5_000)
    gateway.cuts = iter([150_000, 400_000, 70_000, 300_001])
    frame = await feed.collect("AddOrder", "Trade", resume="itch/S1/1", up_to="itch/S1/4501")

    assert gateway.handshakes == 5
    assert frame.sequenceNumber.tolist() == list(range(1, 4_501))


async def test_a_message_that_never_came_is_missed_among_thousands(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    await many(gateway, 5_000)
    gateway.swallowed = {3_000}
    collecting = asyncio.create_task(
        feed.collect("AddOrder", "Trade", resume="itch/S1/1", up_to="itch/S1/9000")
    )
    await until(lambda: gateway.idle)
    await gateway.heartbeat()

    with pytest.raises(Incomplete):
        await collecting

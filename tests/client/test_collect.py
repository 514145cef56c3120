"""Streams as DataFrames: what types the columns have, when it is enough, and what a missing package costs."""

import asyncio
import datetime
import subprocess
import sys
from decimal import Decimal

import orjson
import pandas
import polars
import pytest

from gateway.client import Feed, Incomplete, connect_sync
from gateway.client.columns import Columns
from gateway.client.frames import Times, to_frame
from gateway.client.message import Batch
from gateway.errors import BadRequest
from tests.fakes.scripted_gateway import ScriptedGateway, until

SENT_AT = "2026-01-30 14:30:00.123456"


def batch(*bodies: dict, m_typ: str = "AddOrder", first: int = 1) -> Batch:
    values = [
        {
            "header": {"mTyp": m_typ, "src": "itch", "ses": "S1", "seqN": first + at, "sTim": SENT_AT},
            "message": body,
        }
        for at, body in enumerate(bodies)
    ]
    return Batch(values, [orjson.dumps(value) for value in values])


def frame_of(*batches: Batch, into: str = "pandas", exact: bool = False, day: str | None = None):
    columns = Columns(exact=exact)
    for each in batches:
        columns.add(each)
    return to_frame(columns, into, Times(day=day))


# Types of columns.

ORDER = {
    "stock": "AAPL",
    "side": "B",
    "shares": 100,
    "timestamp": 34200000000001,
    "price": 150.0001,
    "printable": True,
}


def test_each_column_of_pandas_has_the_type_of_its_values() -> None:
    frame = frame_of(batch(ORDER, {**ORDER, "stock": "MSFT"}))

    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "message": "category",
        "src": "category",
        "session": "category",
        "sequenceNumber": "uint64",
        "sentAt": "datetime64[ns, UTC]",
        "stock": "category",
        "side": "category",
        "shares": "int64",
        "timestamp": "timedelta64[ns]",
        "price": "float64",
        "printable": "bool",
    }
    assert frame.timestamp[0] == pandas.Timedelta(hours=9, minutes=30) + pandas.Timedelta(1, "ns")
    assert frame.sentAt[0] == pandas.Timestamp(SENT_AT, tz="UTC")
    assert list(frame.stock) == ["AAPL", "MSFT"]
    assert list(frame.price) == [150.0001, 150.0001]


def test_each_column_of_polars_has_the_type_of_its_values() -> None:
    frame = frame_of(batch(ORDER, {**ORDER, "stock": "MSFT"}), into="polars")

    assert dict(frame.schema) == {
        "message": polars.Categorical,
        "src": polars.Categorical,
        "session": polars.Categorical,
        "sequenceNumber": polars.UInt64,
        "sentAt": polars.Datetime("ns", "UTC"),
        "stock": polars.Categorical,
        "side": polars.Categorical,
        "shares": polars.Int64,
        "timestamp": polars.Duration("ns"),
        "price": polars.Float64,
        "printable": polars.Boolean,
    }
    assert frame["timestamp"].cast(polars.Int64).to_list() == [34200000000001] * 2
    assert frame["stock"].to_list() == ["AAPL", "MSFT"]


def test_times_since_midnight_get_the_day_that_is_told() -> None:
    with_day = frame_of(batch(ORDER), day="2026-01-30").timestamp

    assert str(with_day.dtype) == "datetime64[ns]"
    assert with_day[0] == pandas.Timestamp("2026-01-30 09:30:00.000000001")
    in_polars = frame_of(batch(ORDER), day="2026-01-30", into="polars")["timestamp"]
    assert in_polars[0] == datetime.datetime(2026, 1, 30, 9, 30)
    with pytest.raises(BadRequest, match="expected a date"):
        Times(day="friday")


def test_times_since_1970_are_utc_whatever_the_day_and_0_is_none() -> None:
    frame = frame_of(batch({"netTimestamp": 1769783400000000001}, {"netTimestamp": 0}), day="2020-01-01")

    assert str(frame.netTimestamp.dtype) == "datetime64[ns, UTC]"
    assert frame.netTimestamp[0].value == 1769783400000000001
    assert frame.netTimestamp.isna().tolist() == [False, True]


def test_exact_prices_are_decimals_with_every_digit() -> None:
    bodies = {"price": 0.1, "n": 1}, {"price": 922337203685477.5807, "n": 2}
    made = batch(*bodies)
    made.texts[1] = made.texts[1].replace(b"922337203685477.6", b"922337203685477.5807")

    assert list(frame_of(made, exact=True).price) == [Decimal("0.1"), Decimal("922337203685477.5807")]
    assert str(frame_of(made, exact=True).n.dtype) == "int64"
    assert frame_of(made, exact=True, into="polars")["price"].to_list()[1] == Decimal("922337203685477.5807")


@pytest.mark.parametrize("into", ["pandas", "polars"])
def test_whole_numbers_keep_all_their_digits(into: str) -> None:
    frame = frame_of(batch({"n": 2**64 - 1, "m": -(2**63)}, {"n": 1, "m": 2**63 - 1}), into=into)

    assert [int(n) for n in frame["n"]] == [2**64 - 1, 1]
    assert [int(m) for m in frame["m"]] == [-(2**63), 2**63 - 1]


def test_whole_numbers_on_both_sides_of_what_a_signed_one_holds_are_unsigned() -> None:
    frame = frame_of(batch({"n": 2**63}, {"n": 0}))

    assert str(frame.n.dtype) == "uint64"
    assert frame.n.tolist() == [2**63, 0]


def test_numbers_that_no_type_holds_stay_as_they_are() -> None:
    frame = frame_of(batch({"n": 2**64 - 1}, {"n": -1}))

    assert list(frame.n) == [2**64 - 1, -1]


@pytest.mark.parametrize("into", ["pandas", "polars"])
def test_messages_of_several_types_stand_in_one_table_in_the_order_they_came(into: str) -> None:
    rows = [
        ({"stock": "A", "shares": 2**60 + 1}, "AddOrder"),
        ({"stock": "B", "price": 1.5, "broken": True}, "Trade"),
        ({"stock": "C", "shares": 3}, "AddOrder"),
        ({"levels": [{"price": 1.5}], "shares": None}, "Depth"),
        ({"stock": "D", "shares": "many"}, "Other"),
    ]
    parts = [batch(body, m_typ=m_typ, first=at) for at, (body, m_typ) in enumerate(rows, start=1)]
    together = Batch([part.values[0] for part in parts], [part.texts[0] for part in parts])

    apart, joined = frame_of(*parts[:4], into=into), frame_of(together, into=into)

    for frame in (apart, joined):
        assert [int(n) for n in frame["sequenceNumber"]][:4] == [1, 2, 3, 4]
        assert list(frame["message"])[:4] == ["AddOrder", "Trade", "AddOrder", "Depth"]
        assert int(frame["shares"][0]) == 2**60 + 1
        assert list(frame["stock"])[:3] == ["A", "B", "C"]
    assert list(joined["shares"])[4] == "many"
    if into == "pandas":
        assert str(apart.shares.dtype) == "Int64"
        assert str(apart.broken.dtype) == "boolean"
        assert apart.price.isna().tolist() == [True, False, True, True]
        assert apart.levels[3] == [{"price": 1.5}]


def test_objects_inside_of_messages_become_dotted_columns() -> None:
    quote = {"pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}}, "bidPrice1": 1.5}
    frame = frame_of(batch(quote, quote))

    assert list(frame.columns[5:]) == ["ticker.at", "ticker.ts", "ticker.tk", "bidPrice1"]
    assert list(frame["ticker.tk"]) == ["AAPL", "AAPL"]


def test_a_field_with_the_name_of_a_column_of_ours_does_not_hide_it() -> None:
    frame = frame_of(batch({"session": "night", "src": 1}))

    assert list(frame.session) == ["S1"]
    assert list(frame["field.session"]) == ["night"]


def test_text_that_hardly_repeats_is_text_and_no_category() -> None:
    bodies = [{"token": f"T{at}", "stock": f"S{at % 300}"} for at in range(1000)]
    frame = frame_of(batch(*bodies))

    assert str(frame.token.dtype) != "category"
    assert str(frame.stock.dtype) == "category"
    assert list(frame.token) == [body["token"] for body in bodies]


def test_many_rows_come_in_chunks_and_none_is_lost() -> None:
    frame = frame_of(
        *[batch(*[{"n": first + at} for at in range(999)], first=first) for first in range(1, 29971, 999)]
    )

    assert list(frame.n) == list(range(1, len(frame) + 1))
    assert len(frame) == 30 * 999


def test_an_empty_table_has_its_first_columns() -> None:
    assert list(frame_of().columns) == ["message", "src", "session", "sequenceNumber", "sentAt"]
    assert frame_of(into="polars").height == 0


# When it is enough.


async def test_count_is_kept_exactly_and_the_rest_can_be_read_on(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    for at in range(130):
        gateway.publish("AddOrder", stock="A", shares=at)
    async with feed.stream("AddOrder", resume="itch/S1/1") as stream:
        first = await stream.collect(count=70)
        rest = await stream.collect(count=60)

    assert first.sequenceNumber.tolist() == list(range(1, 71))
    assert rest.sequenceNumber.tolist() == list(range(71, 131))
    assert (first.attrs["resume"], rest.attrs["resume"]) == ("itch/S1/71", "itch/S1/131")


async def test_seconds_end_it_with_what_has_come(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.publish("AddOrder", stock="A")
    frame = await feed.collect("AddOrder", resume="itch/S1/1", seconds=0.2)

    assert frame.sequenceNumber.tolist() == [1]


async def test_up_to_ends_before_its_number_and_says_where_to_go_on(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    for at in range(200):
        gateway.publish("AddOrder" if at % 2 else "Trade", stock="A")
    frame = await feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S1/101")

    assert frame.sequenceNumber.tolist() == list(range(2, 101, 2))
    assert frame.attrs["resume"] == "itch/S1/101"


async def test_up_to_ends_when_nothing_that_matches_comes_any_more(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.publish("AddOrder", stock="A")
    for _ in range(50):
        gateway.publish("Trade", stock="A")
    collecting = asyncio.create_task(feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S1/52"))
    await until(lambda: gateway.idle)
    await gateway.heartbeat()
    frame = await collecting

    assert frame.sequenceNumber.tolist() == [1]


async def test_up_to_ends_with_its_session(gateway: ScriptedGateway, feed: Feed) -> None:
    gateway.publish("AddOrder", stock="A")
    gateway.roll("S2")
    gateway.publish("AddOrder", stock="A")
    frame = await feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S1/9000")

    assert frame.session.tolist() == ["S1"]


async def test_up_to_may_stand_in_a_later_session(gateway: ScriptedGateway, feed: Feed) -> None:
    for _ in range(2):
        gateway.publish("AddOrder", stock="A")
    gateway.roll("S2")
    for _ in range(3):
        gateway.publish("AddOrder", stock="A")
    frame = await feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S2/3")

    assert list(zip(frame.session, frame.sequenceNumber, strict=True)) == [
        ("S1", 1),
        ("S1", 2),
        ("S2", 1),
        ("S2", 2),
    ]
    assert frame.attrs["resume"] == "itch/S2/3"


async def test_stripes_are_collected_together(gateway: ScriptedGateway, feed: Feed) -> None:
    for at in range(120):
        gateway.publish("AddOrder", stock="ABC"[at % 3])
    frame = await feed.collect("AddOrder", stripes=["A", "B"], resume="itch/S1/1", up_to="itch/S1/100")

    expected = [at + 1 for at in range(99) if at % 3 < 2]
    assert sorted(frame.sequenceNumber) == expected
    for _, of_one in frame.groupby("stock", observed=True):
        assert of_one.sequenceNumber.is_monotonic_increasing


async def test_what_the_gateway_never_sent_is_told_and_makes_no_table(
    gateway: ScriptedGateway, feed: Feed
) -> None:
    gateway.swallowed = {20}
    for _ in range(50):
        gateway.publish("AddOrder", stock="A")

    collecting = asyncio.create_task(feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S1/52"))
    await until(lambda: gateway.idle)
    await gateway.heartbeat()

    with pytest.raises(Incomplete):
        await collecting


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "would never end"),
        ({"count": 0}, "count 0"),
        ({"seconds": 0.0}, "seconds 0"),
        ({"count": 1, "into": "excel"}, "excel"),
        ({"count": 1, "up_to": "S1/7"}, "expected SRC/SES/SEQ"),
    ],
)
async def test_what_makes_no_sense_is_told_at_once(feed: Feed, options: dict, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        await feed.collect("AddOrder", **options)


# Without async.


def test_a_script_collects_and_a_notebook_needs_no_with(threaded_gateway: ScriptedGateway) -> None:
    for at in range(100):
        threaded_gateway.publish("AddOrder", stock="A", price=at + 0.5)
    feed = connect_sync(threaded_gateway.url).open()
    try:
        frame = feed.collect("AddOrder", resume="itch/S1/1", count=100)
        with feed.stream("AddOrder", resume="itch/S1/1") as stream:
            assert next(stream).sequence_number == 1
            rest = stream.collect(count=99, into="polars")
    finally:
        feed.close()
        feed.close()

    assert frame.price.sum() == 5000
    assert rest["sequenceNumber"].to_list() == list(range(2, 101))
    with pytest.raises(RuntimeError, match="inside of"):
        feed.collect("AddOrder", count=1)


async def test_it_works_inside_of_a_running_loop(threaded_gateway: ScriptedGateway) -> None:
    threaded_gateway.publish("AddOrder", stock="A")
    with connect_sync(threaded_gateway.url) as feed:
        assert len(feed.collect("AddOrder", resume="itch/S1/1", count=1)) == 1


def test_a_progress_bar_counts_what_came(
    threaded_gateway: ScriptedGateway, capfd: pytest.CaptureFixture
) -> None:
    for at in range(100):
        threaded_gateway.publish("AddOrder" if at % 2 else "Trade", stock="A")
    with connect_sync(threaded_gateway.url) as feed:
        feed.collect("AddOrder", resume="itch/S1/1", count=50)
        assert "/" not in capfd.readouterr().err, "no bar where nobody looks"
        feed.collect("AddOrder", resume="itch/S1/1", count=50, progress=True)
        assert "50.0/50.0" in capfd.readouterr().err
        feed.collect("AddOrder", resume="itch/S1/1", up_to="itch/S1/101", progress=True)
        assert "100/100" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [
        ("numpy", "", "notebook"),
        ("numpy", ", into='polars'", "polars"),
        ("pandas", "", "notebook"),
        ("polars", ", into='polars'", "polars"),
        ("tqdm", ", progress=True", "notebook"),
    ],
)
def test_a_missing_package_is_told_with_the_extra_that_has_it(package: str, options: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from gateway.client import connect_sync
with connect_sync('localhost:1') as feed:
    try:
        feed.collect('AddOrder', count=1{options})
    except Exception as error:
        print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.startswith("BadRequest")
    assert f"needs {package}: pip install 'soup-gateway[{extra}]'" in said

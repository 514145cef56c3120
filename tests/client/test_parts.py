"""The small parts: addresses, positions, requests, waits, the buffer, the merge."""

import asyncio
import random

import pytest

from gateway.client import FeedPosition, Incomplete, Options
from gateway.client.backoff import Backoff
from gateway.client.buffer import Buffer
from gateway.client.merging import StripeMerge
from gateway.client.message import Batch
from gateway.client.notices import FeedUp, Reconnecting
from gateway.client.options import websocket_url
from gateway.client.positions import read_resume
from gateway.client.receiver import Receiver
from gateway.client.request import Request, logon
from gateway.client.tracker import Tracker
from gateway.errors import BadRequest
from gateway.mlink import control
from gateway.mlink.frames import InputReader


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("localhost:8765", "ws://localhost:8765/mlink/jsonf"),
        ("ws://h", "ws://h/mlink/jsonf"),
        ("http://h:1/", "ws://h:1/mlink/jsonf"),
        ("https://h", "wss://h/mlink/jsonf"),
        ("wss://h/other?apiKey=k", "wss://h/other?apiKey=k"),
        ("ws://[::1]:8765", "ws://[::1]:8765/mlink/jsonf"),
    ],
)
def test_an_address_is_completed(given: str, used: str) -> None:
    assert websocket_url(given) == used


@pytest.mark.parametrize("given", ["", "ftp://h", "ws://", "ws://h:x", "ws://h:99999", "://", "ws://h:0"])
def test_a_wrong_address_is_told(given: str) -> None:
    with pytest.raises(BadRequest, match="expected ws://HOST:PORT"):
        websocket_url(given)


@pytest.mark.parametrize("name", ["silence_s", "open_timeout_s", "buffer_messages", "streams_per_socket"])
def test_a_limit_of_nothing_is_told(name: str) -> None:
    with pytest.raises(BadRequest, match=name):
        Options("h", **{name: 0})


def test_options_do_not_show_the_key() -> None:
    assert "secret" not in repr(Options("h", "secret"))


def test_a_position_reads_what_it_writes() -> None:
    position = FeedPosition("itch", "0000000001", 42)

    assert FeedPosition.parse(str(position)) == position
    assert read_resume("a/S1/1, b/S2/2") == (FeedPosition("a", "S1", 1), FeedPosition("b", "S2", 2))


def test_requests_are_what_the_dialect_reads() -> None:
    request = Request(("AddOrder", "Trade"), ("A", "B"), where="x:eq:1", view="a|b", coverage=True)
    data = request.start(3, [FeedPosition("itch", "S1", 7)]) + request.stop(3) + logon("k")

    start, stop, log = [control.read(value).message for value in InputReader().feed(data)]

    assert start == control.MLinkStream(
        msgName=("AddOrder", "Trade"),
        stripeFilter=("A", "B"),
        where="x:eq:1",
        view="a|b",
        sessionID=3,
        queryID=3,
        activeLatency=1,
        coverage=True,
        resume=control.Resume(src="itch", ses="S1", seqN=7),
    )
    assert stop == control.MLinkStream(
        msgName=("AddOrder", "Trade"), sessionID=3, queryID=3, unsubscribe="Yes"
    )
    assert log == control.MLinkLogon(apiKey="k")


def test_waits_grow_are_jittered_and_capped() -> None:
    backoff = Backoff(1.0, 8.0, draw=random.Random(1))

    waits = [backoff.next_s() for _ in range(2000)]

    for step, wait in zip([1, 2, 4, 8, 8, 8], waits, strict=False):
        assert step / 2 <= wait <= step
    assert len(set(waits[3:])) > 1000
    assert max(waits) <= 8.0
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert backoff.next_s(at_least_s=60) == 60


def batch(*seqs: int, ses: str = "S1", stock: str = "") -> Batch:
    values = [
        {"header": {"mTyp": "M", "src": "itch", "ses": ses, "seqN": seq}, "message": {"stock": stock}}
        for seq in seqs
    ]
    return Batch(values, [b"%d" % seq for seq in seqs])


async def test_a_buffer_gives_its_items_in_order_then_its_error_each_time() -> None:
    buffer, notice, items = Buffer(10), FeedUp(), batch(1, 2)
    buffer.put(items)
    buffer.put(notice)
    buffer.end(Incomplete("why"))
    buffer.put(batch(3))

    assert await buffer.take() is items
    assert await buffer.take() is notice
    for _ in range(2):
        with pytest.raises(Incomplete):
            await buffer.take()


async def test_a_full_buffer_has_room_again_when_half_of_it_was_taken() -> None:
    buffer = Buffer(4)
    for seq in range(4):
        buffer.put(batch(seq))
    waiting = asyncio.create_task(buffer.room())

    assert buffer.full
    await buffer.take()
    await asyncio.sleep(0)
    assert not waiting.done()
    await buffer.take()
    await waiting


async def test_a_long_outage_that_nobody_reads_of_is_one_notice() -> None:
    buffer = Buffer(4)
    for attempt in range(100):
        buffer.put(Reconnecting("down", attempt, 1.0))

    assert not buffer.full
    assert await buffer.take() == Reconnecting("down", 99, 1.0)


def stripes(*resumes: str) -> list[Tracker]:
    return [Tracker((FeedPosition.parse(resume),)) for resume in resumes]


def test_the_merge_keeps_one_of_what_belongs_to_every_stripe() -> None:
    merge = StripeMerge(stripes("itch/S1/1", "itch/S1/1"))

    assert merge.keep(batch(1, 2)).texts == [b"1", b"2"]
    assert merge.keep(batch(1, 2, 3)).texts == [b"3"]
    assert merge.keep(batch(5, stock="A")).texts == [b"5"]
    assert merge.doubles == 2


def test_the_merge_forgets_what_all_stripes_are_past_and_no_more() -> None:
    merge = StripeMerge(stripes("itch/S1/900", "itch/S1/500"))

    merge.keep(batch(*range(1, 1025)))

    # 500 and above may still come from the second stripe.
    assert merge.keep(batch(500, 899, 1024)).texts == []
    assert merge.keep(batch(499)).texts == [b"499"]


def test_the_merge_forgets_a_session_that_all_stripes_have_left() -> None:
    merge = StripeMerge(stripes("itch/S2/1", "itch/S2/1"))

    merge.keep(batch(*range(1, 1000)))
    merge.keep(batch(*range(1, 100), ses="S2"))

    assert merge.keep(batch(7)).texts == [b"7"]
    assert merge.keep(batch(7, ses="S2")).texts == []


def test_the_merge_remembers_a_session_that_one_stripe_is_still_in() -> None:
    merge = StripeMerge(stripes("itch/S2/5", "itch/S1/1"))

    merge.keep(batch(*range(1, 1000)))
    merge.keep(batch(*range(1, 100), ses="S2"))

    assert merge.keep(batch(7)).texts == []
    assert merge.keep(batch(1, ses="S2")).texts == []


def test_a_view_says_whose_it_is_in_its_key_and_need_not_be_remembered() -> None:
    merge = StripeMerge(stripes("itch/S1/9", "itch/S1/1"), remembered_max=1)
    quotes = batch(*range(1, 11))
    for value in quotes.values:
        value["message"] = {"pkey": {"ticker": {"at": "EQT", "ts": "NMS", "tk": "AAPL"}}}

    assert len(merge.keep(quotes)) == 10
    assert merge.overrun is None


def test_stripes_that_run_too_far_apart_say_so() -> None:
    merge = StripeMerge(stripes("itch/S1/9", "itch/S1/1"), remembered_max=10)

    merge.keep(batch(*range(1, 11)))
    assert merge.overrun is None
    assert merge.keep(batch(11)).texts == [b"11"]

    assert "ran apart by more than 10" in str(merge.overrun)
    assert merge.overrun.positions == (FeedPosition("itch", "S1", 1),)


@pytest.mark.parametrize("resumes", [("itch//1", "itch/S1/9"), ("itch/S1/9", "itch//1")])
def test_a_stripe_without_a_session_yet_is_the_furthest_behind(resumes: tuple[str, ...]) -> None:
    merge = StripeMerge(stripes(*resumes), remembered_max=10)

    merge.keep(batch(*range(1, 12)))

    assert merge.overrun is not None
    assert merge.overrun.positions == (FeedPosition("itch", "", 1),)


def test_an_answer_to_what_we_never_ask_is_passed_over() -> None:
    Receiver().receive(control.encode(control.MLinkDataAck(result=control.DataResult.OK), 0))
    Receiver().receive(control.encode(control.MLinkSubscribeAck(succeeded=control.YesNo.YES), 0))

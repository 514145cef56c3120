"""Replay over a real socket: from any number of the journal into live, with every filter; and refusals."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.client import connect
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, running, settings
from tests.mlink.conversation import PATHS, conversation, subscriber


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("first", [1, 2, 40])
@pytest.mark.one_loop
async def test_resume_starts_at_that_number_and_flows_into_live(
    tmp_path: Path, path: str, first: int
) -> None:
    async with conversation(tmp_path, path) as scene:
        talk = scene.talk
        await scene.published(scene.market.take(200))
        session = scene.exchange.session.name
        await talk.stream("*", resume={"src": "itch", "ses": session, "seqN": first})
        begin = await talk.checkpoint("Begin")
        await talk.checkpoint("Active")
        await talk.checkpoint("Complete")
        last = await scene.published(scene.market.take(200))
        await talk.until_count(last - first + 1)

    assert begin.get("positions", [{"seqN": 0}])[0].get("seqN", 0) == first - 1
    assert talk.numbers == list(range(first, last + 1))


@pytest.mark.parametrize(
    "resume",
    [{"seqN": 5}, {"src": "itch", "seqN": 5}, [{"src": "itch", "seqN": 5}], {"ses": "", "seqN": 5}],
)
@pytest.mark.one_loop
async def test_what_is_left_out_of_a_position_is_the_only_feed_and_its_session(
    tmp_path: Path, resume: Any
) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("*", resume=resume)
        await scene.talk.until_count(len(scene.opening) - 4)

    assert scene.talk.numbers[0] == 5


@pytest.mark.parametrize(
    ("resume", "says"),
    [
        ({"ses": "NEVER", "seqN": 1}, "0000000001"),
        ({"seqN": 10_000}, "future"),
        ({"src": "other", "seqN": 1}, "resume.src: 'other' is not a feed of this stream, expected itch"),
        ({"seqN": 0}, "seqN"),
        ([], "resume"),
        ([{"seqN": 1}, {"src": "itch", "seqN": 2}], "feed 'itch' is named twice"),
    ],
)
@pytest.mark.one_loop
async def test_a_position_that_is_unknown_or_in_the_future_is_an_error(
    tmp_path: Path, resume: Any, says: str
) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("*", resume=resume)
        ack = await scene.talk.answer("MLinkStreamAck")

    assert ack["result"] == "Error"
    assert says in ack["detail"]


@pytest.mark.one_loop
async def test_a_position_before_the_first_message_that_is_had_names_the_oldest(tmp_path: Path) -> None:
    async with conversation(tmp_path, opened=False) as scene:
        await scene.talk.stream("*", resume={"seqN": 2})
        ack = await scene.talk.answer("MLinkStreamAck")

    assert ack["result"] == "Error"
    assert "future" in ack["detail"]


OPENING = Market(3, seed=1).opening()


@asynccontextmanager
async def before_the_first_session(folder: Path) -> AsyncIterator[tuple[Gateway, int]]:
    """A gateway with an empty journal, and the port on which its exchange will listen."""
    port = free_port()
    async with running(settings(folder, feed_settings(port), heartbeat_s=0.1)) as gateway:
        yield gateway, port


@pytest.mark.parametrize("path", PATHS)
async def test_who_asks_before_the_first_session_gets_it_from_its_first_message(
    tmp_path: Path, path: str
) -> None:
    async with before_the_first_session(tmp_path) as (gateway, port), subscriber(gateway, path) as talk:
        await talk.stream("*", resume={"seqN": 1})
        begin = await talk.checkpoint("Begin")
        await talk.checkpoint("Complete")
        heartbeat = await talk.heartbeat()
        async with Exchange(ExchangeSettings(port=port), OPENING):
            await talk.until_count(len(OPENING))

    # A session that there is not yet is left out, as any field that has nothing to say.
    nowhere = {"queryID": 1, "src": "itch", "seqN": 0, "numMessagesSent": 0}
    assert begin["positions"] == heartbeat["positions"] == [nowhere]
    assert talk.numbers == list(range(1, len(OPENING) + 1))


async def test_only_its_first_number_can_be_resumed_of_a_session_that_there_is_not_yet(
    tmp_path: Path,
) -> None:
    async with before_the_first_session(tmp_path) as (gateway, _), subscriber(gateway) as talk:
        await talk.stream("*", resume={"seqN": 2})
        later = await talk.answer("MLinkStreamAck")
        await talk.stream("*", resume={"ses": "MONDAY", "seqN": 1})
        named = await talk.answer("MLinkStreamAck")

    assert (later["result"], named["result"]) == ("Error", "Error")
    assert later["detail"] == "resume.seqN: 2 is in the future, no message has come yet"
    assert "MONDAY" in named["detail"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_position_before_the_first_session_is_resumed_after_a_cut(tmp_path: Path, path: str) -> None:
    async with before_the_first_session(tmp_path) as (gateway, port):
        async with subscriber(gateway, path) as cut:
            await cut.stream("*")
            await cut.checkpoint("Complete")
            (position,) = (await cut.heartbeat())["positions"]
        async with Exchange(ExchangeSettings(port=port), OPENING), subscriber(gateway, path) as again:
            await until_published(gateway, len(OPENING))
            resume = {"src": position["src"], "ses": position.get("ses", ""), "seqN": position["seqN"] + 1}
            await again.stream("*", resume=resume)
            await again.until_count(len(OPENING))

    assert again.numbers == list(range(1, len(OPENING) + 1))


async def until_published(gateway: Gateway, last: int) -> None:
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.005)
            if gateway.feeds["itch"].health.next_seq > last:
                return


async def test_our_client_that_is_cut_before_the_first_session_has_it_from_its_first_message(
    tmp_path: Path,
) -> None:
    async with before_the_first_session(tmp_path) as (gateway, port):
        # Slow to come back, so that the session's messages have been and gone by then.
        address = f"ws://127.0.0.1:{gateway.port}"
        async with connect(address, retry_first_s=0.5) as feed, asyncio.timeout(30):
            stream = feed.stream("*")
            reading = asyncio.create_task(anext(stream))
            while True:
                await asyncio.sleep(0.01)
                # A heartbeat has told it where it stands.
                if stream.positions:
                    break
            for connection in list(gateway._server.subscribers):
                connection.transport.abort()
            async with Exchange(ExchangeSettings(port=port), OPENING):
                got = [(await reading).sequence_number]
                while got[-1] < len(OPENING):
                    got.append((await anext(stream)).sequence_number)

    assert got == list(range(1, len(OPENING) + 1))


@pytest.mark.one_loop
async def test_a_list_resumes_each_feed_at_its_own_number(tmp_path: Path) -> None:
    opening = Market(3, seed=1).opening()
    async with Exchange() as one, Exchange() as other:
        feeds = feed_settings(one.port, name="one"), feed_settings(other.port, name="other")
        async with running(settings(tmp_path, *feeds)) as gateway, subscriber(gateway) as talk:
            one.extend(opening[:10])
            other.extend(opening[:20])
            await talk.stream("*", delivery="every")
            await talk.until_control("MLinkHeartbeat", timeout_s=20)
            resume = [{"src": "one", "seqN": 9}, {"src": "other", "seqN": 18}]
            talk.data.clear()
            await talk.stream("*", queryID=2, resume=resume)
            await talk.until_count(2 + 3)

    got = sorted((each["header"]["src"], each["header"]["seqN"]) for each in talk.data)
    assert got == [("one", 9), ("one", 10), ("other", 18), ("other", 19), ("other", 20)]


@pytest.mark.one_loop
async def test_a_replay_goes_through_session_changes_and_tells_them_at_their_place(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        first = scene.exchange.session.name
        scene.exchange.roll()
        await scene.until(0, scene.exchange.session.name)
        second = scene.exchange.session.name
        await scene.published(scene.opening[:10])
        await talk.stream("*", resume={"ses": first, "seqN": len(scene.opening) - 1})
        await talk.until_count(12)

    order = [
        (each["message"]["event"], each["message"]["ses"])
        if each["header"]["mTyp"] == "MLinkAdmin"
        else (each["header"]["ses"], each["header"]["seqN"])
        for each in talk.all
        if each["header"]["mTyp"] not in ("MLinkHeartbeat", "MLinkStreamAck", "MLinkStreamCheckPt")
        and each["message"].get("event") in (None, "SessionChange")
        and "state" not in {*each["message"]} - {"state"}
        and each["message"] != {"state": "LoggedOn"}
    ]
    size = len(scene.opening)
    assert order == [
        (first, size - 1),
        (first, size),
        ("SessionChange", second),
        *[(second, seq) for seq in range(1, 11)],
    ]


@pytest.mark.one_loop
async def test_replay_gives_what_live_readers_got_but_for_the_time_of_encoding(tmp_path: Path) -> None:
    wish = {"where": "ticker.tk:ne:AAPL", "view": "stock|price|shares", "stripeFilter": ["A", "M"]}
    async with conversation(tmp_path) as scene, subscriber(scene.gateway) as later:
        await scene.talk.stream("*", queryID=1, resume={"seqN": 1}, **wish)
        await scene.talk.checkpoint("Complete")
        last = await scene.published(scene.market.take(500))
        await later.stream("*", resume={"seqN": 1}, **wish)
        await later.checkpoint("Complete")
        for each in (scene.talk, later):
            while (await each.heartbeat())["positions"][0]["seqN"] < last:
                pass

    def without_time(value: dict[str, Any]) -> str:
        header = {name: each for name, each in value["header"].items() if name != "encT"}
        return json.dumps([header, value["message"]], default=str)

    assert list(map(without_time, later.data)) == list(map(without_time, scene.talk.data))
    assert len(later.data) > 50

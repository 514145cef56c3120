"""What befalls a feed is told to whoever streams it: in words, in fields for a program, and in the log."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, feed_settings, free_port, health, reader, running, settings


def events(whole: Reader) -> list[tuple[str, str]]:
    """(event, detail) of each notice, in order."""
    told = [each["message"] for each in whole.control if each["header"]["mTyp"] == "MLinkAdmin"]
    return [(each["event"], each["detail"]) for each in told if "event" in each]


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


async def test_one_connection_is_told_everything_that_befalls_its_feed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    messages = Market(20, seed=4).take(1_000)
    port = free_port()
    quick = feed_settings(port, heartbeat_s=0.1, silence_s=2.0, stale_after_s=0.3)
    # 200 messages, then the line breaks; the next login is let in 9 numbers too high; then it is quiet.
    faults = [Faults(drop_after=200), Faults(skip=9)]
    told: dict[str, dict[str, Any]] = {}
    async with running(settings(tmp_path, quick)) as gateway, reader(gateway) as whole:
        await whole.stream("*")
        await whole.until_control("MLinkStreamCheckPt", state="Complete")
        first = ExchangeSettings(port=port, session="MONDAY", faults=faults, heartbeat_s=0.1)
        async with Exchange(first, messages):
            for event in ("FeedDown", "SequenceGap", "Stale"):
                told[event] = await whole.until_control("MLinkAdmin", event=event, ses="MONDAY")
            await whole.until_count(991)
        second = ExchangeSettings(port=port, session="TUESDAY", heartbeat_s=0.1)
        async with Exchange(second, messages[:50]):
            told["SessionChange"] = await whole.until_control("MLinkAdmin", event="SessionChange")
            await whole.until_count(1_041)
            told["FeedUp"] = await whole.until_control("MLinkAdmin", event="FeedUp", ses="TUESDAY")

    assert whole.numbers == [*range(1, 201), *range(210, 1_001), *range(1, 51)]
    for each in told.values():
        assert each["state"] == "LoggedOn"
        assert each["src"] == "itch"
    fields = {
        event: (each.get("ses"), each.get("fromSeqN"), each.get("toSeqN")) for event, each in told.items()
    }
    assert fields == {
        "FeedDown": ("MONDAY", None, None),
        "SequenceGap": ("MONDAY", 201, 209),
        "Stale": ("MONDAY", None, None),
        "SessionChange": ("TUESDAY", None, None),
        "FeedUp": ("TUESDAY", None, None),
    }
    assert "TCP connection lost" in told["FeedDown"]["detail"]
    assert told["SequenceGap"]["detail"] == "feed itch: 201..209 of session 'MONDAY' can't be had"
    assert "no message for 0.3 s" in told["Stale"]["detail"]
    assert told["SessionChange"]["detail"] == "feed itch goes on in session 'TUESDAY'"
    said = log_of(caplog)
    for line in (
        "feed=itch event=up session=MONDAY",
        "feed=itch event=down session=MONDAY",
        "feed=itch event=gap session=MONDAY from=201 to=209",
        "feed=itch event=stale session=MONDAY",
        "feed=itch event=session-changed session=TUESDAY",
    ):
        assert line in said


async def test_a_gap_and_a_new_session_stand_in_a_replay_where_they_stood_live(tmp_path: Path) -> None:
    messages = Market(20, seed=4).take(300)
    port = free_port()
    faults = [Faults(drop_after=100), Faults(skip=5)]
    async with running(settings(tmp_path, feed_settings(port))) as gateway:
        async with reader(gateway) as live:
            await live.stream("*")
            await live.until_control("MLinkStreamCheckPt", state="Complete")
            async with Exchange(ExchangeSettings(port=port, session="MONDAY", faults=faults), messages):
                await live.until_count(295)
            async with Exchange(ExchangeSettings(port=port, session="TUESDAY"), messages[:50]):
                await live.until_count(345)
        async with reader(gateway) as late:
            await late.stream("*", resume={"ses": "MONDAY", "seqN": 1})
            await late.until_count(345)

    assert late.numbers == live.numbers == [*range(1, 101), *range(106, 301), *range(1, 51)]
    in_the_stream = ("SequenceGap", "SessionChange")
    lived = [each for each in events(live) if each[0] in in_the_stream]
    assert [each for each in events(late) if each[0] in in_the_stream] == lived
    assert [event for event, _ in lived] == ["SequenceGap", "SessionChange"]


async def test_feeds_of_different_definitions_stand_beside_each_other_and_fail_alone(tmp_path: Path) -> None:
    """One gateway, itch50 and ouch50; ouch's upstream sends garbage, then nothing, then is gone."""
    itch = Market(20, seed=4).take(2_000)
    # System events of OUCH: type, time stamp, event code.
    ouch = [b"S" + at.to_bytes(8, "big") + b"S" for at in range(1, 301)]
    broken = [
        Faults(drop_after=100, cut_inside_packet=True),
        Faults(garbage_after=100),
        Faults(silent_after=50),
    ]
    of_ouch = ExchangeSettings(session="OUCH1", faults=broken, heartbeat_s=0.1)
    async with Exchange() as exchange, Exchange(of_ouch, ouch) as other:
        configured = settings(
            tmp_path,
            feed_settings(exchange.port),
            feed_settings(
                other.port,
                name="ouch",
                definitions="ouch50",
                heartbeat_s=0.1,
                silence_s=0.3,
                backoff_max_s=0.05,
            ),
        )
        async with (
            running(configured) as gateway,
            reader(gateway) as both,
            reader(gateway) as calm,
        ):
            await both.stream("*", resume=[{"src": "ouch", "seqN": 1}])
            await calm.stream("AddOrder")
            await calm.until_control("MLinkStreamCheckPt", state="Complete")
            await both.until_control("MLinkStreamCheckPt", state="Complete")
            for at in range(0, 2_000, 100):
                exchange.extend(itch[at : at + 100])
                await asyncio.sleep(0.01)
            await both.until_count(2_300)
            await other.__aexit__(None, None, None)
            await both.until_control("MLinkAdmin", event="FeedDown", src="ouch")
            exchange.extend(itch[:100])
            await both.until_count(2_400)
            wanted = sum(each[:1] == b"A" for each in itch + itch[:100])
            await calm.until_count(wanted)
            status, told = await health(gateway.port)

    by_feed: dict[str, list[int]] = {}
    for value in both.data:
        by_feed.setdefault(value["header"]["src"], []).append(value["header"]["seqN"])
    assert by_feed == {"itch": list(range(1, 2_101)), "ouch": list(range(1, 301))}
    assert [each["message"].get("event") for each in calm.control if "event" in each["message"]] == []
    feeds = told["feeds"]
    assert status == 503, "one of them does not stream"
    assert (feeds["itch"]["state"], feeds["itch"]["reconnects"]) == ("streaming", {})
    assert feeds["ouch"]["state"] != "streaming"
    assert {"TCP connection lost", "broken packet", "heartbeat lost"} <= feeds["ouch"]["reconnects"].keys()
    assert (feeds["itch"]["next_seq"], feeds["ouch"]["next_seq"]) == (2_101, 301)
    for feed, session in (("itch", "0000000001"), ("ouch", "OUCH1")):
        names = {path.name for path in (tmp_path / "journal" / feed).iterdir()}
        assert {f"00000001-{session}.sqlite", f"00000001-{session}.state"} <= names

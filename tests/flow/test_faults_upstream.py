"""Rows 1 to 13 of the list of faults, over real sockets, with a real journal: every number once, in order."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.journal import JournalReader
from gateway.net.feed import FeedState, NoticeKind
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.soup import packets
from gateway.values import Gap
from tests.fakes.held_feed import feed_settings, holding
from tests.fakes.scripted_upstream import Conversation, ScriptedUpstream, Venue, honest, serve, spoilt

COUNT = 200


@pytest.mark.parametrize("part", [1, 2, 3, 7])
async def test_row_1_reset_mid_message(tmp_path: Path, part: int) -> None:
    venue = Venue(count=COUNT)
    begun = venue.raw("S1", 101, 101)[:part]
    async with (
        ScriptedUpstream(spoilt(venue, 100, begun), honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)

    assert held.publisher.has_all("S1", COUNT)
    assert held.feed.health.reconnects == {"TCP connection lost": 1}
    assert held.publisher.kinds() == [NoticeKind.UP, NoticeKind.DOWN, NoticeKind.UP]


async def test_row_1_reset_by_a_dead_machine(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def dies(client: Conversation) -> None:
        await serve(client, venue, 100)
        client.reset()

    async with (
        ScriptedUpstream(dies, dies, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)

    assert held.publisher.has_all("S1", COUNT)


async def test_row_2_silence(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def falls_silent(client: Conversation) -> None:
        await serve(client, venue, 100)
        await client.until_gone(beat=False)

    async with (
        ScriptedUpstream(falls_silent, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)

    assert held.publisher.has_all("S1", COUNT)
    assert held.feed.health.reconnects == {"heartbeat lost": 1}
    assert held.publisher.notices[1].detail == "primary: heartbeat lost: nothing received for 0.5 s"


async def test_row_3_login_rejected_a_stops_and_says_so(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def rejects(client: Conversation) -> None:
        await client.login()
        client.write(packets.login_rejected("A"))
        await client.flushed()

    async with (
        ScriptedUpstream(rejects, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until(lambda: held.feed.health.state is FeedState.STOPPED)
        health = held.feed.health
        before = upstream.connections
        held.feed.retry()
        await held.until_has("S1", COUNT)

    assert before == 1
    assert "not authorized" in health.detail
    assert NoticeKind.REJECTED in held.publisher.kinds()
    assert held.publisher.has_all("S1", COUNT)


async def test_row_3_login_rejected_s_goes_to_the_next_session(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def ends_unseen(client: Conversation) -> None:
        await serve(client, venue)
        await client.flushed()
        venue.roll("S2", 50)

    async with (
        ScriptedUpstream(ends_unseen, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S2", 50)

    assert held.publisher.has_all("S1", COUNT)
    assert held.publisher.has_all("S2", 50)
    assert upstream.connections == 3
    assert NoticeKind.SESSION_CHANGED in held.publisher.kinds()
    assert held.publisher.gaps == []


async def test_row_4_accepted_below_asked_overlap_is_dropped(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def rewound(client: Conversation) -> None:
        asked = await client.login()
        client.accept("S1", asked.next_seq - 40)
        client.write(venue.raw("S1", asked.next_seq - 40, COUNT))
        await client.until_gone()

    async with (
        ScriptedUpstream(spoilt(venue, 100), rewound) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)
        health = held.feed.health

    assert held.publisher.has_all("S1", COUNT)
    assert (health.rewinds, health.doubles, health.diverged) == (1, 40, 0)
    told = next(notice for notice in held.publisher.notices if notice.kind is NoticeKind.REWOUND)
    assert (told.session, told.from_seq, told.to_seq) == ("S1", 61, 100)


async def test_row_4_accepted_above_asked_gap_is_declared(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def skips(client: Conversation) -> None:
        asked = await client.login()
        client.accept("S1", asked.next_seq + 10)
        client.write(venue.raw("S1", asked.next_seq + 10, COUNT))
        await client.until_gone()

    async with (
        ScriptedUpstream(spoilt(venue, 100), skips) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)
        health = held.feed.health

    assert held.publisher.gaps == [Gap("S1", 101, 110)]
    assert list(held.publisher.payloads["S1"]) == [*range(1, 101), *range(111, COUNT + 1)]
    assert (health.gaps, health.missing) == (1, 10)
    told = next(notice for notice in held.publisher.notices if notice.kind is NoticeKind.GAP)
    assert (told.session, told.from_seq, told.to_seq) == ("S1", 101, 110)


async def test_row_5_new_session_is_begun_at_its_first_message(tmp_path: Path) -> None:
    """The server forgets our session and puts us into the middle of its own: its start can still be had."""
    venue = Venue(count=COUNT)

    async def elsewhere(client: Conversation) -> None:
        venue.roll("S2", 50)
        await client.login()
        client.accept("S2", 30)
        client.write(venue.raw("S2", 30, 50))
        await client.until_gone()

    async with (
        ScriptedUpstream(spoilt(venue, COUNT), elsewhere, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S2", 50)

    assert held.publisher.has_all("S1", COUNT)
    assert held.publisher.has_all("S2", 50)
    assert held.publisher.gaps == []
    assert NoticeKind.SESSION_CHANGED in held.publisher.kinds()


async def test_row_6_replayed_doubles_are_dropped_by_number_and_compared(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)
    forger = Venue(count=COUNT)
    forger.forged["S1", 90] = b"not what it was"

    async def replays_all(client: Conversation) -> None:
        await client.login()
        client.accept("S1", 1)
        client.write(forger.raw("S1", 1, COUNT))
        await client.until_gone()

    async with (
        ScriptedUpstream(spoilt(venue, 100), replays_all) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)
        health = held.feed.health

    assert held.publisher.has_all("S1", COUNT)
    assert (health.doubles, health.diverged) == (100, 1)
    told = next(notice for notice in held.publisher.notices if notice.kind is NoticeKind.DIVERGED)
    assert (told.session, told.from_seq, told.to_seq) == ("S1", 90, 90)


async def test_row_7_end_of_session_is_told_and_the_ended_one_not_joined_again(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)
    logins: list[tuple[str, int]] = []

    async def overnight(client: Conversation) -> None:
        """Still the ended session, as a server that has not rolled yet."""
        asked = await client.login()
        logins.append((asked.session, asked.next_seq))
        client.accept("S1", 1)
        client.write(venue.raw("S1", 1, COUNT) + packets.END_OF_SESSION_PACKET)
        await client.flushed()

    async def next_day(client: Conversation) -> None:
        if not venue.ended:
            venue.roll("S2", 50)
        await serve(client, venue)
        await client.until_gone()

    ended = spoilt(venue, COUNT, packets.END_OF_SESSION_PACKET)
    async with (
        ScriptedUpstream(ended, overnight, overnight, next_day) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S2", 50)
        await held.stop()
        sessions = held.journal.sessions()

    assert logins == [("", 1), ("", 1)]
    assert held.publisher.has_all("S1", COUNT)
    assert held.publisher.has_all("S2", 50)
    assert [(info.session, info.ended) for info in sessions] == [("S1", True), ("S2", False)]
    kinds = held.publisher.kinds()
    assert kinds.count(NoticeKind.SESSION_ENDED) == 1
    assert kinds.count(NoticeKind.SESSION_AGAIN) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\x00", b"\x00\x01x", b"\x00\x02Hx", b"\x00\x01A"],
    ids=["length 0", "type", "body", "misplaced"],
)
async def test_row_8_broken_packets_drop_the_link_and_nothing_else(tmp_path: Path, garbage: bytes) -> None:
    """What stood in front of the broken packet in the same read is kept."""
    venue = Venue(count=COUNT)
    async with (
        ScriptedUpstream(spoilt(venue, 100, garbage + b"rest" * 100), honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)

    assert held.publisher.has_all("S1", COUNT)
    assert held.feed.health.reconnects == {"broken packet": 1}


async def test_row_9_one_byte_at_a_time(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def dribbles(client: Conversation) -> None:
        await client.login()
        client.accept("S1", 1)
        for byte in venue.raw("S1", 1, COUNT):
            client.write(bytes([byte]))
            await client.drain()
            await asyncio.sleep(0)
        await client.until_gone()

    async with (
        ScriptedUpstream(dribbles) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", COUNT)

    assert held.publisher.has_all("S1", COUNT)
    assert held.feed.health.reconnects == {}


async def test_row_10_unknown_message_types_are_journaled_raw(tmp_path: Path) -> None:
    """The feed looks at no payload: what the decoder can't read keeps its number and its bytes."""
    venue = Venue(count=3)
    venue.forged["S1", 1] = b""
    venue.forged["S1", 2] = bytes(range(256))
    venue.forged["S1", 3] = b"\xff" * packets.PAYLOAD_BYTES_MAX
    async with (
        ScriptedUpstream(honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", 3)

    assert held.publisher.payloads["S1"] == {seq: venue.forged["S1", seq] for seq in (1, 2, 3)}


async def test_row_11_burst_keeps_order(tmp_path: Path) -> None:
    venue = Venue(count=100_000)
    async with (
        ScriptedUpstream(honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", 100_000)

    assert held.publisher.has_all("S1", 100_000)


async def test_row_12_the_clock_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall clock is only written down: a day forward, a year back, and nobody reconnects or is stale."""
    venue = Venue(count=COUNT)
    step = {"ns": 0}
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + step["ns"])
    go_on = asyncio.Event()

    async def slowly(client: Conversation) -> None:
        await serve(client, venue, 100)
        await go_on.wait()
        client.write(venue.raw("S1", 101, COUNT))
        await client.until_gone()

    async with (
        ScriptedUpstream(slowly) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", 100)
        step["ns"] = -365 * 86_400 * 10**9
        go_on.set()
        await held.until_has("S1", COUNT)
        health = held.feed.health

    assert held.publisher.has_all("S1", COUNT)
    assert held.publisher.kinds() == [NoticeKind.UP]
    assert health.last_received_ns is not None
    assert health.last_received_ns < real() - 364 * 86_400 * 10**9


async def test_row_13_login_never_answered_goes_to_the_next_endpoint(tmp_path: Path) -> None:
    venue = Venue(count=COUNT)

    async def mute(client: Conversation) -> None:
        await client.login()
        await client.until_gone(beat=False)

    async with (
        ScriptedUpstream(mute) as primary,
        ScriptedUpstream(honest(venue)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hold_down_s=60)) as held,
    ):
        await held.until_has("S1", COUNT)
        health = held.feed.health

    assert held.publisher.has_all("S1", COUNT)
    assert health.endpoint == "secondary"
    assert health.reconnects == {"login timeout": 1}
    assert held.publisher.notices[0].detail == "primary: login timeout: login not answered within 0.3 s"


MESSAGES = [f"message {number}".encode() for number in range(1, 2001)]
SCHEDULES = 50


def random_faults(dice: random.Random) -> list[Faults]:
    """What goes wrong on the first connections, one after the other."""
    makers: list[Callable[[], Faults]] = [
        lambda: Faults(drop_after=dice.randrange(400)),
        lambda: Faults(drop_after=dice.randrange(400), cut_inside_packet=True),
        lambda: Faults(drop_on_connect=True),
        lambda: Faults(drop_before_accepted=True),
        lambda: Faults(cut_inside_accepted=True),
        lambda: Faults(ignore_login=True),
        lambda: Faults(reject="S"),
        lambda: Faults(silent_after=dice.randrange(400)),
        lambda: Faults(garbage_after=dice.randrange(400)),
        lambda: Faults(rewind=dice.randrange(1, 300), drop_after=dice.randrange(400)),
        lambda: Faults(skip=dice.randrange(1, 20), drop_after=dice.randrange(400)),
        lambda: Faults(
            roll_session_after=dice.randrange(50, 900),
            roll_silently=dice.random() < 0.5,
            drop_at_end=dice.random() < 0.5,
            drop_after=dice.randrange(400),
        ),
    ]
    return [dice.choice(makers)() for _ in range(dice.randrange(3, 9))]


def parts_of(faults: list[Faults], messages: list[bytes] = MESSAGES) -> list[list[bytes]]:
    """The messages of each session that the faults make of all of them."""
    left, parts = messages, []
    for fault in faults:
        if fault.roll_session_after is not None:
            parts.append(left[: fault.roll_session_after])
            left = left[fault.roll_session_after :]
    return [*parts, left]


@pytest.mark.one_loop
@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_random_faults_lose_double_and_disorder_nothing(tmp_path: Path, seed: int) -> None:
    """The seed is the test's name. The publisher itself asserts order, and the journal before it."""
    faults = random_faults(random.Random(seed))
    parts = [part for part in parts_of(faults) if part]
    settings = ExchangeSettings(faults=faults, heartbeat_s=0.1, close_timeout_s=0.2)
    async with (
        Exchange(settings, MESSAGES) as exchange,
        holding(tmp_path, feed_settings(exchange.port, silence_s=0.3)) as held,
    ):
        await held.until(
            lambda: (
                len(held.publisher.sessions) >= len(parts) and (held.publisher.next_seq or 0) > len(parts[-1])
            ),
            f"all of seed {seed}: {faults}",
        )
    with JournalReader(tmp_path, "itch") as reader:
        journaled = {info.session: info for info in reader.sessions()}

    assert len(held.publisher.sessions) == len(parts)
    for session, part in zip(held.publisher.sessions, parts, strict=True):
        missing = {
            seq
            for gap in held.publisher.gaps
            if gap.session == session
            for seq in range(gap.from_seq, gap.to_seq + 1)
        }
        expected = {seq: payload for seq, payload in enumerate(part, 1) if seq not in missing}
        assert held.publisher.payloads[session] == expected, f"seed {seed}: {faults}"
        assert list(held.publisher.payloads[session]) == sorted(expected)
        assert journaled[session].messages == len(expected)
    assert held.feed.health.diverged == 0
    if not any(fault.skip for fault in faults):
        assert held.publisher.gaps == []

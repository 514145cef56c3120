"""Several addresses of one feed, over real sockets: failover, return, hot standby, with no number lost."""

import asyncio
from pathlib import Path

from gateway.net.feed import FeedState, NoticeKind
from gateway.soup import packets
from tests.fakes.held_feed import feed_settings, holding
from tests.fakes.scripted_upstream import Conversation, Script, ScriptedUpstream, Venue, honest, serve, spoilt


def growing(venue: Venue, more: asyncio.Event) -> Script:
    """Honest, and when `more` is set sends what has come since."""

    async def script(client: Conversation) -> None:
        next_seq = await serve(client, venue)
        await more.wait()
        client.write(venue.raw("S1", next_seq, venue.counts["S1"]))
        await client.until_gone()

    return script


async def test_primary_dies_and_returns_and_nobody_misses_a_number(tmp_path: Path) -> None:
    venue = Venue(count=100)
    primary = ScriptedUpstream(honest(venue))
    await primary.open()
    more = asyncio.Event()
    async with (
        ScriptedUpstream(growing(venue, more)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hold_down_s=0.3)) as held,
    ):
        await held.until_has("S1", 100)
        await primary.close()
        await held.until_told(NoticeKind.FAILED_OVER)
        venue.counts["S1"] = 200
        more.set()
        await held.until_has("S1", 200)
        await primary.open()
        await held.until_told(NoticeKind.RETURNED)
        await held.until(lambda: len(held.feed.health.lanes) == 1)
        health = held.feed.health
        await held.stop()
        await primary.close()

    assert held.publisher.has_all("S1", 200)
    assert health.endpoint == "primary"
    # Down once: the return was made before the other connection was given up.
    assert [kind for kind in held.publisher.kinds() if kind is NoticeKind.DOWN] == [NoticeKind.DOWN]
    assert (health.gaps, health.diverged, health.rewinds) == (0, 0, 0)


async def test_a_dead_primary_is_probed_while_the_secondary_goes_on(tmp_path: Path) -> None:
    """The primary takes connections but answers no login: the working connection is not given up for it."""
    venue = Venue(count=100)

    async def mute(client: Conversation) -> None:
        await client.login()
        await client.until_gone(beat=False)

    async with (
        ScriptedUpstream(spoilt(venue, 50), mute) as primary,
        ScriptedUpstream(honest(venue)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hold_down_s=0.1)) as held,
    ):
        await held.until(lambda: primary.connections >= 3)
        health = held.feed.health

    assert held.publisher.has_all("S1", 100)
    assert health.endpoint == "secondary"
    assert health.state is FeedState.STREAMING
    assert secondary.connections == 1
    assert held.publisher.kinds().count(NoticeKind.DOWN) == 1


async def test_an_account_with_room_for_one_connection_does_not_stop_the_feed(tmp_path: Path) -> None:
    """The primary rejects the return with A while the secondary is up, and is tried again afterwards."""
    venue = Venue(count=100)
    go = asyncio.Event()

    async def rejects(client: Conversation) -> None:
        await client.login()
        client.write(packets.login_rejected("A"))
        await client.flushed()

    async def until_go(client: Conversation) -> None:
        await serve(client, venue, 80)
        await go.wait()
        await client.flushed()

    async with (
        ScriptedUpstream(spoilt(venue, 50), rejects, honest(venue)) as primary,
        ScriptedUpstream(until_go) as secondary,
        holding(
            tmp_path, feed_settings(primary.port, secondary.port, hold_down_s=0.1, silence_s=15.0)
        ) as held,
    ):
        await held.until_told(NoticeKind.REJECTED)
        # Many hold-downs long, nobody knocks there again.
        await asyncio.sleep(0.5)
        knocks = primary.connections
        go.set()
        await held.until_has("S1", 100)
        health = held.feed.health

    assert held.publisher.has_all("S1", 100)
    assert knocks == 2
    assert health.endpoint == "primary"
    assert health.not_authorized == ()


async def test_hot_standby_one_dying_costs_nothing(tmp_path: Path) -> None:
    venue = Venue(count=100)
    die = asyncio.Event()

    async def dies(client: Conversation) -> None:
        await serve(client, venue, 60)
        await die.wait()
        client.reset()

    more = asyncio.Event()
    async with (
        ScriptedUpstream(dies, honest(venue)) as primary,
        ScriptedUpstream(growing(venue, more)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True)) as held,
    ):
        await held.until_told(NoticeKind.STANDBY_UP)
        await held.until_has("S1", 100)
        die.set()
        await held.until_told(NoticeKind.STANDBY_DOWN)
        venue.counts["S1"] = 200
        more.set()
        await held.until_has("S1", 200)
        await held.until(lambda: held.publisher.kinds().count(NoticeKind.STANDBY_UP) == 2)
        health = held.feed.health

    assert held.publisher.has_all("S1", 200)
    assert NoticeKind.DOWN not in held.publisher.kinds()
    assert [lane.state for lane in health.lanes] == [FeedState.STREAMING, FeedState.STREAMING]
    assert health.diverged == 0


async def test_hot_standby_tells_how_far_the_slower_one_is_behind(tmp_path: Path) -> None:
    venue = Venue(count=100)
    catch_up = asyncio.Event()

    async def lags(client: Conversation) -> None:
        await serve(client, venue, 30)
        await catch_up.wait()
        client.write(venue.raw("S1", 31, 100))
        await client.until_gone()

    async with (
        ScriptedUpstream(honest(venue)) as primary,
        ScriptedUpstream(lags) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True)) as held,
    ):
        await held.until_has("S1", 100)
        await held.until(lambda: held.feed.health.lanes[1].lag_messages == 70)
        catch_up.set()
        await held.until(lambda: held.feed.health.lanes[1].lag_messages == 0)
        health = held.feed.health

    assert held.publisher.has_all("S1", 100)
    assert health.lanes[1].lag_ns > 0
    assert health.diverged == 0


async def test_hot_standby_with_a_diverging_number_goes_on_with_the_preferred(tmp_path: Path) -> None:
    """The standby's copy of 70 differs: it is named, and the standby is not listened to any more."""
    venue, forger = Venue(count=100), Venue(count=100)
    forger.forged["S1", 70] = b"forged"
    first_is_there = asyncio.Event()
    more = asyncio.Event()

    async def later(client: Conversation) -> None:
        await first_is_there.wait()
        await serve(client, forger)
        await client.until_gone()

    async with (
        ScriptedUpstream(growing(venue, more)) as primary,
        ScriptedUpstream(later) as secondary,
        holding(
            tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True, login_timeout_s=5.0)
        ) as held,
    ):
        await held.until_has("S1", 100)
        # The standby has asked for number 1, as both do with an empty journal.
        first_is_there.set()
        await held.until_told(NoticeKind.DIVERGED)
        venue.counts["S1"] = 200
        more.set()
        await held.until_has("S1", 200)
        health = held.feed.health

    assert held.publisher.has_all("S1", 200)
    assert health.diverged == 1
    assert secondary.connections == 1
    told = next(notice for notice in held.publisher.notices if notice.kind is NoticeKind.DIVERGED)
    assert (told.session, told.from_seq, told.to_seq) == ("S1", 70, 70)
    assert "secondary" in told.detail


async def test_hot_standby_whose_forged_copy_came_first_is_dropped_when_the_preferred_differs(
    tmp_path: Path,
) -> None:
    """What is published can't be taken back: the number is named, and the preferred goes on alone."""
    venue, forger = Venue(count=100), Venue(count=80)
    forger.forged["S1", 70] = b"forged"
    forged_is_there = asyncio.Event()

    async def later(client: Conversation) -> None:
        await forged_is_there.wait()
        await serve(client, venue)
        await client.until_gone()

    async with (
        ScriptedUpstream(later) as primary,
        ScriptedUpstream(honest(forger)) as secondary,
        holding(
            tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True, login_timeout_s=5.0)
        ) as held,
    ):
        await held.until_has("S1", 80)
        forged_is_there.set()
        await held.until_has("S1", 100)
        await held.until(lambda: held.feed.health.lanes[1].state is not FeedState.STREAMING)
        health = held.feed.health

    assert health.diverged == 1
    assert health.endpoint == "primary"
    assert list(held.publisher.payloads["S1"]) == list(range(1, 101))
    assert held.publisher.payloads["S1"][70] == b"forged"
    assert held.publisher.payloads["S1"][71] == b"S1:71"
    assert secondary.connections == 1


async def test_hot_standby_goes_through_a_session_change_together(tmp_path: Path) -> None:
    venue = Venue(count=100)
    roll = asyncio.Event()

    async def ends(client: Conversation) -> None:
        await serve(client, venue)
        await roll.wait()
        client.write(packets.END_OF_SESSION_PACKET)
        await client.flushed()

    async with (
        ScriptedUpstream(ends, honest(venue)) as primary,
        ScriptedUpstream(ends, honest(venue)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True)) as held,
    ):
        await held.until(lambda: held.feed.health.doubles == 100)
        venue.roll("S2", 50)
        roll.set()
        await held.until_has("S2", 50)
        await held.until(lambda: held.feed.health.doubles == 150)

    assert held.publisher.has_all("S1", 100)
    assert held.publisher.has_all("S2", 50)
    assert held.publisher.kinds().count(NoticeKind.SESSION_CHANGED) == 1
    assert NoticeKind.REWOUND not in held.publisher.kinds()


async def test_a_standby_in_another_session_is_held_off_while_the_preferred_works(tmp_path: Path) -> None:
    venue, other = Venue(count=100), Venue("S9", 20)
    async with (
        ScriptedUpstream(honest(venue)) as primary,
        holding(tmp_path, feed_settings(primary.port)) as held,
    ):
        await held.until_has("S1", 100)
    async with (
        ScriptedUpstream(honest(venue)) as primary,
        ScriptedUpstream(honest(other)) as secondary,
        holding(tmp_path, feed_settings(primary.port, secondary.port, hot_standby=True)) as held,
    ):
        await held.until_told(NoticeKind.SESSIONS_DIFFER)
        health = held.feed.health

    assert health.session == "S1"
    assert held.publisher.count("S9") == 0

"""The shell of a feed on real sockets: logins, logouts, trouble with the journal, staleness, TLS."""

import asyncio
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.journal import Journal, JournalFull
from gateway.net.feed import Feed, FeedState, NoticeKind
from gateway.settings import EndpointSettings
from gateway.soup import packets
from gateway.values import Block, Position
from tests.fakes.held_feed import feed_settings, holding
from tests.fakes.recording_publisher import RecordingPublisher
from tests.fakes.scripted_upstream import Conversation, ScriptedUpstream, Venue, honest, serve, spoilt


class FullJournal(Journal):
    """A journal whose disk a test fills and empties."""

    full = False
    refusals = 0

    def write(self, blocks: Sequence[Block]) -> list[Block]:
        self._refuse_if_full()
        return super().write(blocks)

    def roll(self, session: str, first_seq: int = 1) -> Position:
        self._refuse_if_full()
        return super().roll(session, first_seq)

    def _refuse_if_full(self) -> None:
        if self.full:
            self.refusals += 1
            raise JournalFull("no room on the disk")


async def test_a_full_journal_pauses_the_feed_and_loses_nothing(tmp_path: Path) -> None:
    """Reading stops, so the upstream's writes stop: what it can't send is bounded by TCP's buffers."""
    venue = Venue(count=100)
    journal = FullJournal(tmp_path, "itch")
    more = asyncio.Event()
    stuck = asyncio.Event()
    flood = 400_000

    async def floods(client: Conversation) -> None:
        await serve(client, venue)
        await more.wait()
        for first_seq in range(101, flood, 10_000):
            client.write(venue.raw("S1", first_seq, min(first_seq + 9_999, flood)))
            try:
                async with asyncio.timeout(0.2):
                    await client.drain()
            except TimeoutError:
                stuck.set()
                await client.drain()
        await client.until_gone()

    async with (
        ScriptedUpstream(floods) as upstream,
        holding(
            tmp_path,
            feed_settings(upstream.port, receive_buffer_bytes=65_536),
            journal=journal,
            journal_retry_first_s=0.01,
            journal_retry_max_s=0.05,
        ) as held,
    ):
        await held.until_has("S1", 100)
        journal.full = True
        more.set()
        await asyncio.wait_for(stuck.wait(), 20)
        await held.until(lambda: journal.refusals > 3)
        paused = held.feed.health
        count_while_full = held.publisher.count("S1")
        journal.full = False
        await held.until_has("S1", flood)
        health = held.feed.health

    assert count_while_full == 100
    assert paused.paused
    assert paused.detail == "no room on the disk"
    assert not health.paused
    assert held.publisher.has_all("S1", flood)
    assert upstream.connections == 1
    kinds = held.publisher.kinds()
    assert kinds.count(NoticeKind.JOURNAL_PAUSED) == 1
    assert kinds.count(NoticeKind.JOURNAL_RESUMED) == 1


async def test_an_upstream_that_leaves_while_the_journal_is_full_is_resumed_by_number(tmp_path: Path) -> None:
    venue = Venue(count=200)
    journal = FullJournal(tmp_path, "itch")
    go = asyncio.Event()

    async def leaves(client: Conversation) -> None:
        await serve(client, venue, 100)
        await go.wait()
        client.write(venue.raw("S1", 101, 150))
        await client.drain()
        await client.until_gone()

    async with (
        ScriptedUpstream(leaves, honest(venue)) as upstream,
        holding(
            tmp_path,
            feed_settings(upstream.port),
            journal=journal,
            journal_retry_first_s=0.01,
            journal_retry_max_s=0.05,
        ) as held,
    ):
        await held.until_has("S1", 100)
        journal.full = True
        go.set()
        await held.until_told(NoticeKind.JOURNAL_PAUSED)
        await upstream.close()
        journal.full = False
        await held.until_has("S1", 150)
        await upstream.open()
        await held.until_has("S1", 200)

    assert held.publisher.has_all("S1", 200)


async def test_a_journal_that_is_full_from_the_start_lets_nobody_in_until_it_is_not(tmp_path: Path) -> None:
    venue = Venue(count=100)
    journal = FullJournal(tmp_path, "itch")
    journal.full = True
    async with (
        ScriptedUpstream(honest(venue)) as upstream,
        holding(
            tmp_path,
            feed_settings(upstream.port),
            journal=journal,
            journal_retry_first_s=0.01,
            journal_retry_max_s=0.05,
        ) as held,
    ):
        await held.until_told(NoticeKind.JOURNAL_PAUSED)
        assert held.publisher.count("S1") == 0
        journal.full = False
        await held.until_has("S1", 100)

    assert held.publisher.has_all("S1", 100)


async def test_a_failed_fsync_stops_the_feed_and_health_says_why(tmp_path: Path) -> None:
    venue = Venue(count=100)
    broken = asyncio.Event()

    def fsync(handle: int) -> None:
        if broken.is_set():
            raise OSError(5, "Input/output error")

    journal = Journal(tmp_path, "itch", fsync=fsync)
    go = asyncio.Event()

    async def two_parts(client: Conversation) -> None:
        await serve(client, venue, 50)
        await go.wait()
        for seq in range(51, 101):
            client.write(venue.raw("S1", seq, seq))
            await asyncio.sleep(0.01)
        await client.until_gone()

    async with (
        ScriptedUpstream(two_parts) as upstream,
        holding(
            tmp_path,
            feed_settings(upstream.port),
            journal=journal,
            journal_retry_first_s=0.01,
            journal_retry_max_s=0.05,
        ) as held,
    ):
        await held.until_has("S1", 50)
        broken.set()
        go.set()
        await held.until_told(NoticeKind.JOURNAL_PAUSED)
        health = held.feed.health

    assert health.paused
    assert "fsync" in health.detail
    assert held.publisher.has_all("S1", held.publisher.count("S1"))


async def test_a_failed_fsync_is_told_though_no_more_messages_come(tmp_path: Path) -> None:
    """Of a market that is quiet, or has closed, nobody would learn what is not on the disk."""
    venue = Venue(count=50)

    def fsync(handle: int) -> None:
        raise OSError(5, "Input/output error")

    async def once(client: Conversation) -> None:
        await serve(client, venue, 50)
        await client.until_gone()

    async with (
        ScriptedUpstream(once) as upstream,
        holding(
            tmp_path, feed_settings(upstream.port), journal=Journal(tmp_path, "itch", fsync=fsync)
        ) as held,
    ):
        await held.until_told(NoticeKind.JOURNAL_PAUSED)
        health = held.feed.health

    assert held.publisher.has_all("S1", 50)
    assert health.paused
    assert "fsync: Input/output error" in health.detail
    assert held.publisher.kinds().count(NoticeKind.JOURNAL_PAUSED) == 1


async def test_a_restart_asks_for_exactly_the_next_number(tmp_path: Path) -> None:
    venue = Venue(count=100)
    asked: list[Position] = []

    async def listens(client: Conversation) -> None:
        login = await client.login()
        asked.append(Position(login.session, login.next_seq))
        client.accept("S1", login.next_seq)
        client.write(venue.raw("S1", login.next_seq, venue.counts["S1"]))
        await client.until_gone()

    async with ScriptedUpstream(listens) as upstream:
        async with holding(tmp_path, feed_settings(upstream.port)) as held:
            await held.until_has("S1", 100)
        venue.counts["S1"] = 150
        async with holding(tmp_path, feed_settings(upstream.port)) as held:
            await held.until_has("S1", 150)

    assert asked == [Position("", 1), Position("S1", 101)]
    assert held.publisher.has_all("S1", 150, first_seq=101)


async def test_a_restart_after_the_end_of_a_session_asks_for_the_next_one(tmp_path: Path) -> None:
    venue = Venue(count=100)
    asked: list[str] = []
    async with (
        ScriptedUpstream(spoilt(venue, 100, packets.END_OF_SESSION_PACKET)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_told(NoticeKind.SESSION_ENDED)
        await held.until(lambda: held.journal.ended())

    async def listens(client: Conversation) -> None:
        login = await client.login()
        asked.append(login.session)
        client.accept("S2", login.next_seq)
        await client.until_gone()

    async with (
        ScriptedUpstream(listens) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_told(NoticeKind.SESSION_CHANGED)

    assert asked == [""]


async def test_a_first_start_asks_for_what_is_configured(tmp_path: Path) -> None:
    venue = Venue("S7", 100)
    async with (
        ScriptedUpstream(honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port, session="S7", sequence=90)) as held,
    ):
        await held.until_has("S7", 100)

    assert held.publisher.has_all("S7", 100, first_seq=90)
    assert held.publisher.gaps == []


async def test_a_server_restarted_with_the_same_session_and_less_is_replayed_and_compared(
    tmp_path: Path,
) -> None:
    """It rejects our number with S and offers the session from 1: only what is above our number is new."""
    venue = Venue(count=100)
    async with (
        ScriptedUpstream(spoilt(venue, 100), honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", 100)
        venue.counts["S1"] = 60
        await held.until_told(NoticeKind.REWOUND)
        await held.until(lambda: held.feed.health.doubles == 60)
        state = held.feed.health.state
        venue.counts["S1"] = 150
        await upstream.close()
        await upstream.open()
        await held.until_has("S1", 150)

    assert state is FeedState.STREAMING
    assert held.publisher.has_all("S1", 150)
    assert held.feed.health.diverged == 0


async def test_a_cancelled_feed_logs_out(tmp_path: Path) -> None:
    venue = Venue(count=10)
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listens(client: Conversation) -> None:
        await serve(client, venue)
        await client.until_gone()
        heard.set_result(client.heard)

    async with ScriptedUpstream(listens) as upstream:
        async with holding(tmp_path, feed_settings(upstream.port)) as held:
            await held.until_has("S1", 10)
        said = await heard

    assert said.endswith(packets.LOGOUT_PACKET)
    assert held.publisher.kinds() == [NoticeKind.UP]


async def test_no_data_for_too_long_is_stale_and_heartbeats_are_no_data(tmp_path: Path) -> None:
    venue = Venue(count=10)
    go = asyncio.Event()

    async def pauses(client: Conversation) -> None:
        await serve(client, venue)
        quiet = asyncio.create_task(client.until_gone())
        await go.wait()
        client.write(venue.raw("S1", 11, 20))
        await quiet

    async with (
        ScriptedUpstream(pauses) as upstream,
        holding(tmp_path, feed_settings(upstream.port, stale_after_s=0.2)) as held,
    ):
        await held.until_told(NoticeKind.STALE)
        stale = held.feed.health
        go.set()
        await held.until_told(NoticeKind.FRESH)
        await held.until_has("S1", 20)
        fresh = held.feed.health

    assert stale.stale
    assert stale.state is FeedState.STREAMING
    assert not fresh.stale
    assert fresh.reconnects == {}
    assert held.publisher.kinds().count(NoticeKind.STALE) >= 1


async def test_unsequenced_data_is_passed_on_and_not_counted(tmp_path: Path) -> None:
    venue = Venue(count=10)

    async def mixed(client: Conversation) -> None:
        await serve(client, venue, 5)
        client.write(packets.unsequenced(b"best effort") + venue.raw("S1", 6, 10))
        await client.until_gone()

    async with (
        ScriptedUpstream(mixed) as upstream,
        holding(tmp_path, feed_settings(upstream.port)) as held,
    ):
        await held.until_has("S1", 10)

    assert held.publisher.unsequenced == [b"best effort"]
    assert held.publisher.has_all("S1", 10)


async def test_an_upstream_that_is_not_there_is_waited_for_and_told_once(tmp_path: Path) -> None:
    venue = Venue(count=10)
    upstream = ScriptedUpstream(honest(venue))
    await upstream.open()
    await upstream.close()
    async with holding(tmp_path, feed_settings(upstream.port)) as held:
        await held.until(lambda: held.feed.health.reconnects.get("no connection", 0) > 3)
        down = held.feed.health
        await upstream.open()
        await held.until_has("S1", 10)
    await upstream.close()

    assert held.publisher.kinds() == [NoticeKind.DOWN, NoticeKind.UP]
    assert f"127.0.0.1:{upstream.port}" in down.detail


def test_a_feed_may_be_built_before_there_is_a_loop(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "itch")
    feed = Feed(feed_settings(1), journal, RecordingPublisher(journal))

    assert feed.health.state is FeedState.WAITING
    assert (feed.health.session, feed.health.next_seq, feed.health.lanes) == ("", 0, ())
    journal.close()


async def test_a_bug_of_the_publisher_ends_the_feed_and_is_not_hidden(tmp_path: Path) -> None:
    class Buggy(RecordingPublisher):
        def publish(self, block: Block) -> None:
            raise ZeroDivisionError("a bug")

    venue = Venue(count=10)
    journal = Journal(tmp_path, "itch")
    async with ScriptedUpstream(honest(venue)) as upstream:
        with pytest.raises(ExceptionGroup) as caught:
            await Feed(feed_settings(upstream.port), journal, Buggy(journal)).run()
    journal.close()

    assert caught.group_contains(ZeroDivisionError)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of our own, a server's and a client's certificate."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("server", "client"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:venue.example\n")
        signed_by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        to = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")
        openssl("x509", "-req", *signed_by, *to)
    return folder


def tls_server(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls_endpoint(certificates: Path, port: int, **values: object) -> EndpointSettings:
    given: dict[str, object] = {
        "name": "primary",
        "address": f"127.0.0.1:{port}",
        "tls": True,
        "tls_ca_file": certificates / "ca.pem",
        "tls_certificate_file": certificates / "client.pem",
        "tls_key_file": certificates / "client.key",
        "tls_server_name": "venue.example",
    }
    return EndpointSettings(**(given | values))  # type: ignore[arg-type]


async def test_tls_with_an_authority_of_its_own_and_a_client_certificate(
    tmp_path: Path, certificates: Path
) -> None:
    venue = Venue(count=100)
    async with ScriptedUpstream(honest(venue), tls=tls_server(certificates)) as upstream:
        settings = feed_settings(endpoints=(tls_endpoint(certificates, upstream.port),))
        async with holding(tmp_path, settings) as held:
            await held.until_has("S1", 100)

    assert held.publisher.has_all("S1", 100)


async def test_tls_to_a_server_of_another_name_sends_no_password(tmp_path: Path, certificates: Path) -> None:
    venue = Venue(count=100)
    async with ScriptedUpstream(honest(venue), tls=tls_server(certificates)) as upstream:
        endpoint = tls_endpoint(certificates, upstream.port, tls_server_name="other.example")
        async with holding(tmp_path, feed_settings(endpoints=(endpoint,))) as held:
            await held.until_told(NoticeKind.DOWN)
            health = held.feed.health

    assert "other.example" in health.detail
    assert upstream.connections == 0


def test_a_certificate_that_is_none_stops_the_start(tmp_path: Path, certificates: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    endpoint = tls_endpoint(certificates, 1, tls_certificate_file=wrong)
    journal = Journal(tmp_path, "itch")

    with pytest.raises(ConfigError, match="primary: tls_certificate_file"):
        Feed(feed_settings(endpoints=(endpoint,)), journal, RecordingPublisher(journal))
    journal.close()


async def test_the_wait_before_a_dial_starts_again_when_messages_have_flowed(tmp_path: Path) -> None:
    """Twelve losses in a row, each behind new messages: doubling all the time would take most of a minute."""
    venue = Venue(count=120)
    drops = [spoilt(venue, last_seq) for last_seq in range(10, 120, 10)]
    async with (
        ScriptedUpstream(*drops, honest(venue)) as upstream,
        holding(tmp_path, feed_settings(upstream.port, backoff_max_s=60.0)) as held,
    ):
        await held.until_has("S1", 120)

    assert held.publisher.has_all("S1", 120)
    assert upstream.connections == len(drops) + 1

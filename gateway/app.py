"""Builds every room from the settings and owns their life: one loop, one TaskGroup, one order of shutdown.

Knows all rooms below; decides nothing about messages. The way of the data is wired here and
can be read here: a feed journals a block and hands it to its `_Publisher`, which gives it to the hub.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Thread

from pydantic import SecretStr

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.errors import ConfigError, JournalError
from gateway.hub import Channel, Hub, HubLimits
from gateway.journal import Journal, JournalLimits
from gateway.net.access import Authority
from gateway.net.feed import Feed
from gateway.net.feed_values import FeedNotice
from gateway.net.health import Health, health_now
from gateway.net.metrics import Metrics
from gateway.net.notices import notice_text
from gateway.net.restoring import restore
from gateway.net.server import Server
from gateway.settings import FeedSettings, Settings
from gateway.stripes import StripeTable
from gateway.values import Block, Gap
from gateway.views import ViewedCodecs

log = logging.getLogger("gateway.app")

DAY_S = 86_400
RETENTION_EVERY_S = 60.0
# What a reload takes over; of feeds it is user and password.
TAKEN_OVER = ("stripes", "log.level")
# How long a disk may take to finish what it was given, at the very end.
CLOSE_WAIT_S = 5.0
# The part of the shutdown timeout that feeds may take to log out.
FEEDS_SHARE = 0.3


class _Publisher:
    """What a feed has journaled, given on to the hub. Implements `feed_values.FeedPublisher`."""

    def __init__(
        self, channel: Channel, hub: Hub, journal: Journal, tell: Callable[[str, FeedNotice], None]
    ) -> None:
        self._channel = channel
        self._hub = hub
        self._journal = journal
        self._tell = tell

    def start_session(self, session: str) -> None:
        position = self._channel.position
        if position.session == session:
            return
        if position.session:
            # Whoever replays the old session needs its directory as it was at its end.
            _save_state(self._channel, self._journal)
        self._hub.start_session(self._channel.name, session)

    def publish(self, block: Block) -> None:
        self._hub.publish(self._channel.name, block)

    def publish_gap(self, gap: Gap) -> None:
        self._hub.publish_gap(self._channel.name, gap)

    def publish_unsequenced(self, payload: bytes, received_ns: int) -> None:
        self._hub.publish_unsequenced(self._channel.name, payload, received_ns)

    def notice(self, notice: FeedNotice) -> None:
        self._tell(self._channel.name, notice)


class Gateway:
    """One gateway process. `run` ends when `stop` is called, within the shutdown timeout."""

    def __init__(self, settings: Settings) -> None:
        """Read every file the settings name; ConfigError before any socket opens."""
        self._settings = settings
        self._stripes = StripeTable.load(settings.stripes.file)
        self._codecs = {each.name: _codecs(each) for each in settings.feeds}
        self._authority = Authority.load(settings)
        self._stopping = asyncio.Event()
        self._started_s = time.time()
        self._journals: dict[str, Journal] = {}
        self._hub: Hub | None = None
        self.feeds: dict[str, Feed] = {}
        self.port = settings.server.port

    async def run(self, ready: Callable[["Gateway"], None] | None = None) -> None:
        """Serve until `stop`. `ready` is called once subscribers can connect."""
        loop = asyncio.get_running_loop()
        hub = Hub(_hub_limits(self._settings), loop.call_soon, time.time_ns, notice_text)
        self._hub = hub
        journals = self._journals
        try:
            for each in self._settings.feeds:
                journals[each.name] = self._open_journal(each.name)
            for each in self._settings.feeds:
                self._add_feed(each, hub, journals[each.name])
            await self._serve(hub, journals, ready)
        finally:
            _close(journals, CLOSE_WAIT_S)

    def stop(self) -> None:
        """Begin the shutdown: feeds first, then the subscribers, each bounded in time."""
        self._stopping.set()

    def reload(self, settings: Settings) -> list[str]:
        """Take over keys, stripes, logins and certificate while all runs on; gives what needs a restart.

        Raises ConfigError, and leaves all as it was, when a file is wrong. Running streams keep the stripes
        they asked for by name: from the next message on, and in every replay, it means what the table says.
        """
        stripes = StripeTable.load(settings.stripes.file)
        renew = self._server.certificate_renewal() if self._hub is not None else None
        # Whether it has changed or not: a file that was found broken before must be told again.
        self._authority.reload()
        if renew is not None:
            renew()
        if self._hub is not None:
            # What was collected under the old table leaves first.
            self._hub.flush()
            self._stripes.take_over(stripes)
            self._hub.restripe()
        for each in settings.feeds:
            if each.name in self.feeds:
                self.feeds[each.name].reload(each)
        return sorted(_changed(self._settings, settings))

    def urls(self) -> list[str]:
        """Where subscribers and browsers go."""
        server = self._settings.server
        secure = "s" if server.tls_certificate_file else ""
        host = f"[{server.host}]" if ":" in server.host else server.host
        return [f"http{secure}://{host}:{self.port}/", f"ws{secure}://{host}:{self.port}/mlink/jsonf"]

    async def _serve(
        self, hub: Hub, journals: Mapping[str, Journal], ready: Callable[["Gateway"], None] | None
    ) -> None:
        def health() -> Health:
            return health_now(
                self.feeds,
                journals,
                hub,
                len(server.subscribers),
                started_s=self._started_s,
                stopping=self._stopping.is_set(),
            )

        def metrics() -> bytes:
            return scraped.text()

        server = Server(self._settings.server, hub, self._stripes, self._authority, health, metrics)
        scraped = Metrics(self.feeds, journals, hub, server.attendance, lambda: server.subscribers)
        self._server = server
        async with server:
            self.port = server.port
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(feed.run(), name=f"feed {name}") for name, feed in self.feeds.items()
                ]
                running.append(tasks.create_task(self._keep_house(hub, journals), name="housekeeping"))
                running.append(
                    tasks.create_task(server.watch_keys(self._settings.keys.reload_s), name="keys")
                )
                if ready is not None:
                    ready(self)
                await self._stopping.wait()
                deadline = asyncio.get_running_loop().time() + self._settings.server.shutdown_timeout_s
                server.stop_accepting()
                for task in running:
                    task.cancel()
                # They log out politely; an upstream that does not answer must not take the subscribers' time.
                share_s = FEEDS_SHARE * self._settings.server.shutdown_timeout_s
                await asyncio.wait(running, timeout=share_s)
                hub.flush()
                await server.good_night(deadline)
            for name, channel in hub.channels.items():
                _save_state(channel, journals[name])

    def _open_journal(self, feed: str) -> Journal:
        settings = self._settings.journal
        limits = JournalLimits(
            fsync_interval_s=settings.fsync_ms / 1000,
            keep_age_s=settings.retention_days * DAY_S,
            keep_bytes=settings.retention_bytes,
        )
        try:
            journal = Journal(settings.folder, feed, limits, background=True)
        except OSError as exc:
            raise ConfigError(f"[journal] folder = {str(settings.folder)!r}: can't be used: {exc}") from exc
        for repaired in journal.repaired:
            log.warning("feed=%s event=journal-repaired detail=%r", feed, repaired)
        return journal

    def _add_feed(self, settings: FeedSettings, hub: Hub, journal: Journal) -> None:
        stripes = self._stripes.of_feed(settings.source)
        channel = Channel(settings.name, self._codecs[settings.name], stripes, journal)
        hub.add_channel(channel)
        restore(channel, hub, journal)
        publisher = _Publisher(channel, hub, journal, self._tell)
        self.feeds[settings.name] = Feed(settings, journal, publisher)

    def _tell(self, feed: str, notice: FeedNotice) -> None:
        self._server.tell(feed, notice)

    async def _keep_house(self, hub: Hub, journals: Mapping[str, Journal]) -> None:
        """Save state now and then, so that a restart reads only what came since; let old sessions go."""
        retain_at = 0.0
        while True:
            await asyncio.sleep(self._settings.journal.checkpoint_s)
            for name, channel in hub.channels.items():
                # One that is still on its way may take as long as the disk does.
                if not journals[name].is_saving:
                    _save_state(channel, journals[name])
            now = time.monotonic()
            if now >= retain_at:
                retain_at = now + RETENTION_EVERY_S
                for name, journal in journals.items():
                    _retain(name, journal)


def _changed(before: Settings, after: Settings) -> Iterator[str]:
    """What differs and is taken over by a restart only."""
    for table in type(before).model_fields.keys() - {"feeds", *TAKEN_OVER}:
        ours, theirs = getattr(before, table), getattr(after, table)
        for key in type(ours).model_fields:
            if f"{table}.{key}" not in TAKEN_OVER and getattr(ours, key) != getattr(theirs, key):
                yield f"{table}.{key}"
    login = {"user": "", "password": SecretStr(""), "password_file": None}
    ours, theirs = ([each.model_copy(update=login) for each in which.feeds] for which in (before, after))
    if ours != theirs:
        yield "feeds"


def _hub_limits(settings: Settings) -> HubLimits:
    server, views = settings.server, settings.views
    return HubLimits(
        backlog_bytes_max=server.write_buffer_high_bytes,
        latest_keys_max=server.keys_max,
        recent_views=views.recent_messages,
        view_states_bytes=views.states_bytes,
        view_engines=views.engines,
    )


def _codecs(feed: FeedSettings) -> Codecs:
    codecs = Codecs(load_definitions(feed.definitions))
    return ViewedCodecs(codecs, feed.views) if feed.views else codecs


def _retain(name: str, journal: Journal) -> None:
    try:
        for gone in journal.retain(time.time_ns()):
            log.info("feed=%s event=session-removed session=%s", name, gone.session)
    except (JournalError, OSError) as exc:
        log.error("feed=%s event=retention-failed detail=%r", name, str(exc))


def _save_state(channel: Channel, journal: Journal) -> None:
    """Send the state to the disk; a thread of the journal's waits for it."""
    # When it is not saved, a restart reads more of the journal instead; nothing is lost.
    if channel.begun and not journal.save_checkpoint(channel.position, channel.capture()):
        log.warning("feed=%s event=state-not-saved detail='the disk is still at others'", channel.name)


def _close(journals: Mapping[str, Journal], seconds: float) -> None:
    """Close them all at once, and wait for a disk that does not answer for so long only.

    What was published is committed by then: the kernel has it, whatever becomes of this process.
    """

    def close(name: str, journal: Journal) -> None:
        try:
            journal.close()
        except (JournalError, OSError) as exc:
            log.error("feed=%s event=journal-not-closed detail=%r", name, str(exc))

    threads = {
        name: Thread(target=close, args=(name, journal), name=f"close {name}", daemon=True)
        for name, journal in journals.items()
    }
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + seconds
    for name, thread in threads.items():
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            log.error("feed=%s event=journal-not-closed detail='the disk does not answer'", name)

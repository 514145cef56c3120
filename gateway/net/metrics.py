"""Metrics in Prometheus' text format, read at the moment of the scrape from where the facts stand.

Knows names and how a fact becomes a number; counts nothing itself. Names and labels are written in
docs/operations/metrics.md. Label values are few: feeds, endpoints, stripes and message types of the
settings, and words of our own; never a peer, a key or a ticker.
"""

import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.hub import Channel, Hub, State
from gateway.journal import Journal
from gateway.link import CloseReason
from gateway.mlink.close_codes import CloseCode
from gateway.net.attendance import LEFT, LOST, Attendance
from gateway.net.feed import Feed
from gateway.net.feed_endings import NO_CONNECTION
from gateway.net.feed_lane import Drop
from gateway.net.feed_values import FeedHealth, FeedState
from gateway.net.metric_families import Values, count_of, gauge_of, histogram_of
from gateway.net.view_metrics import of_views
from gateway.net.websocket import SubscriberConnection

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
DISTRIBUTION = "soup-gateway"
# Counted from 0 on, though nothing has happened: a series that begins with its first event begins at 1, and
# Prometheus, which looks at what a series grows by, never sees that event.
RECONNECT_REASONS = (*(each.value for each in (*CloseReason, *Drop)), NO_CONNECTION)
END_REASONS = (LEFT, LOST, *(code.name.lower() for code in CloseCode))


class Metrics(Collector):
    """What `/metrics` says. A scrape costs some milliseconds, and nothing is counted between scrapes."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        journals: Mapping[str, Journal],
        hub: Hub,
        attendance: Attendance,
        subscribers: Callable[[], Collection[SubscriberConnection]],
    ) -> None:
        self._feeds = feeds
        self._journals = journals
        self._hub = hub
        self._attendance = attendance
        self._subscribers = subscribers
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics as they are now."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        # Without this the registry would collect once only to learn the names.
        return ()

    def collect(self) -> Iterator[Metric]:
        yield gauge_of(
            "build_info",
            "The version that runs; always 1.",
            ("version", "python"),
            [((version(DISTRIBUTION), platform.python_version()), 1)],
        )
        yield from self._of_feeds({name: feed.health for name, feed in self._feeds.items()})
        yield from self._of_messages()
        yield from of_views(self._hub.channels)
        yield from self._of_journals()
        yield from self._of_hub()
        yield from self._of_streams()
        yield from self._of_subscribers()

    def _of_feeds(self, feeds: Mapping[str, FeedHealth]) -> Iterator[Metric]:
        def each(value: Callable[[FeedHealth], float]) -> Values:
            return [((name,), value(feed)) for name, feed in feeds.items()]

        def gauge(name: str, help: str, value: Callable[[FeedHealth], float]) -> Metric:
            return gauge_of(f"feed_{name}", help, ("feed",), each(value))

        def count(name: str, help: str, value: Callable[[FeedHealth], float]) -> Metric:
            return count_of(f"feed_{name}", help, ("feed",), each(value))

        yield gauge_of(
            "feed_state",
            "1 for the state that the feed is in, 0 for the others.",
            ("feed", "state"),
            [
                ((name, state.value), feed.state is state)
                for name, feed in feeds.items()
                for state in FeedState
            ],
        )
        yield gauge_of(
            "feed_info",
            "Session and endpoint that the feed is at; always 1.",
            ("feed", "session", "endpoint"),
            [((name, feed.session, feed.endpoint), 1) for name, feed in feeds.items()],
        )
        yield count("received_messages", "Messages received and journaled.", lambda feed: feed.messages)
        yield count("received_bytes", "Bytes of these, as they came.", lambda feed: feed.bytes)
        yield gauge(
            "last_received_timestamp_seconds",
            "When the last message was received; 0 before the first.",
            lambda feed: (feed.last_received_ns or 0) / 1e9,
        )
        yield gauge(
            "unread_bytes",
            "Bytes that have reached this machine and were not read yet: how far the gateway is behind.",
            lambda feed: max((lane.unread_bytes for lane in feed.lanes), default=0),
        )
        yield gauge(
            "stale",
            "1 while no message has come for longer than stale_after_s.",
            lambda feed: feed.stale,
        )
        yield gauge(
            "paused", "1 while the feed waits for a journal that can't be written.", lambda feed: feed.paused
        )
        yield gauge(
            "rejected_endpoints",
            "Endpoints that have rejected our login and are not dialled any more.",
            lambda feed: len(feed.not_authorized),
        )
        yield count("gaps", "Ranges of numbers that can't be had.", lambda feed: feed.gaps)
        yield count("missing_messages", "Messages in these ranges.", lambda feed: feed.missing)
        yield count("rewinds", "Times the upstream went back in its numbers.", lambda feed: feed.rewinds)
        yield count("duplicate_messages", "Messages that came again and were dropped.", lambda f: f.doubles)
        yield count(
            "diverged_messages", "Messages that came again with other bytes.", lambda feed: feed.diverged
        )
        yield count_of(
            "feed_reconnects",
            "Connections to the upstream that ended or were never made, by reason.",
            ("feed", "reason"),
            [
                ((name, reason), count)
                for name, feed in feeds.items()
                for reason, count in _whole(RECONNECT_REASONS, feed.reconnects)
            ],
        )
        yield gauge_of(
            "feed_endpoint_lag_seconds",
            "How much later than the first one this endpoint delivers, while several are connected.",
            ("feed", "endpoint"),
            [
                ((name, lane.endpoint), lane.lag_ns / 1e9)
                for name, feed in feeds.items()
                for lane in feed.lanes
            ],
        )

    def _of_messages(self) -> Iterator[Metric]:
        routers = {name: channel.router for name, channel in self._hub.channels.items()}
        yield count_of(
            "feed_undecodable_messages",
            "Messages that did not fit their definition, by type.",
            ("feed", "message"),
            [
                ((feed, name), count)
                for feed, each in routers.items()
                for name, count in _whole(_types_of(self._hub.channels[feed]), each.undecodable)
            ],
        )
        yield count_of(
            "feed_unknown_messages",
            "Messages of a type that the definitions do not have.",
            ("feed",),
            [((feed,), router.unknown) for feed, router in routers.items()],
        )

    def _of_journals(self) -> Iterator[Metric]:
        journals = self._journals.items()
        positions = [(name, journal.position()) for name, journal in journals]
        yield gauge_of(
            "journal_next_sequence_number",
            "The number that the journal waits for.",
            ("feed",),
            [((name,), position.next_seq) for name, position in positions if position is not None],
        )
        yield gauge_of(
            "journal_size_bytes",
            "What the journal's files take on the disk.",
            ("feed",),
            [((name,), journal.size_bytes()) for name, journal in journals],
        )
        yield gauge_of(
            "journal_failed",
            "1 when nothing can be written any more until a restart.",
            ("feed",),
            [((name,), journal.failure is not None) for name, journal in journals],
        )
        yield gauge_of(
            "journal_damaged_sessions",
            "Sessions in which damage was found; the next start repairs them.",
            ("feed",),
            [((name,), len(journal.damaged)) for name, journal in journals],
        )
        yield gauge_of(
            "journal_fsync_waiting_seconds",
            "How long the fsync that is under way has taken so far.",
            ("feed",),
            [((name,), journal.stalled_s()) for name, journal in journals],
        )
        yield histogram_of(
            "journal_fsync_seconds",
            "How long the disk took for each fsync.",
            ("feed",),
            [((name,), journal.fsync_s) for name, journal in journals],
        )

    def _of_hub(self) -> Iterator[Metric]:
        hub = self._hub
        yield gauge_of("hub_groups", "Different selections that are running.", (), [((), hub.groups)])
        yield count_of(
            "hub_encoding_seconds",
            "Time spent on decoding live messages and writing them as JSON.",
            ("feed",),
            [((name,), channel.encoding_ns / 1e9) for name, channel in hub.channels.items()],
        )
        yield histogram_of(
            "delivery_latency_seconds",
            "From the receipt of the oldest message of a write to the write of the last live subscriber.",
            (),
            [((), hub.tally.written_s)],
        )
        yield histogram_of(
            "catch_up_lag_seconds",
            "How old the newest message of each piece was that a subscriber was served from the journal.",
            (),
            [((), hub.tally.caught_up_s)],
        )
        sent = hub.tally.sent_by_stripe()
        yield count_of(
            "stripe_sent_messages",
            "Messages sent in streams of one stripe, of several, and of all.",
            ("stripe",),
            [((stripe,), messages) for stripe, (messages, _) in sent.items()],
        )
        yield count_of(
            "stripe_sent_bytes",
            "Bytes of these as they went over the wire.",
            ("stripe",),
            [((stripe,), size) for stripe, (_, size) in sent.items()],
        )

    def _of_streams(self) -> Iterator[Metric]:
        states: Counter[State] = Counter()
        messages, seconds = 0, 0.0
        for stream in self._hub.tally.streams:
            states[stream.state] += 1
            if stream.state is State.BEHIND:
                behind = self._hub.lag(stream)
                messages, seconds = max(messages, behind[0]), max(seconds, behind[1])
        yield gauge_of(
            "streams",
            "Streams that are running, by where their next bytes come from.",
            ("state",),
            [((state.name.lower(),), states[state]) for state in State if state is not State.CLOSED],
        )
        yield gauge_of(
            "streams_lag_max_seconds",
            "How old the newest message is that the stream furthest behind has been sent.",
            (),
            [((), seconds)],
        )
        yield gauge_of(
            "streams_lag_max_messages",
            "Messages that the stream furthest behind has not looked at yet.",
            (),
            [((), messages)],
        )

    def _of_subscribers(self) -> Iterator[Metric]:
        present, attendance = self._subscribers(), self._attendance
        yield gauge_of("subscribers", "Subscribers that are connected.", (), [((), len(present))])
        yield gauge_of(
            "subscriber_backlog_bytes",
            "Bytes that wait in memory for subscribers, all together.",
            (),
            [((), sum(each.backlog() for each in present))],
        )
        yield count_of(
            "subscriber_sent_bytes",
            "Bytes given to subscribers' sockets.",
            (),
            [((), attendance.past_bytes + sum(each.bytes_written for each in present))],
        )
        yield count_of(
            "subscribers_ended",
            "Subscribers that are gone: left by themselves, lost with the line, or closed by us and why.",
            ("reason",),
            [((reason,), count) for reason, count in _whole(END_REASONS, attendance.ended)],
        )
        yield count_of(
            "requests_refused",
            "Requests for a WebSocket or for monitoring that were turned away, by HTTP status.",
            ("status",),
            [((str(int(status)),), count) for status, count in attendance.refused.items()],
        )


def _whole(known: Iterable[str], counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return {**dict.fromkeys(known, 0), **counts}.items()


def _types_of(channel: Channel) -> Iterator[str]:
    return (codec.name for codec in channel.codecs.by_id if codec is not None)

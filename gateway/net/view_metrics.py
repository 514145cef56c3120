"""What /metrics says of views: what they made, what is rebuilt, what their books hold and could not take.

Knows names and how a fact becomes a number; the facts are the hub's.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from gateway.hub import Channel
from gateway.net.metric_families import count_of, gauge_of


def of_views(channels: Mapping[str, Channel]) -> Iterator[Metric]:
    """All families, with a value for each feed that has views."""
    views = {name: channel.views for name, channel in channels.items() if channel.views is not None}
    books = {name: each.live.books for name, each in views.items()}
    yield count_of(
        "view_messages",
        "Messages of views made for live streams.",
        ("feed", "view"),
        [((feed, view), count) for feed, each in views.items() for view, count in each.made.items()],
    )
    yield gauge_of(
        "view_rebuilds",
        "Books that are being rebuilt for streams that ask for old records.",
        ("feed",),
        [((feed,), len(each.rebuilds)) for feed, each in views.items()],
    )
    yield gauge_of(
        "view_rebuilds_waiting",
        "Streams that wait until another's books are rebuilt, because [views] engines are taken.",
        ("feed",),
        [((feed,), each.rebuilds.waiting) for feed, each in views.items()],
    )
    yield gauge_of(
        "view_state_bytes",
        "What the newest saved state of books, quotes and prints takes.",
        ("feed",),
        [((feed,), each.state_bytes[0]) for feed, each in views.items()],
    )
    yield gauge_of(
        "view_states_kept_bytes",
        "What all saved states take that books can be rebuilt from.",
        ("feed",),
        [((feed,), each.state_bytes[1]) for feed, each in views.items()],
    )
    yield gauge_of(
        "book_orders",
        "Orders that rest in the books.",
        ("feed",),
        [((feed,), len(each.orders)) for feed, each in books.items()],
    )
    yield count_of(
        "book_strange_messages",
        "Messages of this session that books or prints could not take as they are, by what was wrong.",
        ("feed", "what"),
        [
            ((feed, what), count)
            for feed, each in views.items()
            for what, count in (
                ("unknown order", each.live.books.unknown),
                ("doubled order", each.live.books.doubled),
                ("empty order", each.live.books.empty),
                ("overdrawn order", each.live.books.overdrawn),
                ("unknown print", each.live.tape.unknown),
                ("absurd print", each.live.tape.absurd),
            )
        ],
    )

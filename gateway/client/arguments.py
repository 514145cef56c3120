"""The named arguments of `connect` and `stream`, for type checkers; each is explained where it is used."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from ssl import SSLContext
from typing import Literal, TypedDict

from gateway.client.notices import OnNotice
from gateway.client.positions import FeedPosition, ResumeLike
from gateway.client.request import Delivery


class ReadOptions(TypedDict, total=False):
    """What a stream takes beside message names and stripes."""

    where: str
    view: str | Sequence[str]
    resume: ResumeLike | Iterable[ResumeLike] | None
    latency_ms: int
    delivery: Delivery | None
    highwater_ns: int
    coverage: bool
    on_notice: OnNotice | None
    own_socket: bool
    label: str


class StreamOptions(ReadOptions, total=False):
    """What `Feed.stream` takes beside message names."""

    stripe: str | Sequence[str] | None
    stripes: Sequence[str] | None


class TableOptions(TypedDict, total=False):
    """What `collect` takes of its own: when it is enough, and what table is wanted."""

    count: int | None
    seconds: float | None
    up_to: FeedPosition | str | None
    into: Literal["pandas", "polars"]
    exact: bool
    day: date | str | None
    time_fields: Sequence[str] | None
    progress: bool | None


class CollectOptions(StreamOptions, TableOptions, total=False):
    """What `Feed.collect` takes beside message names: what `stream` takes, and what makes the table."""


class BoardOptions(TypedDict, total=False):
    """What a live table takes of its own."""

    plot: str | None
    refresh_s: float
    keep_messages: int
    rows_shown: int


class LiveOptions(StreamOptions, BoardOptions, total=False):
    """What `Feed.live` takes beside message names and tickers: what `stream` takes, and what is shown."""


class ConnectOptions(TypedDict, total=False):
    """What `connect` takes beside address and key; see `Options` for each."""

    ssl: SSLContext | None
    headers: Mapping[str, str]
    compression: bool
    proxy: str | bool | None
    open_timeout_s: float
    silence_s: float
    close_timeout_s: float
    retry_first_s: float
    retry_longest_s: float
    give_up_after_s: float | None
    buffer_messages: int
    streams_per_socket: int

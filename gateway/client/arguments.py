"""The named arguments of `connect` and `stream`, for type checkers; each is explained where it is used."""

from collections.abc import Iterable, Mapping, Sequence
from ssl import SSLContext
from typing import TypedDict

from gateway.client.notices import OnNotice
from gateway.client.positions import ResumeLike
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

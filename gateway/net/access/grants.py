"""What somebody may: as it is written down (Grant), and as it is asked while they are connected (Access).

Knows names of feeds, messages and stripes as text; whether they exist is not known here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from gateway.errors import BadRequest
from gateway.settings.types import AsTuple, Section, Word
from gateway.stripes import StripeTable

EVERYTHING = "*"

Entry = Annotated[Word, Field(min_length=1, max_length=64)]
Entries = Annotated[tuple[Entry, ...], AsTuple, Field(max_length=1_000)]


class Grant(Section):
    """What a key's or a token's holder may. `*` in a list is everything, an empty list nothing."""

    feeds: Entries = (EVERYTHING,)
    messages: Entries = (EVERYTHING,)
    stripes: Entries = (EVERYTHING,)
    replay: bool = True
    connections_max: int | None = Field(default=None, ge=1, le=100_000)
    streams_max: int | None = Field(default=None, ge=1, le=10_000)
    requests_per_second: float | None = Field(default=None, ge=0.1, le=10_000)


@dataclass(frozen=True, slots=True)
class Access:
    """What one holder may. Lists are without case; None is everything, or the server's own limit.

    `holder` names whose connections are counted together: `key:ID`, `token:SUBJECT` or `open`.
    """

    holder: str
    name: str
    feeds: frozenset[str] | None = None
    messages: frozenset[str] | None = None
    stripes: frozenset[str] | None = None
    replay: bool = True
    connections_max: int | None = None
    streams_max: int | None = None
    requests_per_second: float | None = None
    expires_at: float | None = None

    def may_read_feed(self, feed: str) -> bool:
        return self.feeds is None or feed.casefold() in self.feeds

    def may_read_message(self, name: str) -> bool:
        return self.messages is None or name.casefold() in self.messages

    @property
    def rights(self) -> tuple[object, ...]:
        """What it may see, apart from how much at once and how long."""
        return (self.feeds, self.messages, self.stripes, self.replay)

    def allowed_stripes(self, table: StripeTable) -> frozenset[str]:
        """The primary stripes it may read. A name that the table does not have (any more) allows nothing."""
        if self.stripes is None:
            return frozenset(table.primaries)
        found: frozenset[str] = frozenset()
        for name in self.stripes:
            try:
                found |= table.members(name)
            except BadRequest:
                continue
        return found

    def is_expired(self, now: float) -> bool:
        """`now` is in seconds since the epoch, as is `expires_at`, whose instant is no longer in it."""
        return self.expires_at is not None and now >= self.expires_at


OPEN_ACCESS = Access("open", "everybody")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody was let in: for the log, not for whoever asked."""

    reason: str


def access_of(grant: Grant, holder: str, name: str, expires_at: float | None) -> Access:
    """A grant as a value that can be asked quickly."""
    return Access(
        holder,
        name,
        _folded(grant.feeds),
        _folded(grant.messages),
        _folded(grant.stripes),
        grant.replay,
        grant.connections_max,
        grant.streams_max,
        grant.requests_per_second,
        expires_at,
    )


def _folded(names: Iterable[str]) -> frozenset[str] | None:
    found = frozenset(name.casefold() for name in names)
    return None if EVERYTHING in found else found

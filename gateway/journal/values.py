"""What a journal tells about itself: sessions, damage, results of a check.

Knows no SQL; holds no open file.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.values import Gap, Position


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session of the journal. `bytes` is all its files; `damage` says why the rest could not be read."""

    feed: str
    session: str
    order: int
    path: Path
    first_seq: int
    next_seq: int
    messages: int
    started_ns: int
    ended_ns: int | None
    first_received_ns: int | None
    last_received_ns: int | None
    bytes: int
    gaps: tuple[Gap, ...]
    damage: str | None = None

    @property
    def ended(self) -> bool:
        return self.ended_ns is not None

    @property
    def position(self) -> Position:
        """One past its last number."""
        return Position(self.session, self.next_seq)


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a file that was not written there. `seq` is the row, None when it is the file as such."""

    path: Path
    seq: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of checking every block and every number of one file."""

    path: Path
    session: str
    first_seq: int
    next_seq: int
    messages: int
    blocks: int
    bytes: int
    gaps: tuple[Gap, ...]
    damages: tuple[Damage, ...]

    @property
    def whole(self) -> bool:
        return not self.damages


@dataclass(frozen=True, slots=True)
class Repaired:
    """A damaged file that was set aside, and what of it is still readable."""

    session: str
    set_aside: Path
    messages: int
    position: Position
    gaps: tuple[Gap, ...]
    what: str

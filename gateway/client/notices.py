"""What a stream tells beside its messages: values, each at its place in the stream.

Knows the wire's notices and the line's own; decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from gateway.client.positions import FeedPosition
from gateway.mlink.choices import AdminEvent, AdminState
from gateway.mlink.control import MLinkAdmin


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened. `detail` is a sentence for people, as far as there is one."""

    detail: str = ""
    #: Whether a person should look, as far as logs go.
    serious: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class SessionChange(Notice):
    """Feed `src` goes on in `session`, from number 1. Everything of the session before has been sent."""

    src: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class SequenceGap(Notice):
    """Numbers `first_seq` … `last_seq` were lost upstream for good: the gateway does not have them either."""

    src: str = ""
    session: str = ""
    first_seq: int = 0
    last_seq: int = 0
    serious: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class FeedDown(Notice):
    """The gateway has lost the line to the exchange; nothing new until `FeedUp`."""

    src: str = ""
    serious: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class FeedUp(Notice):
    """The line to the exchange stands again."""

    src: str = ""


@dataclass(frozen=True, slots=True)
class Stale(Notice):
    """The exchange has been silent for longer than the feed should be."""

    src: str = ""
    serious: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Slow(Notice):
    """We read more slowly than messages arise. Nothing is lost: the gateway serves us from its journal."""

    src: str = ""
    lag_messages: int = 0
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CaughtUp(Notice):
    """We are live again."""

    src: str = ""


@dataclass(frozen=True, slots=True)
class GoodNight(Notice):
    """The gateway shuts down in `seconds_left`; the line is dialled again by itself."""

    seconds_left: float = 0.0


@dataclass(frozen=True, slots=True)
class Warned(Notice):
    """The gateway serves the stream, but has something to say about the request."""

    serious: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SnapshotComplete(Notice):
    """The latest record of each key has been sent; what follows arose after it."""

    positions: tuple[FeedPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconnecting(Notice):
    """The line broke, or could not be had; the next try is in `delay_s`."""

    attempt: int = 0
    delay_s: float = 0.0
    serious: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Reconnected(Notice):
    """The line stands again. With `positions` the stream goes on exactly there; without it started anew."""

    positions: tuple[FeedPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnSocket(Notice):
    """The stream was read more slowly than the others on its socket, and goes on in a socket of its own."""


OnNotice = Callable[[Notice], object]


def of_admin(admin: MLinkAdmin) -> Notice | None:
    """The notice in an MLinkAdmin, if it is one."""
    if admin.state is AdminState.GOOD_NIGHT:
        return GoodNight(admin.detail, admin.secondsLeft)
    match admin.event:
        case AdminEvent.SESSION_CHANGE:
            return SessionChange(admin.detail, admin.src, admin.ses)
        case AdminEvent.SEQUENCE_GAP:
            return SequenceGap(admin.detail, admin.src, admin.ses, admin.fromSeqN, admin.toSeqN)
        case AdminEvent.FEED_DOWN:
            return FeedDown(admin.detail, admin.src)
        case AdminEvent.FEED_UP:
            return FeedUp(admin.detail, admin.src)
        case AdminEvent.STALE:
            return Stale(admin.detail, admin.src)
        case AdminEvent.SLOW:
            return Slow(admin.detail, admin.src, admin.lagMessages, admin.lagSeconds)
        case AdminEvent.CAUGHT_UP:
            return CaughtUp(admin.detail, admin.src)
    return None

"""How a connection ended, and what that means for the next dial.

Plain functions of what the link and the lane say; does nothing but use up the lane's one hurry.
"""

from dataclasses import dataclass

from gateway.link import Closed, CloseReason
from gateway.net.feed_lane import Barred, Drop, Lane
from gateway.net.feed_rules import Asking

NO_CONNECTION = "no connection"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended. `at_once`: the next dial need not wait; `at_fault`: the address is to blame."""

    reason: str
    detail: str
    at_once: bool = False
    at_fault: bool = True
    barred: Barred | None = None
    up_s: float = 0.0


# What a drop means for the next dial: (at once, at fault, barred).
DROP_MEANS = {
    Drop.SAME_SESSION: (False, True, None),
    Drop.OTHER_SESSION: (True, False, None),
    Drop.SESSIONS_DIFFER: (False, True, None),
    Drop.AHEAD: (False, True, None),
    Drop.DIVERGED: (False, True, Barred.BESIDE_ANOTHER),
    Drop.SUPERSEDED: (True, False, None),
    Drop.JOURNAL: (False, False, None),
}


def ending_of(lane: Lane, closed: Closed | str, up_s: float, *, beside_another: bool) -> Ending:
    """What the end of a connection means; `closed` is a text when there was none. `lane` knows its answer."""
    if lane.dropped is not None:
        at_once, at_fault, barred = DROP_MEANS[lane.dropped]
        if lane.dropped is Drop.SAME_SESSION and lane.asking is Asking.CHECK:
            at_once, at_fault = True, False
        return Ending(
            lane.dropped.value, lane.dropped_detail, at_once and lane.hurry(), at_fault, barred, up_s
        )
    if isinstance(closed, str):
        return Ending(NO_CONNECTION, closed)
    reason = closed.reason.value
    match closed.reason:
        case CloseReason.END_OF_SESSION:
            return Ending(reason, str(closed), at_once=lane.hurry(), at_fault=False, up_s=up_s)
        case CloseReason.SESSION_NOT_AVAILABLE:
            rolls = lane.asking in (Asking.ROLL, Asking.REPLAY)
            name = f"session {lane.asked.session}" if lane.asked.session else "the current session"
            detail = f"{name} is not available; " + ("trying the current one" if rolls else "trying again")
            return Ending(reason, detail, at_once=rolls and lane.hurry(), at_fault=not rolls)
        case CloseReason.NOT_AUTHORIZED:
            barred = Barred.BESIDE_ANOTHER if beside_another else Barred.NOT_AUTHORIZED
            detail = "not authorized; correct user and password, then reload or restart"
            return Ending(reason, detail, barred=barred)
        case _:
            return Ending(reason, str(closed), up_s=up_s)

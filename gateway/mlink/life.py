"""Which turns a subscriber's session takes, as a table."""

from enum import Enum, auto


class State(Enum):
    WAITING_LOGON = auto()
    LOGGING_ON = auto()  # credentials are being checked, requests wait
    LOGGED_ON = auto()
    LOGGING_ON_AGAIN = auto()  # the same with an earlier logon still valid
    CLOSING = auto()


class Turn(Enum):
    LOGON = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    END = auto()


# A pair that is not here is an error of ours.
NEXT_STATE = {
    (State.WAITING_LOGON, Turn.LOGON): State.LOGGING_ON,
    (State.LOGGING_ON, Turn.ACCEPTED): State.LOGGED_ON,
    (State.LOGGING_ON, Turn.REFUSED): State.WAITING_LOGON,
    (State.LOGGED_ON, Turn.LOGON): State.LOGGING_ON_AGAIN,
    (State.LOGGING_ON_AGAIN, Turn.ACCEPTED): State.LOGGED_ON,
    (State.LOGGING_ON_AGAIN, Turn.REFUSED): State.LOGGED_ON,
    **{(state, Turn.END): State.CLOSING for state in State},
}

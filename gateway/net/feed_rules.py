"""What to ask an upstream for, and what its answer means. Decides; does nothing.

Knows the rules of sessions and sequence numbers; knows no socket, clock, journal or endpoint.
"""

from dataclasses import dataclass
from enum import Enum, auto

from gateway.values import Gap, Position

FROM_START = Position("", 1)


class Asking(Enum):
    """Which login is sent next."""

    RESUME = auto()  # the journal's position; with an empty journal, what is configured
    ROLL = auto()  # the current session from its start: ours was refused
    CHECK = auto()  # our position once more: the session that was refused is the current one
    REPLAY = auto()  # the current session from its start, whichever it is
    AFTER_END = auto()  # the current session from its start: ours has ended and must not be joined again


class Answer(Enum):
    """How a login, or the session after it, turned out."""

    ACCEPTED = auto()
    UNAVAILABLE = auto()  # rejected with S
    OTHER_SESSION = auto()  # let into another session, behind its first number
    SAME_SESSION = auto()  # asked for the current session, and it is the one we left
    ENDED = auto()  # end of session


# What is asked next. A pair that is not here can't happen; a lost line or a timeout changes nothing.
NEXT_ASKING = {
    (Asking.RESUME, Answer.ACCEPTED): Asking.RESUME,
    (Asking.RESUME, Answer.UNAVAILABLE): Asking.ROLL,
    (Asking.RESUME, Answer.OTHER_SESSION): Asking.ROLL,
    (Asking.RESUME, Answer.ENDED): Asking.AFTER_END,
    (Asking.ROLL, Answer.ACCEPTED): Asking.RESUME,
    # Nothing is current there yet, so ours may come back.
    (Asking.ROLL, Answer.UNAVAILABLE): Asking.RESUME,
    # Perhaps a server that was still starting: resuming is cheaper than a whole replay, so try it again.
    (Asking.ROLL, Answer.SAME_SESSION): Asking.CHECK,
    (Asking.CHECK, Answer.ACCEPTED): Asking.RESUME,
    # It has our session but not our number: it was rewound.
    (Asking.CHECK, Answer.UNAVAILABLE): Asking.REPLAY,
    (Asking.CHECK, Answer.OTHER_SESSION): Asking.ROLL,
    (Asking.REPLAY, Answer.ACCEPTED): Asking.RESUME,
    (Asking.REPLAY, Answer.UNAVAILABLE): Asking.RESUME,
    (Asking.AFTER_END, Answer.ACCEPTED): Asking.RESUME,
    (Asking.AFTER_END, Answer.UNAVAILABLE): Asking.AFTER_END,
    (Asking.AFTER_END, Answer.SAME_SESSION): Asking.AFTER_END,
}
# A blank session was asked for on purpose.
_BLANK = frozenset({Asking.ROLL, Asking.REPLAY, Asking.AFTER_END})


def next_asking(asking: Asking, answer: Answer, *, may_roll: bool = True) -> Asking:
    """The next state; without `may_roll` (nothing is journaled) a refusal changes nothing."""
    if answer is Answer.UNAVAILABLE and not may_roll:
        return asking
    return NEXT_ASKING[asking, answer]


def wanted(asking: Asking, left: str, journaled: Position | None, configured: Position) -> Position:
    """The session and number to log in with. `left` is the session that was refused or has ended.

    Once the journal has moved on to another session, by another connection, that one is asked for.
    """
    if asking in _BLANK and (journaled is None or journaled.session == left):
        return FROM_START
    return configured if journaled is None else journaled


class Meaning(Enum):
    """What Login Accepted means for a feed whose journal stands at a position."""

    CONTINUE = auto()
    NEW_SESSION = auto()
    GAP = auto()  # numbers in front of the accepted one can't be had
    REWOUND = auto()  # the server starts below what was asked
    OTHER_SESSION = auto()  # log in again, from that session's start: its first messages can still be had
    SAME_SESSION = auto()  # leave, and come back later
    SESSION_AGAIN = auto()  # the same for a session that was before the journal's newest


@dataclass(frozen=True, slots=True)
class Verdict:
    """`first_seq` is the number a new session starts with in the journal, `gap` what can't be had."""

    meaning: Meaning
    gap: Gap | None = None
    first_seq: int = 1


def judge(
    asking: Asking,
    asked: Position,
    accepted: Position,
    journaled: Position | None,
    *,
    left: str = "",
    seen_before: bool = False,
) -> Verdict:
    """Compare what was asked, what was granted, and where the journal stands now.

    The journal may have moved on since the question, by another connection. `left` is the session that
    was refused or has ended; `seen_before` says that the accepted one is an older one of the journal.
    """
    session, number = accepted.session, accepted.next_seq
    if asking in (Asking.ROLL, Asking.AFTER_END) and session == left:
        return Verdict(Meaning.SAME_SESSION)
    if journaled is None:
        if asked.session not in ("", session) and number > 1:
            return Verdict(Meaning.OTHER_SESSION)
        # 0 asks for the newest message: there is nothing to compare with.
        wanted_seq = 1 if asked.session not in ("", session) else asked.next_seq or number
        return _new_session(session, wanted_seq, number)
    if session == journaled.session:
        if number > journaled.next_seq:
            return Verdict(Meaning.GAP, Gap(session, journaled.next_seq, number - 1))
        if asked.session not in ("", session):
            # Another connection moved the journal here while we asked for the session before.
            return Verdict(Meaning.CONTINUE)
        wanted_seq = journaled.next_seq if asking is Asking.REPLAY else asked.next_seq
        return Verdict(Meaning.REWOUND if number < wanted_seq else Meaning.CONTINUE)
    if seen_before:
        return Verdict(Meaning.SESSION_AGAIN)
    if asked.session and number > 1:
        return Verdict(Meaning.OTHER_SESSION)
    return _new_session(session, 1, number)


def _new_session(session: str, wanted_seq: int, number: int) -> Verdict:
    gap = Gap(session, wanted_seq, number - 1) if number > wanted_seq else None
    return Verdict(Meaning.NEW_SESSION, gap, first_seq=min(wanted_seq, number))

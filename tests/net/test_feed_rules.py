"""What to ask and what the answer means, as tables of cases."""

import pytest

from gateway.net.feed_rules import (
    NEXT_ASKING,
    Answer,
    Asking,
    Meaning,
    Verdict,
    judge,
    next_asking,
    wanted,
)
from gateway.values import Gap, Position

RESUME, ROLL, CHECK, REPLAY, AFTER_END = Asking
CONFIGURED = Position("", 1)


@pytest.mark.parametrize(
    ("asking", "left", "journaled", "configured", "expected"),
    [
        (RESUME, "", None, CONFIGURED, Position("", 1)),
        (RESUME, "", None, Position("S7", 100), Position("S7", 100)),
        (RESUME, "", None, Position("", 0), Position("", 0)),
        (RESUME, "", Position("S1", 43), Position("S7", 100), Position("S1", 43)),
        (RESUME, "", Position("S1", 1), CONFIGURED, Position("S1", 1)),
        (ROLL, "S1", Position("S1", 43), CONFIGURED, Position("", 1)),
        (REPLAY, "S1", Position("S1", 43), CONFIGURED, Position("", 1)),
        (AFTER_END, "S1", Position("S1", 43), CONFIGURED, Position("", 1)),
        # Another connection has begun the next session meanwhile.
        (AFTER_END, "S1", Position("S2", 5), CONFIGURED, Position("S2", 5)),
        (CHECK, "S1", Position("S1", 43), CONFIGURED, Position("S1", 43)),
        # Refused by name with an empty journal: the current session, not the configured one again.
        (ROLL, "S7", None, Position("S7", 100), Position("", 1)),
    ],
)
def test_what_is_asked(
    asking: Asking, left: str, journaled: Position | None, configured: Position, expected: Position
) -> None:
    assert wanted(asking, left, journaled, configured) == expected


AT_43 = Position("S1", 43)


@pytest.mark.parametrize(
    ("asking", "asked", "accepted", "journaled", "expected"),
    [
        # Resume: the same, above, below.
        (RESUME, AT_43, AT_43, AT_43, Verdict(Meaning.CONTINUE)),
        (RESUME, AT_43, Position("S1", 44), AT_43, Verdict(Meaning.GAP, Gap("S1", 43, 43))),
        (RESUME, AT_43, Position("S1", 50), AT_43, Verdict(Meaning.GAP, Gap("S1", 43, 49))),
        (RESUME, AT_43, Position("S1", 42), AT_43, Verdict(Meaning.REWOUND)),
        (RESUME, AT_43, Position("S1", 1), AT_43, Verdict(Meaning.REWOUND)),
        # Another connection has moved the journal on since we asked.
        (RESUME, AT_43, AT_43, Position("S1", 60), Verdict(Meaning.CONTINUE)),
        (RESUME, AT_43, Position("S1", 50), Position("S1", 60), Verdict(Meaning.CONTINUE)),
        (RESUME, AT_43, Position("S1", 70), Position("S1", 60), Verdict(Meaning.GAP, Gap("S1", 60, 69))),
        (RESUME, AT_43, Position("S2", 1), Position("S2", 9), Verdict(Meaning.CONTINUE)),
        # Another session than asked.
        (RESUME, AT_43, Position("S2", 1), AT_43, Verdict(Meaning.NEW_SESSION)),
        (RESUME, AT_43, Position("S2", 43), AT_43, Verdict(Meaning.OTHER_SESSION)),
        # The current session was asked for.
        (ROLL, CONFIGURED, Position("S2", 1), AT_43, Verdict(Meaning.NEW_SESSION)),
        (AFTER_END, CONFIGURED, Position("S2", 1), AT_43, Verdict(Meaning.NEW_SESSION)),
        (AFTER_END, CONFIGURED, Position("S2", 4), AT_43, Verdict(Meaning.NEW_SESSION, Gap("S2", 1, 3))),
        (AFTER_END, CONFIGURED, Position("S1", 1), AT_43, Verdict(Meaning.SAME_SESSION)),
        (ROLL, CONFIGURED, Position("S1", 1), AT_43, Verdict(Meaning.SAME_SESSION)),
        (REPLAY, CONFIGURED, Position("S1", 1), AT_43, Verdict(Meaning.REWOUND)),
        (REPLAY, CONFIGURED, Position("S1", 50), AT_43, Verdict(Meaning.GAP, Gap("S1", 43, 49))),
        # Nothing journaled yet.
        (RESUME, CONFIGURED, Position("S1", 1), None, Verdict(Meaning.NEW_SESSION)),
        (RESUME, CONFIGURED, Position("S1", 8), None, Verdict(Meaning.NEW_SESSION, Gap("S1", 1, 7))),
        (RESUME, Position("", 0), Position("S1", 8), None, Verdict(Meaning.NEW_SESSION, None, 8)),
        (RESUME, Position("S1", 100), Position("S1", 100), None, Verdict(Meaning.NEW_SESSION, None, 100)),
        (
            RESUME,
            Position("S1", 100),
            Position("S1", 103),
            None,
            Verdict(Meaning.NEW_SESSION, Gap("S1", 100, 102), 100),
        ),
        (RESUME, Position("S1", 100), Position("S1", 50), None, Verdict(Meaning.NEW_SESSION, None, 50)),
        (RESUME, Position("S1", 100), Position("S2", 100), None, Verdict(Meaning.OTHER_SESSION)),
        (RESUME, Position("S1", 100), Position("S2", 1), None, Verdict(Meaning.NEW_SESSION)),
    ],
)
def test_what_login_accepted_means(
    asking: Asking, asked: Position, accepted: Position, journaled: Position | None, expected: Verdict
) -> None:
    assert judge(asking, asked, accepted, journaled, left="S1" if asking is not RESUME else "") == expected


def test_a_session_that_came_before_the_newest_is_not_joined() -> None:
    verdict = judge(RESUME, Position("S2", 9), Position("S1", 1), Position("S2", 9), seen_before=True)

    assert verdict.meaning is Meaning.SESSION_AGAIN


def walk(*answers: Answer, start: Asking = RESUME) -> Asking:
    asking = start
    for answer in answers:
        asking = next_asking(asking, answer)
    return asking


ACCEPTED, UNAVAILABLE, OTHER, SAME, ENDED = Answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([UNAVAILABLE], ROLL),
        ([UNAVAILABLE, ACCEPTED], RESUME),
        # S to everything: both are asked in turn, until the server is up.
        ([UNAVAILABLE, UNAVAILABLE], RESUME),
        # S to our number, and the same session current: once more by number, then its replay.
        ([UNAVAILABLE, SAME], CHECK),
        ([UNAVAILABLE, SAME, ACCEPTED], RESUME),
        ([UNAVAILABLE, SAME, UNAVAILABLE], REPLAY),
        ([UNAVAILABLE, SAME, UNAVAILABLE, ACCEPTED], RESUME),
        ([UNAVAILABLE, SAME, OTHER], ROLL),
        ([OTHER], ROLL),
        # The ended session is never asked for by name again.
        ([ENDED], AFTER_END),
        ([ENDED, SAME, SAME, UNAVAILABLE], AFTER_END),
        ([ENDED, SAME, ACCEPTED], RESUME),
    ],
)
def test_what_is_asked_after_which_answers(answers: list[Answer], expected: Asking) -> None:
    assert walk(*answers) is expected


@pytest.mark.parametrize("asking", Asking)
def test_whatever_was_asked_being_let_in_ends_in_resuming(asking: Asking) -> None:
    assert NEXT_ASKING[asking, ACCEPTED] is RESUME


def test_a_refusal_with_nothing_journaled_is_asked_again() -> None:
    """The session was configured by an operator and may open later; it is not given up for another."""
    assert next_asking(RESUME, UNAVAILABLE, may_roll=False) is RESUME

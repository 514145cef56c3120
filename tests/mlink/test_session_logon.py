"""Logon: before it, during it, after it, and without it."""

import pytest

from gateway.errors import LocalProtocolError
from gateway.mlink.actions import (
    CloseWith,
    LogonRequested,
)
from gateway.mlink.close_codes import CloseCode
from gateway.mlink.life import NEXT_STATE, State, Turn
from gateway.mlink.limits import SessionLimits
from tests.mlink.talk import new_session, only, said, started, told


def test_the_server_speaks_first() -> None:
    assert told(new_session().greeting()) == [("MLinkAdmin", {"state": "LoggedOn"})]
    assert told(new_session(logged_on=False).greeting()) == [("MLinkAdmin", {"state": "WaitingLogon"})]


def test_a_logon_asks_for_its_credentials_to_be_checked() -> None:
    session = new_session(logged_on=False)
    fields = {"userName": "u", "password": "p", "pin": "1", "apiKey": "k", "jwtToken": "j"}

    assert session.receive(said("MLinkLogon", **fields), 0.0) == [LogonRequested("u", "p", "1", "k", "j")]
    assert told(session.logged_on("welcome")) == [("MLinkAdmin", {"state": "LoggedOn", "detail": "welcome"})]
    assert session.state is State.LOGGED_ON


def test_credentials_are_not_shown() -> None:
    assert repr(LogonRequested("u", "p", "1", "k", "j")) == "LogonRequested()"


def test_a_failed_logon_is_told_and_may_be_tried_again() -> None:
    session = new_session(logged_on=False)

    session.receive(said("MLinkLogon", apiKey="wrong"), 0.0)
    assert told(session.logon_failed("no such key")) == [
        ("MLinkAdmin", {"state": "LogonFailed", "detail": "no such key"})
    ]
    session.receive(said("MLinkLogon", apiKey="right"), 0.0)
    assert told(session.logged_on()) == [("MLinkAdmin", {"state": "LoggedOn"})]


def test_too_many_failed_logons_close_the_connection() -> None:
    session = new_session(logged_on=False, logon_attempts_max=2)

    for _ in range(2):
        session.receive(said("MLinkLogon", apiKey="wrong"), 0.0)
        actions = session.logon_failed("no such key")

    assert [m for m, _ in told(actions)] == ["MLinkAdmin", "MLinkAdmin"]
    assert isinstance(actions[-1], CloseWith)
    assert actions[-1].code is CloseCode.LOGON_FAILED


def test_only_failures_in_a_row_close_the_connection() -> None:
    session = new_session(logged_on=False, logon_attempts_max=2)

    for good in (False, True, False, True, False):
        session.receive(said("MLinkLogon"), 0.0)
        actions = session.logged_on() if good else session.logon_failed("no")

        assert not any(isinstance(action, CloseWith) for action in actions)


def test_requests_sent_at_once_behind_the_logon_wait_for_its_answer() -> None:
    session = new_session(logged_on=False)

    assert only(session.receive(said("MLinkLogon", apiKey="k"), 0.0)) == LogonRequested(api_key="k")
    assert session.receive(said("MLinkStream", msgName="A"), 0.0) == []
    assert session.receive(said("MLinkSignalReady"), 0.0) == []
    actions = session.logged_on()

    assert [type(action).__name__ for action in actions] == ["Reply", "StreamRequested", "SignalReady"]


def test_requests_that_waited_for_a_failed_logon_are_unauthorized() -> None:
    session = new_session(logged_on=False)
    session.receive(said("MLinkLogon", apiKey="k"), 0.0)
    session.receive(said("MLinkStream", msgName="A"), 0.0)

    (_, admin), (m_typ, ack) = told(session.logon_failed("no"))

    assert admin["state"] == "LogonFailed"
    assert (m_typ, ack["result"]) == ("MLinkStreamAck", "UnauthMsgType")


def test_only_so_many_requests_wait_for_a_logon() -> None:
    session = new_session(logged_on=False, held_max=2)
    session.receive(said("MLinkLogon"), 0.0)
    session.receive(said("MLinkSignalReady"), 0.0)
    session.receive(said("MLinkSignalReady"), 0.0)

    actions = session.receive(said("MLinkSignalReady"), 0.0)

    assert isinstance(actions[-1], CloseWith)
    assert actions[-1].code is CloseCode.FLOOD


def test_a_logon_may_come_at_any_time_and_its_failure_leaves_the_earlier_one_valid() -> None:
    session = new_session()
    stream = started(session)

    assert isinstance(only(session.receive(said("MLinkLogon", apiKey="other"), 0.0)), LogonRequested)
    session.logon_failed("no")

    assert session.state is State.LOGGED_ON
    assert session.streams == (stream,)


def test_a_second_logon_among_those_that_wait_holds_the_rest_again() -> None:
    session = new_session(logged_on=False)
    for message in (said("MLinkLogon"), said("MLinkLogon", apiKey="2"), said("MLinkSignalReady")):
        session.receive(message, 0.0)

    first = session.logged_on()
    second = session.logged_on()

    assert [type(action).__name__ for action in first] == ["Reply", "LogonRequested"]
    assert [type(action).__name__ for action in second] == ["Reply", "SignalReady"]


def test_who_does_not_log_on_in_time_is_closed_after_a_word_why() -> None:
    session = new_session(logged_on=False, logon_s=3.0)

    assert session.deadline() == 3.0
    assert session.tick(2.9) == []
    reply, close = session.tick(3.0)
    assert told([reply]) == [
        (
            "MLinkAdmin",
            {"state": "GoodNight", "detail": "closing with 4003: no logon in time: 3 s are allowed"},
        )
    ]
    assert close == CloseWith(CloseCode.LOGON_TIMEOUT, "no logon in time: 3 s are allowed")
    assert session.deadline() == float("inf")


def test_who_is_logged_on_needs_no_logon() -> None:
    assert new_session(logon_s=3.0).deadline() == 5.0


def test_a_logon_that_cannot_be_read_fails_without_a_word_of_its_secret() -> None:
    session = new_session(logged_on=False)

    ((m_typ, body),) = told(session.receive(said("MLinkLogon", password=4711), 0.0))

    assert (m_typ, body["state"]) == ("MLinkAdmin", "LogonFailed")
    assert body["detail"] == "message.password: expected a text, got something else"


@pytest.mark.parametrize(
    ("message", "m_typ", "result"),
    [
        (said("MLinkStream", msgName="A", queryID=7), "MLinkStreamAck", ("result", "UnauthMsgType")),
        (said("MLinkStream", msgName=5.5), "MLinkStreamAck", ("result", "UnauthMsgType")),
        (said("MLinkSubscribe", subscribeID=7), "MLinkSubscribeAck", ("succeeded", "No")),
        (said("MLinkSignalReady"), "MLinkDataAck", ("result", "AuthError")),
        (said("StockBookQuote"), "MLinkDataAck", ("result", "AuthError")),
    ],
)
def test_before_a_logon_each_request_is_refused_by_its_own_ack(
    message: bytes, m_typ: str, result: tuple[str, str]
) -> None:
    ((answered, body),) = told(new_session(logged_on=False).receive(message, 0.0))

    assert answered == m_typ
    assert body[result[0]] == result[1]
    assert "not logged on" in body.get("detail", body.get("errorMsg", ""))


@pytest.mark.parametrize("state", [State.WAITING_LOGON, State.LOGGED_ON])
def test_an_answer_to_a_logon_that_nobody_asked_for_is_our_own_error(state: State) -> None:
    session = new_session(logged_on=state is State.LOGGED_ON)

    with pytest.raises(LocalProtocolError, match=f"ACCEPTED while {state.name}"):
        session.logged_on()
    with pytest.raises(LocalProtocolError, match=f"REFUSED while {state.name}"):
        session.logon_failed("")


def test_every_state_may_end() -> None:
    assert {NEXT_STATE[state, Turn.END] for state in State} == {State.CLOSING}


def test_the_limits_of_whoever_logs_on_hold_from_its_first_request_on() -> None:
    session = new_session(logged_on=False, streams_max=9, requests_per_s=9.0, requests_burst=5)
    session.receive(said("MLinkLogon", apiKey="k"), 0.0)
    for query in (1, 2):
        session.receive(said("MLinkStream", msgName="A", queryID=query), 0.0)

    answers = session.logged_on(limits=SessionLimits(streams_max=1, requests_per_s=0.5))
    session.receive(said("MLinkSignalReady"), 0.0)
    session.receive(said("MLinkSignalReady"), 0.0)
    later = session.receive(said("MLinkSignalReady"), 1.0)

    assert [body["result"] for m_typ, body in told(answers) if m_typ == "MLinkStreamAck"] == ["Error"]
    assert later[-1] == CloseWith(CloseCode.FLOOD, "too many requests: 0.5 a second are allowed")

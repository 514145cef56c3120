"""The server's state machine: what clients may say, what we answer, and time passed in."""

import re
from collections.abc import Iterator

import pytest

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.soup import (
    DebugReceived,
    HeartbeatLost,
    Justify,
    LoginRequested,
    LoginTimeout,
    LogoutRequested,
    ServerEvent,
    ServerSession,
    ServerState,
    UnsequencedReceived,
    Version,
)
from gateway.values import Position

LOGIN_47 = b"\x00\x2fLme    pw        " + b"   TODAY01" + b"                   7"
LOGIN_52 = b"\x00\x34Lme    pw        " + b"   TODAY01" + b"                   7" + b"02500"
REQUEST = LoginRequested("me", "pw", "TODAY01", 7, None, Version.V4_00)
STREAM = b"\x00\x03+hi" + LOGIN_47 + b"\x00\x01R" + b"\x00\x06+again"


def all_events(session: ServerSession, *reads: bytes) -> list[ServerEvent]:
    return [event for read in reads for event in session.receive(read, 0.0)]


def logged_in(login: bytes = LOGIN_47, **settings: object) -> ServerSession:
    session = ServerSession(0.0, **settings)
    all_events(session, login)
    session.accept("TODAY01", 7, 0.0)
    session.data_to_send()
    return session


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_events_do_not_depend_on_where_tcp_cuts_the_stream(cut: int) -> None:
    session = ServerSession(0.0)

    events = all_events(session, STREAM[:cut], STREAM[cut:])

    assert events == [DebugReceived(b"hi"), REQUEST, DebugReceived(b"again")]
    assert session.state is ServerState.DECIDING


def test_a_login_of_52_bytes_is_4_10_and_sets_how_long_the_client_may_be_silent() -> None:
    session = ServerSession(0.0)

    assert all_events(session, LOGIN_52) == [LoginRequested("me", "pw", "TODAY01", 7, 2500, Version.V4_10)]
    session.accept("TODAY01", 7, 0.0)
    session.tick(2.4)
    with pytest.raises(HeartbeatLost, match=r"nothing received for 2.5 s"):
        session.tick(2.5)


def test_a_4_10_client_that_asks_for_0_ms_keeps_the_common_limit() -> None:
    session = logged_in(LOGIN_52[:-5] + b"00000")

    session.tick(14.9)
    with pytest.raises(HeartbeatLost, match="15 s"):
        session.tick(15.0)


def test_the_login_shows_no_password() -> None:
    assert "pw" not in repr(REQUEST)


def test_accepting_answers_with_session_and_number_then_messages_count_from_there() -> None:
    session = ServerSession(0.0)
    all_events(session, LOGIN_47)

    session.accept("TODAY01", 7, 0.0)
    session.send_sequenced(b"one", 0.0)
    session.send_sequenced([b"two", b""], 0.0)
    session.send_run(b"\x00\x02Sa\x00\x02Sb", 2, 0.0)

    assert session.data_to_send() == (
        b"\x00\x1fA   TODAY01                   7\x00\x04Sone\x00\x04Stwo\x00\x01S\x00\x02Sa\x00\x02Sb"
    )
    assert session.data_to_send() == b""
    assert session.position == Position("TODAY01", 12)


def test_the_answer_can_be_left_justified() -> None:
    session = ServerSession(0.0, justify=Justify.LEFT)
    all_events(session, LOGIN_47)

    session.accept("TODAY01", 7, 0.0)

    assert session.data_to_send() == b"\x00\x1fATODAY01   7                   "


@pytest.mark.parametrize("reason", ["A", "S"])
def test_rejecting_answers_with_the_reason_and_ends(reason: str) -> None:
    session = ServerSession(0.0)
    all_events(session, LOGIN_47)

    session.reject(reason, 0.0)

    assert session.data_to_send() == b"\x00\x02J" + reason.encode()
    assert session.state is ServerState.ENDED
    assert session.deadline() == float("inf")


def test_unsequenced_data_debug_text_and_logout_come_as_events() -> None:
    session = logged_in()

    assert all_events(session, b"\x00\x06Uorder\x00\x01R\x00\x02+x\x00\x01O") == [
        UnsequencedReceived(b"order"),
        DebugReceived(b"x"),
        LogoutRequested(),
    ]
    assert session.state is ServerState.ENDED


def test_a_client_may_log_out_before_it_was_answered() -> None:
    session = ServerSession(0.0)

    assert all_events(session, LOGIN_47, b"\x00\x01O") == [REQUEST, LogoutRequested()]


def until_broken(events: Iterator[ServerEvent]) -> tuple[list[ServerEvent], RemoteProtocolError | None]:
    """The events up to the error, and the error."""
    taken = []
    try:
        for event in events:
            taken.append(event)
    except RemoteProtocolError as exc:
        return taken, exc
    return taken, None


BROKEN_BEFORE_LOGIN = {
    "packet of length 0 has no type byte": b"\x00\x00",
    "unknown packet type b'Q'": b"\x00\x01Q",
    "packet 'U' while AWAITING_LOGIN": b"\x00\x02Ux",
    "packet 'R' while AWAITING_LOGIN": b"\x00\x01R",
    "packet 'O' while AWAITING_LOGIN": b"\x00\x01O",
    "packet 'S' while AWAITING_LOGIN": b"\x00\x02Sx",
    "login request has 45 bytes, expected 46 or 51": b"\x00\x2eL" + b" " * 45,
    "sequence number .* is not a number": b"\x00\x2fL" + b" " * 46,
    "heartbeat timeout b'fast ' is not a number": LOGIN_52[:-5] + b"fast ",
}


@pytest.mark.parametrize(("complaint", "packet"), BROKEN_BEFORE_LOGIN.items())
def test_what_may_not_come_before_the_login_is_named(complaint: str, packet: bytes) -> None:
    session = ServerSession(0.0)
    events, error = until_broken(session.receive(b"\x00\x03+hi" + packet, 0.0))

    assert events == [DebugReceived(b"hi")]
    assert re.search(complaint, str(error))
    assert session.broken is error


BROKEN_WHILE_STREAMING = {
    "packet of length 0 has no type byte": b"\x00\x00",
    "packet 'L' while STREAMING": LOGIN_47,
    "packet 'S' while STREAMING": b"\x00\x02Sx",
    "packet 'H' while STREAMING": b"\x00\x01H",
    "packet 'Z' while STREAMING": b"\x00\x01Z",
    "packet 'A' while STREAMING": b"\x00\x1fA" + b"1" * 30,
    "packet 'J' while STREAMING": b"\x00\x02JA",
    "packet 'R' has a body of 1 bytes, expected none": b"\x00\x02R!",
    "packet 'O' has a body of 1 bytes, expected none": b"\x00\x02O!",
}


@pytest.mark.parametrize(("complaint", "packet"), BROKEN_WHILE_STREAMING.items())
def test_what_a_client_may_not_say_is_named_behind_the_good_packets(complaint: str, packet: bytes) -> None:
    session = logged_in()
    events, error = until_broken(session.receive(b"\x00\x02Ux" + packet, 0.0))

    assert events == [UnsequencedReceived(b"x")]
    assert re.search(complaint, str(error))
    with pytest.raises(RemoteProtocolError, match=complaint):
        all_events(session, b"\x00\x02Ux")


def test_a_client_s_last_packets_behind_our_end_of_session_are_no_error() -> None:
    session = logged_in()

    session.end_session(0.0)

    assert session.data_to_send() == b"\x00\x01Z"
    assert all_events(session, b"\x00\x02Ux\x00\x01R\x00\x01O") == [
        UnsequencedReceived(b"x"),
        LogoutRequested(),
    ]


def test_a_server_of_3_00_has_no_unsequenced_data_to_send() -> None:
    with pytest.raises(LocalProtocolError, match=r"expected since 4.00"):
        logged_in(version=Version.V3_00).send_unsequenced(b"x", 0.0)

    session = logged_in(LOGIN_52, version=Version.V3_00)
    session.send_unsequenced(b"x", 0.0)
    assert session.data_to_send() == b"\x00\x02Ux"


def test_what_makes_no_sense_in_this_state_is_our_error() -> None:
    session = ServerSession(0.0)
    with pytest.raises(LocalProtocolError, match="session is AWAITING_LOGIN, expected DECIDING"):
        session.accept("TODAY01", 1, 0.0)
    with pytest.raises(LocalProtocolError, match="session is AWAITING_LOGIN, expected STREAMING"):
        session.send_sequenced(b"x", 0.0)
    session.send_debug("who are you?", 0.0)

    session = logged_in()
    session.end_session(0.0)
    with pytest.raises(LocalProtocolError, match="session is ENDED, expected STREAMING"):
        session.send_sequenced(b"x", 0.0)
    with pytest.raises(LocalProtocolError, match="after the session ended"):
        session.send_debug("x", 0.0)


def test_a_heartbeat_follows_one_second_of_our_own_silence() -> None:
    session = logged_in()
    session.send_sequenced(b"x", 0.5)
    session.data_to_send()

    assert session.deadline() == 1.5
    session.tick(1.4)
    assert session.data_to_send() == b""
    session.tick(1.5)
    assert session.data_to_send() == b"\x00\x01H"
    assert session.deadline() == 2.5


def test_heartbeats_can_be_switched_off_to_play_dead() -> None:
    session = logged_in()

    session.heartbeats = False

    assert session.deadline() == 15.0
    session.tick(14.0)
    assert session.data_to_send() == b""


def test_silence_does_not_count_while_we_do_not_read() -> None:
    session = logged_in()

    session.stop_reading()
    session.tick(100.0)
    session.heartbeats = False
    assert session.deadline() == float("inf")
    session.start_reading(100.0)

    assert session.deadline() == 115.0


def test_a_client_that_does_not_log_in_is_dropped_after_30_seconds() -> None:
    session = ServerSession(0.0)

    list(session.receive(b"\x00\x02+x", 29.0))

    assert session.deadline() == 30.0
    session.tick(29.9)
    with pytest.raises(LoginTimeout, match="no login within 30 s"):
        session.tick(30.0)

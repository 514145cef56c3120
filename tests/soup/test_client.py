"""The client's state machine: a recorded session, each rule of the wire, and time passed in."""

import re
from collections.abc import Iterable, Iterator

import pytest

from gateway.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from gateway.soup import (
    Accepted,
    ClientEvent,
    ClientSession,
    ClientState,
    Debug,
    EndOfSession,
    HeartbeatLost,
    Login,
    LoginTimeout,
    Rejected,
    Run,
    Unsequenced,
    Version,
)
from gateway.values import Block, Position

LOGIN_PACKET = b"\x00\x2fLme    pw        " + b"   TODAY01" + b"                   7"
ACCEPTED = b"\x00\x1fA   TODAY01                   7"
STREAM = (
    b"\x00\x06+hello"
    + ACCEPTED
    + b"\x00\x06Sfirst"
    + b"\x00\x07Ssecond"
    + b"\x00\x01H"
    + b"\x00\x05Uside"
    + b"\x00\x01S"
    + b"\x00\x04+bye"
    + b"\x00\x01Z"
)


WANTED = Position("TODAY01", 7)


def new_session(wanted: Position = WANTED, version: Version = Version.V4_00) -> ClientSession:
    session = ClientSession(Login("me", "pw", version), wanted, 0.0)
    session.data_to_send()
    return session


def logged_in(version: Version = Version.V4_00) -> ClientSession:
    session = new_session(version=version)
    list(session.receive(ACCEPTED, 0.0))
    return session


def all_events(session: ClientSession, *reads: bytes) -> list[ClientEvent]:
    return [event for read in reads for event in session.receive(read, 0.0)]


def one_by_one(events: Iterable[ClientEvent]) -> list[object]:
    """Events with their runs taken apart, for comparing what was cut differently."""
    flat: list[object] = []
    for event in events:
        match event:
            case Run(session, first_seq, count, raw):
                flat += Block(session, first_seq, count, 0, raw).payloads()
            case _:
                flat.append(event)
    return flat


def test_the_login_is_the_first_thing_sent() -> None:
    session = ClientSession(Login("me", "pw"), Position("TODAY01", 7), 0.0)

    assert session.data_to_send() == LOGIN_PACKET
    assert session.data_to_send() == b""


def test_a_whole_session_comes_as_events_and_a_run_as_one() -> None:
    session = new_session()

    events = all_events(session, STREAM)

    assert events == [
        Debug(b"hello"),
        Accepted(Position("TODAY01", 7)),
        Run("TODAY01", 7, 2, b"\x00\x06Sfirst\x00\x07Ssecond"),
        Unsequenced(b"side"),
        Run("TODAY01", 9, 1, b"\x00\x01S"),
        Debug(b"bye"),
        EndOfSession(),
    ]
    assert session.position == Position("TODAY01", 10)
    assert session.state is ClientState.ENDED
    assert session.farewell == EndOfSession()


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_events_do_not_depend_on_where_tcp_cuts_the_stream(cut: int) -> None:
    session = new_session()

    events = all_events(session, STREAM[:cut], STREAM[cut:])

    assert one_by_one(events) == [
        Debug(b"hello"),
        Accepted(Position("TODAY01", 7)),
        (7, b"first"),
        (8, b"second"),
        Unsequenced(b"side"),
        (9, b""),
        Debug(b"bye"),
        EndOfSession(),
    ]
    assert session.position == Position("TODAY01", 10)
    assert session.pending == 0


def test_events_do_not_depend_on_bytes_coming_one_at_a_time() -> None:
    session = new_session()

    events = all_events(session, *[STREAM[at : at + 1] for at in range(len(STREAM))])

    assert one_by_one(events) == one_by_one(all_events(new_session(), STREAM))


def test_only_the_number_in_login_accepted_counts() -> None:
    session = new_session(wanted=Position("", 0))

    events = all_events(session, b"\x00\x1fA1689192121                 100", b"\x00\x02Sx")

    assert events == [Accepted(Position("1689192121", 100)), Run("1689192121", 100, 1, b"\x00\x02Sx")]
    assert session.position == Position("1689192121", 101)


def test_a_left_justified_answer_with_nul_padding_is_understood() -> None:
    session = new_session()

    assert all_events(session, b"\x00\x1fATODAY01\0\0\x007" + b" " * 19) == [Accepted(Position("TODAY01", 7))]


@pytest.mark.parametrize("reason", ["A", "S"])
def test_a_rejected_login_gives_its_reason_and_ends(reason: str) -> None:
    session = new_session()

    events = all_events(session, b"\x00\x02J" + reason.encode())

    assert events == [Rejected(reason)]
    assert session.farewell == Rejected(reason)
    assert session.state is ClientState.ENDED


def test_events_that_were_not_taken_wait_for_the_next_call() -> None:
    session = logged_in()

    session.receive(b"\x00\x02Sa", 0.0)
    events = all_events(session, b"\x00\x02Sb")

    assert events == [Run("TODAY01", 7, 2, b"\x00\x02Sa\x00\x02Sb")]


def until_broken(events: Iterator[ClientEvent]) -> tuple[list[ClientEvent], RemoteProtocolError | None]:
    """The events up to the error, and the error."""
    taken = []
    try:
        for event in events:
            taken.append(event)
    except RemoteProtocolError as exc:
        return taken, exc
    return taken, None


BROKEN_WHILE_STREAMING = {
    "packet of length 0 has no type byte": b"\x00\x00",
    "unknown packet type b'Q'": b"\x00\x01Q",
    r"unknown packet type b'\\x00'": b"\x00\x01\x00",
    "packet 'H' has a body of 1 bytes, expected none": b"\x00\x02H!",
    "packet 'Z' has a body of 2 bytes, expected none": b"\x00\x03Z!!",
    "packet 'A' while STREAMING": ACCEPTED,
    "packet 'J' while STREAMING": b"\x00\x02JA",
    "packet 'L' while STREAMING": LOGIN_PACKET,
    "packet 'R' while STREAMING": b"\x00\x01R",
    "packet 'O' while STREAMING": b"\x00\x01O",
}


@pytest.mark.parametrize(("complaint", "packet"), BROKEN_WHILE_STREAMING.items())
def test_a_broken_packet_is_named_behind_the_good_ones_in_front_of_it(complaint: str, packet: bytes) -> None:
    session = logged_in()
    events, error = until_broken(session.receive(b"\x00\x02Sa\x00\x02Sb" + packet + b"\x00\x02Sc", 0.0))

    assert events == [Run("TODAY01", 7, 2, b"\x00\x02Sa\x00\x02Sb")]
    assert session.position == Position("TODAY01", 9)
    assert re.search(complaint, str(error))
    assert session.broken is error


BROKEN_WHILE_LOGGING_IN = {
    "packet 'S' while LOGGING_IN": b"\x00\x02Sa",
    "packet 'U' while LOGGING_IN": b"\x00\x02Ua",
    "packet 'Z' while LOGGING_IN": b"\x00\x01Z",
    "packet 'H' has a body": b"\x00\x02H!",
    "login accepted has 29 bytes, expected 30": b"\x00\x1eA" + b"1" * 29,
    "sequence number b'.*x' is not a number": b"\x00\x1fA" + b"TODAY01   " + b"x".rjust(20),
    r"session b'TODAY\\xff01  ' is not printable": b"\x00\x1fA" + b"TODAY\xff01  " + b"1".rjust(20),
    "login rejected with reason 'X', expected A or S": b"\x00\x02JX",
    "login rejected with reason '', expected A or S": b"\x00\x01J",
}


@pytest.mark.parametrize(("complaint", "packet"), BROKEN_WHILE_LOGGING_IN.items())
def test_a_broken_answer_to_the_login_is_named(complaint: str, packet: bytes) -> None:
    session = new_session()

    with pytest.raises(RemoteProtocolError, match=complaint):
        all_events(session, b"\x00\x01H", packet)

    assert session.state is ClientState.LOGGING_IN


def test_behind_a_broken_packet_nothing_is_framed_or_kept() -> None:
    session = logged_in()
    with pytest.raises(RemoteProtocolError, match="unknown packet type"):
        all_events(session, b"\x00\x01Q")
    pending = session.pending

    with pytest.raises(RemoteProtocolError, match="unknown packet type"):
        all_events(session, b"\x00\x02Sa" * 1000)

    assert session.pending == pending


def test_messages_behind_the_end_of_the_session_are_an_error_but_a_late_heartbeat_is_not() -> None:
    session = logged_in()

    assert all_events(session, b"\x00\x01Z\x00\x01H\x00\x03+ok") == [EndOfSession(), Debug(b"ok")]
    with pytest.raises(RemoteProtocolError, match="packet 'S' while ENDED"):
        all_events(session, b"\x00\x02Sa")


def test_unsequenced_data_from_a_server_is_allowed_since_4_00() -> None:
    assert all_events(logged_in(Version.V4_10), b"\x00\x02Ux") == [Unsequenced(b"x")]
    with pytest.raises(RemoteProtocolError, match=r"from a server of version 3.00, expected since 4.00"):
        all_events(logged_in(Version.V3_00), b"\x00\x02Ux")


def test_unsequenced_data_and_debug_text_are_not_counted() -> None:
    session = logged_in()

    all_events(session, b"\x00\x02Ux\x00\x02+x")

    assert session.position == Position("TODAY01", 7)


def test_what_we_send_is_framed_and_only_allowed_while_logged_in() -> None:
    session = new_session()
    with pytest.raises(LocalProtocolError, match="session is LOGGING_IN, expected STREAMING"):
        session.send_unsequenced(b"order", 0.0)
    with pytest.raises(LocalProtocolError, match="session is LOGGING_IN, expected STREAMING"):
        session.logout(0.0)
    session.send_debug("before the answer", 0.0)
    all_events(session, ACCEPTED)

    session.send_unsequenced(b"order", 0.0)
    session.send_debug("text", 0.0)
    session.logout(0.0)

    assert session.data_to_send() == (
        b"\x00\x12+before the answer" + b"\x00\x06Uorder" + b"\x00\x05+text" + b"\x00\x01O"
    )
    with pytest.raises(LocalProtocolError, match="session is LOGGING_OUT"):
        session.send_unsequenced(b"order", 0.0)


def test_messages_under_way_still_count_after_our_logout() -> None:
    session = logged_in()

    session.logout(0.0)

    assert all_events(session, b"\x00\x02Sa\x00\x01H\x00\x02Ub\x00\x01Z") == [
        Run("TODAY01", 7, 1, b"\x00\x02Sa"),
        Unsequenced(b"b"),
        EndOfSession(),
    ]


def test_debug_text_after_the_end_is_our_error() -> None:
    session = logged_in()
    all_events(session, b"\x00\x01Z")

    with pytest.raises(LocalProtocolError, match="after the session ended"):
        session.send_debug("late", 0.0)


def test_a_heartbeat_follows_one_second_of_our_own_silence() -> None:
    session = logged_in()

    assert session.deadline() == 1.0
    session.tick(0.9)
    assert session.data_to_send() == b""
    session.tick(1.0)
    assert session.data_to_send() == b"\x00\x01R"
    assert session.deadline() == 2.0


def test_any_packet_we_send_counts_as_a_sign_of_life() -> None:
    session = logged_in()

    session.send_unsequenced(b"order", 0.7)
    session.data_to_send()

    assert session.deadline() == 1.7


def test_a_server_that_is_silent_for_15_seconds_is_lost() -> None:
    session = logged_in()
    list(session.receive(b"\x00\x02Sa", 5.0))

    session.tick(19.9)
    with pytest.raises(HeartbeatLost, match="nothing received for 15 s"):
        session.tick(20.0)

    assert isinstance(session.broken, HeartbeatLost)


def test_half_a_packet_is_a_sign_of_life_too() -> None:
    session = logged_in()

    list(session.receive(b"\x00", 14.0))

    session.tick(28.9)


def test_silence_does_not_count_while_we_do_not_read() -> None:
    session = logged_in()

    session.stop_reading()
    session.tick(100.0)
    session.data_to_send()
    assert session.deadline() == 101.0
    session.start_reading(200.0)
    session.tick(214.9)
    with pytest.raises(HeartbeatLost):
        session.tick(215.0)


def test_an_unanswered_login_times_out_and_heartbeats_do_not_count_as_an_answer() -> None:
    session = new_session()
    assert session.deadline() == 10.0

    list(session.receive(b"\x00\x01H", 9.0))
    session.tick(9.9)
    assert session.data_to_send() == b""
    with pytest.raises(LoginTimeout, match="login not answered within 10 s"):
        session.tick(10.0)


def test_a_server_that_does_not_close_after_our_logout_is_given_up() -> None:
    session = logged_in()
    session.logout(3.0)

    assert session.deadline() == 8.0
    session.tick(7.9)
    with pytest.raises(RemoteProtocolError, match="connection still open 5 s after the logout"):
        session.tick(8.0)


def test_an_ended_session_wants_no_timer() -> None:
    session = logged_in()
    all_events(session, b"\x00\x01Z")

    session.tick(1000.0)

    assert session.deadline() == float("inf")
    assert session.data_to_send() == b""


def test_the_intervals_are_the_caller_s_to_set() -> None:
    session = ClientSession(
        Login("me", "pw"), Position("", 1), 0.0, heartbeat_s=0.25, silence_s=2.0, login_timeout_s=1.0
    )

    assert session.deadline() == 1.0
    all_events(session, ACCEPTED)
    assert session.deadline() == 0.25
    with pytest.raises(HeartbeatLost, match="nothing received for 2 s"):
        session.tick(2.0)


def test_a_position_that_fits_no_login_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="session 'MUCH TOO LONG' has 13 characters"):
        ClientSession(Login("me", "pw"), Position("MUCH TOO LONG", 1), 0.0)

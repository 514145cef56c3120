"""The bytes of each packet, pinned by hand from the specification."""

import pytest

from gateway.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from gateway.soup import Justify, Login, Version, packets
from gateway.values import Position

USER = b"alice "
PASSWORD = b"secret    "
LOGIN = Login("alice", "secret")


def test_a_login_of_4_00_has_47_bytes_with_session_and_number_right_justified() -> None:
    assert packets.login_request(LOGIN, Position("TODAY01", 42)) == (
        b"\x00\x2fL" + USER + PASSWORD + b"   TODAY01" + b"                  42"
    )


def test_session_and_number_stand_left_when_the_server_wants_them_so() -> None:
    login = Login("alice", "secret", justify=Justify.LEFT)

    assert packets.login_request(login, Position("TODAY01", 42)) == (
        b"\x00\x2fL" + USER + PASSWORD + b"TODAY01   " + b"42                  "
    )


def test_a_login_of_4_10_adds_the_heartbeat_timeout_as_five_digits() -> None:
    login = Login("alice", "secret", Version.V4_10, heartbeat_timeout_ms=5000)

    assert packets.login_request(login, Position("", 0)) == (
        b"\x00\x34L" + USER + PASSWORD + b"          " + b"                   0" + b"05000"
    )


def test_a_login_of_3_00_looks_like_one_of_4_00() -> None:
    login = Login("alice", "secret", Version.V3_00)

    assert packets.login_request(login, Position("S", 1)) == packets.login_request(LOGIN, Position("S", 1))


def test_the_longest_login_fills_every_field() -> None:
    login = Login("userid", "passphrase")

    assert packets.login_request(login, Position("000010059B", 2**63 - 1)) == (
        b"\x00\x2fLuseridpassphrase000010059B" + b" 9223372036854775807"
    )


def test_the_server_s_packets_are_those_of_the_specification() -> None:
    assert packets.login_accepted(Position("TODAY01", 7)) == (
        b"\x00\x1fA" + b"   TODAY01" + b"                   7"
    )
    assert packets.login_accepted(Position("TODAY01", 7), Justify.LEFT) == (
        b"\x00\x1fA" + b"TODAY01   " + b"7                   "
    )
    assert packets.login_rejected("A") == b"\x00\x02JA"
    assert packets.login_rejected("S") == b"\x00\x02JS"
    assert packets.sequenced(b"abc") == b"\x00\x04Sabc"
    assert packets.sequenced(b"") == b"\x00\x01S"
    assert packets.unsequenced(b"abc") == b"\x00\x04Uabc"
    assert packets.debug("hi") == b"\x00\x03+hi"
    assert packets.SERVER_HEARTBEAT_PACKET == b"\x00\x01H"
    assert packets.END_OF_SESSION_PACKET == b"\x00\x01Z"
    assert packets.CLIENT_HEARTBEAT_PACKET == b"\x00\x01R"
    assert packets.LOGOUT_PACKET == b"\x00\x01O"


def test_debug_text_leaves_as_ascii_because_some_clients_break_at_anything_else() -> None:
    assert packets.debug("naïve") == b"\x00\x06+na?ve"
    assert packets.debug(b"\xff") == b"\x00\x02+\xff"


def test_many_messages_are_framed_like_one_after_the_other() -> None:
    payloads = [b"", b"a", b"b" * 511, b"c" * 512, b"d" * 65_534]

    assert packets.sequenced_run(payloads) == b"".join(map(packets.sequenced, payloads))
    assert packets.sequenced_run(payloads[:3]) == b"".join(map(packets.sequenced, payloads[:3]))
    assert packets.sequenced_run([]) == b""


def test_the_largest_payload_uses_the_whole_length_field_as_unsigned() -> None:
    assert packets.sequenced(b"x" * 65_534)[:3] == b"\xff\xffS"


@pytest.mark.parametrize("make", [packets.sequenced, packets.unsequenced, packets.debug])
def test_a_payload_that_no_packet_can_hold_is_our_error(make) -> None:
    with pytest.raises(LocalProtocolError, match="payload of 65535 bytes, a packet holds 65534"):
        make(b"x" * 65_535)


def test_a_run_with_a_payload_that_no_packet_can_hold_is_our_error() -> None:
    with pytest.raises(LocalProtocolError, match="65535 bytes"):
        packets.sequenced_run([b"fine", b"x" * 65_535])


@pytest.mark.parametrize(
    ("session", "number"),
    [
        (b"   TODAY01", b"                  42"),
        (b"TODAY01   ", b"42                  "),
        (b"   TODAY01", b"00000000000000000042"),
        (b"TODAY01\0\0\0", b"42" + b"\0" * 18),
        (b"\0\0\0TODAY01", b"\0" * 18 + b"42"),
        (b" TODAY01\0 ", b" \0 0042 \0           "),
    ],
)
def test_either_padding_is_read_with_spaces_zeros_and_nuls(session: bytes, number: bytes) -> None:
    fields = packets.parse_login_request(USER + PASSWORD + session + number)

    assert (fields.session, fields.next_seq) == ("TODAY01", 42)
    assert packets.parse_login_accepted(session + number) == Position("TODAY01", 42)


def test_zeros_of_a_session_are_part_of_its_name() -> None:
    assert packets.parse_login_accepted(b"000010059B" + b"1".rjust(20)) == Position("000010059B", 1)


def test_a_blank_session_in_a_login_means_the_current_one() -> None:
    fields = packets.parse_login_request(USER + PASSWORD + b" " * 10 + b"0".rjust(20))

    assert (fields.session, fields.next_seq, fields.heartbeat_timeout_ms) == ("", 0, None)


def test_the_user_and_password_come_without_their_padding() -> None:
    fields = packets.parse_login_request(USER + b"se cret\0\0\0" + b" " * 10 + b"1".rjust(20) + b"  500")

    assert (fields.user, fields.password, fields.heartbeat_timeout_ms) == ("alice", "se cret", 500)
    assert "se cret" not in repr(fields)


@pytest.mark.parametrize("number", [b"", b"-1", b"+1", b"1_0", b"1 2", b"0x10", b"1.0", b"\xb2", b"\n7"])
def test_a_number_that_is_not_digits_is_the_other_side_s_error(number: bytes) -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"sequence number .* is not a number, expected padded digits"
    ):
        packets.parse_login_request(USER + PASSWORD + b" " * 10 + number.ljust(20))
    with pytest.raises(
        RemoteProtocolError, match=r"sequence number .* is not a number, expected padded digits"
    ):
        packets.parse_login_accepted(b"TODAY01   " + number.ljust(20))


def test_a_number_above_what_a_journal_can_keep_is_the_other_side_s_error() -> None:
    with pytest.raises(RemoteProtocolError, match="sequence number 99999999999999999999 is above"):
        packets.parse_login_accepted(b"TODAY01   " + b"9" * 20)


def test_a_session_that_is_not_printable_is_the_other_side_s_error() -> None:
    with pytest.raises(RemoteProtocolError, match=r"session .* is not printable ASCII"):
        packets.parse_login_accepted(b"TODAY\x0101 " + b" " + b"1".rjust(20))


def test_a_password_that_is_not_printable_is_not_shown() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^password is not printable ASCII$"):
        packets.parse_login_request(USER + b"\xffsecret   " + b" " * 10 + b"1".rjust(20))


def test_an_accepted_login_without_a_session_or_with_number_0_can_t_be_resumed_and_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError, match="names no session"):
        packets.parse_login_accepted(b" " * 10 + b"1".rjust(20))
    with pytest.raises(RemoteProtocolError, match="sequence number 0, expected 1 or more"):
        packets.parse_login_accepted(b"TODAY01   " + b"0".rjust(20))


@pytest.mark.parametrize("size", [0, 45, 47, 50, 52])
def test_a_login_of_another_size_is_the_client_s_error(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"login request has {size} bytes, expected 46 or 51"):
        packets.parse_login_request(b"1" * size)


@pytest.mark.parametrize("size", [0, 29, 31])
def test_an_accepted_login_of_another_size_is_the_server_s_error(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"login accepted has {size} bytes, expected 30"):
        packets.parse_login_accepted(b"1" * size)


@pytest.mark.parametrize("reason", [b"", b"X", b"AA", b"\xff"])
def test_a_reject_reason_that_does_not_exist_is_the_server_s_error(reason: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="expected A or S"):
        packets.parse_login_rejected(reason)


def test_a_reject_reason_that_does_not_exist_is_our_error_when_we_send_it() -> None:
    with pytest.raises(LocalProtocolError, match="reject reason is 'X', expected one of A, S"):
        packets.login_rejected("X")


@pytest.mark.parametrize(
    ("user", "password", "complaint"),
    [
        ("toolong", "x", "user 'toolong' has 7 characters, the login has room for 6"),
        ("x", "elevenchars", "^password has 11 characters, the login has room for 10$"),
        ("naïve", "x", "user 'naïve' has a character that is not printable ASCII"),
        ("x", "tab\t", "^password has a character that is not printable ASCII$"),
    ],
)
def test_credentials_that_do_not_fit_are_the_operator_s_error(
    user: str, password: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Login(user, password)


def test_a_position_that_does_not_fit_is_the_operator_s_error() -> None:
    with pytest.raises(ConfigError, match="session 'ELEVENCHARS' has 11 characters"):
        packets.login_request(LOGIN, Position("ELEVENCHARS", 1))
    with pytest.raises(ConfigError, match="sequence number is -1, expected 0 to"):
        packets.login_request(LOGIN, Position("", -1))


@pytest.mark.parametrize("timeout_ms", [0, 100_000])
def test_a_heartbeat_timeout_that_does_not_fit_is_the_operator_s_error(timeout_ms: int) -> None:
    with pytest.raises(ConfigError, match=f"heartbeat_timeout_ms is {timeout_ms}, expected 1 to 99999"):
        Login("a", "b", Version.V4_10, heartbeat_timeout_ms=timeout_ms)


def test_a_login_does_not_show_its_password() -> None:
    assert "secret" not in repr(LOGIN)

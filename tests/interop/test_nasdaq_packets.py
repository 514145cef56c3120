"""Ours and nasdaq-protocols, Nasdaq's own Python implementation, write and read the same packets.

Its package is used as it comes. It left-justifies; we can, and read either side.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from nasdaq_protocols import soup as theirs

from gateway.soup import (
    Accepted,
    ClientSession,
    Debug,
    DebugReceived,
    EndOfSession,
    Justify,
    Login,
    LoginRequested,
    LogoutRequested,
    Rejected,
    Run,
    ServerSession,
    Unsequenced,
    UnsequencedReceived,
    Version,
    packets,
)
from gateway.values import Position

TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


def of_theirs(packet: theirs.SoupMessage) -> bytes:
    return packet.to_bytes()[1]


def to_theirs(packet: bytes) -> theirs.SoupMessage:
    return theirs.SoupMessage.from_bytes(packet)[1]


@settings(deadline=None, max_examples=50)
@given(
    user=TEXT.filter(lambda text: len(text) <= 6),
    password=TEXT.filter(lambda text: len(text) <= 10),
    session=TEXT.filter(lambda text: len(text) <= 10),
    number=st.integers(0, 2**63 - 1),
)
def test_both_write_and_read_the_same_login(user: str, password: str, session: str, number: int) -> None:
    login = Login(user, password, justify=Justify.LEFT)

    ours = packets.login_request(login, Position(session, number))

    assert ours == of_theirs(theirs.LoginRequest(user, password, session, str(number)))
    right = packets.login_request(Login(user, password), Position(session, number))
    assert to_theirs(right) == theirs.LoginRequest(user, password, session, str(number))
    server = ServerSession(0.0)
    assert list(server.receive(ours, 0.0)) == [
        LoginRequested(user, password, session, number, None, Version.V4_00)
    ]


@settings(deadline=None, max_examples=50)
@given(session=TEXT.filter(lambda text: len(text) <= 10), number=st.integers(1, 2**63 - 1))
def test_both_write_and_read_the_same_answer(session: str, number: int) -> None:
    ours = packets.login_accepted(Position(session, number), Justify.LEFT)

    assert ours == of_theirs(theirs.LoginAccepted(session, number))
    right = packets.login_accepted(Position(session, number))
    assert to_theirs(right) == theirs.LoginAccepted(session, number)
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)
    assert list(client.receive(ours, 0.0)) == [Accepted(Position(session, number))]


@settings(deadline=None, max_examples=50)
@given(payload=st.binary(max_size=2000), text=TEXT)
def test_both_write_and_read_the_same_data(payload: bytes, text: str) -> None:
    assert packets.sequenced(payload) == of_theirs(theirs.SequencedData(payload))
    assert packets.unsequenced(payload) == of_theirs(theirs.UnSequencedData(payload))
    assert packets.debug(text) == of_theirs(theirs.Debug(text))
    assert to_theirs(packets.sequenced(payload)) == theirs.SequencedData(payload)
    assert to_theirs(packets.unsequenced(payload)) == theirs.UnSequencedData(payload)
    assert to_theirs(packets.debug(text)) == theirs.Debug(text)


def test_both_write_the_same_packets_without_a_body() -> None:
    assert of_theirs(theirs.ClientHeartbeat()) == packets.CLIENT_HEARTBEAT_PACKET
    assert of_theirs(theirs.ServerHeartbeat()) == packets.SERVER_HEARTBEAT_PACKET
    assert of_theirs(theirs.EndOfSession()) == packets.END_OF_SESSION_PACKET
    assert of_theirs(theirs.LogoutRequest()) == packets.LOGOUT_PACKET
    assert of_theirs(theirs.LoginRejected(theirs.LoginRejectReason.NOT_AUTHORIZED)) == packets.login_rejected(
        "A"
    )
    assert of_theirs(theirs.LoginRejected("S")) == packets.login_rejected("S")


def test_our_client_reads_everything_their_server_can_say() -> None:
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)
    said = b"".join(
        map(
            of_theirs,
            [
                theirs.Debug("hello"),
                theirs.LoginAccepted("TODAY01", 5),
                theirs.SequencedData(b"five"),
                theirs.SequencedData(b""),
                theirs.ServerHeartbeat(),
                theirs.UnSequencedData(b"aside"),
                theirs.EndOfSession(),
            ],
        )
    )

    assert list(client.receive(said, 0.0)) == [
        Debug(b"hello"),
        Accepted(Position("TODAY01", 5)),
        Run("TODAY01", 5, 2, b"\x00\x05Sfive\x00\x01S"),
        Unsequenced(b"aside"),
        EndOfSession(),
    ]


def test_our_client_reads_their_rejection() -> None:
    client = ClientSession(Login("me", "pw"), Position("", 1), 0.0)

    assert list(client.receive(of_theirs(theirs.LoginRejected("S")), 0.0)) == [Rejected("S")]


def test_our_server_reads_everything_their_client_can_say() -> None:
    server = ServerSession(0.0)

    assert list(server.receive(of_theirs(theirs.LoginRequest("me", "pw", "", "1")), 0.0)) == [
        LoginRequested("me", "pw", "", 1, None, Version.V4_00)
    ]
    server.accept("TODAY01", 1, 0.0)
    said = b"".join(
        map(
            of_theirs,
            [
                theirs.ClientHeartbeat(),
                theirs.UnSequencedData(b"order"),
                theirs.Debug("hi"),
                theirs.LogoutRequest(),
            ],
        )
    )
    assert list(server.receive(said, 0.0)) == [
        UnsequencedReceived(b"order"),
        DebugReceived(b"hi"),
        LogoutRequested(),
    ]

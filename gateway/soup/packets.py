"""The bytes of each SoupBinTCP packet, written and parsed.

Knows the layout of every packet in 3.00, 4.00 and 4.10 and the padding of their fields; knows nothing of
the order in which packets may come (the sessions do) or of where one ends (the framer does).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct

from gateway.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from gateway.values import Position

LENGTH_SIZE = 2
PAYLOAD_BYTES_MAX = 65_534
# 20 digits could say more, but no journal could keep it.
SEQUENCE_MAX = 2**63 - 1
USER_SIZE, PASSWORD_SIZE, SESSION_SIZE, SEQUENCE_SIZE, TIMEOUT_SIZE = 6, 10, 10, 20, 5
LOGIN_SIZE = USER_SIZE + PASSWORD_SIZE + SESSION_SIZE + SEQUENCE_SIZE
LOGIN_SIZE_410 = LOGIN_SIZE + TIMEOUT_SIZE
ACCEPTED_SIZE = SESSION_SIZE + SEQUENCE_SIZE

DEBUG, ACCEPTED, REJECTED, SEQUENCED, UNSEQUENCED = b"+AJSU"
SERVER_HEARTBEAT, END_OF_SESSION, LOGIN, CLIENT_HEARTBEAT, LOGOUT = b"HZLRO"

SERVER_HEARTBEAT_PACKET = b"\x00\x01H"
CLIENT_HEARTBEAT_PACKET = b"\x00\x01R"
END_OF_SESSION_PACKET = b"\x00\x01Z"
LOGOUT_PACKET = b"\x00\x01O"

NOT_AUTHORIZED, SESSION_NOT_AVAILABLE = "A", "S"
REJECT_REASONS = {NOT_AUTHORIZED: "not authorized", SESSION_NOT_AVAILABLE: "session not available"}

HEADER = Struct(">HB")
_PADDING = b" \x00"
# Most messages are short: their three header bytes are looked up, not packed.
_SEQUENCED_HEADERS = [HEADER.pack(1 + size, SEQUENCED) for size in range(512)]


class Version(Enum):
    """A revision of the protocol. Nothing on the wire names it; only the size of the login shows 4.10."""

    V3_00 = "3.00"
    V4_00 = "4.00"
    V4_10 = "4.10"


class Justify(Enum):
    """On which side of their fields a session and a number stand. Servers differ in what they can read."""

    RIGHT = "right"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says about itself when it logs in.

    `heartbeat_timeout_ms` is how long the server shall let us be silent; only 4.10 can say it.
    """

    user: str
    password: str = field(repr=False)
    version: Version = Version.V4_00
    justify: Justify = Justify.RIGHT
    heartbeat_timeout_ms: int = 15_000

    def __post_init__(self) -> None:
        _require_text("user", self.user, USER_SIZE)
        _require_text("password", self.password, PASSWORD_SIZE, secret=True)
        if not 1 <= self.heartbeat_timeout_ms <= 99_999:
            raise ConfigError(f"heartbeat_timeout_ms is {self.heartbeat_timeout_ms}, expected 1 to 99999")


@dataclass(frozen=True, slots=True)
class LoginFields:
    """The fields of a login request, stripped of their padding."""

    user: str
    password: str = field(repr=False)
    session: str
    next_seq: int
    heartbeat_timeout_ms: int | None


def check_position(position: Position) -> None:
    """Raise ConfigError unless `position` fits the fields of a login."""
    _require_text("session", position.session, SESSION_SIZE)
    if not 0 <= position.next_seq <= SEQUENCE_MAX:
        raise ConfigError(f"sequence number is {position.next_seq}, expected 0 to {SEQUENCE_MAX}")


def login_request(login: Login, wanted: Position) -> bytes:
    check_position(wanted)
    payload = (
        login.user.ljust(USER_SIZE).encode("ascii")
        + login.password.ljust(PASSWORD_SIZE).encode("ascii")
        + _session_and_number(wanted, login.justify)
    )
    if login.version is Version.V4_10:
        payload += b"%05d" % login.heartbeat_timeout_ms
    return _packet(LOGIN, payload)


def login_accepted(position: Position, justify: Justify = Justify.RIGHT) -> bytes:
    check_position(position)
    return _packet(ACCEPTED, _session_and_number(position, justify))


def login_rejected(reason: str) -> bytes:
    if reason not in REJECT_REASONS:
        raise LocalProtocolError(f"reject reason is {reason!r}, expected one of {', '.join(REJECT_REASONS)}")
    return _packet(REJECTED, reason.encode("ascii"))


def sequenced(payload: bytes) -> bytes:
    return _packet(SEQUENCED, payload)


def sequenced_run(payloads: Iterable[bytes]) -> bytes:
    """The packets of many payloads, joined."""
    payloads = list(payloads)
    headers = _SEQUENCED_HEADERS
    try:
        return b"".join([part for payload in payloads for part in (headers[len(payload)], payload)])
    except IndexError:
        return b"".join([_packet(SEQUENCED, payload) for payload in payloads])


def unsequenced(payload: bytes) -> bytes:
    return _packet(UNSEQUENCED, payload)


def debug(text: str | bytes) -> bytes:
    """A debug packet. Some clients break at text that is not ASCII, so other letters become `?`."""
    return _packet(DEBUG, text.encode("ascii", "replace") if isinstance(text, str) else text)


def parse_login_request(payload: bytes) -> LoginFields:
    if len(payload) not in (LOGIN_SIZE, LOGIN_SIZE_410):
        raise RemoteProtocolError(
            f"login request has {len(payload)} bytes, expected {LOGIN_SIZE} or {LOGIN_SIZE_410} and its type"
        )
    at_password = USER_SIZE
    at_session = at_password + PASSWORD_SIZE
    at_number = at_session + SESSION_SIZE
    timeout = payload[LOGIN_SIZE:]
    return LoginFields(
        user=_text("user", payload[:at_password]),
        password=_text("password", payload[at_password:at_session]),
        session=_text("session", payload[at_session:at_number]),
        next_seq=_number("sequence number", payload[at_number:LOGIN_SIZE]),
        heartbeat_timeout_ms=_number("heartbeat timeout", timeout) if timeout else None,
    )


def parse_login_accepted(payload: bytes) -> Position:
    if len(payload) != ACCEPTED_SIZE:
        raise RemoteProtocolError(
            f"login accepted has {len(payload)} bytes, expected {ACCEPTED_SIZE} and its type"
        )
    session = _text("session", payload[:SESSION_SIZE])
    next_seq = _number("sequence number", payload[SESSION_SIZE:])
    if not session:
        raise RemoteProtocolError("login accepted names no session, expected up to 10 letters or digits")
    if next_seq == 0:
        raise RemoteProtocolError("login accepted gives sequence number 0, expected 1 or more")
    return Position(session, next_seq)


def parse_login_rejected(payload: bytes) -> str:
    reason = payload.decode("ascii", "backslashreplace")
    if reason not in REJECT_REASONS:
        raise RemoteProtocolError(f"login rejected with reason {reason!r}, expected A or S")
    return reason


def require_no_body(kind: int, payload: bytes) -> None:
    if payload:
        raise RemoteProtocolError(f"packet {chr(kind)!r} has a body of {len(payload)} bytes, expected none")


def _packet(kind: int, payload: bytes) -> bytes:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise LocalProtocolError(f"payload of {len(payload)} bytes, a packet holds {PAYLOAD_BYTES_MAX}")
    return HEADER.pack(1 + len(payload), kind) + payload


def _session_and_number(position: Position, justify: Justify) -> bytes:
    if justify is Justify.RIGHT:
        text = position.session.rjust(SESSION_SIZE) + str(position.next_seq).rjust(SEQUENCE_SIZE)
    else:
        text = position.session.ljust(SESSION_SIZE) + str(position.next_seq).ljust(SEQUENCE_SIZE)
    return text.encode("ascii")


def _text(name: str, field_bytes: bytes) -> str:
    # Zeros are not padding here: `0000000001` is a name.
    stripped = field_bytes.strip(_PADDING)
    if not all(0x20 <= byte < 0x7F for byte in stripped):
        shown = "" if name == "password" else f" {field_bytes!r}"
        raise RemoteProtocolError(f"{name}{shown} is not printable ASCII")
    return stripped.decode("ascii")


def _number(name: str, field_bytes: bytes) -> int:
    digits = field_bytes.strip(_PADDING)
    # `int()` alone would also take signs and underscores.
    if not digits.isdigit():
        raise RemoteProtocolError(f"{name} {field_bytes!r} is not a number, expected padded digits")
    number = int(digits)
    if number > SEQUENCE_MAX:
        raise RemoteProtocolError(f"{name} {number} is above {SEQUENCE_MAX}")
    return number


def _require_text(name: str, value: str, size: int, *, secret: bool = False) -> None:
    shown = "" if secret else f" {value!r}"
    if len(value) > size:
        raise ConfigError(f"{name}{shown} has {len(value)} characters, the login has room for {size}")
    if not all(" " <= letter <= "~" for letter in value):
        raise ConfigError(f"{name}{shown} has a character that is not printable ASCII")

"""Why a connection ends: one table of WebSocket close codes, each with a sentence a person can read.

Codes below 4000 are the WebSocket standard's (RFC 6455), the others are ours.
"""

from collections.abc import Mapping
from enum import IntEnum

# A close frame holds 125 bytes, two of them the code.
REASON_BYTES_MAX = 123


class CloseCode(IntEnum):
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL = 1002
    BAD_TEXT = 1007
    FLOOD = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TOO_SLOW = 4001
    AGED_OUT = 4002
    LOGON_TIMEOUT = 4003
    LOGON_FAILED = 4004
    KEY_REVOKED = 4005
    KEY_EXPIRED = 4006
    GHOST = 4007
    TOO_MANY_CONNECTIONS = 4008


REASONS: Mapping[CloseCode, str] = {
    CloseCode.NORMAL: "done",
    CloseCode.GOING_AWAY: "good night: the gateway shuts down, come back later",
    CloseCode.PROTOCOL: "the WebSocket protocol was broken",
    CloseCode.BAD_TEXT: "a text message was not UTF-8",
    CloseCode.FLOOD: "too many requests",
    CloseCode.TOO_BIG: "a message was larger than allowed",
    CloseCode.INTERNAL: "an error of the gateway's own; it has been logged",
    CloseCode.TOO_SLOW: "nothing was read for too long; resume from the last position",
    CloseCode.AGED_OUT: "the position is no longer in the journal; start again from the oldest",
    CloseCode.LOGON_TIMEOUT: "no logon in time",
    CloseCode.LOGON_FAILED: "too many failed logons",
    CloseCode.KEY_REVOKED: "the key was revoked",
    CloseCode.KEY_EXPIRED: "the token has expired",
    CloseCode.GHOST: "no answer to pings while a new connection with this key asked for the place",
    CloseCode.TOO_MANY_CONNECTIONS: "too many connections with this key",
}


def reason_for(code: CloseCode, detail: str = "") -> str:
    """The sentence of the code, with what is known beyond it; cut to what a close frame holds."""
    text = f"{REASONS[code]}: {detail}" if detail else REASONS[code]
    raw = text.encode("utf-8", "replace")
    if len(raw) <= REASON_BYTES_MAX:
        return raw.decode()
    # A cut inside of a character drops the whole of it.
    return raw[: REASON_BYTES_MAX - len("…".encode())].decode("utf-8", "ignore") + "…"

"""The errors of the gateway, told apart by who has to act.

Knows no room of the gateway; every room raises from here or from a subclass of its own.
"""


class GatewayError(Exception):
    """Base of everything the gateway raises on purpose."""


class ConfigError(GatewayError):
    """The operator acts: a file, a key or a value is wrong. Exit code 2 before any socket opens."""


class ProtocolError(GatewayError):
    """A rule of a wire protocol was broken."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the protocol. The link is dropped and resumed later."""


class LocalProtocolError(ProtocolError):
    """We broke the protocol: a bug of ours or of the caller's, never caught to carry on."""


class UpstreamLost(GatewayError):
    """The line to the upstream ended. Time heals it: back off and resume from the journal's position."""


class LoginRejected(GatewayError):
    """The upstream refused the login. `reason` is `A` (not authorized) or `S` (session not available)."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or f"login rejected with reason {reason!r}")
        self.reason = reason


class SequenceGap(GatewayError):
    """Messages exist that can't be had. A person decides; it is counted and told, never jumped over."""


class DecodeError(GatewayError):
    """A message does not fit its definition. Its raw bytes stay in the journal, the next message goes on."""


class JournalError(GatewayError):
    """The journal can't be written or read. The feed pauses: what is not journaled is not published."""


class SlowSubscriber(GatewayError):
    """A subscriber reads too slowly for what it asked for. Its connection closes with a named code."""


class BadRequest(GatewayError):
    """A subscriber asked for something that can't be had. The text says what was expected."""

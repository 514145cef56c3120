"""The two ways in which silence breaks the protocol, told apart because a link reports them differently."""

from gateway.errors import RemoteProtocolError


class HeartbeatLost(RemoteProtocolError):
    """The other side has been silent for longer than it may be."""


class LoginTimeout(RemoteProtocolError):
    """The login was not sent, or not answered, in time."""

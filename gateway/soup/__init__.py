"""SoupBinTCP without I/O: bytes and times go in, events and bytes come out.

Speaks 3.00, 4.00 and 4.10, as client and as server. Knows no socket, no clock and no log; `gateway.link`
puts asyncio around it.
"""

from gateway.soup.client import ClientSession, ClientState
from gateway.soup.errors import HeartbeatLost, LoginTimeout
from gateway.soup.events import (
    Accepted,
    ClientEvent,
    Debug,
    DebugReceived,
    EndOfSession,
    LoginRequested,
    LogoutRequested,
    Rejected,
    Run,
    ServerEvent,
    Unsequenced,
    UnsequencedReceived,
)
from gateway.soup.framer import Framer, Packet
from gateway.soup.packets import Justify, Login, Version
from gateway.soup.server import ServerSession, ServerState

__all__ = [
    "Accepted",
    "ClientEvent",
    "ClientSession",
    "ClientState",
    "Debug",
    "DebugReceived",
    "EndOfSession",
    "Framer",
    "HeartbeatLost",
    "Justify",
    "Login",
    "LoginRequested",
    "LoginTimeout",
    "LogoutRequested",
    "Packet",
    "Rejected",
    "Run",
    "ServerEvent",
    "ServerSession",
    "ServerState",
    "Unsequenced",
    "UnsequencedReceived",
    "Version",
]

"""SoupBinTCP over asyncio: a client and a server to use as a library, and the link of the gateway's feeds.

async with connect("127.0.0.1", 9000, user="me", password="secret") as client:
    async for message in client:
        print(message.sequence_number, message.payload)
"""

from gateway.link.client import Message, SoupClient, connect
from gateway.link.closing import Closed, CloseReason, LinkClosed
from gateway.link.connection import Accept, Connection, Reject
from gateway.link.dialling import ClientLink, dial
from gateway.link.served import ServedSession
from gateway.link.server import SoupServer

__all__ = [
    "Accept",
    "ClientLink",
    "CloseReason",
    "Closed",
    "Connection",
    "LinkClosed",
    "Message",
    "Reject",
    "ServedSession",
    "SoupClient",
    "SoupServer",
    "connect",
    "dial",
]

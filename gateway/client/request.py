"""What a stream asks for, and the bytes that ask for it.

Knows the fields of MLinkStream; what they may hold is the gateway's to say.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.client.positions import FeedPosition
from gateway.errors import BadRequest
from gateway.mlink.frames import frame
from gateway.mlink.times import utc_text

Delivery = Literal["every", "latest"]
ALL = "*"


@dataclass(frozen=True, slots=True)
class Request:
    """One stream as asked for, without where it stands. Equal requests ask for the same messages."""

    names: tuple[str, ...]
    stripe: tuple[str, ...] = ()
    where: str = ""
    view: str = ""
    latency_ms: int = 1
    delivery: Delivery | None = None
    highwater_ns: int = 0
    coverage: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        if not self.names or not all(isinstance(name, str) and name.strip() for name in self.names):
            raise BadRequest(f'message names {self.names!r}: expected at least one, "*" for all')
        if self.latency_ms < 1:
            raise BadRequest(f"latency_ms {self.latency_ms}: expected 1 or more; 1 sends as soon as possible")
        if self.delivery not in (None, "every", "latest"):
            raise BadRequest(f'delivery {self.delivery!r}: expected "every" or "latest"')

    def __str__(self) -> str:
        stripes = f" of {','.join(self.stripe)}" if self.stripe else ""
        return f"{','.join(self.names)}{stripes}"

    @property
    def routed_names(self) -> frozenset[str] | None:
        """The names as a data message will have them, without case; None: it needs a socket of its own."""
        if any(name == ALL or not name.isidentifier() for name in self.names):
            return None
        return frozenset(name.casefold() for name in self.names)

    def start(self, number: int, resume: Sequence[FeedPosition]) -> bytes:
        """The request that starts the stream as `number` of its socket, at `resume` if that is not empty."""
        body: dict[str, Any] = {
            "msgName": self.names[0] if len(self.names) == 1 else list(self.names),
            "sessionID": number,
            "queryID": number,
            "activeLatency": self.latency_ms,
        }
        if self.stripe:
            body["stripeFilter"] = self.stripe[0] if len(self.stripe) == 1 else list(self.stripe)
        for name, value in (
            ("where", self.where),
            ("view", self.view),
            ("delivery", self.delivery),
            ("highwaterTs", self.highwater_ns),
            ("coverage", self.coverage),
            ("queryLabel", self.label),
        ):
            if value:
                body[name] = value
        if resume:
            wires = [position.wire() for position in resume]
            body["resume"] = wires[0] if len(wires) == 1 else wires
        return _framed("MLinkStream", body)

    def stop(self, number: int) -> bytes:
        """The request that ends the stream again."""
        names = self.names[0] if len(self.names) == 1 else list(self.names)
        body = {"msgName": names, "sessionID": number, "queryID": number, "unsubscribe": "Yes"}
        return _framed("MLinkStream", body)


def where_of(tickers: Sequence[str], where: str) -> str:
    """The filter for these tickers, whatever field of a message they stand in."""
    clauses = " | ".join('ticker.tk:eq:"{}"'.format(ticker.replace('"', '""')) for ticker in tickers)
    return f"({clauses}) & ({where})" if clauses and where else clauses or where


def logon(key: str) -> bytes:
    """The logon by message, for a gateway that did not see the handshake's header."""
    return _framed("MLinkLogon", {"apiKey": key})


def _framed(m_typ: str, body: dict[str, Any]) -> bytes:
    now = utc_text(time.time_ns())
    return frame(orjson.dumps({"header": {"mTyp": m_typ, "sTim": now, "encT": now}, "message": body}))

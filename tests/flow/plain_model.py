"""What a subscriber should get, computed the plain way from the messages themselves.

Shares no code with the gateway: messages are read by the reference decoder, stripes are looked up
in the table's file, filters are trees evaluated here. Slow, and simple enough to be believed.
"""

import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.golden.reference_decoder import ITCH_NAMES, ReferenceDecoder, camel_case, load_facts

ROOT = Path(__file__).resolve().parents[2]
RECORD_KEYS = {
    "StockDirectory": ["stock"],
    "StockTradingAction": ["stock"],
    "RegSHORestriction": ["stock"],
    "MarketParticipantPosition": ["stock", "mpid"],
    "MWCBDeclineLevel": [],
    "MWCBStatus": [],
    "IPOQuotingPeriodUpdate": ["stock"],
    "LULDAuctionCollar": ["stock"],
    "OperationalHalt": ["stock", "marketCode"],
}
_TEXTS = {"alpha"}


def message_fields() -> dict[str, dict[str, type]]:
    """Fields of each message by the facts; the ticker that the directory adds is one of them."""
    found: dict[str, dict[str, type]] = {}
    for message in load_facts("itch50")["messages"]:
        fields: dict[str, type] = {}
        for each in message["fields"][1:]:
            kind = str if each["type"] in _TEXTS else Decimal if "price" in each["type"] else int
            fields[camel_case(each["name"])] = kind
        fields.setdefault("stock", str)
        found[ITCH_NAMES[message["type"]]] = fields
    return found


FIELDS = message_fields()


@dataclass(frozen=True)
class Clause:
    """`field` as in the message; `ticker.tk` is the stock."""

    field: str
    op: str
    value: Any
    high: Any = None

    def __str__(self) -> str:
        value = f"{self.value}${self.high}" if self.op == "cb" else self.value
        return f"{self.field}:{self.op}:{value}"

    def fits(self, name: str) -> bool:
        return self._own(name) in FIELDS[name]

    def _own(self, name: str) -> str:
        return "stock" if self.field == "ticker.tk" else self.field

    def holds(self, name: str, body: dict[str, Any]) -> bool:
        value = body.get(self._own(name))
        if value is None:
            return False
        match self.op:
            case "eq":
                return bool(value == self.value)
            case "ne":
                return bool(value != self.value)
            case "gt":
                return bool(value > self.value)
            case "ge":
                return bool(value >= self.value)
            case "lt":
                return bool(value < self.value)
            case "le":
                return bool(value <= self.value)
            case "cb":
                return bool(self.value <= value <= self.high)
            case "sw":
                return str(value).startswith(self.value)
            case "ew":
                return str(value).endswith(self.value)
            case "cv":
                return self.value in value
            case "nv":
                return self.value not in value
        raise AssertionError(self.op)


@dataclass(frozen=True)
class Both:
    """Two filters joined by & or |."""

    sign: str
    left: "Clause | Both"
    right: "Clause | Both"

    def __str__(self) -> str:
        return f"({self.left}) {self.sign} ({self.right})"

    def fits(self, name: str) -> bool:
        return self.left.fits(name) and self.right.fits(name)

    def holds(self, name: str, body: dict[str, Any]) -> bool:
        left, right = self.left.holds(name, body), self.right.holds(name, body)
        return left and right if self.sign == "&" else left or right


@dataclass(frozen=True)
class Wish:
    """A request, as far as it says which messages and in what form."""

    names: tuple[str, ...]
    where: Clause | Both | None = None
    view: frozenset[str] | None = None
    stripe: str = ""
    delivery: str = ""
    polled: bool = False

    def wants(self, message: "Message") -> bool:
        if "*" not in self.names and message.name not in self.names:
            return False
        if self.stripe and message.stripe is not None and message.stripe not in members(self.stripe):
            return False
        if self.where is None:
            return True
        return self.where.fits(message.name) and self.where.holds(message.name, message.body)

    def form(self, message: "Message") -> "Shown":
        body = message.body
        if self.view is not None:
            kept = self.view | set(RECORD_KEYS.get(message.name, ()))
            body = {name: value for name, value in body.items() if name in kept}
        return (message.session, message.seq, message.name, body)

    @property
    def conflated(self) -> bool:
        return self.delivery != "every" and all(name in RECORD_KEYS for name in self.names)

    def request(self) -> dict[str, Any]:
        """The fields of its MLinkStream."""
        fields: dict[str, Any] = {"msgName": list(self.names), "activeLatency": 0 if self.polled else 1}
        if self.where is not None:
            fields["where"] = str(self.where)
        if self.view is not None:
            fields["view"] = "|".join(sorted(self.view))
        if self.stripe:
            fields["stripeFilter"] = self.stripe
        if self.delivery:
            fields["delivery"] = self.delivery
        return fields


@dataclass(frozen=True)
class Message:
    """`stripe` None: of no ticker, so in all stripes."""

    session: str
    seq: int
    name: str
    body: dict[str, Any]
    stripe: str | None
    key: tuple[str, ...] | None


Shown = tuple[str, int, str, dict[str, Any]]
# ("session", name) or ("gap", session, from, to)
Notice = tuple[Any, ...]


@dataclass
class Tape:
    """All that the feed ever brought, in order: messages, session changes, missing numbers."""

    items: list[Message | Notice] = field(default_factory=list)
    session: str = ""
    next_seq: int = 1
    _tickers: dict[int, str] = field(default_factory=dict)
    _decoder: ReferenceDecoder = field(default_factory=lambda: ReferenceDecoder(load_facts("itch50")))

    def roll(self, session: str) -> None:
        if self.session:
            self.items.append(("session", session))
        self.session, self.next_seq, self._tickers = session, 1, {}

    def lose(self, count: int) -> None:
        self.items.append(("gap", self.session, self.next_seq, self.next_seq + count - 1))
        self.next_seq += count

    def add(self, payload: bytes) -> None:
        body = dict(self._decoder.decode(payload))
        name = ITCH_NAMES[chr(payload[0])]
        locate = body["stockLocate"]
        if name == "StockDirectory":
            self._tickers[locate] = body["stock"]
        has_own = "stock" in body
        if not has_own and locate in self._tickers:
            body["stock"] = self._tickers[locate]
        if has_own:
            stripe = stripe_of(body["stock"])
        elif locate == 0:
            stripe = None
        else:
            stripe = stripe_of(body.get("stock"))
        fields = RECORD_KEYS.get(name)
        key = None if fields is None else tuple(str(body[each]) for each in fields)
        self.items.append(Message(self.session, self.next_seq, name, body, stripe, key))
        self.next_seq += 1

    def index_of(self, session: str, seq: int) -> int:
        """Where in `items` one goes on who wants this number next."""
        for at, item in enumerate(self.items):
            if isinstance(item, Message):
                if (item.session, item.seq) == (session, seq):
                    return at
            elif item[:2] == ("gap", session) and item[2] <= seq <= item[3]:
                return at
        # One past the last of a session: in front of what follows it.
        ends = [
            at + 1
            for at, item in enumerate(self.items)
            if (isinstance(item, Message) and item.session == session)
            or (not isinstance(item, Message) and item[:2] in (("gap", session), ("session", session)))
        ]
        return ends[-1] if ends else 0

    def snapshot(self, wish: Wish, end: int) -> list[Shown]:
        """The newest record of each key, of the session that runs at `end`, if that one is wanted."""
        newest: dict[tuple[Any, ...], Message] = {}
        for item in self.items[:end]:
            if isinstance(item, Message):
                if item.key is not None:
                    newest[item.name, item.key] = item
            elif item[0] == "session":
                newest.clear()
        wanted = [item for item in newest.values() if wish.wants(item)]
        return [wish.form(item) for item in sorted(wanted, key=lambda item: item.seq)]

    def following(self, wish: Wish, start: int, end: int) -> list[Shown | Notice]:
        """Each message that is wanted, and each notice, in order."""
        return [
            wish.form(item) if isinstance(item, Message) else item
            for item in self.items[start:end]
            if not isinstance(item, Message) or wish.wants(item)
        ]

    def newest(self, wish: Wish, start: int, end: int) -> list[Shown | Notice]:
        """The newest of each key among these that are wanted, and each notice, in order."""
        last: dict[Any, int] = {}
        for at, item in enumerate(self.items[start:end], start):
            if not isinstance(item, Message):
                last[at] = at
            elif item.key is not None and wish.wants(item):
                last[item.name, item.key] = at
        return [
            wish.form(item) if isinstance(item, Message) else item
            for item in (self.items[at] for at in sorted(last.values()))
        ]


def shown(value: dict[str, Any]) -> Shown | Notice:
    """A message as it was received, in the model's words."""
    header, body = value["header"], value["message"]
    if header["mTyp"] == "MLinkAdmin":
        if body["event"] == "SessionChange":
            return ("session", body["ses"])
        return ("gap", body["ses"], body["fromSeqN"], body["toSeqN"])
    return (header["ses"], header["seqN"], header["mTyp"], body)


_TABLE = tomllib.loads((ROOT / "config" / "stripes.toml").read_text())


def stripe_of(ticker: str | None) -> str:
    if ticker is not None:
        for name, tickers in _TABLE["sets"].items():
            if ticker in tickers:
                return str(name)
        for name, bounds in _TABLE["ranges"].items():
            if bounds["first"] <= ticker < bounds["end"]:
                return str(name)
    return str(_TABLE["catch_all"])


def members(stripe: str) -> set[str]:
    return set(_TABLE["compounds"].get(stripe, [stripe]))

"""A second decoder, straight from the specifications' facts, sharing no code with the gateway.

Slow and plain on purpose: it walks the JSON facts field by field. What it says about a message and
what the compiled decoders say are compared over real data.
"""

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SPEC = Path(__file__).resolve().parents[3] / "shared" / "spec"

DECIMALS = {"price4": 4, "price8": 8, "price4_8": 4, "signed price4": 4}

# The specifications' names in short, as the messages are called here.
ITCH_NAMES = {
    "S": "SystemEvent",
    "R": "StockDirectory",
    "H": "StockTradingAction",
    "Y": "RegSHORestriction",
    "L": "MarketParticipantPosition",
    "V": "MWCBDeclineLevel",
    "W": "MWCBStatus",
    "K": "IPOQuotingPeriodUpdate",
    "J": "LULDAuctionCollar",
    "h": "OperationalHalt",
    "A": "AddOrder",
    "F": "AddOrderMPID",
    "E": "OrderExecuted",
    "C": "OrderExecutedWithPrice",
    "X": "OrderCancel",
    "D": "OrderDelete",
    "U": "OrderReplace",
    "P": "Trade",
    "Q": "CrossTrade",
    "B": "BrokenTrade",
    "I": "NOII",
    "N": "RPII",
    "O": "DLCRPriceDiscovery",
}


def load_facts(name: str) -> dict[str, Any]:
    """The facts of `itch50`, `ouch42`, `ouch50` or `glimpse50`, which stand beside the project."""
    if not SPEC.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the facts of the specifications in {SPEC}")
        pytest.skip(f"SPECIFICATIONS NOT TESTED: there is no folder {SPEC}")
    return json.loads((SPEC / f"{name}.json").read_text("utf-8"))


def camel_case(name: str) -> str:
    """`order_reference_number` is `orderReferenceNumber` in JSON; `buy_sell_indicator` is `side`."""
    if name == "buy_sell_indicator":
        return "side"
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def tag_name(name: str) -> str:
    """`MinQty` is `minQty`, `BBOWeightIndicator` is `bboWeightIndicator`."""
    capitals = next(at for at, letter in enumerate(name) if letter.islower())
    return name[: max(1, capitals - 1)].lower() + name[max(1, capitals - 1) :]


def value_of(raw: bytes, type_: str) -> Any:
    if type_ == "alpha":
        text = "".join(map(chr, raw))
        # One letter is a code, and a blank is one of the codes; longer texts are padded.
        return text if len(raw) == 1 else text.rstrip(" ")
    if type_ == "ascii numeric":
        return int(raw.decode("ascii").strip(" "))
    number = int.from_bytes(raw, "big", signed=type_.startswith("signed"))
    if type_ in DECIMALS:
        return Decimal(number) / 10 ** DECIMALS[type_]
    return number


class ReferenceDecoder:
    """Decodes messages of one specification and direction by its facts."""

    def __init__(self, facts: dict[str, Any], direction: str | None = None) -> None:
        messages = facts.get("additional", []) if facts["protocol"] == "GLIMPSE" else facts["messages"]
        self.messages = {
            message["type"]: message
            for message in messages
            if direction is None or message.get("direction") == direction
        }
        tags = facts.get("appendage", {}).get("tags", [])
        self.tags = {tag["tag"]: tag for tag in tags}

    def decode(self, payload: bytes) -> dict[str, Any]:
        message = self.messages[chr(payload[0])]
        values: dict[str, Any] = {}
        end = 1
        for field in message["fields"][1:]:
            if field["name"] == "appendage_length":
                continue
            at, end = field["offset"], field["offset"] + field["length"]
            if at == len(payload):
                break  # a tail that older revisions do not have
            assert len(payload) >= end, f"{message['name']} ends inside {field['name']}"
            values[camel_case(field["name"])] = value_of(payload[at:end], field["type"])
        if "appendage" in message and len(payload) > end:
            values["appendage"] = self._appendage(payload[end:])
        else:
            assert len(payload) <= max(end, 1), f"{message['name']} goes on behind its last field"
        return values

    def _appendage(self, rest: bytes) -> dict[str, Any]:
        assert int.from_bytes(rest[:2], "big") == len(rest) - 2
        values: dict[str, Any] = {}
        rest = rest[2:]
        while rest:
            tag = self.tags[rest[1]]
            raw = rest[2 : 1 + rest[0]]
            assert len(raw) == tag["size"]
            values[tag_name(tag["name"])] = value_of(raw, tag["type"])
            rest = rest[1 + rest[0] :]
        return values


def read_messages(path: Path) -> Iterator[bytes]:
    """The messages of a file in which each stands behind its length in two bytes."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at = end

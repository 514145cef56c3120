"""Where the fields stand in the ITCH 5.0 messages that books and prints are made of.

Knows names, lengths and offsets; `check` holds a feed's definitions to them, because the books read the raw
bytes and ask no codec.
"""

from collections.abc import Mapping
from struct import Struct

from gateway.decode import Codecs
from gateway.errors import ConfigError

# Name, length, and where the fields stand that are read here. Offsets count from the id byte.
LAYOUTS: Mapping[str, tuple[str, int, Mapping[str, int]]] = {
    "S": ("SystemEvent", 12, {"timestamp": 5, "eventCode": 11}),
    "R": ("StockDirectory", 39, {"stockLocate": 1, "stock": 11}),
    "H": ("StockTradingAction", 25, {"stockLocate": 1, "stock": 11, "tradingState": 19}),
    "A": (
        "AddOrder",
        36,
        {"stockLocate": 1, "orderReferenceNumber": 11, "side": 19, "shares": 20, "stock": 24, "price": 32},
    ),
    "F": (
        "AddOrderMPID",
        40,
        {"stockLocate": 1, "orderReferenceNumber": 11, "side": 19, "shares": 20, "stock": 24, "price": 32},
    ),
    "E": ("OrderExecuted", 31, {"orderReferenceNumber": 11, "executedShares": 19, "matchNumber": 23}),
    "C": (
        "OrderExecutedWithPrice",
        36,
        {
            "stockLocate": 1,
            "orderReferenceNumber": 11,
            "executedShares": 19,
            "matchNumber": 23,
            "printable": 31,
            "executionPrice": 32,
        },
    ),
    "X": ("OrderCancel", 23, {"orderReferenceNumber": 11, "cancelledShares": 19}),
    "D": ("OrderDelete", 19, {"orderReferenceNumber": 11}),
    "U": (
        "OrderReplace",
        35,
        {"originalOrderReferenceNumber": 11, "newOrderReferenceNumber": 19, "shares": 27, "price": 31},
    ),
    "P": ("Trade", 44, {"stockLocate": 1, "shares": 20, "stock": 24, "price": 32, "matchNumber": 36}),
    "Q": (
        "CrossTrade",
        40,
        {"stockLocate": 1, "shares": 11, "stock": 19, "crossPrice": 27, "matchNumber": 31, "crossType": 39},
    ),
    "B": ("BrokenTrade", 19, {"stockLocate": 1, "matchNumber": 11}),
}
TIME_AT, TIME_END = 5, 11
STOCK_AT = 11
STOCK_SIZE = 8
CODE_AT = {"S": 11, "H": 19}

# Read from the locate code on (offset 1) where a message is told by its ticker, else from offset 11.
ADD = Struct(">H8xQBI8sI").unpack_from
EXECUTED = Struct(">QIQ").unpack_from
EXECUTED_WITH_PRICE = Struct(">H8xQIQBI").unpack_from
CANCEL = Struct(">QI").unpack_from
DELETE = Struct(">Q").unpack_from
REPLACE = Struct(">QQII").unpack_from
TRADE = Struct(">H17xI8sIQ").unpack_from
CROSS = Struct(">H8xQ8sIQB").unpack_from
BROKEN = Struct(">H8xQ").unpack_from


def check(codecs: Codecs) -> None:
    """ConfigError unless the messages are those of ITCH 5.0, byte for byte where the books read them."""
    for kind, (name, length, offsets) in LAYOUTS.items():
        codec = codecs.by_id[ord(kind)]
        expected = f"views need ITCH 5.0: expected message {kind!r} to be {name} of {length} bytes"
        if codec is None or codec.name != name or codec.definition.length != length:
            got = "none" if codec is None else f"{codec.name} of {codec.definition.lengths.sentence()} bytes"
            raise ConfigError(f"{codecs.definitions.file}: {expected}, got {got}")
        for field, offset in offsets.items():
            if codec.definition.offsets.get(field) != offset:
                found = codec.definition.offsets.get(field)
                raise ConfigError(
                    f"{codecs.definitions.file}: views need {name}.{field} at offset {offset}, got {found}"
                )

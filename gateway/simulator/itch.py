"""The bytes of the ITCH 5.0 messages that the market sends: one precompiled layout for each.

Knows layouts only. Each takes the type byte, locate code and tracking number as one 5-byte `head`, which a
ticker makes once, and the time as its upper 2 and lower 4 bytes, because `struct` has no 6-byte integer.
"""

from struct import Struct

# head, time (2 + 4 bytes), then the fields of the message.
ADD = Struct(">5sHIQcI8sI").pack  # reference, side, shares, stock, price
ADD_MPID = Struct(">5sHIQcI8sI4s").pack  # the same and the attribution
EXECUTED = Struct(">5sHIQIQ").pack  # reference, shares, match number
EXECUTED_WITH_PRICE = Struct(">5sHIQIQcI").pack  # the same, printable, price
CANCEL = Struct(">5sHIQI").pack  # reference, shares
DELETE = Struct(">5sHIQ").pack  # reference
REPLACE = Struct(">5sHIQQII").pack  # old reference, new reference, shares, price
TRADE = Struct(">5sHIQcI8sIQ").pack  # reference (0), side (B), shares, stock, price, match number
CROSS = Struct(">5sHIQ8sIQc").pack  # shares, stock, price, match number, cross type
BROKEN_TRADE = Struct(">5sHIQ").pack  # match number
IMBALANCE = Struct(
    ">5sHIQQc8sIIIcc"
).pack  # paired, imbalance, direction, stock, far, near, reference, cross, variation
RETAIL_INTEREST = Struct(">5sHI8sc").pack  # stock, interest
SYSTEM_EVENT = Struct(">5sHIc").pack  # event code
DIRECTORY = Struct(">5sHI8sccIcc2scccccIc").pack
TRADING_ACTION = Struct(">5sHI8scc4s").pack  # stock, state, reserved, reason
SHORT_SALE = Struct(">5sHI8sc").pack  # stock, action
MARKET_MAKER = Struct(">5sHI4s8sccc").pack  # mpid, stock, primary, mode, state
DECLINE_LEVELS = Struct(">5sHIQQQ").pack  # three levels, 8 decimals
AUCTION_COLLAR = Struct(">5sHI8sIIII").pack  # stock, reference, upper, lower, extension

_MAKERS = "NITE CDRG GSCO MLCO UBSS VIRT FLTG JPMS INTL PUMA LEHM ETMM SSUS HRZN DADA OPCO"
MPIDS = tuple(_MAKERS.encode().split())


def head_of(kind: bytes, locate: int) -> bytes:
    """Type byte, locate code and the tracking number 0."""
    return kind + locate.to_bytes(2, "big") + b"\0\0"

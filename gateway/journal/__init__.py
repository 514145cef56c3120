"""The journal: every sequenced message of a feed, on disk before anybody sees it, readable from any position.

`Journal` is the one writer of a feed; `JournalReader` reads beside it, from any process.
"""

from gateway.journal.errors import (
    DamagedBlock,
    JournalBusy,
    JournalFailed,
    JournalFull,
    JournalLocked,
    PositionError,
    PositionInFuture,
    PositionTooOld,
    PositionUnknown,
)
from gateway.journal.journal import Journal
from gateway.journal.limits import JournalLimits
from gateway.journal.reader import JournalReader
from gateway.journal.values import Damage, Repaired, SessionInfo, Verified

__all__ = [
    "Damage",
    "DamagedBlock",
    "Journal",
    "JournalBusy",
    "JournalFailed",
    "JournalFull",
    "JournalLimits",
    "JournalLocked",
    "JournalReader",
    "PositionError",
    "PositionInFuture",
    "PositionTooOld",
    "PositionUnknown",
    "Repaired",
    "SessionInfo",
    "Verified",
]

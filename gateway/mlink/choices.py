"""The dialect's choices: states and results, spelled as on the wire. Knows no message."""

from enum import StrEnum


class YesNo(StrEnum):
    YES = "Yes"
    NO = "No"


class AdminState(StrEnum):
    ACTIVE = "Active"
    INVITE_PENDING = "InvitePending"
    INVITE_ERROR = "InviteError"
    ACCOUNT_SUSPENDED = "AccountSuspended"
    WAITING_LOGON = "WaitingLogon"
    LOGGED_ON = "LoggedOn"
    LOGON_FAILED = "LogonFailed"
    GOOD_NIGHT = "GoodNight"


class AdminEvent(StrEnum):
    """**Ours**: what a notice is about."""

    SESSION_CHANGE = "SessionChange"
    SEQUENCE_GAP = "SequenceGap"
    FEED_DOWN = "FeedDown"
    FEED_UP = "FeedUp"
    STALE = "Stale"
    SLOW = "Slow"
    CAUGHT_UP = "CaughtUp"


class StreamResult(StrEnum):
    OK = "OK"
    INVLD_MSG_TYPE = "InvldMsgType"
    UNKWN_MSG_TYPE = "UnkwnMsgType"
    UNAUTH_MSG_TYPE = "UnauthMsgType"
    ERROR = "Error"
    WARN = "Warn"


class SubscribeResult(StrEnum):
    OK = "OK"
    INVLD_MSG_TYPE = "InvldMsgType"
    UNKWN_MSG_TYPE = "UnkwnMsgType"
    UNAUTH_MSG_TYPE = "UnauthMsgType"
    INVLD_PKEY = "InvldPKey"
    UNKWN_PKEY = "UnkwnPKey"
    MISSING_PKEY = "MissingPKey"
    UNAUTH_PKEY = "UnauthPKey"
    VIEW_ERR = "ViewErr"


class DataResult(StrEnum):
    OK = "OK"
    FRAME_ERROR = "FrameError"
    JSON_ERROR = "JsonError"
    PROTO_ERROR = "ProtoError"
    BINARY_ERROR = "BinaryError"
    EXCEPTION = "Exception"
    AUTH_ERROR = "AuthError"
    INVLD_MSG_TYPE = "InvldMsgType"
    OTHER_ERROR = "OtherError"


class StreamState(StrEnum):
    BEGIN = "Begin"
    ACTIVE = "Active"
    COMPLETE = "Complete"
    REPLACED = "Replaced"
    TERMINATED = "Terminated"


class SubscribeState(StrEnum):
    BEGIN = "Begin"
    ACTIVE = "Active"
    TERMINATED = "Terminated"


class Compression(StrEnum):
    NONE = "None"
    FIELD_CHANGES_ONLY = "FieldChangesOnly"


class ReadyScan(StrEnum):
    INCREMENTAL = "Incremental"
    FULL_SCAN = "FullScan"


class Delivery(StrEnum):
    """**Ours**: every message, or the latest of each key."""

    EVERY = "every"
    LATEST = "latest"

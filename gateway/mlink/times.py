"""Times of the envelope: nanoseconds since the epoch to `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, and back.

Knows no clock: whoever calls passes the time in. What subscribers write as a time comes in every
form, so reading one never fails; it gives 0 for what it can't make out.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000
# The year 9999, where the four digits of the text end.
TIME_NS_MAX = 253_402_300_800 * _NS - 1
_TIME_TEXT_MAX = 40
_FRACTION = re.compile(r"[.,]([0-9]+)")


class TimeText:
    """Writes times as text; remembers the second it wrote last, because neighbours share it."""

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        self._second: int | None = None
        self._prefix = ""

    def __call__(self, ns: int) -> str:
        second, rest = divmod(ns, _NS)
        if second != self._second:
            if not 0 <= ns <= TIME_NS_MAX:
                raise ValueError(f"time {ns} ns is outside of the years 1970 to 9999")
            self._prefix = (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.")
            self._second = second
        return f"{self._prefix}{rest // 1000:06d}"


utc_text = TimeText()


def sent_ns_of(value: Any) -> int:
    """What a subscriber wrote as `sTim`, in ns since the epoch; 0 when it is absent or in a form of its own.

    Understands the envelope's own text, ISO 8601, and a whole number of nanoseconds.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= TIME_NS_MAX else 0
    if not isinstance(value, str) or len(value) > _TIME_TEXT_MAX:
        return 0
    # The fraction goes by hand: datetime knows no nanoseconds.
    fraction = _FRACTION.search(value)
    whole = _FRACTION.sub("", value, count=1)
    try:
        moment = datetime.fromisoformat(whole.strip())
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    ns = (since.days * 86_400 + since.seconds) * _NS
    if fraction is not None:
        ns += int(fraction[1][:9].ljust(9, "0"))
    return ns if 0 <= ns <= TIME_NS_MAX else 0

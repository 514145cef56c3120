"""The log: events of the life of a link, one line each, for people or for machines.

Rooms log through the standard library with a text of `key=value` words, `"feed=%s event=dial next=%d"`. Here
the words are paired with what was given for them: each becomes a field, and nothing is taken apart again.
Also kept here: what repeats is counted instead of written, and no key or token gets out.
"""

import logging
import re
import sys
from collections import OrderedDict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.settings import LogSettings

# So many lines of the same event, feed, endpoint, peer and holder at once; then one in `EVERY_S`, with how
# many were left out.
BURST = 10
EVERY_S = 10.0
# Peers come from outside, so what is remembered of them has an end; whoever is forgotten starts over.
REMEMBERED_MAX = 1_000
# What tells one line of an event from another, as far as repeating goes.
_WHO = ("feed", "endpoint", "journal", "peer", "holder")

_PLACE = re.compile(r"%[-.\d]*[a-z]")
_PAIR = re.compile(r"(\w+)=('[^']*'|[^\s']+)")
_TEMPLATE = re.compile(rf"(?:{_PAIR.pattern})(?: (?:{_PAIR.pattern}))*")
# Our own keys, and tokens: they have no business in any text, and this is the last place to see to it.
_SECRET = re.compile(r"sgw_[A-Za-z0-9_-]{4,}|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def start_log(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write the log to `stream` (stderr), and nowhere else."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(is_json(settings, stream), colours=stream.isatty()))
    handler.addFilter(Repeats())
    logging.basicConfig(handlers=[handler], force=True)
    set_level(settings.level)
    # Its handshake failures are strangers' doing; what matters of them is counted and told by us. At its
    # debug level it writes whole requests.
    for name in ("gateway.websockets", "websockets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def is_json(settings: LogSettings, stream: TextIO) -> bool:
    """Whether the log is for machines."""
    return settings.format == "json" or (settings.format == "auto" and not stream.isatty())


def set_level(level: str) -> None:
    """Log from this level on: debug, info, warning or error."""
    logging.getLogger().setLevel(level.upper())


class Repeats(logging.Filter):
    """Lets a line pass unless it repeats too often. Goes by the records' own times."""

    def __init__(self) -> None:
        super().__init__()
        # By what repeats: how many may pass yet, when that was true, how many were left out since the last.
        self._seen: OrderedDict[tuple[str, ...], tuple[float, float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        fields = fields_of(record.msg, record.args) or {}
        key = (record.name, str(record.msg), *(str(fields.get(each, "")) for each in ("event", *_WHO)))
        left, at, dropped = self._seen.pop(key, (float(BURST), record.created, 0))
        left = min(float(BURST), left + max(0.0, record.created - at) / EVERY_S)
        passes = left >= 1.0
        if passes:
            record.left_out = dropped
        self._seen[key] = (left - 1, record.created, 0) if passes else (left, record.created, dropped + 1)
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return passes


def fields_of(template: object, args: object) -> dict[str, Any] | None:
    """What a line of ours says, by key; None for a text that is not of such words."""
    pairs = _pairs_of(template) if isinstance(template, str) else None
    if pairs is None:
        return None
    given = args if isinstance(args, tuple) else ()
    if len(given) != sum(places for _, _, places in pairs):
        return None
    fields: dict[str, Any] = {}
    for key, text, places in pairs:
        values, given = given[:places], given[places:]
        if places == 1 and _PLACE.fullmatch(text):
            value = values[0]
            fields[key] = value if isinstance(value, int | float | None) else str(value)
        else:
            fields[key] = text.strip("'") % values
    return fields


@lru_cache(maxsize=1_000)
def _pairs_of(template: str) -> tuple[tuple[str, str, int], ...] | None:
    """(key, text, how many values go into it) of each word."""
    if _TEMPLATE.fullmatch(template) is None:
        return None
    return tuple((key, text, len(_PLACE.findall(text))) for key, text in _PAIR.findall(template))


def _formatter(as_json: bool, *, colours: bool) -> logging.Formatter:
    renderers: list[Processor]
    if as_json:
        renderers = [
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    else:
        renderers = [
            # The traceback as a text of its own, so that it goes the way of all texts.
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.dev.ConsoleRenderer(
                colors=colours,
                pad_event_to=20,
                sort_keys=False,
                timestamp_key="time",
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_as_event],
        pass_foreign_args=True,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _as_event(_logger: WrappedLogger, _name: str, given: EventDict) -> EventDict:
    record: logging.LogRecord = given["_record"]
    event: EventDict = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    # The record itself has lost what was given for its words by now.
    event.update(fields_of(record.msg, given.pop("positional_args", ())) or {})
    if left_out := getattr(record, "left_out", 0):
        event["left_out"] = left_out
    return {**given, **event}


def _without_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {
        key: _SECRET.sub("(secret)", value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _json(event: EventDict, default: Any = str, **_: Any) -> str:
    return orjson.dumps(event, default=default).decode()

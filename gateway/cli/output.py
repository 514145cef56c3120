"""How messages and progress look: coloured lines on a terminal, one JSON object a line in a pipe.

Knows text and streams; where messages come from is the command's to know. Nothing here reads a clock: who
calls says what time it is.
"""

import json
import os
import sys
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TextIO

LIVE_INTERVAL_S = 0.5
LOG_INTERVAL_S = 10.0
FLUSH_INTERVAL_S = 0.2

_RESET, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_GREEN, _RED, _CYAN = "\x1b[32m", "\x1b[31m", "\x1b[36m"
# A message's colour follows from its name, so that the same message looks the same each time.
_PALETTE = tuple(f"\x1b[{code}m" for code in (33, 34, 35, 36, 92, 93, 94, 95, 96))
_DAY_NS = 24 * 3600 * 10**9
# Control characters of a stranger's text must not reach a terminal.
_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal that wants colours."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class MessageLines:
    """Writes messages to a stream, each as a line.

    `as_json` None means: JSON unless the stream is a terminal. In a pipe lines are gathered: call `flush`
    each `FLUSH_INTERVAL_S` and at the end. When nobody reads any more, `closed` becomes true.
    """

    def __init__(self, stream: TextIO | None = None, *, as_json: bool | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._as_json = not self._terminal if as_json is None else as_json
        self._colours = has_colours(self._stream)
        self._waiting: list[str] = []
        self.closed = False
        """Whether nobody reads any more."""

    @property
    def readable(self) -> bool:
        """Whether lines are made for people, not for programs."""
        return not self._as_json

    def message(self, json_text: str) -> None:
        """Show a message that stands as JSON: `{"header":{…},"message":{…}}`."""
        if self._as_json:
            self._write(json_text)
        else:
            # Not orjson: prices keep their decimals.
            self._write(readable_line(json.loads(json_text, parse_float=Decimal), self._colours))

    def text(self, line: str) -> None:
        """Show a line as it is, made safe for a terminal."""
        self._write(line.translate(_UNPRINTABLE) if self._terminal else line)

    def flush(self) -> None:
        """Hand over what waits."""
        if self._waiting and not self.closed:
            lines, self._waiting = "\n".join(self._waiting) + "\n", []
            try:
                self._stream.write(lines)
                self._stream.flush()
            except BrokenPipeError:
                self.closed = True
                _forget(self._stream)
            except OSError:
                _forget(self._stream)
                raise

    def _write(self, line: str) -> None:
        self._waiting.append(line)
        if self._terminal or len(self._waiting) >= 1000:
            self.flush()


def readable_line(message: Mapping[str, Any], colours: bool = False) -> str:
    """One line for people: number, time, ticker, name, then the fields by name."""
    header = message.get("header") or {}
    fields = dict(message.get("message") or {})
    name = str(header.get("mTyp", "?"))
    number = header.get("seqN")
    time_ns = fields.get("timestamp")
    if isinstance(time_ns, int) and 0 <= time_ns < _DAY_NS:
        del fields["timestamp"]
        time = clock_time(time_ns)
    else:
        time = ""
    ticker = fields.pop("stock", "")
    # Of no use to people: the ticker says the same, and nobody follows tracking numbers by eye.
    for dull in ("stockLocate", "trackingNumber"):
        fields.pop(dull, None)
    paint = _painted if colours else _plain
    parts = [
        paint(_DIM, f"{'' if number is None else number:>9}"),
        paint(_DIM, f"{time:<18}") if time else "",
        paint(_BOLD, f"{_shown(ticker):<8}"),
        paint(_PALETTE[zlib.crc32(name.encode()) % len(_PALETTE)], f"{_shown(name):<22}"),
        *(f"{paint(_DIM, _shown(key))} {_value(key, value, paint)}" for key, value in fields.items()),
    ]
    return " ".join(part for part in parts if part).rstrip()


def clock_time(time_ns: int) -> str:
    """Nanoseconds since midnight as a time of day."""
    seconds, ns = divmod(time_ns, 10**9)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ns:09}"


class Progress:
    """A line that says how far it is, on stderr: rewritten in place on a terminal, else a new one.

    Nothing is shown before the first interval is over, nor where `lines` for people are the progress.
    """

    def __init__(
        self, label: str, now: float, *, lines: MessageLines | None = None, stream: TextIO | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._quiet = lines is not None and lines.readable
        self._label = label
        self._started = self._shown_at = now
        self._counted = 0
        self._drawn = False

    @property
    def interval_s(self) -> float:
        """How often it is worth calling `show`."""
        return LIVE_INTERVAL_S if self._live else LOG_INTERVAL_S

    def show(self, now: float, count: int, detail: str = "") -> None:
        """Say how far it is, unless that was said a moment ago."""
        passed = now - self._shown_at
        if self._quiet or passed < self.interval_s:
            return
        rate = (count - self._counted) / passed
        self._counted, self._shown_at = count, now
        line = f"{self._label}: {count:,} messages, {rate:,.0f}/s, {now - self._started:,.0f} s"
        line = (f"{line}, {detail}" if detail else line).translate(_UNPRINTABLE)
        self._print(f"\r{line}\x1b[K" if self._live else line + "\n")
        self._drawn = self._live

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._drawn:
            self._print("\r\x1b[K")
            self._drawn = False

    def _print(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._quiet = True
            _forget(self._stream)


def _value(key: str, value: Any, paint: Callable[[str, str], str]) -> str:
    match value:
        case "B" | "S" if key == "side":
            return paint(_GREEN if value == "B" else _RED, value)
        case str():
            return _shown(value) or "-"
        case Decimal():
            return paint(_CYAN, f"{value:f}")
        case dict() | list():
            return _shown(json.dumps(value, default=str))
        case _:
            return str(value)


def _shown(text: Any) -> str:
    return str(text).translate(_UNPRINTABLE)


def _painted(code: str, text: str) -> str:
    return f"{code}{text}{_RESET}"


def _plain(_code: str, text: str) -> str:
    return text


def _forget(stream: TextIO) -> None:
    """Let what is still buffered for a reader that went away go nowhere, instead of failing at exit."""
    if stream in (sys.stdout, sys.stderr):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

"""What a channel knows at a position, as the bytes that are saved with it.

JSON: the session's first number, the directory, the newest records; behind a zero byte the views' own.
"""

from collections.abc import Iterator
from itertools import islice

import orjson

from gateway.decode import Codecs, Directory
from gateway.hub.records import Record

Records = dict[str, dict[str, Record]]

# How many records are written down at once: less than a millisecond of work.
WRITTEN_AT_ONCE = 1_000
# JSON has no zero byte, so what follows one is something else.
BEHIND_JSON = b"\0"
# What ends the directory: as it has no such name, and a quote inside a text has a backslash in front of it,
# this stands nowhere before.
_RECORDS = b',"records":{'


def written_down(first_seq: int, directory: bytes, records: Records) -> Iterator[bytes]:
    """The state in pieces of at most `WRITTEN_AT_ONCE` records; `directory` is its dump as JSON."""
    yield b'{"first":%d,"directory":' % first_seq + directory + _RECORDS
    for at, (name, keyed) in enumerate(records.items()):
        yield (b"," if at else b"") + orjson.dumps(name) + b":{"
        comma, items = b"", iter(keyed.items())
        while some := {
            key: (record.seq, record.received_ns, record.payload.decode("latin-1"))
            for key, record in islice(items, WRITTEN_AT_ONCE)
        }:
            yield comma + orjson.dumps(some)[1:-1]
            comma = b","
        yield b"}"
    yield b"}}"


def read_back(saved: bytes, codecs: Codecs) -> tuple[int, Directory, Records]:
    """First number, directory and records. ValueError when the bytes are not a state."""
    try:
        state = orjson.loads(saved.partition(BEHIND_JSON)[0])
        directory = Directory(codecs)
        directory.load(state["directory"])
        records = {
            name: {key: Record(seq, ns, text.encode("latin-1")) for key, (seq, ns, text) in keyed.items()}
            for name, keyed in state["records"].items()
        }
        return int(state.get("first", 1)), directory, records
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"the saved state can't be read: {exc!r}") from exc


def directory_json(saved: bytes) -> bytes:
    """The front of a state, which has the directory: little beside a day's records."""
    return saved.partition(_RECORDS)[0] + b"}"


def directory_of(json: bytes, codecs: Codecs) -> Directory:
    """The directory out of that. ValueError when it is none."""
    try:
        directory = Directory(codecs)
        directory.load(orjson.loads(json)["directory"])
        return directory
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"the saved state can't be read: {exc!r}") from exc

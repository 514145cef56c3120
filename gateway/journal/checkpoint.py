"""The state checkpoint: what the hub knew at a position, so that a restart need not read the whole session.

Knows a small file per session, written whole or not at all; the state itself is opaque bytes.
"""

import logging
import os
from pathlib import Path
from struct import Struct
from zlib import crc32

from gateway.errors import JournalError
from gateway.journal import names
from gateway.journal.session_file import sync_folder
from gateway.values import Position

MAGIC = b"SOUPSTATE1\n"
# CRC-32 of all that follows, next sequence number, length of the session's name; then name and state.
HEADER = Struct(">IQH")

log = logging.getLogger("gateway.journal")


def save(path: Path, position: Position, state: bytes) -> None:
    """Write beside, sync, rename: a crash leaves the old one or the new one."""
    session = position.session.encode()
    body = HEADER.pack(0, position.next_seq, len(session))[4:] + session
    partial = names.with_suffix(path, names.PARTIAL)
    try:
        with partial.open("wb") as file:
            file.write(MAGIC)
            file.write(crc32(state, crc32(body)).to_bytes(4, "big"))
            file.write(body)
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as exc:
        raise JournalError(f"{path}: state not saved: {exc.strerror}") from exc


def load(path: Path) -> tuple[Position, bytes] | None:
    """Position and state; None when there is none, or, with a note in the log, when it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        log.warning("state=%s event=ignored detail=%r", path, exc.strerror)
        return None
    at = len(MAGIC)
    if data[:at] != MAGIC or len(data) < at + HEADER.size:
        log.warning("state=%s event=ignored detail='not a state checkpoint'", path)
        return None
    crc, next_seq, size = HEADER.unpack_from(data, at)
    if crc32(memoryview(data)[at + 4 :]) != crc:
        log.warning("state=%s event=ignored detail='checksum does not match'", path)
        return None
    at += HEADER.size
    return Position(data[at : at + size].decode(), next_seq), data[at + size :]

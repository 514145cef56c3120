"""Read ITCH files: uint16 length, message, and so on; plain or gzip, told apart by content.

Knows the layout of Nasdaq's public sample files and reads them a chunk at a time, so a day of any size fits
into memory. A file that ends in mid-message or in broken gzip data gives all its whole messages first
and then says what was wrong; it never raises for that. A length of 0 is how such a file ends on purpose;
what follows it is told of, not played.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

from gateway.errors import ConfigError
from gateway.soup.packets import PAYLOAD_BYTES_MAX

CHUNK_SIZE = 1 << 18
GZIP_MAGIC = b"\x1f\x8b"
LENGTH_SIZE = 2


class ItchFile:
    """The messages of one file, in order. Iterate once; then `messages` and `damage` tell how it ended."""

    def __init__(self, path: Path, chunk_size: int = CHUNK_SIZE) -> None:
        self.path = path
        self.messages = 0
        """Whole messages read so far."""
        self.damage: str | None = None
        """What was wrong with the end, in words; `None` when the file ends after a whole message."""
        self._chunk_size = chunk_size
        try:
            with path.open("rb") as file:
                self._gzipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        except OSError as error:
            raise ConfigError(f"file {path} can't be read: {error.strerror or error}") from error

    def __iter__(self) -> Iterator[bytes]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[bytes]]:
        """Yield the messages a chunk at a time: what one read completes."""
        rest = b""
        with self._open() as file:
            chunks = self._chunks(file)
            for chunk in chunks:
                data = rest + chunk
                batch, at, last = _split(data)
                self.messages += len(batch)
                if batch:
                    yield batch
                if last is None:
                    rest = data[at:]
                    continue
                if last > PAYLOAD_BYTES_MAX:
                    self.damage = f"a message of {last} bytes, a packet holds at most {PAYLOAD_BYTES_MAX}"
                elif data[at:] or next(chunks, b""):
                    self.damage = "a length of 0 that ends it, with more behind"
                return
        if rest and self.damage is None:
            self.damage = _cut_short(rest)

    def _open(self) -> BufferedReader:
        # What gzip opens is not that class, but reads like it.
        return cast(BufferedReader, gzip.open(self.path)) if self._gzipped else self.path.open("rb")

    def _chunks(self, file: BufferedReader) -> Iterator[bytes]:
        while True:
            try:
                # Not `read`: when gzip data is cut short, that loses what it had read until then.
                chunk = file.read1(self._chunk_size)
            except EOFError:
                self.damage = "the gzip data is cut short"
                return
            except (gzip.BadGzipFile, zlib.error, OSError) as error:
                self.damage = f"the file is damaged: {error}"
                return
            if not chunk:
                return
            yield chunk


def messages_of(files: Iterable[ItchFile], on_note: Callable[[str], None]) -> Iterator[bytes]:
    """The messages of one file after the other. `on_note` is told how each one ended."""
    for file in files:
        yield from file
        whole = f"{file.messages:,} whole message{'' if file.messages == 1 else 's'}"
        on_note(f"file {file.path}: {whole}" + (f", then {file.damage}" if file.damage else ""))


def time_ns_of(message: bytes) -> int | None:
    """The time stamp of an ITCH message, ns since midnight; `None` for what is too short to have one."""
    return int.from_bytes(message[5:11], "big") if len(message) >= 11 else None


def _split(data: bytes) -> tuple[list[bytes], int, int | None]:
    """The whole messages in `data`, where the rest begins, and the length that ends the file there, if any.

    That is 0, on purpose, or one that no packet can hold.
    """
    batch: list[bytes] = []
    at, size = 0, len(data)
    while at + LENGTH_SIZE <= size:
        length = data[at] << 8 | data[at + 1]
        end = at + LENGTH_SIZE + length
        if not 0 < length <= PAYLOAD_BYTES_MAX:
            return batch, at + LENGTH_SIZE, length
        if end > size:
            break
        batch.append(data[at + LENGTH_SIZE : end])
        at = end
    return batch, at, None


def _cut_short(rest: bytes) -> str:
    if len(rest) < LENGTH_SIZE:
        return "the file is cut short inside a length: 1 byte of 2"
    wanted = int.from_bytes(rest[:LENGTH_SIZE], "big")
    return f"the file is cut short inside a message: {len(rest) - LENGTH_SIZE} bytes of {wanted}"

"""A journal converted: JSON lines, the length-prefixed format of exchanges' ITCH files, Parquet.

Knows formats and the file written to, which gets its name when it is whole; knows nothing of command lines.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from gateway.decode import Codecs
from gateway.errors import BadRequest, ConfigError
from gateway.journal.messages import Messages, Wanted, items_wanted, length_prefixed
from gateway.journal.parquet import ParquetFile
from gateway.journal.reader import JournalReader
from gateway.values import Block, Gap

STDOUT = Path("-")

Tell = Callable[[int, int], None]


class Format(StrEnum):
    """What `export` writes."""

    JSONL = "jsonl"
    ITCH = "itch"
    PARQUET = "parquet"


@dataclass(slots=True)
class Exported:
    """How many messages were written, how many numbers stand in declared gaps."""

    messages: int = 0
    missing: int = 0


def export(
    reader: JournalReader, wanted: Wanted, codecs: Codecs | None, format_: Format, output: Path, tell: Tell
) -> Exported:
    """Convert what is wanted. `tell` is called with (messages done, messages in all)."""
    if format_ is Format.PARQUET and codecs is None:
        raise BadRequest("a Parquet file needs definitions: raw bytes have no columns")
    if format_ is Format.PARQUET and output == STDOUT:
        raise BadRequest("a Parquet file needs a file: its index is written last")
    if format_ is Format.ITCH and wanted.names:
        raise BadRequest("an ITCH file takes all messages: the number of one is its place in the file")
    messages = Messages(reader.feed, codecs)
    items = _told(reader, wanted, items_wanted(reader, wanted, messages), tell)
    with _written(output) as path:
        if format_ is Format.PARQUET:
            assert codecs is not None
            with ParquetFile(path, codecs, messages, wanted.names) as table:
                return _put(items, table.put)
        with _opened(path) as file:
            if format_ is Format.ITCH:
                return _put(items, lambda block: (file.write(length_prefixed(block)), block.count)[1])
            return _write_lines(file, items, messages, wanted)


def _told(
    reader: JournalReader, wanted: Wanted, items: Iterator[Block | Gap], tell: Tell
) -> Iterator[Block | Gap]:
    infos = [info for info in reader.sessions() if wanted.session in ("", info.session)]
    done, total = 0, sum(info.messages for info in infos)
    for item in items:
        yield item
        if isinstance(item, Block):
            done += item.count
            tell(done, total)


def _put(items: Iterator[Block | Gap], put: Callable[[Block], int]) -> Exported:
    done = Exported()
    for item in items:
        if isinstance(item, Gap):
            done.missing += item.to_seq - item.from_seq + 1
        else:
            done.messages += put(item)
    return done


def _write_lines(
    file: BinaryIO, items: Iterator[Block | Gap], messages: Messages, wanted: Wanted
) -> Exported:
    done = Exported()
    for item in items:
        lines = [f"{line}\n" for line in messages.json_lines(item, wanted)]
        file.write("".join(lines).encode("ascii"))
        if isinstance(item, Gap):
            done.missing += item.to_seq - item.from_seq + 1
        else:
            done.messages += len(lines)
    return done


@contextmanager
def _written(output: Path) -> Iterator[Path]:
    """A path to write to, which gets the output's name when it is whole."""
    if output == STDOUT:
        yield output
        return
    partial = output.with_name(output.name + ".partial")
    try:
        yield partial
        partial.replace(output)
    except OSError as exc:
        raise ConfigError(f"{output}: {exc.strerror or exc}") from exc
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with path.open("wb") as file:
        yield file

"""`gateway journal`: look into a feed's journal, beside the running gateway or without it.

Knows how to choose, show and convert; what stands in a journal is `gateway.journal`'s to know. Nothing here
writes a journal, but for `verify --salvage`, which takes the writer's lock first.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.cli.journal_output import (
    session_values,
    sessions_table,
    verified_line,
    verified_values,
)
from gateway.cli.output import FLUSH_INTERVAL_S, MessageLines
from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.errors import BadRequest, ConfigError
from gateway.journal import Journal, JournalReader, SessionInfo, Verified
from gateway.journal.export import STDOUT, Format, Tell
from gateway.journal.export import export as export_journal
from gateway.journal.messages import Messages, Wanted, items_wanted, names_known
from gateway.journal.names import files_in
from gateway.values import Block, Position

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def journal() -> None:
    """Look into the journal: what was received, by feed, session and number.

    FOLDER is the journal's folder as in gateway.toml, or one feed's folder in it. All but `verify --salvage`
    only read, and may run beside the gateway. On a terminal they show tables and readable lines, in a pipe
    one JSON object a line. Exit codes: 0 done, 1 damaged or failed, 2 your input.
    """


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The journal's folder, or one feed's in it.")]
Feed = Annotated[str, typer.Option(help="Only this feed.")]
Session = Annotated[str, typer.Option(help="Only this session.")]
Definitions = Annotated[
    str, typer.Option(help="What the messages look like: a shipped name, the path of an XML file, or `raw`.")
]
Names = Annotated[
    list[str] | None, typer.Option("--message", help="Only these messages; repeat for several.")
]


@app.command()
def ls(folder: Folder, feed: Feed = "") -> None:
    """List sessions: numbers, messages, gaps, times, size. Reads a few rows, however large the journal is.

        gateway journal ls var/journal

    The numbers of all gaps:

        gateway journal ls var/journal | jq -c '.gaps[]'
    """
    infos: list[SessionInfo] = []
    for reader in _readers(folder, feed):
        with reader:
            infos += reader.sessions()
    if sys.stdout.isatty():
        Console().print(sessions_table(infos))
        return
    for info in infos:
        sys.stdout.write(orjson.dumps(session_values(info)).decode() + "\n")


@app.command()
def tail(
    folder: Folder,
    feed: Feed = "",
    session: Session = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many messages to begin with.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    definitions: Definitions = "itch50",
    names: Names = None,
) -> None:
    """Show the last messages of a session, the newest one if none is named.

    With --follow it goes on with what is journaled, also into the next session. Messages that carry only a
    locate code get their ticker from the session's directory, which is read first.

        gateway journal tail var/journal -f

    The last thousand trades as JSON lines:

        gateway journal tail var/journal -n 100000 --message Trade | tail -n 1000
    """
    codecs = _codecs(definitions)
    wanted_names = _names(codecs, names)
    with _reader(folder, feed) as reader:
        end = next((info for info in reversed(reader.sessions()) if session in ("", info.session)), None)
        if end is None and (session or not follow):
            raise BadRequest(_no_session(session, reader))
        messages = Messages(reader.feed, codecs)
        shown = MessageLines()
        position = Position(session, 1)
        if end is not None:
            first = max(end.first_seq, end.next_seq - lines)
            wanted = Wanted(end.session, first, None, wanted_names)
            _show(reader, wanted, messages, shown)
            position = Position(end.session, end.next_seq)
        try:
            if follow:
                follow_from(reader, position, Wanted("", 1, None, wanted_names), messages, shown, _wait)
        except KeyboardInterrupt:
            return
        finally:
            shown.flush()


@app.command()
def verify(
    folder: Folder,
    feed: Feed = "",
    session: Session = "",
    salvage: Annotated[
        bool,
        typer.Option(
            "--salvage", help="Set damaged files aside and keep what is whole. Stop the gateway first."
        ),
    ] = False,
) -> None:
    """Check every block and every number. Exit code 1 when something is damaged.

    It tells each damaged row by file and number, and goes on behind it. --salvage then renames a damaged file
    to `….damaged-1.sqlite` and puts what is whole into a fresh one. Of the newest session that is all in
    front of the damage: the gateway asks the upstream for the rest. Of an older one also what stands behind,
    with the lost numbers declared as a gap.

        gateway journal verify var/journal

        gateway journal verify var/journal --feed itch --session 0000000001 --salvage
    """
    damaged = False
    out = Console() if sys.stdout.isatty() else None
    for reader in _readers(folder, feed):
        with reader, _progress(f"verify {reader.feed}") as tell:
            results = list(reader.verify(session, tell))
        if session and not results:
            raise BadRequest(_no_session(session, reader))
        for result in results:
            damaged = damaged or not result.whole
            if out is None:
                line = verified_values(reader.feed, result)
                sys.stdout.write(orjson.dumps(line).decode() + "\n")
            else:
                out.print(verified_line(reader.feed, result), highlight=False)
        broken = [result for result in results if not result.whole]
        if salvage and broken:
            _salvage(reader, broken)
    if damaged:
        raise typer.Exit(1)


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; `-` is stdout.")] = Path(
        "-"
    ),
    format_: Annotated[
        Format, typer.Option("--format", help="JSON lines, ITCH length-prefixed payloads, or Parquet.")
    ] = Format.JSONL,
    feed: Feed = "",
    session: Session = "",
    from_seq: Annotated[int, typer.Option("--from", min=1, help="The first number.")] = 1,
    to_seq: Annotated[int | None, typer.Option("--to", min=1, help="The last number.")] = None,
    definitions: Definitions = "itch50",
    names: Names = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Convert messages: as JSON lines, as an ITCH file, or as a Parquet table.

    jsonl is what a subscriber gets, a message a line; gaps and what can't be decoded have lines of their own.

    itch is each payload behind its length, as exchanges publish files; `gateway simulate` plays it.

    parquet is a row per message and a column per field; it needs pyarrow, the extra `parquet`.

        gateway journal export var/journal -o day.jsonl --session 0000000001

        gateway journal export var/journal --format itch -o day.itch

        gateway journal export var/journal --format parquet -o trades.parquet --message Trade
    """
    codecs = _codecs(definitions)
    wanted = Wanted(session, from_seq, to_seq, _names(codecs, names))
    if output != STDOUT and output.exists() and not force:
        raise BadRequest(f"{output} exists; --force overwrites it")
    with _reader(folder, feed) as reader:
        if not any(session in ("", info.session) for info in reader.sessions()):
            raise BadRequest(_no_session(session, reader))
        with _progress(f"export {reader.feed}") as tell:
            done = export_journal(reader, wanted, codecs, format_, output, tell)
    missing = f", {done.missing:,} missing in declared gaps" if done.missing else ""
    typer.echo(f"gateway: {done.messages:,} messages{missing}", err=True)


def follow_from(
    reader: JournalReader,
    position: Position,
    wanted: Wanted,
    messages: Messages,
    shown: MessageLines,
    wait: Callable[[], bool],
) -> None:
    """Show what comes from `position` on, until `wait` says to end or nobody reads any more."""
    while not shown.closed:
        items = reader.read(position)
        for item in items:
            for line in messages.json_lines(item, wanted):
                shown.message(line)
            position = Position(item.session, item.next_seq if isinstance(item, Block) else item.to_seq + 1)
        shown.flush()
        if not items and not wait():
            return


def _salvage(reader: JournalReader, broken: list[Verified]) -> None:
    with Journal(reader.folder.parent, reader.feed) as journal:
        done = {repaired.session: repaired for repaired in journal.repaired}
        for result in broken:
            repaired = done.get(result.session) or journal.repair(result.session, result.damages[0].what)
            typer.echo(
                f"gateway: {repaired.set_aside} set aside, {repaired.messages:,} messages kept, "
                f"next is {repaired.position.next_seq}",
                err=True,
            )


def _show(reader: JournalReader, wanted: Wanted, messages: Messages, shown: MessageLines) -> None:
    for item in items_wanted(reader, wanted, messages):
        for line in messages.json_lines(item, wanted):
            shown.message(line)


def _wait() -> bool:
    time.sleep(FLUSH_INTERVAL_S)
    return True


def _readers(folder: Path, feed: str) -> list[JournalReader]:
    """One reader for each feed in the folder, or for the one named."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise BadRequest(f"{folder} is no folder")
    if files_in(folder):
        found = [folder]
    else:
        found = sorted(path for path in folder.iterdir() if path.is_dir() and files_in(path))
    if feed:
        found = [path for path in found if path.name == feed]
    if not found:
        raise BadRequest(f"{folder} holds no journal" + (f" of feed {feed!r}" if feed else ""))
    return [JournalReader(path.parent, path.name) for path in found]


def _reader(folder: Path, feed: str) -> JournalReader:
    found = _readers(folder, feed)
    if len(found) > 1:
        raise BadRequest(
            f"{folder} holds several feeds: choose one of {', '.join(r.feed for r in found)} with --feed"
        )
    return found[0]


def _codecs(definitions: str) -> Codecs | None:
    return None if definitions == "raw" else Codecs(load_definitions(definitions))


def _names(codecs: Codecs | None, names: list[str] | None) -> frozenset[str]:
    if not names:
        return frozenset()
    if codecs is None:
        raise ConfigError("--message needs definitions; `raw` knows no names")
    return names_known(codecs, names)


def _no_session(session: str, reader: JournalReader) -> str:
    had = ", ".join(info.session for info in reader.sessions()) or "none"
    return f"no session {session!r}; had are {had}" if session else f"{reader.folder} holds no session"


@contextmanager
def _progress(label: str) -> Iterator[Tell]:
    """A bar on stderr, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""`gateway subscribe`: a stream of a gateway on the terminal, in a pipe, or in a file.

Knows the command line and printing; the stream is the client library's.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.credentials import KeyFileOption, KeyOption, the_key
from gateway.cli.output import FLUSH_INTERVAL_S, MessageLines, Progress
from gateway.cli.running import quiet_client_log, run_until_interrupted
from gateway.client import KeyRefused, Message, Notice, Stream, connect
from gateway.client.arguments import StreamOptions
from gateway.client.files import MessageFile, open_file
from gateway.client.notices import SnapshotComplete
from gateway.client.options import websocket_url
from gateway.client.positions import read_resume
from gateway.errors import BadRequest, GatewayError


def subscribe(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Where the gateway is: HOST:PORT, ws://HOST:PORT or wss://HOST.",
            show_default=False,
        ),
    ],
    message: Annotated[
        list[str] | None,
        typer.Option(
            "--message",
            "-m",
            metavar="NAME",
            help="A message wanted; repeatable, or names with commas. All, if none is named.",
            show_default=False,
        ),
    ] = None,
    stripe: Annotated[
        list[str] | None,
        typer.Option(
            "--stripe",
            "--stripes",
            metavar="NAME",
            help="A stripe of tickers wanted; repeatable, or names with commas.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            metavar="FILTER", help="Only messages that match: field:op:value, & | ( ).", show_default=False
        ),
    ] = "",
    view: Annotated[
        str, typer.Option(metavar="FIELDS", help="Only these fields: 'price|shares'.", show_default=False)
    ] = "",
    resume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SRC/SES/SEQ",
            help="Start at this number of that session (no SES: the one that runs). Once per feed.",
            show_default=False,
        ),
    ] = None,
    latency: Annotated[
        int, typer.Option(metavar="MS", help="Least time between two sends, in ms.", min=1)
    ] = 1,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N messages.", min=1, show_default=False)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, on a terminal too; a pipe gets it anyway.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to a file: .jsonl, .csv or .parquet.", show_default=False),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="jsonl, csv or parquet, whatever the file's name.", show_default=False
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    key: KeyOption = "",
    key_file: KeyFileOption = None,
    give_up_after: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Fail when there is no line for so many seconds. Default: never.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print what a gateway streams, or write it to a file.

    On a terminal each message is a line to read; in a pipe, one JSON object a line, exactly as received.

    A broken line is dialled again, and the stream goes on where it stood: nothing lost, nothing doubled.

    Ctrl-C ends it in good order; stderr then says where to resume.

    Exit codes: 0 done, 1 failed, 2 your input.

    Examples:

        gateway subscribe localhost:8765

        gateway subscribe localhost:8765 -m AddOrder -m OrderExecuted --stripe A --count 100

        gateway subscribe localhost:8765 -m AddOrder --where 'stock:eq:AAPL & shares:ge:1000'

        gateway subscribe localhost:8765 -m AddOrder --view 'price|shares' | jq .message

        gateway subscribe localhost:8765 --resume itch//1 --output day.parquet

        gateway subscribe wss://gw.example.com --key-file ~/.gateway-key --output trades.csv -m Trade
    """
    try:
        websocket_url(url)
        if format is not None and output is None:
            raise BadRequest("--format: expected --output FILE with it")
        job = _Job(
            url=url,
            key=the_key(key, key_file),
            names=tuple(name.strip() for each in message or ["*"] for name in each.split(",")),
            options={
                "stripe": tuple(name.strip() for each in stripe or () for name in each.split(",")),
                "where": where,
                "view": view,
                "resume": read_resume(resume),
                "latency_ms": latency,
            },
            count=count,
            as_json=True if json else None,
            give_up_after_s=give_up_after,
        )
        with (
            _told_where_to_go_on() as told,
            _file(output, format, overwrite) as file,
            quiet_client_log(),
        ):
            run_until_interrupted(job.run(file, told))
    except (BadRequest, KeyRefused) as error:
        _say(f"gateway: {error}")
        raise typer.Exit(2) from error
    except GatewayError as error:
        _say(f"gateway: {error}")
        raise typer.Exit(1) from error
    except OSError as error:
        _say(f"gateway: can't write {output or 'to standard output'}: {error.strerror or error}")
        raise typer.Exit(1) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What was asked for on the command line."""

    url: str
    key: str
    names: tuple[str, ...]
    options: StreamOptions
    count: int | None
    as_json: bool | None
    give_up_after_s: float | None

    async def run(self, file: MessageFile | None, told: list[str]) -> None:
        """Read until there is enough, the reader of the pipe is gone, or this is cancelled."""
        shown = _Shown(MessageLines(as_json=self.as_json), file)
        feed = connect(self.url, self.key, on_notice=shown.notice, give_up_after_s=self.give_up_after_s)
        async with feed, feed.stream(*self.names, **self.options) as stream:
            tasks = [asyncio.create_task(self._read(stream, shown)), asyncio.create_task(shown.beat())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                if stream.positions:
                    at = " ".join(f"--resume {each}" for each in stream.positions)
                    told.append(f"{shown.count:,} message{'s' * (shown.count != 1)}; go on with {at}")
                shown.end()
            for task in tasks:
                if not task.cancelled():
                    task.result()

    async def _read(self, stream: Stream, shown: "_Shown") -> None:
        async for message in stream:
            shown.message(message)
            if shown.count == self.count or shown.closed:
                return


class _Shown:
    """What has been shown so far, and where."""

    def __init__(self, lines: MessageLines, file: MessageFile | None) -> None:
        self.count = 0
        self._lines = lines
        self._file = file
        self._progress = Progress("received", time.monotonic(), lines=None if file else lines)

    @property
    def closed(self) -> bool:
        """Whether nobody reads any more."""
        return self._lines.closed

    def message(self, message: Message) -> None:
        self.count += 1
        if self._file is not None:
            self._file.write(message)
        else:
            self._lines.message(message.raw.decode())

    def notice(self, notice: Notice) -> None:
        if isinstance(notice, SnapshotComplete):
            return  # of use to programs
        self._progress.clear()
        shown = " ".join(
            f"{field.name}={value}"
            for field in dataclass_fields(notice)
            if isinstance(value := getattr(notice, field.name), str | int)
            and field.name != "detail"
            and value != ""
        )
        _say(
            " ".join(part for part in (f"{type(notice).__name__}:", shown, notice.detail) if part).rstrip(":")
        )

    async def beat(self) -> None:
        """Hand over what waits, and say how far it is, now and then, as long as somebody reads."""
        while not self.closed:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            self._lines.flush()
            if self._file is not None:
                self._file.flush()
            self._progress.show(time.monotonic(), self.count)

    def end(self) -> None:
        self._progress.clear()
        self._lines.flush()


@contextmanager
def _told_where_to_go_on() -> Iterator[list[str]]:
    """Say at the end where the stream stands; but not when what was read could not be written."""
    told: list[str] = []
    try:
        yield told
    except OSError:
        told.clear()
        raise
    finally:
        for line in told:
            _say(line)


@contextmanager
def _file(path: Path | None, wanted: str | None, overwrite: bool) -> Iterator[MessageFile | None]:
    if path is None:
        yield None
        return
    with open_file(path, wanted, overwrite=overwrite) as file:
        yield file


def _say(line: str) -> None:
    typer.echo(line, err=True)

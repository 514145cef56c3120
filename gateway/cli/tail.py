"""`gateway tail`: follow a SoupBinTCP session in a terminal or a pipe.

Knows how to show what a client of `gateway.link` receives; it keeps nothing and never reconnects.
"""

import asyncio
import json
from typing import Annotated

import typer

from gateway.cli.output import FLUSH_INTERVAL_S, MessageLines, Progress
from gateway.cli.running import run_until_interrupted
from gateway.decode import Codecs, Directory, json_text
from gateway.definitions import load_definitions
from gateway.errors import ConfigError, DecodeError
from gateway.link import SoupClient, connect
from gateway.settings.types import split_address
from gateway.soup import Justify
from gateway.values import Block, Position


def tail(
    address: Annotated[
        str, typer.Argument(metavar="HOST:PORT", help="The server; IPv6 in brackets: [::1]:9000.")
    ],
    user: Annotated[str, typer.Option(help="User name, up to 6 characters.")] = "",
    password: Annotated[
        str, typer.Option(envvar="SOUP_PASSWORD", help="Password, up to 10 characters.", show_default=False)
    ] = "",
    session: Annotated[str, typer.Option(help="The session to join; the current one if left out.")] = "",
    sequence: Annotated[
        int, typer.Option(min=0, help="The first number wanted. 1: from the start. 0: from now on.")
    ] = 1,
    definitions: Annotated[
        str, typer.Option(help="What the messages look like: a shipped name or the path of an XML file.")
    ] = "itch50",
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many messages.", show_default=False)
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Don't decode: show the bytes in hexadecimal.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, on a terminal too.")
    ] = False,
    justify: Annotated[
        Justify, typer.Option(help="The side on which session and number stand in the login.")
    ] = Justify.RIGHT,
) -> None:
    """Follow a SoupBinTCP session: readable lines on a terminal, JSON lines in a pipe.

    It logs in, shows each message with its sequence number, and says at the end why the session closed, or
    where to go on.
    The exit code is 0 after the end of the session, after --count messages and after Ctrl-C, 1 when the
    login is rejected or the line is lost, 2 when the command line is wrong.

    All of the current session, then what comes:

        gateway tail 127.0.0.1:9000

    Only what is new, from a server that wants an account (the password from SOUP_PASSWORD):

        gateway tail feed.example:9000 --user ABC --sequence 0

    The first thousand messages of a session as JSON lines:

        gateway tail '[::1]:9000' --session 0000000001 --count 1000 > messages.jsonl
    """
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise ConfigError(f"address {address!r}: {error}") from error
    codecs = None if raw else Codecs(load_definitions(definitions))
    lines = MessageLines(as_json=True if as_json else None)
    shown = _Shown(lines, codecs, count)

    async def follow() -> None:
        async with connect(
            host, port, user=user, password=password, session=session, sequence=sequence, justify=justify
        ) as client:
            await _follow(client, shown)

    ended = False
    try:
        ended = run_until_interrupted(follow())
    finally:
        shown.finish(ended)


class _Shown:
    """What has been shown so far, and how one more message is."""

    def __init__(self, lines: MessageLines, codecs: Codecs | None, count_max: int | None) -> None:
        self.lines = lines
        self.count = 0
        self.undecodable = 0
        self.end = ""
        self._next = Position("", 1)
        self._codecs = codecs
        self._directory = None if codecs is None else Directory(codecs)
        self._count_max = count_max

    @property
    def enough(self) -> bool:
        """Whether no more is wanted: the count is reached, or nobody reads any more."""
        return self.count == self._count_max or self.lines.closed

    def show(self, session: str, seq: int | None, payload: bytes) -> None:
        """Show one message. `seq` None means unsequenced data."""
        self.count += 1
        if seq is not None:
            self._next = Position(session, seq + 1)
        number = ',"unsequenced":true' if seq is None else f',"seqN":{seq}'
        if self._codecs is None:
            if self.lines.readable:
                self.lines.text(f"{'-' if seq is None else seq:>9} {payload.hex(' ')}")
            else:
                self.lines.message(
                    f'{{"header":{{"ses":{json_text(session)}{number}}},"raw":"{payload.hex()}"}}'
                )
            return
        try:
            name, body = self._decoded(payload, seq)
        except DecodeError as error:
            self.undecodable += 1
            name = "Undecodable"
            body = f'"problem":{json.dumps(str(error))},"bytes":"{payload.hex()}"'
        header = f'{{"mTyp":{json_text(name)},"ses":{json_text(session)}{number}}}'
        self.lines.message(f'{{"header":{header},"message":{{{body}}}}}')

    def finish(self, ended: bool) -> None:
        """Hand over the last lines and say how it ended, or where to go on if it did not."""
        self.lines.flush()
        messages = f"{self.count:,} message{'s' * (self.count != 1)}"
        if ended and self.end:
            typer.echo(f"gateway: {self.end}, {messages}", err=True)
        elif self._next.session:
            at = f"--session {self._next.session} --sequence {self._next.next_seq}"
            typer.echo(f"gateway: {messages}; go on with {at}", err=True)
        if self.undecodable:
            typer.echo(f"gateway: {self.undecodable:,} of {self.count:,} could not be decoded", err=True)

    def _decoded(self, payload: bytes, seq: int | None) -> tuple[str, str]:
        assert self._codecs is not None
        assert self._directory is not None
        codec = self._codecs.by_id[payload[0]] if payload else None
        if codec is None:
            raise DecodeError(f"no message begins with {payload[:1]!r}")
        if seq is not None:
            self._directory.learn(payload, seq)
        text = codec.write(payload, 0, len(payload))
        if codec.added_ticker is not None:
            locate = codec.locate(payload, 0)
            ticker = None if locate is None else self._directory.tickers[locate]
            if ticker is not None:
                text = codec.write_with_ticker(payload, 0, len(payload), json_text(ticker))
        return codec.name, text


async def _follow(client: SoupClient, shown: _Shown) -> None:
    session = client.position.session
    typer.echo(f"gateway: joined session {session} at {client.position.next_seq}", err=True)
    ticking = asyncio.get_running_loop().create_task(_tick(shown))
    try:
        async for item in client.blocks():
            messages = item.payloads() if isinstance(item, Block) else ((None, item.payload),)
            for seq, payload in messages:
                shown.show(session, seq, payload)
                if shown.enough:
                    return
        if client.closed is not None:
            shown.end = str(client.closed)
    finally:
        ticking.cancel()


async def _tick(shown: _Shown) -> None:
    """Let no line wait in a quiet pipe, and say how far it is."""
    now = asyncio.get_running_loop().time
    progress = Progress("tail", now(), lines=shown.lines)
    try:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            shown.lines.flush()
            progress.show(now(), shown.count)
    finally:
        progress.clear()

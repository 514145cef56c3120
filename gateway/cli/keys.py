"""`gateway keys`: make, list and revoke the keys of subscribers.

Knows how the key file is written: by whole lines, so that comments stay, and all at once, so that a running
gateway never reads half a file. The key itself is shown once and kept nowhere.
"""

import fcntl
import json
import os
import re
import secrets
import stat
import string
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from gateway.errors import BadRequest, ConfigError
from gateway.net.access.keys import KEY_PREFIX, KeyEntry, hash_of, parse_keys, read_key_file

KEY_BYTES = 32
# 62 ** 43 is the first power above 2 ** 256: each key has the same length.
KEY_DIGITS = 43
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
FILE_MODE = 0o600
HEADER = """\
# Keys of subscribers, written by `gateway keys`: only hashes, but who may what stands here too.
# Keep it readable by the service alone. Comments stay when a key is added or revoked.
"""

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys of subscribers.")

KeyFileOption = Annotated[
    Path,
    typer.Option(
        "--file", "-f", envvar="GATEWAY_KEYS__FILE", help="The key file, `file` of `keys` in the settings."
    ),
]
DEFAULT_FILE = Path("config/keys.toml")


def new_key() -> str:
    """A key that nobody can guess: the prefix and 32 random bytes in base 62."""
    number = int.from_bytes(secrets.token_bytes(KEY_BYTES), "big")
    digits = []
    for _ in range(KEY_DIGITS):
        number, digit = divmod(number, len(BASE62))
        digits.append(BASE62[digit])
    return KEY_PREFIX + "".join(reversed(digits))


def add_key(path: Path, fields: dict[str, Any], key: str, now: datetime) -> KeyEntry:
    """Append an entry for `key`. `fields` are those of the file; ConfigError if they are wrong."""
    now = now.replace(microsecond=0)
    with _rewriting(path) as file:
        said = {"id": _free_id(file.text, path), **fields, "sha256": hash_of(key), "created": now}
        entry = {name: value for name, value in said.items() if value is not None}
        # Checked before it is written: not all that is wrong can be said in TOML.
        added = parse_keys({"keys": [entry]}, str(path)).keys[0]
        text = file.text or HEADER
        text += ("" if text.endswith("\n") else "\n") + ("" if text.endswith("\n\n") else "\n")
        text += "\n".join(["[[keys]]", *(f"{name} = {_toml(value)}" for name, value in entry.items())]) + "\n"
        if _keys_in(text, path) != (*_keys_in(file.text, path), added):
            raise ConfigError(f"{path}: is laid out by hand; make each of its keys a [[keys]] table")
        file.text = text
        return added


def revoke_key(path: Path, key_id: str, now: datetime) -> KeyEntry:
    """Mark a key as revoked, with the time. BadRequest if there is none, or if it is revoked already."""
    now = now.replace(microsecond=0)
    with _rewriting(path) as file:
        before = _keys_in(file.text, path)
        entry = next((each for each in before if each.id == key_id), None)
        if entry is None:
            ids = ", ".join(each.id for each in before) or "none"
            raise BadRequest(f"no key {key_id!r} in {path}; there are {ids}")
        if entry.revoked is not None:
            raise BadRequest(f"key {key_id} was revoked at {_when(entry.revoked)} already")
        file.text = re.sub(
            rf"^([ \t]*)id\s*=\s*[\"']{re.escape(key_id)}[\"'].*$",
            rf"\g<0>\n\g<1>revoked = {_toml(now)}",
            file.text,
            count=1,
            flags=re.MULTILINE,
        )
        expected = (each.model_copy(update={"revoked": now}) if each is entry else each for each in before)
        if _keys_in(file.text, path) != tuple(expected):
            raise ConfigError(
                f"{path}: is laid out by hand; write revoked = {_toml(now)} into key {key_id} yourself"
            )
        return entry


class _File:
    """The text of a file while it is being rewritten."""

    def __init__(self, text: str) -> None:
        self.text = text


@contextmanager
def _rewriting(path: Path) -> Iterator[_File]:
    """Read, let the caller change the text, and put it in the old file's place in one step, or not at all."""
    path = path.resolve()
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise ConfigError(f"{path.parent}: can't be opened ({exc.strerror}); make the folder first") from exc
    try:
        # The folder is locked, as the file itself is replaced: two who add at once must not lose a key.
        fcntl.flock(folder, fcntl.LOCK_EX)
        file = _File("")
        if path.exists():
            read_key_file(path)
            file.text = path.read_text("utf-8")
        before = file.text
        yield file
        if file.text != before:
            _replace(path, file.text, folder)
    except OSError as exc:
        raise ConfigError(
            f"{path}: can't be written ({exc.strerror}); correct its permissions or the path"
        ) from exc
    finally:
        os.close(folder)


def _replace(path: Path, text: str, folder: int) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            mode = FILE_MODE
            if path.exists():
                before = path.stat()
                # A service that reads by its group goes on reading; nobody else does.
                mode |= before.st_mode & stat.S_IRGRP
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        os.fsync(folder)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _keys_in(text: str, path: Path) -> tuple[KeyEntry, ...]:
    try:
        return parse_keys(tomllib.loads(text), str(path)).keys
    except (ConfigError, tomllib.TOMLDecodeError):
        # The file was right when it was read; what is added to it did not fit its layout.
        return ()


def _free_id(text: str, path: Path) -> str:
    taken = {each.id for each in _keys_in(text, path)}
    while (found := secrets.token_hex(4)) in taken:
        continue
    return found


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # JSON's texts, numbers, booleans and lists of them are TOML's too.
    return json.dumps(value)


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def parse_expiry(text: str, now: datetime) -> datetime:
    """`90d`, a day (its start, UTC) or a moment with its offset from UTC."""
    # To the second, as the file says it.
    if (days := re.fullmatch(r"([1-9][0-9]{0,4})d", text)) is not None:
        return now.replace(microsecond=0) + timedelta(days=int(days[1]))
    try:
        if len(text) == len("2026-01-31"):
            found = datetime.combine(date.fromisoformat(text), time(), UTC)
        else:
            found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadRequest(f"--expires {text[:40]!r}: write 90d, 2027-01-31 or 2027-01-31T12:00:00Z") from exc
    if found.tzinfo is None:
        raise BadRequest(f"--expires {text[:40]!r}: say which zone it is in, as in 2027-01-31T12:00:00Z")
    if found <= now:
        raise BadRequest(f"--expires {text[:40]!r}: is in the past; a key is ended by `gateway keys revoke`")
    return found.replace(microsecond=0)


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the operator's as a line each, exit code 2."""
    try:
        yield
    except (ConfigError, BadRequest) as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from exc


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Who or what the key is for; shown in lists and logs.")],
    file: KeyFileOption = DEFAULT_FILE,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, 2027-01-31, 2027-01-31T12:00:00Z.")
    ] = None,
    feed: Annotated[
        list[str] | None, typer.Option(help="A feed it may read; repeat it. Left out: all.")
    ] = None,
    message: Annotated[
        list[str] | None, typer.Option(help="A message it may read; repeat it. Left out: all.")
    ] = None,
    stripe: Annotated[
        list[str] | None, typer.Option(help="A stripe it may read; repeat it. Left out: all.")
    ] = None,
    replay: Annotated[bool, typer.Option(help="May read what was sent before it asked.")] = True,
    connections_max: Annotated[
        int | None, typer.Option(help="Connections at once. Left out: the server's.")
    ] = None,
    streams_max: Annotated[
        int | None, typer.Option(help="Streams of a connection. Left out: the server's.")
    ] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="Left out: the server's.")] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    now = datetime.now(UTC)
    with _told():
        key = new_key()
        fields = {
            "name": name,
            "expires": None if expires is None else parse_expiry(expires, now),
            "feeds": feed or ["*"],
            "messages": message or ["*"],
            "stripes": stripe or ["*"],
            "replay": replay,
            "connections_max": connections_max,
            "streams_max": streams_max,
            "requests_per_second": requests_per_second,
        }
        entry = add_key(file, fields, key, now)
    typer.echo(f"Key {entry.id} for {entry.name!r} is in {file}. It is shown this once:", err=True)
    # Alone on standard output, so that it can go straight to where it is kept.
    typer.echo(key)


@app.command("list")
def list_keys(
    file: KeyFileOption = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show which keys there are, and what each of them may."""
    now = datetime.now(UTC)
    with _told():
        entries = read_key_file(file).keys
    if as_json:
        for entry in entries:
            typer.echo(
                json.dumps(
                    {"state": state_of(entry, now)} | entry.model_dump(mode="json", exclude={"sha256"})
                )
            )
        return
    table = Table(Column("id", no_wrap=True), Column("state", no_wrap=True), box=box.SIMPLE, pad_edge=False)
    for column in ("name", "expires", "feeds", "messages", "stripes", "replay", "limits"):
        # Rights that end in … would tell nobody what a key may.
        table.add_column(column, overflow="fold")
    for entry in entries:
        limits = [entry.connections_max, entry.streams_max, entry.requests_per_second]
        table.add_row(
            entry.id,
            state_of(entry, now),
            entry.name,
            _when(entry.expires),
            *(", ".join(names) or "none" for names in (entry.feeds, entry.messages, entry.stripes)),
            "yes" if entry.replay else "no",
            " ".join("-" if limit is None else f"{limit:g}" for limit in limits),
        )
    Console().print(table)


def state_of(entry: KeyEntry, now: datetime) -> str:
    """`active`, `expired` or `revoked`."""
    if entry.revoked is not None:
        return "revoked"
    return "expired" if entry.expires is not None and now >= entry.expires else "active"


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `gateway keys list` shows.")],
    file: KeyFileOption = DEFAULT_FILE,
) -> None:
    """End a key. Who is connected with it is closed when the gateway next looks at the file."""
    with _told():
        entry = revoke_key(file, key_id, datetime.now(UTC))
    typer.echo(f"Key {entry.id} for {entry.name!r} is revoked.")

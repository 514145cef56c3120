"""The options by which a command is given its API key. Knows where a key may stand, not what it opens."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.errors import BadRequest

KeyOption = Annotated[
    str,
    typer.Option(
        envvar="GATEWAY_KEY",
        metavar="KEY",
        help="The API key. A file hides it better.",
        show_default=False,
    ),
]
KeyFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file that holds the API key.", show_default=False)
]


def the_key(key: str, file: Path | None) -> str:
    """The key in the file if there is one, else the key itself. BadRequest for a file that holds none."""
    if file is None:
        return key
    try:
        found = file.expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--key-file {file}: can't be read: {error}") from error
    if not found:
        raise BadRequest(f"--key-file {file}: is empty, expected the key in it")
    return found

"""The root of the command line: mounts every command, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 your input.
"""

import inspect
import sys

import typer

from gateway.cli import journal, keys
from gateway.cli.book import book
from gateway.cli.check_config import check_config
from gateway.cli.demo import demo
from gateway.cli.reload import reload
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate
from gateway.cli.status import status
from gateway.cli.subscribe import subscribe
from gateway.cli.tail import tail
from gateway.errors import BadRequest, ConfigError, GatewayError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def root() -> None:
    """Hold SoupBinTCP sessions and serve what they carry as JSON over WebSocket."""


for command in (demo, serve, status, reload, check_config, simulate, tail, subscribe, book):
    app.command()(command)
app.add_typer(journal.app, name="journal")
app.add_typer(keys.app, name="keys")


def flowing(text: str) -> str:
    """A docstring whose sentences fill whatever width the terminal has; what is indented stays as it is."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if each.startswith(" ") else each.replace("\n", " ") for each in paragraphs)


def _let_help_flow(commands: typer.Typer) -> None:
    for each in (*commands.registered_commands, commands.registered_callback):
        if each is not None and each.callback is not None and each.callback.__doc__:
            each.help = flowing(each.callback.__doc__)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _let_help_flow(group.typer_instance)


_let_help_flow(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (ConfigError, BadRequest) as exc:
        sys.exit(_told(exc, 2))
    except GatewayError as exc:
        sys.exit(_told(exc, 1))


def _told(error: GatewayError, code: int) -> int:
    print(f"gateway: {error}", file=sys.stderr)
    return code

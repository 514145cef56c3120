"""The root of the command line: each subcommand registers itself here, in a file of its own.

Exit codes: 0 done, 1 failed, 2 your input.
"""

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Hold SoupBinTCP sessions and serve what they carry as JSON over WebSocket."""


def main() -> None:
    """Run the command line."""
    app()

"""The command `gateway`. Knows how to read a command line and print; every deed is another room's."""

from gateway.cli.main import main

__all__ = ["main"]

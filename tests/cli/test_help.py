"""Help as it is read: sentences that fill the line, and nothing that the terminal's markup has swallowed."""

import re
from itertools import pairwise

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.main import app, flowing

COMMANDS = typer.main.get_command(app)


def names(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        return [path]
    return [path, *(each for name, found in inside.items() for each in names(found, (*path, name)))]


def test_sentences_flow_and_examples_stay() -> None:
    text = (
        "First\n    line.\n\n    A sentence\n    goes on.\n\n        gateway demo\n        gateway tail\n    "
    )

    assert flowing(text) == "First line.\n\nA sentence goes on.\n\n    gateway demo\n    gateway tail"


@pytest.mark.parametrize("path", names(COMMANDS), ids=" ".join)
def test_help_fills_its_lines_and_says_all_of_it(path: tuple[str, ...]) -> None:
    wide = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})

    assert wide.exit_code == 0
    prose = [line.rstrip() for line in re.split(r"\n *[╭]", wide.output)[0].splitlines()]
    for line, following in pairwise(prose):
        if line.startswith(" ") and not line.startswith("  ") and re.match(r" \w", following):
            word = following.split()[0]
            assert len(line) + 1 + len(word) > 78, f"broken too early: {line!r}"
    texts = [each.help for each in command_at(path).params if getattr(each, "help", None)]
    assert not any(re.search(r"(?<!\\\\)\[[a-z/]", text) for text in texts), "rich takes [words] for markup"


def command_at(path: tuple[str, ...]) -> typer.core.TyperCommand:
    command = COMMANDS
    for name in path:
        command = command.commands[name]
    return command

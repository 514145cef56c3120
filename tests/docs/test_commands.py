"""Every command that a page shows exists, with the options it is shown with."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
GATEWAY = typer.main.get_command(app)
# Where a command ends, whatever comes behind it.
END = re.compile(r"\s(?:\||>|2>|&&|;|#|—)|\s{3,}")


def shown(page: Path) -> list[str]:
    """The gateway's commands in the blocks of a page, lines that go on joined."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(), re.M | re.S)
    shells = [text for language, text in blocks if language in ("", "console", "sh", "bash", "shell")]
    lines = "\n".join(shells).replace("\\\n", " ").splitlines()
    found = (re.match(r"\s*(?:\$ )?(?:sudo )?(?:\S*/)?gateway (?=[a-z-])(.*)", line) for line in lines)
    return [END.split(match[1])[0] for match in found if match]


COMMANDS = [pytest.param(command, id=f"{page.stem}: {command}") for page in PAGES for command in shown(page)]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_that_is_shown_can_be_given(words: str) -> None:
    command = GATEWAY
    rest = shlex.split(words)
    while commands := getattr(command, "commands", None):
        name = rest.pop(0)
        assert name in commands, f"there is no {name!r}, there are {sorted(commands)}"
        command = commands[name]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]

    assert [option for option in given if option not in {*known, "--help"}] == []


def test_the_pages_show_commands_at_all() -> None:
    assert len(COMMANDS) > 20

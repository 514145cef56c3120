"""Each command in a sentence, a comment, a script or a help text is one that there is, with options it has.

Those in the blocks of pages are looked at by `tests/docs/test_commands.py`.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")),
    *(ROOT / "docs").rglob("*.md"),
    *(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
    *(ROOT / "config").glob("*.toml*"),
    *(ROOT / "gateway" / "cli").glob("*.py"),
)
COMMANDS = typer.main.get_command(app)
IN_A_SENTENCE = re.compile(r"`gateway ([a-z][^`\n]*)`")
# In a sentence of a comment's, or on an indented line of its own.
ANYWHERE = re.compile(r"(?:`|^ +|^|bin/)gateway ([a-z][^`\n]*)", re.MULTILINE)


def shown() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        pattern = IN_A_SENTENCE if path.suffix == ".md" else ANYWHERE
        for match in pattern.finditer(path.read_text("utf-8", "ignore")):
            yield str(path.relative_to(ROOT)), match[1]


def words_of(text: str) -> list[str]:
    """The command's own words: what follows a pipe, a redirection or the end of a sentence is another's."""
    own = re.split(r" [|>#] | {2,}|[.,:;)] |[;&\\…]|$", text, maxsplit=1)[0]
    try:
        return shlex.split(own.rstrip(".,:;)"))
    except ValueError:
        return own.split()


def wrong_in(words: list[str]) -> str | None:
    command = COMMANDS
    for at, word in enumerate(words):
        if (inside := getattr(command, "commands", None)) is not None:
            found = [inside.get(each) for each in word.split("|")]
            if None in found:
                # A sentence that begins with the word, such as "gateway process".
                return None if at == 0 else f"no command {word!r}"
            command = found[0]
        elif word.startswith("-") and word != "-":
            options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
            if word.partition("=")[0] not in {*options, "--help"}:
                return f"{command.name} has no option {word}"
    return None


COMMANDS_SHOWN = sorted(set(shown()))


def test_there_are_commands_to_look_at() -> None:
    named = {words_of(text)[0] for _, text in COMMANDS_SHOWN if words_of(text)}

    assert set(COMMANDS.commands) <= named, "each is shown somewhere"


@pytest.mark.parametrize(("page", "text"), COMMANDS_SHOWN)
def test_a_command_that_is_shown_is_one_that_there_is(page: str, text: str) -> None:
    assert wrong_in(words_of(text)) is None, page


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("journal verify --folder var/journal", "verify has no option --folder"),
        ("journal list var/journal", "no command 'list'"),
        ("journal verify var/journal --salvage", None),
    ],
)
def test_a_command_that_there_is_not_would_be_found(text: str, wrong: str | None) -> None:
    assert wrong_in(words_of(text)) == wrong

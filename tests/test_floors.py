"""A room imports only from floors below its own, or from itself."""

import ast
from pathlib import Path

import pytest

GATEWAY = Path(__file__).resolve().parents[1] / "gateway"
FLOORS = {
    "errors": 0,
    "histogram": 0,
    "values": 0,
    "soup": 1,
    "definitions": 1,
    "stripes": 1,
    "mlink": 1,
    "link": 2,
    "decode": 2,
    "client": 2,
    "views": 3,
    "journal": 4,
    "hub": 4,
    "settings": 4,
    "logs": 5,
    "net": 5,
    "simulator": 5,
    "app": 6,
    "cli": 7,
    "__main__": 8,
}
# The core moves no bytes and reads no clock: protocol rooms and everything between wire and socket.
WITHOUT_IO = (
    "soup",
    "definitions",
    "stripes",
    "mlink",
    "decode",
    "views",
    "hub",
    "errors",
    "histogram",
    "values",
)
IO_MODULES = {"asyncio", "socket", "ssl", "uvloop", "websockets", "time", "logging", "threading", "selectors"}


def room_of(path: Path) -> str:
    return path.relative_to(GATEWAY).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            found.add(node.module or "")
            if node.module == "gateway":
                found.update(f"gateway.{alias.name}" for alias in node.names)
    return found


FILES = sorted(path for path in GATEWAY.rglob("*.py") if path != GATEWAY / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_a_room_imports_only_from_floors_below(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"{room} has no floor yet: give it one here and in docs/architecture.md"

    for name in imports_of(path):
        if not name.startswith("gateway."):
            continue
        other = name.split(".")[1]
        assert other == room or FLOORS[other] < FLOORS[room], f"{room} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_the_core_does_no_io(path: Path) -> None:
    if room_of(path) not in WITHOUT_IO:
        return

    reached = {name.split(".")[0] for name in imports_of(path)} & IO_MODULES

    assert not reached, f"{path.name} must not import {sorted(reached)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_every_file_says_first_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no module docstring"

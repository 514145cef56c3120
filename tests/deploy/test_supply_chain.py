"""What an installation consists of: pinned, licensed, asked about; and what is said if it can't be asked."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    name: dict(line.split("==") for line in (ROOT / name).read_text().splitlines())
    for name in ("constraints.txt", "deploy/tools-constraints.txt")
}


def script(name: str) -> ModuleType:
    """One of the scripts of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AUDIT, LICENCES = script("audit"), script("licences")


# Pins.


@pytest.mark.parametrize("name", PINS)
def test_each_pin_is_a_name_and_a_version_and_says_nothing_of_where_it_came_from(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert len(names) == len(set(names))


def test_everything_that_is_installed_for_use_and_for_tests_is_pinned_to_what_is_installed() -> None:
    wanted = [
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    ]
    pins = {canonicalize_name(name): version for name, version in PINS["constraints.txt"].items()}
    needed = {
        canonicalize_name(package.name): package.version
        for package, _ in LICENCES.installed(each for each in wanted if not each.startswith("soup-gateway["))
    }

    assert {
        name: (version, pins.get(name)) for name, version in needed.items() if pins.get(name) != version
    } == {}


def named_in(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(re.split(r"[\[<>=;! ]", each)[0]) for each in requirements}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("folder", ["gateway", "tests"])
def test_what_is_imported_is_named_and_not_there_by_chance(folder: str) -> None:
    extras = PROJECT["optional-dependencies"]
    named = named_in((*PROJECT["dependencies"], *(each for extra in extras.values() for each in extra)))
    # By the name of the package, where it is not that of the distribution; and what pydantic pins itself.
    named |= {"yaml", "jwt", "pydantic-core"}
    imported = {name for path in (ROOT / folder).rglob("*.py") for name in imports_of(path)}
    local = {path.stem for path in (*ROOT.glob("*/*.py"), *(ROOT / "tests").rglob("*.py"))} | {
        "gateway",
        "tests",
    }

    others = {canonicalize_name(each) for each in imported - set(sys.stdlib_module_names) - local}
    assert others - named == set()


def test_the_version_is_the_same_wherever_it_stands() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    manifests = (DEPLOY / "kubernetes" / "gateway.yaml").read_text()

    assert f"ARG VERSION={PROJECT['version']}\n" in dockerfile
    assert f"image: soup-gateway:{PROJECT['version']}\n" in manifests


# Licences.


def test_the_page_lists_what_an_installation_consists_of_with_the_licences_it_has() -> None:
    page = (ROOT / "docs" / "operations" / "supply-chain.md").read_text()
    lines, wrong = LICENCES.table()

    assert wrong == []
    assert "\n".join(lines) in page, "write there what `make licences` prints"


def test_a_licence_that_nobody_has_looked_at_is_named() -> None:
    assert LICENCES.unknown("MIT AND (Apache-2.0 OR AGPL-3.0-only)") == ["AGPL-3.0-only"]
    assert LICENCES.unknown("?") == ["?"]


# The audit. In place of pip-audit stands a program that gives its answers.


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def all_pins(**changed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "version": version, "vulns": changed.get(name, [])}
        for name, version in PINS["constraints.txt"].items()
    ]


def audit(tmp_path: Path, answer: str, code: int, error: str = "") -> tuple[int, str, str]:
    (tmp_path / "answer").write_text(answer)
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path}/answer'\necho '{error}' >&2\nexit {code}\n")
    program.chmod(0o755)
    ended = subprocess.run(
        [sys.executable, str(DEPLOY / "audit.py"), str(program)], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_an_audit_that_asked_about_every_pin_and_found_nothing_says_so(tmp_path: Path) -> None:
    code, said, _ = audit(tmp_path, report(*all_pins()), 0)

    assert (code, said) == (0, f"{len(PINS['constraints.txt'])} pins asked about, no known hole\n")


def test_an_audit_names_each_hole_and_what_corrects_it(tmp_path: Path) -> None:
    hole = {"id": "PYSEC-2027-1", "fix_versions": ["99.1"], "aliases": [], "description": ""}
    code, said, _ = audit(tmp_path, report(*all_pins(orjson=[hole])), 1)

    assert code == 1
    assert said == f"orjson {PINS['constraints.txt']['orjson']}: PYSEC-2027-1, corrected in 99.1\n"


def test_an_audit_that_can_not_ask_says_that_nothing_was_checked(tmp_path: Path) -> None:
    code, said, error = audit(tmp_path, "", 1, "ERROR:pip_audit._cli:Connection refused")

    assert (code, said) == (3, "")
    assert error.startswith("NOTHING WAS CHECKED: ERROR:pip_audit._cli:Connection refused\n")


def test_an_audit_without_its_program_says_that_nothing_was_checked(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(DEPLOY / "audit.py"), str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 3
    assert "NOTHING WAS CHECKED" in ended.stderr


@pytest.mark.parametrize("kind", ["left out", "skipped", "another version"])
def test_an_audit_that_did_not_ask_about_every_pin_is_no_audit(tmp_path: Path, kind: str) -> None:
    pins = all_pins()
    if kind == "left out":
        pins.pop()
    elif kind == "skipped":
        pins[-1] = {"name": pins[-1]["name"], "skip_reason": "not on PyPI"}
    else:
        pins[-1]["version"] = "0"
    code, said, error = audit(tmp_path, report(*pins), 0)

    assert (code, said) == (3, "")
    assert error.startswith(f"NOT ALL WAS CHECKED, but all except {list(PINS['constraints.txt'])[-1]}: ")


@pytest.mark.parametrize(
    "pins", [[], [{"name": each["name"], "skip_reason": "offline"} for each in all_pins()]]
)
def test_an_audit_in_which_every_pin_was_skipped_checked_nothing(tmp_path: Path, pins: list[Any]) -> None:
    code, said, error = audit(tmp_path, report(*pins), 0)

    assert (code, said) == (3, "")
    assert error.startswith("NOTHING WAS CHECKED: ")


# The image's ingredients.


def test_nothing_goes_into_the_build_but_what_the_image_is_made_of() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        name if name.startswith("deploy/") else name.split("/")[0]
        for line in re.findall(
            r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
        )
        for name in line.split()
    }

    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_each_file_of_the_page_is_in_the_package() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "gateway"
    ]
    web = [path for path in (ROOT / "gateway" / "web").rglob("*") if path.is_file()]
    had = {path for pattern in packaged for path in (ROOT / "gateway").glob(pattern)}

    assert [path for path in web if path not in had] == []

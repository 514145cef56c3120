"""The JavaScript client as npm would publish it: what is in it, and that it installs, runs and is typed."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WEB = ROOT / "gateway" / "web"
TSC = HERE.parent / "node" / "node_modules" / "typescript" / "bin" / "tsc"
# How programs are built today: for Node, and by a bundler.
MODULES = {"nodenext": "nodenext", "bundler": "esnext"}


def say(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command says, when it succeeds."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=100, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a program that has the client installed, from its package."""
    if shutil.which("npm") is None or not TSC.is_file():
        if os.environ.get("CI"):
            pytest.fail("CI must have npm and the packages of the tests: make system node")
        pytest.skip("PACKAGE NOT TESTED: run `make node`")
    folder = tmp_path_factory.mktemp("program")
    (packed,) = json.loads(say("npm", "pack", "--json", "--pack-destination", folder, cwd=WEB))
    (folder / "package.json").write_text('{"name": "program", "private": true, "type": "module"}')
    say("npm", "install", "--offline", "--no-audit", "--no-fund", f"./{packed['filename']}", cwd=folder)
    for path in (HERE / "types").glob("*.mts"):
        shutil.copy(path, folder)
    return folder


def compiled(program: Path, name: str, resolution: str) -> list[str]:
    """What the compiler has to say of a file, a line for each error."""
    words = f"--strict --noEmit --pretty false --target es2022 --lib es2022,dom \
        --module {MODULES[resolution]} --moduleResolution {resolution}"
    done = subprocess.run(
        ["node", str(TSC), *words.split(), name], cwd=program, capture_output=True, text=True, timeout=100
    )
    errors = re.findall(r"^\S.*(?:\n +.*)*", done.stdout, re.M)
    assert (done.returncode == 0) is (errors == []), done.stdout + done.stderr
    return errors


def test_it_holds_what_a_publisher_has_to_give_and_no_more(program: Path) -> None:
    installed = program / "node_modules" / "soup-gateway-client"
    package = json.loads((installed / "package.json").read_text())

    assert {path.name for path in installed.iterdir()} == {
        "LICENSE",
        "README.md",
        "client.d.ts",
        "client.js",
        "package.json",
    }
    assert (installed / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == project["version"], "one version for both sides"
    assert package["license"] == "Apache-2.0"
    assert "private" not in package


def test_it_is_imported_by_its_name(program: Path) -> None:
    script = 'import * as client from "soup-gateway-client"; console.log(Object.keys(client).join())'
    names = set(say("node", "--input-type=module", "--eval", script, cwd=program).strip().split(","))
    typed = re.findall(r"^export (?:class|function) (\w+)", (WEB / "client.d.ts").read_text(), re.M)

    assert names == set(typed)


@pytest.mark.parametrize("resolution", MODULES)
def test_a_program_compiles_strictly(program: Path, resolution: str) -> None:
    assert compiled(program, "program.mts", resolution) == []


def test_every_wrong_use_is_an_error_where_it_is_made(program: Path) -> None:
    lines = (HERE / "types" / "wrong.mts").read_text().splitlines()
    expected = {at: line.rpartition(" // ")[2] for at, line in enumerate(lines, 1) if " // " in line}
    errors = {}
    for error in compiled(program, "wrong.mts", "nodenext"):
        at = int(re.match(r"wrong\.mts\((\d+),", error)[1])
        errors.setdefault(at, "")
        errors[at] += error

    assert set(errors) == set(expected)
    assert [(at, words, errors[at]) for at, words in expected.items() if words not in errors[at]] == []
    assert len(expected) > 15, "and the compiler was asked"


def test_every_member_that_is_typed_is_there(program: Path) -> None:
    types = (WEB / "client.d.ts").read_text()
    classes = re.findall(r"^export class (\w+)[^\n]*\{\n(.*?)^\}", types, re.M | re.S)
    methods = {name: re.findall(r"^  (?:static )?(\w+)(?:<.*?>)?\(", body, re.M) for name, body in classes}
    script = f"""import * as client from "soup-gateway-client";
        for (const [name, methods] of Object.entries({json.dumps(methods)})) {{
            const on = [client[name], client[name].prototype];
            for (const method of methods) if (!on.some((each) => method in each)) console.log(name, method);
        }}"""

    assert say("node", "--input-type=module", "--eval", script, cwd=program) == ""
    assert "listen" in methods["Stream"]

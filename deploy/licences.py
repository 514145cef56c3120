"""Print, as a Markdown table, what an installation consists of and under which licences.

Reads pyproject.toml and what the installed packages say of themselves. A licence that nobody has looked at
yet is an error: exit code 1.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
# What the image and docs/operations/install.md install.
EXTRAS = ("jwt",)
# May be used together with Apache-2.0, and be distributed beside it.
KNOWN = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"})
# What packages say that do not say it as SPDX does.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def wanted(extras: Iterable[str] = EXTRAS) -> list[str]:
    """What the project itself asks for."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]


def installed(requirements: Iterable[str], by: str = "") -> Iterator[tuple[Distribution, str]]:
    """Every package that these need, directly or not, with the one that asked first."""
    seen: set[str] = set()
    waiting = [(Requirement(line), by, "") for line in requirements]
    while waiting:
        requirement, by, extra = waiting.pop(0)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found = distribution(name)
        if name not in seen:
            seen.add(name)
            yield found, by
        for each in ("", *requirement.extras):
            if f"{name}[{each}]" not in seen:
                seen.add(f"{name}[{each}]")
                waiting += [(Requirement(line), name, each) for line in found.requires or ()]


def licence(package: Distribution) -> str:
    """As SPDX writes it, from the first of three places where it may stand."""
    said = package.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or ()
        if line.startswith("License :: OSI Approved :: ")
    ]
    return ", ".join(SPDX.get(each, each) for each in classified) or str(said.get("License", "?")).strip()


def unknown(text: str) -> list[str]:
    """The licences in an expression that nobody has looked at."""
    return [each for each in re.split(r"[\s,()]+|\bAND\b|\bOR\b", text) if each and each not in KNOWN]


def table() -> tuple[list[str], list[str]]:
    """The lines of the table, and what is wrong with them."""
    lines, wrong = ["| package | licence | comes with |", "| --- | --- | --- |"], []
    for package, by in sorted(installed(wanted()), key=lambda each: canonicalize_name(each[0].name)):
        text = licence(package)
        lines.append(f"| {package.name} | {text} | {by or 'the gateway itself'} |")
        wrong += [f"{package.name}: nobody has looked at licence {each!r} yet" for each in unknown(text)]
    return lines, wrong


def main() -> int:
    lines, wrong = table()
    print("\n".join(lines))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Ask for known holes in every version that constraints.txt pins: `audit.py PIP-AUDIT [ARGUMENT …]`.

Exit codes: 0 every pin was asked about and none has a known hole, 1 holes are known, 3 nothing was checked,
or not all. An audit that could not ask must never look like one that found nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
FINE, HOLES, NOT_CHECKED = 0, 1, 3
# One run asks for some hundred packages, one after the other.
TIMEOUT_S = 900.0


def pins(constraints: Path) -> dict[str, str]:
    """Name and version of each line; names compared as PyPI does."""
    lines = constraints.read_text(encoding="utf-8").split()
    return {
        name.casefold().replace("_", "-").replace(".", "-"): v
        for name, _, v in (x.partition("==") for x in lines)
    }


def not_checked(why: str) -> int:
    print(f"NOTHING WAS CHECKED: {why}", file=sys.stderr)
    print(
        "Whether constraints.txt has known holes is not known. Run it again where advisories can be asked.",
        file=sys.stderr,
    )
    return NOT_CHECKED


def judge(report: dict[str, Any], wanted: dict[str, str]) -> int:
    """Say what a whole report comes to."""
    asked = {
        each["name"].casefold().replace("_", "-").replace(".", "-"): each for each in report["dependencies"]
    }
    left_out = sorted(name for name in wanted if asked.get(name, {}).get("version") != wanted[name])
    holes = [(each, hole) for each in asked.values() for hole in each.get("vulns", ())]
    for each, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{each['name']} {each['version']}: {hole['id']}, corrected in {fixed}")
    if left_out:
        why = next(
            (each["skip_reason"] for each in asked.values() if "skip_reason" in each), "not in the answer"
        )
        if len(left_out) == len(wanted):
            return not_checked(why)
        print(f"NOT ALL WAS CHECKED, but all except {', '.join(left_out)}: {why}", file=sys.stderr)
        return NOT_CHECKED
    if holes:
        return HOLES
    print(f"{len(wanted)} pins asked about, no known hole")
    return FINE


def main(command: list[str]) -> int:
    try:
        ended = subprocess.run(
            [*command, "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip", "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except OSError as exc:
        return not_checked(f"{command[0]} can't be run: {exc.strerror}")
    except subprocess.TimeoutExpired:
        return not_checked(f"no answer within {TIMEOUT_S:g} s")
    try:
        return judge(json.loads(ended.stdout), pins(CONSTRAINTS))
    except (ValueError, KeyError, TypeError):
        said = ended.stderr.strip().splitlines() or [f"pip-audit ended with {ended.returncode} and no report"]
        return not_checked(said[-1])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))

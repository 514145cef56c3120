"""What the documentation supposes: a demo gateway that runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Longer than all that reads from it; if the suite is cut off, it ends by itself.
DEMO_S = 200


@pytest.fixture(scope="package")
def demo() -> Iterator[str]:
    """`gateway demo` as a reader of the page starts it, on any free port."""
    options = {"--port": 0, "--tickers": 50, "--seconds": DEMO_S}
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-u", "-m", "gateway", "demo", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(r"(ws://127\.0\.0\.1:\d+)", line):
                    break
            else:
                pytest.fail(f"the demo did not start:\n{said}")
            yield found[1]
        finally:
            process.terminate()

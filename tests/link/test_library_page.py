"""docs/soup-library.md keeps its word: its programs run and print what it says, and it names every reason."""

import re
from pathlib import Path

import pytest

from gateway.link import CloseReason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "soup-library.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("program", "output"), EXAMPLES)
def test_each_example_prints_what_the_page_says(
    program: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(program, "soup-library.md", "exec"), {"__name__": "__main__"})

    assert capsys.readouterr().out == output


def test_no_example_is_left_out() -> None:
    assert len(EXAMPLES) == PAGE.count("```python")


def test_every_close_reason_is_explained() -> None:
    for reason in CloseReason:
        assert f"| `{reason.name}` |" in PAGE

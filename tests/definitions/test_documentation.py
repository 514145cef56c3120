"""Every example of docs/definitions.md loads, and its bytes are the JSON that stands under them."""

import re
from pathlib import Path

import pytest

from gateway.decode import Codecs, Directory, json_text
from gateway.definitions import read_definitions
from gateway.definitions.document import FILE_BYTES_MAX
from gateway.definitions.fields import DEPTH_MAX, LEAVES_MAX, UNITS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "definitions.md").read_text("utf-8")
EXAMPLES = re.findall(r"```xml\n(.*?)```\n(?:```\n(.*?)```\n)?", PAGE, re.DOTALL)


def whole_file(example: str) -> bytes:
    """The example itself, or put where it belongs."""
    if example.startswith("<field"):
        example = f'<message id="M" message-id="M" direction="outgoing"><fields>{example}</fields></message>'
    if example.startswith("<message"):
        example = f"<root><messages-root>{example}</messages-root></root>"
    return example.encode()


def payload_of(text: str) -> bytes:
    """`D "AAPL" 0001`: the id as it is, texts in quotes, all else hex."""
    parts = re.findall(r'"([^"]*)"|(\S+)', text[1:])
    return text[:1].encode() + b"".join(
        bytes.fromhex(digits) if digits else quoted.encode() for quoted, digits in parts
    )


@pytest.mark.parametrize(("xml", "shown"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_does_what_the_page_says(xml: str, shown: str) -> None:
    codecs = Codecs(read_definitions(whole_file(xml), "docs/definitions.md"))
    directory = Directory(codecs)
    lines = shown.splitlines()
    assert lines

    for seq, (message, expected) in enumerate(zip(lines[::2], lines[1::2], strict=True), 1):
        payload = payload_of(message)
        codec = codecs.by_id[payload[0]]
        assert codec is not None
        directory.learn(payload, seq)
        locate = codec.locate(payload, 0)
        ticker = None if locate is None else directory.tickers[locate]
        if codec.added_ticker and ticker:
            text = codec.write_with_ticker(payload, 0, len(payload), json_text(ticker))
        else:
            text = codec.write(payload, 0, len(payload))

        assert "{" + text + "}" == expected


def test_the_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(example, "docs/definitions.md", "exec"), {})


def test_every_attribute_and_limit_is_on_the_page() -> None:
    ours = (
        "decimals",
        "unit",
        "ticker",
        "locate",
        "optional",
        "kind",
        "key",
        "directory",
        "length",
        "number",
    )

    for attribute in ours:
        assert f'{attribute}="' in "".join(xml for xml, _ in EXAMPLES), attribute
    for unit in UNITS:
        assert f"`{unit}`" in PAGE or f"`-{unit.partition('-')[2]}`" in PAGE
    assert f"{FILE_BYTES_MAX >> 20} MiB" in PAGE
    assert f"more than {LEAVES_MAX:,} fields or nest deeper than {DEPTH_MAX}" in PAGE

"""Files of messages: what is in them can be read back, and nothing is left out."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow.parquet
import pytest

from gateway.client import Message
from gateway.client.files import ParquetFile, format_of, open_file
from gateway.errors import BadRequest


def message(seq: int | None, m_typ: str = "AddOrder", **fields: object) -> Message:
    header = {"mTyp": m_typ, "src": "itch", "ses": "S1", "sTim": "2026-01-30 14:30:00.123456"}
    if seq is not None:
        header["seqN"] = seq
    raw = orjson.dumps({"header": header, "message": fields})
    return Message(header, fields, raw)


MESSAGES = [
    message(1, stock="A", price=1.5, shares=100),
    message(2, stock="B", price=2, shares=2**63, extra={"deep": [1]}),
    message(None, stock='"quoted"\n'),
]


@pytest.mark.parametrize(
    ("name", "wanted", "format"),
    [
        ("a.jsonl", None, "jsonl"),
        ("a.json", None, "jsonl"),
        ("a", None, "jsonl"),
        ("a.CSV", None, "csv"),
        ("a.pq", None, "parquet"),
        ("a.txt", "csv", "csv"),
    ],
)
def test_the_suffix_says_the_format_unless_it_is_told(name: str, wanted: str | None, format: str) -> None:
    assert format_of(Path(name), wanted) == format


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(BadRequest, match="format 'xls', expected one of jsonl, csv, parquet"):
        format_of(Path("a.xls"), None)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_file_that_is_there_is_only_replaced_when_that_is_wanted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("precious")

    with pytest.raises(BadRequest, match="is there already"):
        open_file(path, None, overwrite=False)
    assert path.read_text() == "precious"
    with open_file(path, None, overwrite=True) as file:
        file.write(MESSAGES[0])
    assert path.read_bytes() != b"precious"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="can't be written"):
        open_file(tmp_path / "no" / "a.csv", None, overwrite=False)


def test_json_lines_are_the_messages_as_received(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    with open_file(path, None, overwrite=False) as file:
        for each in MESSAGES:
            file.write(each)
        file.flush()

    assert path.read_bytes().splitlines() == [each.raw for each in MESSAGES]


def test_a_csv_has_the_first_messages_columns_and_the_rest_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    with open_file(path, None, overwrite=False) as file:
        for each in MESSAGES:
            file.write(each)
        file.flush()
    with path.open(newline="") as written:
        head, *rows = csv.reader(written)

    assert head == [
        "message",
        "src",
        "session",
        "sequenceNumber",
        "sentAt",
        "stock",
        "price",
        "shares",
        "more",
    ]
    assert rows[0] == ["AddOrder", "itch", "S1", "1", "2026-01-30 14:30:00.123456", "A", "1.5", "100", ""]
    assert rows[1][5:8] == ["B", "2", "9223372036854775808"]
    assert json.loads(rows[1][8]) == {"extra": {"deep": [1]}}
    assert rows[2][3] == ""
    assert rows[2][5:] == ['"quoted"\n', "", "", ""]


def test_a_parquet_file_has_typed_columns_and_loses_nothing_over_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"

    with ParquetFile(path, row_group_max=1) as file:
        for each in MESSAGES:
            file.write(each)
        file.flush()
    rows = pyarrow.parquet.read_table(path).to_pylist()

    assert [(row["sequenceNumber"], row["stock"], row["price"], row["shares"]) for row in rows] == [
        (1, "A", 1.5, 100),
        (2, "B", 2.0, None),
        (None, '"quoted"\n', None, None),
    ]
    assert rows[0]["sentAt"] == datetime(2026, 1, 30, 14, 30, 0, 123456, UTC)
    assert json.loads(rows[1]["more"]) == {"shares": 2**63, "extra": {"deep": [1]}}
    assert rows[2]["more"] is None


def test_columns_of_the_first_group_hold_all_its_values(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"

    with ParquetFile(path) as file:
        for value in (1, 2.5, True, "text", [1]):
            file.write(message(1, mixed=value, flag=True, src="taken"))
    rows = pyarrow.parquet.read_table(path).to_pylist()

    assert [row["mixed"] for row in rows] == ["1", "2.5", "true", "text", "[1]"]
    assert [row["flag"] for row in rows] == [True] * 5
    assert json.loads(rows[0]["more"]) == {"src": "taken"}


def test_a_parquet_file_without_messages_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"

    with open_file(path, None, overwrite=False):
        pass

    assert pyarrow.parquet.read_table(path).num_rows == 0

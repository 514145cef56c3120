"""`gateway journal`: what people and scripts see of a journal, and the exit codes they act on."""

import io
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from gateway.cli.journal import app, follow_from
from gateway.cli.journal_output import sessions_table, verified_line
from gateway.cli.output import MessageLines
from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.errors import BadRequest, ConfigError, GatewayError, JournalError
from gateway.journal import Journal, JournalLocked, JournalReader
from gateway.journal.messages import Messages, Wanted
from gateway.values import Position
from tests.journal.blocks import RECEIVED_NS, block, numbered

CODECS = Codecs(load_definitions("itch50"))


def itch(name: str, **values: Any) -> bytes:
    return CODECS.by_name[name.casefold()].encode(values)


DIRECTORY = itch("StockDirectory", stockLocate=13, stock="AAPL", timestamp=1)
ADD = itch(
    "AddOrder",
    stockLocate=13,
    timestamp=2,
    orderReferenceNumber=7,
    side="B",
    shares=100,
    stock="AAPL",
    price=Decimal("150.0001"),
)
DELETE = itch("OrderDelete", stockLocate=13, timestamp=3, orderReferenceNumber=7)
ADD_JSON = (
    '"message":{"stockLocate":13,"trackingNumber":0,"timestamp":2,"orderReferenceNumber":7,"side":"B","shares":100,'
    '"stock":"AAPL","price":150.0001}'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """DAY1: directory, add, gap of 3 to 4, delete, an unknown message. DAY2: running, one add."""
    with Journal(tmp_path / "journal", "itch") as journal:
        journal.roll("DAY1")
        journal.write([block(1, DIRECTORY, ADD)])
        journal.declare_gap(3, 4)
        journal.write([block(5, DELETE), block(6, b"?")])
        journal.roll("DAY2")
        journal.write([block(1, ADD, session="DAY2")])
    return tmp_path / "journal"


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments: object) -> GatewayError:
    """The error that `gateway` turns into one line and exit code 2."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, BadRequest | ConfigError), result
    return result.exception


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def damage(folder: Path) -> None:
    path = next((folder / "itch").glob("*DAY1.sqlite"))
    content = bytearray(path.read_bytes())
    content[content.index(ADD) + 5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["", "itch"], ids=["the journal's folder", "the feed's folder"])
def test_ls_tells_all_sessions_in_a_pipe_as_json_lines(folder: Path, part: str) -> None:
    first, second = lines(run("ls", folder / part))

    assert first == {
        "feed": "itch",
        "session": "DAY1",
        "state": "ended",
        "firstSeq": 1,
        "nextSeq": 7,
        "messages": 4,
        "gaps": [[3, 4]],
        "firstReceived": "2023-11-14T22:13:20.000000000Z",
        "lastReceived": "2023-11-14T22:13:20.000000000Z",
        "bytes": first["bytes"],
        "file": str(folder / "itch" / "00000001-DAY1.sqlite"),
    }
    assert (second["session"], second["state"], second["gaps"]) == ("DAY2", "running", [])


def test_ls_shows_a_table_that_fits_a_terminal(folder: Path) -> None:
    with JournalReader(folder, "itch") as reader:
        infos = reader.sessions()
    out = io.StringIO()

    Console(file=out, width=80).print(sessions_table(infos))

    assert out.getvalue().splitlines()[1].split() == [
        *("itch", "DAY1", "ended", "1", "7", "4", "2", "2023-11-14", "22:13:20"),
        *(f"{infos[0].bytes / 1000:.0f}", "kB"),
    ]


def test_a_sessions_name_can_not_paint_the_terminal(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("[red]\x1b[2J")
        (verified,) = journal.verify()
        out = io.StringIO()
        console = Console(file=out, width=120)
        console.print(sessions_table(journal.sessions()))
        console.print(verified_line("itch", verified))

    assert out.getvalue().count("[red]\\x1b[2J") == 2


def test_tail_shows_the_last_messages_with_tickers_from_the_sessions_directory(folder: Path) -> None:
    shown = lines(run("tail", folder, "--session", "DAY1", "-n", 4))

    assert [(line["header"]["mTyp"], line["header"].get("seqN")) for line in shown] == [
        ("Gap", None),
        ("OrderDelete", 5),
        ("Undecodable", 6),
    ]
    assert shown[0]["message"] == {"fromSeq": 3, "toSeq": 4}
    assert shown[1]["message"]["stock"] == "AAPL"
    assert shown[2]["message"]["bytes"] == "3f"


def test_tail_shows_the_newest_session_and_only_the_messages_asked_for(folder: Path) -> None:
    assert [line["header"]["ses"] for line in lines(run("tail", folder))] == ["DAY2"]
    assert lines(run("tail", folder, "--message", "orderdelete")) == []
    assert len(lines(run("tail", folder, "--message", "addorder"))) == 1


def test_tail_raw_needs_no_definitions(folder: Path) -> None:
    (line,) = lines(run("tail", folder, "--definitions", "raw"))

    assert line == {
        "header": {"src": "itch", "ses": "DAY2", "seqN": 1, "sTim": "2023-11-14 22:13:20.000000"},
        "bytes": ADD.hex(),
    }


def test_follow_goes_on_with_what_comes_and_into_the_next_session(tmp_path: Path) -> None:
    out = io.StringIO()
    with Journal(tmp_path, "itch") as journal, JournalReader(tmp_path, "itch") as reader:
        journal.roll("DAY1")
        steps: list[Callable[[], object]] = [
            lambda: journal.write([block(1, DIRECTORY, DELETE)]),
            lambda: journal.roll("DAY2"),
            lambda: journal.write([block(1, ADD, session="DAY2")]),
        ]

        def wait() -> bool:
            if steps:
                steps.pop(0)()
                return True
            return False

        follow_from(reader, Position("", 1), Wanted(), Messages("itch", CODECS), MessageLines(out), wait)

    headers = [json.loads(line)["header"] for line in out.getvalue().splitlines()]
    assert [(header["ses"], header["seqN"]) for header in headers] == [("DAY1", 1), ("DAY1", 2), ("DAY2", 1)]


def test_verify_says_that_all_is_whole(folder: Path) -> None:
    first, second = lines(run("verify", folder))

    assert (first["whole"], first["messages"], first["gaps"], first["damages"]) == (True, 4, [[3, 4]], [])
    assert (second["session"], second["blocks"]) == ("DAY2", 1)
    assert len(lines(run("verify", folder, "--session", "DAY2"))) == 1


def test_verify_names_the_damaged_row_and_exits_1(folder: Path) -> None:
    damage(folder)

    first, _ = lines(run("verify", folder, code=1))

    assert first["whole"] is False
    assert first["damages"][0] == {"row": 1, "what": "checksum does not match"}


def test_verify_salvage_sets_the_file_aside_and_keeps_what_is_whole(folder: Path) -> None:
    damage(folder)

    result = run("verify", folder, "--salvage", code=1)

    assert "00000001-DAY1.damaged-1.sqlite set aside, 2 messages kept, next is 7" in result.stderr
    assert (folder / "itch" / "00000001-DAY1.damaged-1.sqlite").exists()
    (first,) = lines(run("verify", folder, "--session", "DAY1"))
    assert first["gaps"] == [[1, 4]]


def test_salvage_is_refused_while_the_gateway_runs(folder: Path) -> None:
    damage(folder)

    with Journal(folder, "itch"):
        error = refused("verify", folder, "--salvage")

    assert isinstance(error, JournalLocked)


def test_export_writes_what_a_subscriber_gets(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"

    result = run("export", folder, "-o", file, "--session", "DAY1")

    told = file.read_text().splitlines()
    header = '"mTyp":"AddOrder","src":"itch","ses":"DAY1","seqN":2,"sTim":"2023-11-14 22:13:20.000000"'
    head = f'{{"header":{{{header}}},'
    assert told[1] == head + ADD_JSON + "}"
    assert [json.loads(line)["header"]["mTyp"] for line in told] == [
        "StockDirectory",
        "AddOrder",
        "Gap",
        "OrderDelete",
        "Undecodable",
    ]
    assert result.stderr == "gateway: 4 messages, 2 missing in declared gaps\n"


def test_export_of_a_part_knows_the_tickers_from_before_it(folder: Path) -> None:
    shown = lines(run("export", folder, "--session", "DAY1", "--from", 4, "--to", 5))

    assert [line["message"] for line in shown] == [
        {"fromSeq": 4, "toSeq": 4},
        {"stockLocate": 13, "trackingNumber": 0, "timestamp": 3, "orderReferenceNumber": 7, "stock": "AAPL"},
    ]


def test_export_itch_gives_each_payload_behind_its_length(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "day.itch"

    run("export", folder, "--format", "itch", "-o", file, "--session", "DAY1")

    assert file.read_bytes() == b"\0\x27" + DIRECTORY + b"\0\x24" + ADD + b"\0\x13" + DELETE + b"\0\x01?"


def test_export_itch_gives_back_a_real_file(itch_data: Path, tmp_path: Path) -> None:
    content = (itch_data / "aapl-20200130-10001.itch").read_bytes()
    payloads, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 2], "big")
        payloads.append(content[at + 2 : at + 2 + size])
        at += 2 + size
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        journal.write(
            [block(1 + first, *payloads[first : first + 37]) for first in range(0, len(payloads), 37)]
        )

    run("export", tmp_path, "--format", "itch", "-o", tmp_path / "out.itch")

    assert (tmp_path / "out.itch").read_bytes() == content


def test_export_parquet_gives_a_row_per_message_with_exact_prices(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "day.parquet"

    run("export", folder, "--format", "parquet", "-o", file)

    table = parquet.read_table(file)
    assert table.column("sequence").to_pylist() == [1, 2, 5, 6, 1]
    assert table.column("session").to_pylist() == ["DAY1"] * 4 + ["DAY2"]
    assert table.column("received").cast("int64").to_pylist() == [RECEIVED_NS] * 5
    assert table.column("message").to_pylist() == [
        "StockDirectory",
        "AddOrder",
        "OrderDelete",
        None,
        "AddOrder",
    ]
    assert table.column("price").to_pylist() == [None, Decimal("150.0001"), None, None, Decimal("150.0001")]
    assert table.column("stock").to_pylist() == ["AAPL", "AAPL", "AAPL", None, "AAPL"]
    assert table.column("undecodable").to_pylist() == [None, None, None, b"?", None]


def test_export_parquet_of_some_messages_has_their_columns_only(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "deletes.parquet"

    run("export", folder, "--format", "parquet", "-o", file, "--message", "OrderDelete")

    table = parquet.read_table(file)
    assert table.num_rows == 1
    assert "price" not in table.column_names
    assert "orderReferenceNumber" in table.column_names


def test_export_parquet_without_pyarrow_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None is how Python itself marks a module that must not be found.
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    error = refused("export", folder, "--format", "parquet", "-o", tmp_path / "x.parquet")

    assert str(error) == "Parquet needs pyarrow: pip install 'soup-gateway[parquet]'"


def test_a_failed_export_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    damage(folder)

    result = CliRunner().invoke(app, ["export", str(folder), "-o", str(tmp_path / "day.jsonl")])

    assert isinstance(result.exception, JournalError)
    assert not list(tmp_path.glob("day*"))


def test_a_file_is_not_overwritten_unless_told_so(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    file.write_text("precious")

    assert "exists; --force overwrites it" in str(refused("export", folder, "-o", file))
    assert file.read_text() == "precious"
    run("export", folder, "-o", file, "--force")
    assert file.read_text() != "precious"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ls", "nowhere"], "is no folder"),
        (["ls", "."], "holds no journal"),
        (["ls", "journal", "--feed", "ouch"], "holds no journal of feed 'ouch'"),
        (["tail", "journal", "--session", "DAY9"], "no session 'DAY9'; had are DAY1, DAY2"),
        (["verify", "journal", "--session", "DAY9"], "no session 'DAY9'; had are DAY1, DAY2"),
        (["export", "journal", "--session", "DAY9"], "no session 'DAY9'; had are DAY1, DAY2"),
        (["tail", "journal", "--message", "Nonsense"], "no message 'Nonsense'; expected one of AddOrder"),
        (["tail", "journal", "--definitions", "raw", "--message", "Trade"], "--message needs definitions"),
        (["tail", "journal", "--definitions", "nowhere.xml"], "nowhere.xml"),
        (["export", "journal", "--format", "parquet"], "its index is written last"),
        (
            ["export", "journal", "--format", "parquet", "--definitions", "raw", "-o", "x"],
            "raw bytes have no columns",
        ),
        (["export", "journal", "--format", "itch", "--message", "Trade"], "the number of one is its place"),
        (["export", "journal", "-o", "nowhere/x"], "nowhere/x: No such file or directory"),
    ],
)
def test_what_can_not_be_had_is_said_with_what_can(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert told in str(refused(*arguments))


def test_several_feeds_are_listed_together_and_tailed_one_by_one(folder: Path) -> None:
    with Journal(folder, "ouch") as journal:
        journal.roll("O1")
        journal.write([numbered(1, 3, session="O1")])

    assert [line["feed"] for line in lines(run("ls", folder))] == ["itch", "itch", "ouch"]
    assert "choose one of itch, ouch with --feed" in str(refused("tail", folder))
    assert len(lines(run("tail", folder, "--feed", "ouch", "--definitions", "raw"))) == 3


@pytest.mark.parametrize("command", ["ls", "tail", "verify", "export"])
def test_help_teaches_by_example(command: str) -> None:
    assert f"gateway journal {command} var/journal" in run(command, "--help").output

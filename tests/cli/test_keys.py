"""`gateway keys`: a key is shown once, its file stays whole, readable and commented."""

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import keys
from gateway.errors import BadRequest, ConfigError
from gateway.net.access import Access, KeyRing
from gateway.net.access.keys import hash_of, read_key_file

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "keys.toml.example"
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


def run(file: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(keys.app, [*arguments, "--file", str(file)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_key_is_256_random_bits_and_always_as_long() -> None:
    made = {keys.new_key() for _ in range(200)}

    assert len(made) == 200
    assert all(re.fullmatch(r"sgw_[0-9A-Za-z]{43}", key) for key in made)


def test_the_lowest_and_highest_bits_give_the_first_and_last_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.secrets, "token_bytes", bytes)
    assert keys.new_key() == "sgw_" + "0" * 43
    monkeypatch.setattr(keys.secrets, "token_bytes", lambda size: b"\xff" * size)
    number = 0
    for digit in keys.new_key().removeprefix("sgw_"):
        number = number * 62 + keys.BASE62.index(digit)
    assert number == 2**256 - 1


def test_add_prints_the_key_alone_and_keeps_only_its_hash(file: Path) -> None:
    result = run(file, "add", "desk")
    key = result.stdout.strip()

    assert re.fullmatch(r"sgw_[0-9A-Za-z]{43}", key)
    assert key not in result.stderr
    assert key not in file.read_text()
    assert hash_of(key) in file.read_text()
    assert isinstance(KeyRing.load(file).authenticate(key, NOW.timestamp()), Access)


def test_add_writes_what_the_key_may(file: Path) -> None:
    words = "--feed itch --message AddOrder --message Trade --stripe A --no-replay --connections-max 2"
    words += " --streams-max 3 --requests-per-second 1.5 --expires 2099-01-31"
    run(file, "add", 'a "quoted" \\ name', *words.split())

    entry = read_key_file(file).keys[0]
    assert entry.name == 'a "quoted" \\ name'
    assert (entry.feeds, entry.messages, entry.stripes) == (("itch",), ("AddOrder", "Trade"), ("A",))
    assert (entry.replay, entry.connections_max, entry.streams_max) == (False, 2, 3)
    assert entry.requests_per_second == 1.5
    assert entry.expires == datetime(2099, 1, 31, tzinfo=UTC)


def test_the_file_is_for_its_owner_and_stays_readable_to_a_service_by_group(file: Path) -> None:
    run(file, "add", "one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o666)
    run(file, "add", "two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give a file away")
def test_a_file_of_the_service_stays_its_own_when_root_adds_a_key(file: Path) -> None:
    run(file, "add", "one")
    os.chown(file, 12_345, 54_321)
    run(file, "add", "two")

    assert (file.stat().st_uid, file.stat().st_gid) == (12_345, 54_321)


def test_comments_and_order_stay(file: Path) -> None:
    file.write_text(EXAMPLE.read_text().replace("revoked = ", "# revoked = "))
    before = file.read_text()

    run(file, "add", "desk")
    assert file.read_text().startswith(before)
    run(file, "revoke", "d3m0d3m0")

    lines = file.read_text().splitlines()
    added = lines.pop(lines.index('id = "d3m0d3m0"') + 1)
    assert added.startswith("revoked = 20")
    assert "\n".join(lines).startswith(before.rstrip("\n"))


def test_revoke_ends_one_key_and_leaves_the_others(file: Path) -> None:
    first, second = (run(file, "add", name).stdout.strip() for name in ("one", "two"))
    ring = KeyRing.load(file)

    run(file, "revoke", ring.entries[0].id)

    assert ring.reload_if_changed()
    assert ring.authenticate(first, NOW.timestamp()) is None
    assert ring.authenticate(second, NOW.timestamp()) is not None
    again = run(file, "revoke", ring.entries[0].id, code=2)
    assert f"key {ring.entries[0].id} was revoked at " in again.output


def test_an_unknown_id_is_told_with_those_there_are(file: Path) -> None:
    run(file, "add", "one")
    entry = read_key_file(file).keys[0]

    assert f"no key 'nope' in {file}; there are {entry.id}" in run(file, "revoke", "nope", code=2).output
    assert "no key '.*' in" in run(file, "revoke", ".*", code=2).output


@pytest.mark.parametrize(
    "layout",
    [
        'keys = [{ id = "aaaa", name = "one", sha256 = "HASH", created = 2026-01-01T00:00:00Z }]',
        '[[keys]]\n"id" = "aaaa"\nname = "one"\nsha256 = "HASH"\ncreated = 2026-01-01T00:00:00Z',
    ],
)
def test_a_file_laid_out_by_hand_is_left_as_it_is(file: Path, layout: str) -> None:
    text = layout.replace("HASH", "0" * 64)
    file.write_text(text)

    with pytest.raises(
        ConfigError, match=r"laid out by hand; write revoked = 2027-01-15T08:00:00Z into key aaaa"
    ):
        keys.revoke_key(file, "aaaa", NOW)
    if layout.startswith("keys"):
        with pytest.raises(
            ConfigError, match=r"laid out by hand; make each of its keys a \[\[keys\]\] table"
        ):
            keys.add_key(file, {"name": "desk"}, keys.new_key(), NOW)
    assert file.read_text() == text


def test_list_tells_state_and_rights_and_no_hash(file: Path) -> None:
    run(file, "add", "one", "--stripe", "A")
    run(file, "add", "two")
    with file.open("a") as more:
        more.write(
            '\n[[keys]]\nid = "cccc"\nname = "three"\nexpires = 2026-01-02T00:00:00Z\n'
            f'created = 2026-01-01T00:00:00Z\nsha256 = "{"0" * 64}"\nfeeds = []\n'
        )
    run(file, "revoke", read_key_file(file).keys[1].id)

    listed = [json.loads(line) for line in run(file, "list", "--json").stdout.splitlines()]
    assert [(each["name"], each["state"]) for each in listed] == [
        ("one", "active"),
        ("two", "revoked"),
        ("three", "expired"),
    ]
    assert listed[0]["stripes"] == ["A"]
    shown = run(file, "list").stdout
    for entry in read_key_file(file).keys:
        assert entry.id in shown
        assert entry.sha256 not in shown
        assert entry.sha256 not in json.dumps(listed)


def test_a_file_that_does_not_load_is_not_touched(file: Path) -> None:
    file.write_text("[[keys]]\nid = 3\n")

    assert f"{file}: keys.0.id = 3: write 4 to 16 small letters" in run(file, "add", "one", code=2).output
    assert file.read_text() == "[[keys]]\nid = 3\n"
    assert "can't be read" in run(file.parent / "absent.toml", "list", code=2).output
    assert "make the folder first" in run(file.parent / "no" / "keys.toml", "add", "x", code=2).output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--expires", "tomorrow"], "--expires 'tomorrow': write 90d, 2027-01-31 or 2027-01-31T12:00:00Z"),
        (["--expires", "2020-01-01"], "--expires '2020-01-01': is in the past"),
        (["--expires", "2099-01-31T12:00:00"], "say which zone it is in"),
        (["--connections-max", "0"], "connections_max = 0: write a whole number from 1 to 100000"),
        (["--requests-per-second", "nan"], "requests_per_second = nan: write a number from 0.1"),
        (["--stripe", "\ud800"], "write printable ASCII without spaces around it"),
        (["--feed", " itch"], 'feeds.0 = " itch": write printable ASCII without spaces around it'),
    ],
)
def test_a_wrong_option_leaves_no_file(file: Path, arguments: list[str], expected: str) -> None:
    assert expected in run(file, "add", "desk", *arguments, code=2).output
    assert list(file.parent.iterdir()) == []


def test_a_key_may_be_given_for_some_days(file: Path) -> None:
    run(file, "add", "desk", "--expires", "90d")
    run(file, "add", "other", "--expires", "2099-01-31T12:00:00.5Z")

    first, second = read_key_file(file).keys
    assert first.expires is not None
    assert timedelta(days=89) < first.expires - datetime.now(UTC) < timedelta(days=90)
    assert second.expires == datetime(2099, 1, 31, 12, tzinfo=UTC)


def test_an_expiry_is_days_a_day_or_a_moment() -> None:
    assert keys.parse_expiry("90d", NOW) == datetime(2027, 4, 15, 8, tzinfo=UTC)
    assert keys.parse_expiry("2027-01-31", NOW) == datetime(2027, 1, 31, tzinfo=UTC)
    assert keys.parse_expiry("2027-01-31T12:00:00+01:00", NOW) == datetime(2027, 1, 31, 11, tzinfo=UTC)
    for wrong in ("0d", "", "d", "2027-02-30", "999999d"):
        with pytest.raises(BadRequest, match="--expires"):
            keys.parse_expiry(wrong, NOW)


def test_two_who_add_at_once_lose_no_key(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda at: keys.add_key(file, {"name": f"k{at}"}, keys.new_key(), NOW), range(24))
        )

    assert {entry.id for entry in read_key_file(file).keys} == {entry.id for entry in made}
    assert len(made) == 24


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys.toml"
    link.symlink_to(tmp_path / "real" / "keys.toml")
    run(link, "add", "one")

    assert link.is_symlink()
    assert len(read_key_file(tmp_path / "real" / "keys.toml").keys) == 1


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(file, "add", "one")
    before = file.read_text()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", fail)
    assert "can't be written (No space left on device)" in run(file, "add", "two", code=2).output
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["keys.toml"]


def test_the_example_loads_and_opens_nothing() -> None:
    ring = KeyRing(EXAMPLE, read_key_file(EXAMPLE).keys)

    assert keys.state_of(ring.entries[0], NOW) == "revoked"

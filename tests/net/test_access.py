"""Who may what: keys by their hashes, holders who lose their right while connected, pages by their origin."""

import hmac
import os
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.net.access import OPEN_ACCESS, Access, Authority, KeyRing, Refused, origin_allowed
from gateway.net.access.keys import hash_of
from gateway.settings import KeysSettings, ServerSettings, Settings
from gateway.stripes import StripeTable

KEY = "sgw_" + "k" * 43
OTHER = "sgw_" + "o" * 43
NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
STRIPES = StripeTable.load(Path(__file__).resolve().parents[2] / "config" / "stripes.toml")


def entry(key: str = KEY, key_id: str = "a1b2c3d4", name: str = "desk", more: str = "") -> str:
    return f"""
[[keys]]
id = "{key_id}"
name = "{name}"
sha256 = "{hash_of(key)}"
created = 2026-01-01T00:00:00Z
{more}
"""


def ring(folder: Path, text: str) -> KeyRing:
    path = folder / "keys.toml"
    path.write_text(text)
    return KeyRing.load(path)


def access(folder: Path, more: str = "") -> Access:
    found = ring(folder, entry(more=more)).authenticate(KEY, NOW)
    assert found is not None
    return found


def test_a_key_is_known_by_its_hash_alone() -> None:
    # Worked out with sha256sum.
    assert hash_of("sgw_test") == "d9ce555f16a52b3d43395d390040a0a4dc5b256fe5df1066f59edc4bba75c794"


def test_the_right_key_gives_its_holders_access(tmp_path: Path) -> None:
    found = ring(tmp_path, entry() + entry(OTHER, "bbbb", "notebook")).authenticate(OTHER, NOW)

    assert found == Access("key:bbbb", "notebook")


@pytest.mark.parametrize(
    "wrong", ["", KEY[:-1], KEY + "k", KEY.upper(), f" {KEY}", hash_of(KEY), "\ud800", "k" * 300, "é"]
)
def test_any_other_key_gives_nothing(tmp_path: Path, wrong: str) -> None:
    assert ring(tmp_path, entry()).authenticate(wrong, NOW) is None


def test_a_megabyte_that_is_presented_as_a_key_is_not_even_hashed(tmp_path: Path) -> None:
    assert ring(tmp_path, entry()).judge("k" * 1_000_000, NOW) == Refused("no key is that long")


def test_a_key_ends_at_its_time(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry(more="expires = 2027-01-15T08:00:00Z"))

    before = keys.authenticate(KEY, NOW - 0.001)
    assert before is not None
    assert before.expires_at == NOW
    assert keys.authenticate(KEY, NOW) is None
    assert keys.judge(KEY, NOW) == Refused("key a1b2c3d4 has expired")


def test_a_revoked_key_gives_nothing(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry(more="revoked = 2026-06-01T00:00:00Z"))

    assert keys.judge(KEY, NOW) == Refused("key a1b2c3d4 was revoked")


def test_hashes_are_compared_in_constant_time_and_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def compare(ours: str, theirs: str) -> bool:
        compared.append(ours)
        return ours == theirs

    keys = ring(tmp_path, entry() + entry(OTHER, "bbbb"))
    monkeypatch.setattr(hmac, "compare_digest", compare)

    assert keys.authenticate(KEY, NOW) is not None
    assert compared == [hash_of(KEY), hash_of(OTHER)]


def test_a_star_is_everything_and_an_empty_list_nothing(tmp_path: Path) -> None:
    everything = access(tmp_path)
    nothing = access(tmp_path, "feeds = []\nmessages = []\nstripes = []\nreplay = false")

    assert everything.may_read_feed("itch")
    assert everything.may_read_message("AddOrder")
    assert everything.allowed_stripes(STRIPES) == frozenset(STRIPES.primaries)
    assert everything.replay
    assert not nothing.may_read_feed("itch")
    assert not nothing.may_read_message("AddOrder")
    assert nothing.allowed_stripes(STRIPES) == frozenset()
    assert not nothing.replay


def test_lists_are_without_case_and_compounds_are_their_members(tmp_path: Path) -> None:
    found = access(
        tmp_path,
        'feeds = ["Itch"]\nmessages = ["ADDORDER"]\nstripes = ["a", "S", "gone"]\nconnections_max = 2\n'
        "streams_max = 3\nrequests_per_second = 0.5",
    )

    assert found.may_read_feed("ITCH")
    assert not found.may_read_feed("glimpse")
    assert found.may_read_message("addOrder")
    assert not found.may_read_message("Trade")
    assert found.allowed_stripes(STRIPES) == {"A1", "A2", "S"}
    assert (found.connections_max, found.streams_max, found.requests_per_second) == (2, 3, 0.5)


def test_a_key_revoked_or_changed_while_in_use_is_found_after_the_reload(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry() + entry(OTHER, "bbbb"))
    desk, other = keys.authenticate(KEY, NOW), keys.authenticate(OTHER, NOW)
    assert desk is not None
    assert other is not None

    assert keys.renew(desk, NOW) == desk
    (tmp_path / "keys.toml").write_text(entry(more='revoked = 2026-06-01T00:00:00Z\nfeeds = ["itch"]'))
    assert keys.reload_if_changed() is True

    assert keys.renew(desk, NOW) == Refused("key a1b2c3d4 was revoked")
    assert keys.renew(other, NOW) == Refused("key:bbbb is no longer in keys.toml")


def test_a_changed_right_is_renewed(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry())
    desk = keys.authenticate(KEY, NOW)
    assert desk is not None
    (tmp_path / "keys.toml").write_text(entry(more='feeds = ["itch"]\nexpires = 2027-01-15T08:00:00Z'))
    keys.reload()

    renewed = keys.renew(desk, NOW - 1)
    assert isinstance(renewed, Access)
    assert renewed.feeds == {"itch"}
    assert keys.renew(desk, NOW) == Refused("key a1b2c3d4 has expired")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry())

    assert keys.reload_if_changed() is False
    replaced = tmp_path / "new"
    replaced.write_text(entry(OTHER))
    os.replace(replaced, tmp_path / "keys.toml")
    assert keys.reload_if_changed() is True
    assert keys.authenticate(KEY, NOW) is None
    assert keys.authenticate(OTHER, NOW) is not None


def test_a_broken_file_leaves_the_old_keys_in_force_and_is_told_once(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry())
    (tmp_path / "keys.toml").write_text("[[keys]")

    with pytest.raises(ConfigError, match=r"keys\.toml: is not TOML"):
        keys.reload_if_changed()
    assert keys.reload_if_changed() is False
    assert keys.authenticate(KEY, NOW) is not None
    (tmp_path / "keys.toml").unlink()
    with pytest.raises(ConfigError, match=r"keys\.toml: can't be read"):
        keys.reload_if_changed()
    assert keys.authenticate(KEY, NOW) is not None


def test_a_file_whose_permissions_were_put_right_is_read_again(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry())
    # It could not be read at the last look, and nothing is written into it now.
    (tmp_path / "keys.toml").chmod(0o000)
    with suppress(ConfigError):
        keys.reload_if_changed()
    (tmp_path / "keys.toml").chmod(0o640)

    assert keys.reload_if_changed() is True


def test_neither_key_nor_hash_is_in_a_repr(tmp_path: Path) -> None:
    keys = ring(tmp_path, entry())

    for text in (
        repr(keys.entries),
        repr(keys),
        repr(keys.judge(OTHER, NOW)),
        repr(keys.authenticate(KEY, NOW)),
    ):
        assert KEY not in text
        assert OTHER not in text
        assert hash_of(KEY) not in text


WRONG = {
    "key in place of its hash": (
        entry().replace(hash_of(KEY), KEY),
        "keys.desk.sha256 = (hidden): write the 64 small",
    ),
    "unknown limit": (
        entry(more="conections_max = 1"),
        "keys.desk.conections_max = 1: unknown key; did you mean conn",
    ),
    "limit of nothing": (
        entry(more="connections_max = 0"),
        "keys.desk.connections_max = 0: write a whole number from 1",
    ),
    "no zone": (entry(more="expires = 2027-01-15T08:00:00"), "keys.desk.expires = 2027-01-15 08:00:00: "),
    "a day": (
        entry(more="expires = 2027-01-15"),
        "keys.desk.expires = 2027-01-15: write a moment with its zone",
    ),
    "one word for a list": (entry(more='feeds = "itch"'), 'keys.desk.feeds = "itch": write a list'),
    "yes": (entry(more='replay = "yes"'), 'keys.desk.replay = "yes": write true or false'),
    "no id": (entry().replace('id = "a1b2c3d4"', ""), "keys.desk.id = (absent): it is required"),
    "an id twice": (
        entry() + entry(OTHER, name="two"),
        "keys.two.id = \"a1b2c3d4\": key 'desk' has this id too",
    ),
    "a key twice": (
        entry() + entry(key_id="bbbb", name="two"),
        "keys.two.sha256 = (hidden): key a1b2c3d4 has this hash",
    ),
    "no list": ("keys = 3", "keys = 3: write one or more tables"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_file_names_file_key_value_and_remedy(tmp_path: Path, case: str) -> None:
    text, expected = WRONG[case]

    with pytest.raises(ConfigError) as caught:
        ring(tmp_path, text)

    assert f"{tmp_path / 'keys.toml'}: {expected}" in str(caught.value)
    assert KEY not in str(caught.value)


def authority(folder: Path, text: str | None, *, open_access: bool = False) -> Authority:
    path = folder / "keys.toml"
    if text is not None:
        path.write_text(text)
    return Authority.load(
        Settings(server=ServerSettings(open_access=open_access), keys=KeysSettings(file=path))
    )


def test_without_open_access_nobody_is_let_in_without_a_key(tmp_path: Path) -> None:
    door = authority(tmp_path, entry())

    assert door.admit(None, NOW) == Refused("no key")
    assert door.admit("", NOW) == Refused("no key")
    assert door.admit(OTHER, NOW) == Refused("unknown key")
    assert door.admit("a.b.c", NOW) == Refused("unknown key")
    assert door.admit(KEY, NOW) == Access("key:a1b2c3d4", "desk")


def test_with_open_access_everybody_is_let_in_and_a_right_key_still_names_its_holder(tmp_path: Path) -> None:
    door = authority(tmp_path, entry(), open_access=True)

    assert door.admit(None, NOW) is OPEN_ACCESS
    assert door.admit(OTHER, NOW) is OPEN_ACCESS
    assert door.admit(KEY, NOW) == Access("key:a1b2c3d4", "desk")
    assert door.renew(OPEN_ACCESS, NOW) is OPEN_ACCESS


def test_a_key_file_may_come_later(tmp_path: Path) -> None:
    door = authority(tmp_path, None)

    assert door.admit(KEY, NOW) == Refused("unknown key")
    assert door.reload_if_changed() is False
    (tmp_path / "keys.toml").write_text(entry())
    assert door.reload_if_changed() is True
    assert isinstance(door.admit(KEY, NOW), Access)


DESK = ("https://desk.example", "http://localhost:8080")


@pytest.mark.parametrize(
    "origin",
    [
        None,  # no browser
        "https://desk.example",
        "https://DESK.example",
        "https://desk.example:443",
        "http://localhost:8080",
        "https://gw.example:8765",  # our own page
        "http://gw.example:8765",  # the same behind a proxy that takes the TLS off
    ],
)
def test_row_31_a_right_origin_may_connect(origin: str | None) -> None:
    assert origin_allowed(origin, DESK, "gw.example:8765")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "http://desk.example",  # another scheme
        "https://desk.example:444",
        "https://desk.example.evil.example",
        "https://evil-desk.example",
        "https://evil.example/https://desk.example",
        "https://desk.example/",
        "https://desk.example@evil.example",
        "https://evil.example#https://desk.example",
        "https://evil.example?desk.example",
        "https://desk.example evil",
        "https://desk.example\n",
        "https://desk.example:",
        "https://desk.example:99999",
        "https://desk.example.",
        "//desk.example",
        "desk.example",
        "file://desk.example",
        "https://ｄesk.example",
        "https://des\u212a.example",  # the Kelvin sign, a k in small letters
        "http://localhost",
        "https://gw.example",
        "https://gw.example:8765.evil.example",
        "https://[gw.example",
    ],
)
def test_row_31_a_wrong_origin_or_a_suffix_of_a_right_one_may_not(origin: str) -> None:
    assert not origin_allowed(origin, DESK, "gw.example:8765")


def test_a_default_port_is_the_same_said_or_not() -> None:
    assert origin_allowed("https://gw.example", (), "gw.example")
    assert origin_allowed("https://gw.example", (), "gw.example:443")
    assert origin_allowed("http://[::1]:8765", (), "[::1]:8765")
    assert not origin_allowed("http://gw.example", (), "gw.example:443")
    assert not origin_allowed("http://gw.example", (), "")

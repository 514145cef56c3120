"""Settings come whole from a file and the environment, or not at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings
from gateway.settings.types import split_address

FEED = """
[[feeds]]
name = "itch"
endpoints = [{ name = "primary", address = "exchange.example:9000" }]
"""
OPEN = {"GATEWAY_SERVER__OPEN_ACCESS": "true"}


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def load(folder: Path, text: str, **environ: str) -> Settings:
    return load_settings(write(folder, text), OPEN | environ)


def errors(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    return str(caught.value).splitlines()


def test_without_a_file_the_defaults_and_the_environment_hold() -> None:
    loaded = load_settings(None, OPEN | {"GATEWAY_SERVER__PORT": "9001", "HOME": "/root"})

    assert (loaded.server.port, loaded.server.host) == (9001, "127.0.0.1")
    assert loaded.feeds == ()


def test_files_are_looked_up_beside_the_settings_and_the_journal_is_not(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[stripes]\nfile = "mine.toml"\n[journal]\nfolder = "j"\n' + FEED)

    assert loaded.stripes.file == tmp_path / "mine.toml"
    assert loaded.keys.file == tmp_path / "keys.toml"
    assert loaded.journal.folder == Path("j")
    assert load(tmp_path, '[keys]\nfile = "/etc/keys.toml"').keys.file == Path("/etc/keys.toml")


def test_definitions_are_a_name_or_a_path(tmp_path: Path) -> None:
    feed = FEED.replace('name = "itch"\n', 'name = "itch"\ndefinitions = "own/mine.xml"\n')

    assert load(tmp_path, FEED).feeds[0].definitions == "itch50"
    assert load(tmp_path, feed).feeds[0].definitions == str(tmp_path / "own/mine.xml")


def test_the_environment_wins_over_the_file_at_every_depth(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "[server]\nport = 1\nrequests_per_second = 3\n" + FEED,
        GATEWAY_SERVER__PORT="9002",
        GATEWAY_SERVER__REQUESTS_PER_SECOND="2.5",
        GATEWAY_SERVER__COMPRESSION="Yes",
        GATEWAY_SERVER__ALLOWED_ORIGINS="https://a.example, https://b.example",
        GATEWAY_SERVER__TLS_KEY_FILE="",
        GATEWAY_LOG__LEVEL="debug",
        GATEWAY_FEEDS__ITCH__VERSION="4.10",
        GATEWAY_FEEDS__0__VIEWS='["StockPrint"]',
        GATEWAY_FEEDS__itch__ENDPOINTS__PRIMARY__ADDRESS="[::1]:9001",
        GATEWAY_FEEDS__ITCH__ENDPOINTS__1__NAME="secondary",
        GATEWAY_FEEDS__ITCH__ENDPOINTS__1__ADDRESS="b.example:9000",
    )

    assert loaded.server.port == 9002
    assert loaded.server.requests_per_second == 2.5
    assert loaded.server.compression is True
    assert loaded.server.allowed_origins == ("https://a.example", "https://b.example")
    assert loaded.server.tls_key_file is None
    assert loaded.log.level == "debug"
    feed = loaded.feeds[0]
    assert (feed.version, feed.views) == ("4.10", ("StockPrint",))
    assert [(each.name, each.host, each.port) for each in feed.endpoints] == [
        ("primary", "::1", 9001),
        ("secondary", "b.example", 9000),
    ]


def test_feeds_can_come_from_the_environment_alone() -> None:
    one = '[{"name": "itch", "endpoints": [{"name": "a", "address": "x:1"}]}]'
    loaded = load_settings(
        None,
        OPEN
        | {
            "GATEWAY_FEEDS": one,
            "GATEWAY_FEEDS__ITCH__USER": "me",
            "GATEWAY_FEEDS__1__NAME": "my-glimpse",
            "GATEWAY_FEEDS__1__ENDPOINTS": '[{"name": "a", "address": "y:1"}]',
        },
    )

    assert [(feed.name, feed.user) for feed in loaded.feeds] == [("itch", "me"), ("my-glimpse", "")]


def test_a_name_with_a_dash_is_found_with_an_underscore(tmp_path: Path) -> None:
    loaded = load(tmp_path, FEED.replace('"itch"', '"my-itch"'), GATEWAY_FEEDS__MY_ITCH__USER="me")

    assert loaded.feeds[0].user == "me"


def test_the_eleventh_item_is_added_after_the_tenth() -> None:
    made = {f"GATEWAY_FEEDS__{at}__NAME": f"feed{at}" for at in range(12)}
    made |= {f"GATEWAY_FEEDS__{at}__ENDPOINTS__0__NAME": "a" for at in range(12)}
    made |= {f"GATEWAY_FEEDS__{at}__ENDPOINTS__0__ADDRESS": "x:1" for at in range(12)}

    assert [feed.name for feed in load_settings(None, OPEN | made).feeds] == [f"feed{at}" for at in range(12)]


def test_variables_of_others_are_left_alone() -> None:
    foreign = {
        "GATEWAY_PORT": "tcp://10.0.0.1:8765",
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_WS": "8765",
        "GATEWAY_PORT_8765_TCP_ADDR": "10.0.0.1",
        "GATEWAY_CONFIG": "x.toml",
        "GATEWAYS": "3",
    }

    assert load_settings(None, OPEN | foreign) == load_settings(None, OPEN)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        (
            "GATEWAY_SERVER_PORT",
            "1",
            'GATEWAY_SERVER_PORT: server_port = "1": no such setting; did you mean GATEWAY_SERVER__PORT?',
        ),
        ("GATEWAY_PORT", "9000", 'port = "9000": no such setting; did you mean GATEWAY_SERVER__PORT?'),
        ("GATEWAY_SERVER__PROT", "1", 'prot = "1": no such setting; did you mean GATEWAY_SERVER__PORT?'),
        ("GATEWAY_JURNAL__FOLDER", "x", "no such setting; did you mean GATEWAY_JOURNAL__FOLDER?"),
        ("GATEWAY_NONSENSE", "x", "no such setting; known are server, journal,"),
        ("GATEWAY_SERVER__PORT", "http", 'server.port = "http": write a whole number from 0 to 65535'),
        ("GATEWAY_SERVER__PORT__X", "1", 'server.port.x = "1": no such setting; nothing stands inside it'),
        ("GATEWAY_SERVER__COMPRESSION", "maybe", 'server.compression = "maybe": write true or false'),
        ("GATEWAY_SERVER__HEARTBEAT_S", "nan", "server.heartbeat_s = nan: write a number from 0.1 to 9.5"),
        ("GATEWAY_SERVER__ALLOWED_ORIGINS", "[1", "server.allowed_origins = (hidden): write it as JSON"),
        ("GATEWAY_FEEDS", "itch", "GATEWAY_FEEDS: feeds = (hidden): write it as JSON"),
        ("GATEWAY_FEEDS", '{"a": 1}', "feeds = (a table): write one or more tables in double brackets"),
        (
            "GATEWAY_FEEDS__GLIMPSE__USER",
            "x",
            "name an item and a key in it; there are itch, and number 1 adds one",
        ),
        ("GATEWAY_FEEDS__7__USER", "x", "feeds.7 = (hidden): name an item"),
        (
            "GATEWAY_FEEDS__ITCH",
            "x",
            "GATEWAY_FEEDS__ITCH: feeds.itch = (hidden): name an item and a key in it",
        ),
        ("GATEWAY_SERVER", "x", "GATEWAY_SERVER: server = (hidden): write it as JSON"),
        ("GATEWAY_SERVER__HOST", "a b", 'GATEWAY_SERVER__HOST: server.host = "a b": write an address'),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str, expected: str) -> None:
    told = errors(tmp_path, FEED, **{variable: text})

    assert len(told) == 1
    assert told[0].startswith(f"{variable}: ")
    assert expected in told[0]


def test_everything_wrong_is_told_at_once_with_file_key_value_and_remedy(tmp_path: Path) -> None:
    text = """
    [server]
    port = "x"
    hots = "0.0.0.0"
    write_buffer_low_bytes = 1_000_000
    [log]
    level = "inof"
    [[feeds]]
    name = "itch"
    hot_standby = true
    endpoints = [{ name = "primary", address = "nowhere" }]
    """

    told = errors(tmp_path, text, GATEWAY_FEEDS__ITCH__SEQUENCE="-1")

    file = tmp_path / "gateway.toml"
    assert sorted(told) == sorted(
        [
            f'{file}: server.port = "x": write a whole number from 0 to 65535 (default 8765)',
            f'{file}: server.hots = "0.0.0.0": unknown key; did you mean host?',
            f'{file}: log.level = "inof": write one of debug, info, warning, error (default "info");'
            " did you mean info?",
            f'{file}: feeds.itch.endpoints.primary.address = "nowhere": write host and port, as in'
            ' "exchange.example:9000"',
            "GATEWAY_FEEDS__ITCH__SEQUENCE: feeds.itch.sequence = -1: write a whole number from 0 to"
            " 9223372036854775807 (default 1)",
        ]
    )


def test_what_does_not_go_together_is_told_beside_what_is_wrong_by_itself(tmp_path: Path) -> None:
    told = errors(tmp_path, "[server]\nport = 70_000\nwrite_buffer_low_bytes = 300_000\n")

    assert len(told) == 2
    assert "server.port = 70000: write a whole number from 0 to 65535" in told[0]
    assert "server.write_buffer_low_bytes = 300000: must be below write_buffer_high_bytes = 262144" in told[1]


def test_a_default_that_stands_in_for_a_wrong_value_is_not_blamed(tmp_path: Path) -> None:
    told = errors(tmp_path, "[server]\nwrite_buffer_low_bytes = 300_000\nwrite_buffer_high_bytes = true\n")

    assert len(told) == 1
    assert "server.write_buffer_high_bytes = true: write a whole number" in told[0]


def test_a_conflict_that_a_variable_made_names_the_variable(tmp_path: Path) -> None:
    told = errors(tmp_path, "", GATEWAY_SERVER__WRITE_BUFFER_HIGH_BYTES="65536")

    assert told == [
        "GATEWAY_SERVER__WRITE_BUFFER_HIGH_BYTES: server.write_buffer_low_bytes = (absent): must be below"
        " write_buffer_high_bytes = 65536"
    ]


def test_nobody_is_let_in_without_a_key_unless_the_file_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, '[server]\nhost = "0.0.0.0"\n')
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert "server.open_access = (absent): nobody could log on: " in str(caught.value)
    assert "is no file that can be seen, and [jwt] is off" in str(caught.value)
    assert "`gateway keys add`, or write open_access = true" in str(caught.value)

    assert load_settings(path, OPEN).server.open_access is True
    (tmp_path / "keys.toml").write_text("")
    assert load_settings(path, {}).server.open_access is False


def test_open_access_is_no_default_even_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody could log on"):
        load_settings(write(tmp_path, '[server]\nhost = "127.0.0.1"\n'), {})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_told_from_the_rest(tmp_path: Path, host: str, loopback: bool) -> None:
    assert load(tmp_path, f'[server]\nhost = "{host}"\n').server.is_loopback is loopback


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: can't be read"):
        load_settings(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigError, match=r"gateway\.toml: is not TOML: .*line 1"):
        load(tmp_path, "[server\n")
    with pytest.raises(ConfigError, match=r"can't be read \(Is a directory\)"):
        load_settings(tmp_path, {})


def test_a_mark_that_editors_put_in_front_of_a_file_does_no_harm(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff[server]\nport = 9000\nopen_access = true\n").server.port == 9000


def test_a_table_where_a_value_belongs_and_the_reverse_are_told(tmp_path: Path) -> None:
    assert "log = 3: make it a table, [log]" in errors(tmp_path, "log = 3")[0]
    assert "server.port = (a table): write a whole number" in errors(tmp_path, "[server.port]\nx = 1")[0]
    assert "feeds.0 = 1: " in errors(tmp_path, "feeds = [1]")[0]
    assert "server = 3: make it a table" in errors(tmp_path, "server = 3", GATEWAY_SERVER__PORT="1")[0]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1  # type: ignore[misc]


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.text(max_size=30) | st.from_regex(r"[\[\]:a-z0-9]{1,12}:[0-9]{1,6}", fullmatch=True))
def test_an_address_is_a_host_and_a_port_or_an_error(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return

    assert host
    assert 1 <= port <= 65_535
    assert text in (f"{host}:{text.rpartition(':')[2]}", f"[{host}]:{text.rpartition(':')[2]}")


def test_the_errors_shown_in_the_documentation_are_the_true_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    write(tmp_path / "config", "[server]\nprot = 9000\n" + FEED)

    with pytest.raises(ConfigError) as caught:
        load_settings(Path("config/gateway.toml"), OPEN | {"GATEWAY_FEEDS__ITCH__SEQUENCE": "-1"})

    for line in str(caught.value).splitlines():
        assert f"\n{line}\n" in page

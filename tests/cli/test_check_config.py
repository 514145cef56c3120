"""`gateway check-config` says file, key, value and remedy of what is wrong, and warns of what is unwise."""

import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from gateway.cli import unwise
from gateway.cli.check_config import check_config
from gateway.cli.examination import Examination, examine
from gateway.cli.unwise import Machine
from gateway.net.access.keys import hash_of

CONFIG = Path(__file__).resolve().parents[2] / "config"
FEED = '[[feeds]]\nname = "itch"\nendpoints = [{ name = "one", address = "127.0.0.1:9000" }]\n'
# OpenSSL asks the machine's own clock whether a certificate is over.
NOW = datetime.datetime.now(datetime.UTC)
FREE_BYTES = 100 << 30
# Right as a file; but of a feed nobody could say which of the two a message is.
TWO_GROUPS = """<root><messages-root>
<message id="A" message-id="A" direction="outgoing" message-group="1"/>
<message id="B" message-id="A" direction="outgoing" message-group="2"/>
</messages-root></root>"""
ENTRY = f"""
[[keys]]
id = "a1b2c3d4"
name = "desk"
sha256 = "{hash_of("sgw_x")}"
created = 2026-01-01T00:00:00Z
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings with nothing wrong or unwise in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stripes.toml").write_text((CONFIG / "stripes.toml").read_text())
    (tmp_path / "keys.toml").write_text(ENTRY)
    (tmp_path / "keys.toml").chmod(0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "two.xml").write_text(TWO_GROUPS)
    return tmp_path


def look(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Examination:
    path = folder / "gateway.toml"
    path.write_text(text)
    return examine(path, environ or {}, Machine(NOW.timestamp(), 10_000, lambda _: FREE_BYTES))


def feed(line: str) -> str:
    return FEED.replace('name = "itch"\n', f'name = "itch"\n{line}\n')


def endpoint(words: str) -> str:
    return FEED.replace(" }", f", {words} }}")


# What is written, the key, its value as told, and the remedy.
WRONG: list[tuple[str, str, str, str]] = [
    (
        "[server]\nport = 70_000",
        "server.port",
        "70000",
        "write a whole number from 0 to 65535 (default 8765)",
    ),
    ('[server]\nport = "8765"', "server.port", '"8765"', "write a whole number"),
    ("[server]\nport = true", "server.port", "true", "write a whole number"),
    ("[server]\nprot = 1", "server.prot", "1", "unknown key; did you mean port?"),
    ('[server]\nhost = ""', "server.host", '""', "write an address or a host name without port"),
    (
        '[server]\nhost = "0.0.0.0:80/x"',
        "server.host",
        '"0.0.0.0:80/x"',
        "write an address or a host name without port",
    ),
    ('[server]\nopen_access = "yes"', "server.open_access", '"yes"', "write true or false"),
    ('[server]\ntls_key_file = "no.pem"', "server.tls_key_file", '"no.pem"', "there is no file"),
    (
        '[server]\ntls_key_file = "keys.toml"',
        "server.tls_certificate_file",
        "(absent)",
        "TLS needs tls_key_file and",
    ),
    ('[server]\nallowed_origins = ["*"]', "server.allowed_origins.0", '"*"', "name each origin"),
    (
        '[server]\nallowed_origins = ["desk.example"]',
        "server.allowed_origins.0",
        '"desk.example"',
        "write scheme and host",
    ),
    ('[server]\nallowed_origins = "https://a.b"', "server.allowed_origins", '"https://a.b"', "write a list"),
    (
        "[server]\nheartbeat_s = 10",
        "server.heartbeat_s",
        "10",
        "write a number from 0.1 to 9.5 (default 5.0)",
    ),
    ("[server]\nping_timeout_s = -1", "server.ping_timeout_s", "-1", "write a number from 0.1"),
    ("[server]\nclose_timeout_s = inf", "server.close_timeout_s", "inf", "write a number from 0.1 to 60"),
    ("[server]\nmax_message_bytes = 10", "server.max_message_bytes", "10", "write a whole number from 1024"),
    ("[server]\nmax_message_bytes = 1e5", "server.max_message_bytes", "100000.0", "write a whole number"),
    (
        "[server]\nwrite_buffer_low_bytes = 262_144",
        "server.write_buffer_low_bytes",
        "262144",
        "must be below write_buff",
    ),
    (
        "[server]\nrequests_burst = 5",
        "server.requests_burst",
        "5",
        "must be at least requests_per_second = 20",
    ),
    (
        "[server]\nconnections_max = 100",
        "server.connections_per_address_max",
        "(absent)",
        "must not be above connections",
    ),
    (
        "[server]\nstreams_max = 0",
        "server.streams_max",
        "0",
        "write a whole number from 1 to 10000 (default 64)",
    ),
    (
        '[journal]\nfolder = "keys.toml"',
        "journal.folder",
        '"keys.toml"',
        "it is a file, and a folder is needed",
    ),
    (
        '[journal]\nfolder = "keys.toml/journal"',
        "journal.folder",
        '"keys.toml/journal"',
        "name a folder that can be written",
    ),
    ("[journal]\nfsync_ms = 0", "journal.fsync_ms", "0", "write a number from 1 to 10000 (default 100.0)"),
    ("[journal]\nretention_days = 0", "journal.retention_days", "0", "write a number from 0.01 to 3650"),
    ("[stripes]\nfile = 3", "stripes.file", "3", 'write a path as text, as in "keys.toml"'),
    ('[keys]\nfile = "no.toml"', "server.open_access", "(absent)", "add a key with `gateway keys add`"),
    ('[jwt]\nalgorithms = ["none"]', "jwt.algorithms.0", '"none"', "write one of HS256, RS256, ES256"),
    (
        '[jwt]\nalgorithms = ["RS256"]',
        "jwt.public_key_file",
        "(absent)",
        "needs exactly one of public_key_file",
    ),
    ('[jwt]\nalgorithms = ["RS256"]', "jwt.audience", "(absent)", "name the audience"),
    (
        '[jwt]\nalgorithms = ["HS256", "RS256"]',
        "jwt.algorithms",
        '["HS256", "RS256"]',
        "HS256 must stand alone",
    ),
    ('[jwt]\nsecret_file = "keys.toml"', "jwt.secret_file", '"keys.toml"', "has no effect; write algorithms"),
    ('[log]\nlevel = "verbose"', "log.level", '"verbose"', "write one of debug, info, warning, error"),
    ('[log]\nformat = "JSON"', "log.format", '"JSON"', "did you mean json?"),
    ("[logging]\nlevel = 1", "logging", "(a table)", "unknown key; did you mean log?"),
    ("feeds = 1", "feeds", "1", "write one or more tables in double brackets"),
    ('[[feeds]]\nname = "x"', "feeds.x.endpoints", "(absent)", "it is required; write one or more tables"),
    ('[[feeds]]\nname = "x"\nendpoints = []', "feeds.x.endpoints", "[]", "write one or more tables"),
    (
        '[[feeds]]\nendpoints = [{ name = "a", address = "b:1" }]',
        "feeds.0.name",
        "(absent)",
        "it is required",
    ),
    (FEED.replace('"itch"', '"a feed"'), "feeds.a feed.name", '"a feed"', "write 1 to 32 ASCII letters"),
    (FEED + FEED.replace('"itch"', '"ITCH"'), "feeds.ITCH.name", '"ITCH"', "two feeds have this name"),
    (feed('definitions = "itch51"'), "feeds.itch.definitions", '"itch51"', "itch50"),
    (
        feed('user = "too long"'),
        "feeds.itch.user",
        '"too long"',
        "write text in quotes, at most 6 characters",
    ),
    (feed('password = "far too long"'), "feeds.itch.password", "(hidden)", "a password is at most 10"),
    (feed('password_file = "no"'), "feeds.itch.password_file", '"no"', "there is no file"),
    (feed('version = "5.00"'), "feeds.itch.version", '"5.00"', "write one of 3.00, 4.00, 4.10"),
    (feed("version = 4.1"), "feeds.itch.version", "4.1", "write one of 3.00, 4.00, 4.10"),
    (feed('login_justify = "rigth"'), "feeds.itch.login_justify", '"rigth"', "did you mean right?"),
    (feed("sequence = -1"), "feeds.itch.sequence", "-1", "write a whole number from 0"),
    (feed("hot_standby = true"), "feeds.itch.hot_standby", "true", "needs a second [[feeds.endpoints]]"),
    (
        feed("backoff_max_s = 0.1"),
        "feeds.itch.backoff_max_s",
        "0.1",
        "must be at least backoff_first_s = 0.5",
    ),
    (
        feed("backoff_jitter = 2"),
        "feeds.itch.backoff_jitter",
        "2",
        "write a number from 0 to 1 (default 0.3)",
    ),
    (
        feed('version = "4.10"\nheartbeat_timeout_ms = 900'),
        "feeds.itch.heartbeat_timeout_ms",
        "900",
        "must be above heartbeat_s = 1",
    ),
    (FEED.replace(":9000", ""), "feeds.itch.endpoints.one.address", '"127.0.0.1"', "write host and port"),
    (
        FEED.replace("127.0.0.1", "me:pw@venue"),
        "feeds.itch.endpoints.one.address",
        '"(hidden)venue:9000"',
        "write host and port only",
    ),
    (
        endpoint('user = "me"'),
        "feeds.itch.endpoints.one.user",
        '"me"',
        "it belongs to [[feeds]]; write it below",
    ),
    (feed("port = 9000"), "feeds.itch.port", "9000", "it belongs to [server]; write it below"),
    (feed("file = 3"), "feeds.itch.file", "3", "it belongs to [stripes] or [keys]"),
    ('[feeds]\nname = "x"', "feeds", "(a table)", "write one or more tables in double brackets, [[feeds]]"),
    (
        '[[feeds]]\nname = "x"\nendpoints = "127.0.0.1:9000"',
        "feeds.x.endpoints",
        '"127.0.0.1:9000"',
        "in double brackets, [[feeds.endpoints]]",
    ),
    (
        feed('password_file = "."').replace('"."', '"folder"'),
        "feeds.itch.password_file",
        '"folder"',
        "is a folder",
    ),
    (
        feed('definitions = "ouch50"\nviews = ["StockPrint"]'),
        "feeds.itch.views",
        '["StockPrint"]',
        "views need ITCH 5.0",
    ),
    (feed('views = ["Quote"]'), "feeds.itch.views", '["Quote"]', "correct it, or leave the line out"),
    (
        feed('definitions = "two.xml"'),
        "feeds.itch.definitions",
        '"two.xml"',
        "expected a group to choose one",
    ),
    (
        FEED.replace("9000", "0"),
        "feeds.itch.endpoints.one.address",
        '"127.0.0.1:0"',
        "a number from 1 to 65535",
    ),
    (
        FEED.replace("127.0.0.1", "::1"),
        "feeds.itch.endpoints.one.address",
        '"::1:9000"',
        "IPv6 address in brackets",
    ),
    (
        endpoint('tls_ca_file = "keys.toml"'),
        "feeds.itch.endpoints.one.tls_ca_file",
        '"keys.toml"',
        "write tls = true",
    ),
    (
        endpoint('tls = true, tls_key_file = "keys.toml"'),
        "feeds.itch.endpoints.one.tls_certificate_file",
        "(absent)",
        "tls_key_file needs the certificate",
    ),
    (
        FEED.replace("}]", '}, { name = "One", address = "x:1" }]'),
        "feeds.itch.endpoints.One.name",
        '"One"',
        "two endpoints have this name",
    ),
    (
        FEED.replace("}]", '}, { name = "two", address = "127.0.0.1:9000" }]'),
        "feeds.itch.endpoints.two.address",
        '"127.0.0.1:9000"',
        "is the address of endpoint one too",
    ),
]


@pytest.mark.parametrize(("text", "key", "value", "remedy"), WRONG)
def test_a_wrong_setting_names_file_key_value_and_remedy(
    folder: Path, text: str, key: str, value: str, remedy: str
) -> None:
    told = look(folder, text).problems

    start = f"{folder / 'gateway.toml'}: {key} = "
    shown = [line.removeprefix(start) for line in told if line.startswith(start)]
    assert len(shown) == 1, told
    assert shown[0].startswith(f"{_absolute(value, folder)}: ") or shown[0].startswith(f"{value}: ")
    assert remedy in shown[0]


def _absolute(value: str, folder: Path) -> str:
    return f'"{folder / value.strip(chr(34))}"'


def test_there_are_enough_wrong_settings() -> None:
    assert len(WRONG) >= 30
    assert len({key for _, key, _, _ in WRONG}) >= 30


def test_the_shipped_settings_are_right(folder: Path) -> None:
    found = look(folder, (CONFIG / "gateway.toml").read_text())

    assert (found.problems, found.warnings) == ([], [])
    assert found.stripes is not None
    assert len(found.definitions["itch"].messages) == 23
    assert [key.name for key in found.keys] == ["desk"]


def test_what_other_files_get_wrong_is_told_together(folder: Path) -> None:
    (folder / "stripes.toml").write_text('catch_all = "X"\n')
    (folder / "keys.toml").write_text(ENTRY.replace("a1b2c3d4", "A B"))
    (folder / "own.xml").write_text("<root>")
    (folder / "secret").write_text("hunter2")

    text = '[jwt]\nalgorithms = ["HS256"]\naudience = "us"\nsecret_file = "secret"\n'
    told = look(folder, text + feed('definitions = "own.xml"')).problems

    assert [line.split(": ")[0] for line in told] == [
        str(folder / name) for name in ("stripes.toml", "keys.toml", "secret", "gateway.toml")
    ]
    assert 'keys.desk.id = "A B": write 4 to 16 small letters and digits' in told[1]
    assert "a secret of 7 bytes can be guessed" in told[2]
    assert f'feeds.itch.definitions = "{folder / "own.xml"}": {folder / "own.xml"}, line 1' in told[3]
    assert not any("hunter2" in line for line in told)


def certificate(folder: Path, name: str, days: float = 9_999) -> tuple[Path, Path]:
    """A certificate and its key, good for so long from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=9_999))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    paths[1].chmod(0o600)
    return paths


def test_a_certificate_must_go_with_its_key(folder: Path) -> None:
    certificate(folder, "ours")
    certificate(folder, "other")
    right = '[server]\ntls_certificate_file = "ours.pem"\ntls_key_file = "ours.key"\n'
    line = (
        'tls = true, tls_ca_file = "ours.pem", tls_certificate_file = "ours.pem", tls_key_file = "ours.key"'
    )

    assert look(folder, right + endpoint(line)).problems == []
    assert look(folder, right + endpoint(line)).warnings == []
    wrong = look(
        folder, right.replace("ours.key", "other.key") + endpoint(line.replace("ours.key", "other.key"))
    )
    assert [told.split(" = ")[0].split(": ")[1] for told in wrong.problems] == [
        "server.tls_certificate_file",
        "feeds.itch.endpoints.one.tls_certificate_file",
    ]
    assert all("does not go with the key in" in told for told in wrong.problems)
    no_ca = look(folder, endpoint('tls = true, tls_ca_file = "ours.key"')).problems
    assert "tls_ca_file" in no_ca[0]
    assert "holds no certificate in PEM" in no_ca[0]


def test_a_key_with_a_password_asks_nobody_for_it(folder: Path) -> None:
    pem, path = certificate(folder, "ours")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"hunter2")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))

    told = look(
        folder, f'[server]\ntls_certificate_file = "{pem}"\ntls_key_file = "{path}"\n' + FEED
    ).problems

    assert "does not go with the key in" in told[0]


@pytest.mark.parametrize(
    ("days", "expected"),
    [(-1.0, "certificate has expired: nobody will connect"), (9.5, "ends in 9.5 days"), (15.0, None)],
)
def test_a_certificate_that_ends_is_warned_of(folder: Path, days: float, expected: str | None) -> None:
    pem, key = certificate(folder, "ours", days)

    text = f'[server]\ntls_certificate_file = "{pem}"\ntls_key_file = "{key}"\n'
    told = look(
        folder, text + endpoint(f'tls = true, tls_certificate_file = "{pem}", tls_key_file = "{key}"')
    )

    assert told.problems == []
    keys = [line.split(" = ")[0].removeprefix(f"{folder / 'gateway.toml'}: ") for line in told.warnings]
    assert keys == (
        ["server.tls_certificate_file", "feeds.itch.endpoints.one.tls_certificate_file"] if expected else []
    )
    assert all(str(expected) in line for line in told.warnings)


def test_a_journal_that_may_fill_its_disk_is_warned_of(folder: Path) -> None:
    session = folder / "journal" / "itch" / "1.sqlite"
    session.parent.mkdir(parents=True)
    session.write_bytes(bytes(1_000))
    text = '[journal]\nfolder = "journal"\nretention_bytes = '

    assert look(folder, f"{text}{FREE_BYTES + 1_000}\n{FEED}").warnings == []
    (told,) = look(folder, f"{text}{FREE_BYTES + 1_001}\n{FEED}").warnings
    assert f"journal.retention_bytes = {FREE_BYTES + 1_001}: the disk under journal has room for" in told


UNWISE: list[tuple[str, str]] = [
    (
        "[server]\nopen_access = true\n" + FEED,
        "server.open_access = true: everybody who is on this machine may read",
    ),
    (
        '[server]\nopen_access = true\nhost = "::"\n' + FEED,
        "server.open_access = true: everybody who can reach ::",
    ),
    (
        '[server]\nhost = "0.0.0.0"\n' + FEED,
        'server.host = "0.0.0.0": keys and data cross the network in clear',
    ),
    (
        "[server]\nquery_key_allowed = true\n" + FEED,
        "server.query_key_allowed = true: keys in addresses end in the logs",
    ),
    (
        "[server]\nconnections_max = 9_999\n" + FEED,
        "connections_max = 9999: the process may open 10000 files; allow 10063",
    ),
    ("", "feeds = []: nothing will be received; add a [[feeds]]"),
    (feed("silence_s = 1.5"), "feeds.itch.silence_s = 1.5: a server need say no more than a heartbeat each"),
    (feed("heartbeat_s = 15"), "feeds.itch.heartbeat_s = 15.0: servers end a line on which nothing comes"),
    (
        feed('password = "p"').replace("127.0.0.1", "venue"),
        'endpoints.one.address = "venue:9000": the password crosses',
    ),
    (
        feed('password = "p"'),
        "gateway.toml: mode = 0644: holds the password of feed itch, and is open to others; chmod",
    ),
]


@pytest.mark.parametrize(("text", "expected"), UNWISE)
def test_an_unwise_setting_is_right_and_warned_of(folder: Path, text: str, expected: str) -> None:
    (folder / "gateway.toml").touch(0o644)
    found = look(folder, text)

    assert found.problems == []
    assert any(expected in warning for warning in found.warnings), found.warnings


@pytest.mark.parametrize(
    ("mode", "weak"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o604, True)]
)
def test_files_with_secrets_must_not_be_open_to_others(folder: Path, mode: int, weak: bool) -> None:
    (folder / "password").write_text("p")
    (folder / "password").chmod(mode)
    (folder / "keys.toml").chmod(mode)

    told = look(folder, feed('password_file = "password"')).warnings

    assert [line.split(": ")[0] for line in told] == (
        [str(folder / "keys.toml"), str(folder / "password")] if weak else []
    )
    assert all(f"mode = {mode:04o}" in line for line in told)


def test_secrets_that_an_engine_mounts_have_the_modes_of_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "chmod 600", done as told, would take the file from the user that the container runs as.
    monkeypatch.setattr(unwise, "MOUNTED_SECRETS", folder)
    (folder / "password").write_text("p")
    for name in ("password", "keys.toml"):
        (folder / name).chmod(0o644)

    assert look(folder, feed('password_file = "password"')).warnings == []


def test_a_right_that_leads_nowhere_is_warned_of(folder: Path) -> None:
    rights = 'feeds = ["ITCH", "glimpse"]\nmessages = ["addorder", "Nothing"]\nstripes = ["a", "A9"]\n'
    (folder / "keys.toml").write_text(ENTRY + rights)

    told = look(folder, FEED).warnings

    assert [line.removeprefix(f"{folder / 'keys.toml'}: ") for line in told] == [
        'keys.a1b2c3d4.feeds = "glimpse": no such feed; it allows nothing',
        'keys.a1b2c3d4.messages = "Nothing": no feed has it; it allows nothing',
        'keys.a1b2c3d4.stripes = "A9": no such stripe; it allows nothing',
    ]


def test_a_key_file_in_which_no_key_opens_is_warned_of(folder: Path) -> None:
    (folder / "keys.toml").write_text(ENTRY + "revoked = 2026-01-02T00:00:00Z\n")

    assert look(folder, FEED).warnings == [
        f"{folder / 'keys.toml'}: keys = []: nobody can log on; add a key with `gateway keys add`"
    ]


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(check_config)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_the_summary_shows_feeds_stripes_and_gaps(folder: Path) -> None:
    path = folder / "gateway.toml"
    path.write_text('[server]\nhost = "::1"\n' + feed('user = "me"\npassword = "hunter2"'))
    path.chmod(0o600)

    code, output = run("--config", str(path))

    assert code == 0
    assert "ws://[::1]:8765, let in: 1 key\n" in output
    assert "itch50 (23 messages)" in output
    assert "one 127.0.0.1:9000" in output
    assert "TSLAA up to ZZZZZZ" in output
    assert "In no range, so in X unless a set names them: below A; ZZZZZZ and above" in output
    assert "gateway.toml is right." in output
    assert "hunter2" not in output


def test_the_exit_code_is_2_if_anything_is_wrong_and_with_strict_if_anything_is_unwise(folder: Path) -> None:
    path = folder / "gateway.toml"
    path.write_text('[server]\nopen_access = true\nallowed_origins = ["[red]"]\n' + FEED)
    code, output = run("-c", str(path))
    assert code == 2
    assert 'server.allowed_origins.0 = "[red]": write scheme and host' in output

    path.write_text("[server]\nopen_access = true\n" + FEED)
    assert run("-c", str(path))[0] == 0
    assert "warning" in run("-c", str(path))[1]
    assert run("-c", str(path), "--strict")[0] == 2
    assert run("-c", str(folder / "absent.toml"))[0] == 2

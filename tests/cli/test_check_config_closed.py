"""What the service may not read is told like everything else that is wrong, never as a traceback."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.examination import examine
from tests.cli.test_check_config import CONFIG, ENTRY, FEED, certificate

NOBODY = 65_534


@contextmanager
def service() -> Iterator[None]:
    """As a user who has no rights beyond the files' modes."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Settings that everybody may read, and in `closed` what only their owner may."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        made.chmod(0o755)
        closed = made / "closed"
        closed.mkdir()
        for path, text in (
            (made / "stripes.toml", (CONFIG / "stripes.toml").read_text()),
            (made / "keys.toml", ENTRY),
            (made / "secret", "p"),
            (closed / "keys.toml", ENTRY),
            (closed / "secret", "p"),
        ):
            path.write_text(text)
            path.chmod(0o644)
        (made / "secret").chmod(0o000)
        certificate(made, "ours")
        (made / "ours.key").chmod(0o000)
        closed.chmod(0o000)
        try:
            yield made
        finally:
            closed.chmod(0o700)


CLOSED: list[tuple[str, str, str]] = [
    (FEED + 'password_file = "secret"\n', "feeds.itch.password_file", "can't be read (Permission denied)"),
    (
        FEED + 'password_file = "closed/secret"\n',
        "feeds.itch.password_file",
        "let the service into its folder",
    ),
    ('[keys]\nfile = "closed/keys.toml"\n' + FEED, "server.open_access", "is no file that can be seen"),
    (
        '[server]\ntls_certificate_file = "ours.pem"\ntls_key_file = "ours.key"\n' + FEED,
        "server.tls_certificate_file",
        "ours.key can't be read (Permission denied); let the service read it",
    ),
    (
        '[server]\ntls_certificate_file = "closed/a.pem"\ntls_key_file = "ours.key"\n' + FEED,
        "server.tls_certificate_file",
        "let the service into its folder",
    ),
    (
        '[journal]\nfolder = "{}/closed/journal"\n' + FEED,
        "journal.folder",
        "let the service into the folder above it",
    ),
]


@pytest.mark.parametrize(("text", "key", "remedy"), CLOSED)
def test_what_is_closed_to_the_service_is_named(folder: Path, text: str, key: str, remedy: str) -> None:
    path = folder / "gateway.toml"
    path.write_text(text.replace("{}", str(folder)))
    path.chmod(0o644)
    # What is read for the first time, an encoding for instance, may be closed to nobody as well.
    examine(path, {})

    with service():
        (told,) = examine(path, {}).problems

    assert told.startswith(f"{path}: {key} = ")
    assert remedy in told


def test_keys_that_are_closed_are_an_error_even_where_nobody_needs_one(folder: Path) -> None:
    path = folder / "gateway.toml"
    path.write_text('[server]\nopen_access = true\n[keys]\nfile = "closed/keys.toml"\n' + FEED)
    path.chmod(0o644)
    examine(path, {})

    with service():
        (told,) = examine(path, {}).problems

    assert (
        told
        == f"{folder / 'closed/keys.toml'}: can't be read (Permission denied); correct the path or the file"
    )

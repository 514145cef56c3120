"""A password is read from where it is kept, and never shown: in no repr, no error, no JSON."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings import Settings, load_settings

SECRET = "hunter2"
OPEN = {"GATEWAY_SERVER__OPEN_ACCESS": "true"}


def load(folder: Path, feed: str, **environ: str) -> Settings:
    path = folder / "gateway.toml"
    path.write_text(f'[[feeds]]\nname = "itch"\nendpoints = [{{ name = "a", address = "x:1" }}]\n{feed}\n')
    return load_settings(path, OPEN | environ)


def password(settings: Settings) -> str:
    return settings.feeds[0].password.get_secret_value()


def test_a_password_is_read_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "itch.password").write_text(f"{SECRET}\n")

    loaded = load(tmp_path, 'password_file = "itch.password"')

    assert password(loaded) == SECRET
    assert loaded.feeds[0].password_file == tmp_path / "itch.password"


def test_the_environment_can_name_the_file_or_the_password(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)

    assert password(load(tmp_path, "", GATEWAY_FEEDS__ITCH__PASSWORD=SECRET)) == SECRET
    assert password(load(tmp_path, "", GATEWAY_FEEDS__ITCH__PASSWORD_FILE=str(file))) == SECRET
    assert (
        password(load(tmp_path, 'password = "old"', GATEWAY_FEEDS__ITCH__PASSWORD_FILE=str(file))) == SECRET
    )
    assert password(load(tmp_path, 'password_file = "no"', GATEWAY_FEEDS__ITCH__PASSWORD=SECRET)) == SECRET


def test_a_password_is_in_no_repr_and_no_dump(tmp_path: Path) -> None:
    loaded = load(tmp_path, f'password = "{SECRET}"')

    for text in (repr(loaded), str(loaded), loaded.model_dump_json(), repr(loaded.model_dump())):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("feed", "environ"),
    [
        (f'password = "{SECRET}{SECRET}"', {}),
        (f'password = ["{SECRET}"]', {}),
        (f'passwrod = "{SECRET}"', {}),
        (f'pasword = "{SECRET}"', {}),
        (f'api_key = "{SECRET}"', {}),
        (f'Password = "{SECRET}"', {}),
        (f'secret = {{ value = "{SECRET}" }}', {}),
        (f'password = "{SECRET}"\npassword_file = "f"\nversion = "5"', {}),
        (f'password = "{SECRET}"\nendpoints = 3', {}),
        (f'session = "me:{SECRET}@exchange"', {}),
        ("", {"GATEWAY_FEEDS__ITCH__PASSWORD": SECRET * 2}),
        ("", {"GATEWAY_FEEDS__ITCH__PASSWRD": SECRET}),
        ("", {"GATEWAY_FEEDS__ITHC__PASSWORD": SECRET}),
        ("", {"GATEWAY_FEEDS": f'[{{"password": "{SECRET}"'}),
        ("", {"GATEWAY_FEEDS": f'[{{"name": "x", "password": "{SECRET}"}}]'}),
        ("", {"GATEWAY_FEEDS": f'{{"name": "x", "password": "{SECRET}"}}'}),
        ("", {"GATEWAY_PASSWORD": SECRET}),
    ],
)
def test_a_wrong_setting_never_shows_a_secret(tmp_path: Path, feed: str, environ: dict[str, str]) -> None:
    feed = f"{feed}\n" if "endpoints" not in feed else feed
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, feed, **environ)

    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in str(chain)
        assert SECRET not in repr(chain)
        chain = chain.__cause__


def test_a_secret_file_that_can_not_be_read_is_named_and_its_content_is_not(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'feeds\.itch\.password_file = "no": there is no file .*/no; correct'
    ):
        load(tmp_path, 'password_file = "no"')
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r'"binary": can\'t be read \(it is not ASCII text\)'):
        load(tmp_path, 'password_file = "binary"')
    (tmp_path / "long").write_text(SECRET * 9)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, 'password_file = "long"')
    assert str(caught.value) == (
        f"{tmp_path / 'long'}: feeds.itch.password = (hidden): a password is at most 10 printable ASCII"
        " characters"
    )


def test_a_subscribers_key_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'source = "sgw_{SECRET * 6}"')

    assert SECRET not in str(caught.value)


def test_a_password_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(SECRET)

    with pytest.raises(ConfigError, match=r'password_file = "f": password is set as well; remove one'):
        load(tmp_path, 'password = "x"\npassword_file = "f"')

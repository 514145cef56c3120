"""What a reload does not take over is named, whichever setting it is: nobody waits for what will not come."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.app import TAKEN_OVER, _changed
from gateway.settings import EndpointSettings, FeedSettings, Settings

FEED = FeedSettings(name="itch", endpoints=(EndpointSettings(name="one", address="127.0.0.1:9000"),))
SETTINGS = Settings().model_copy(update={"feeds": (FEED,)})
KEYS = [
    (table, key)
    for table in type(SETTINGS).model_fields
    if table != "feeds"
    for key in type(getattr(SETTINGS, table)).model_fields
]


@pytest.mark.parametrize(("table", "key"), KEYS, ids=".".join)
def test_each_setting_is_taken_over_or_named(table: str, key: str) -> None:
    other = getattr(SETTINGS, table).model_copy(update={key: "another"})

    told = list(_changed(SETTINGS, SETTINGS.model_copy(update={table: other})))

    taken_over = table in TAKEN_OVER or f"{table}.{key}" in TAKEN_OVER
    assert told == ([] if taken_over else [f"{table}.{key}"])


@pytest.mark.parametrize("key", FeedSettings.model_fields)
def test_of_a_feed_only_who_we_are_is_taken_over(key: str) -> None:
    value = {"password": SecretStr("x"), "password_file": Path("x")}.get(key, "another")
    other = SETTINGS.model_copy(update={"feeds": (FEED.model_copy(update={key: value}),)})

    expected = [] if key in ("user", "password", "password_file") else ["feeds"]
    assert list(_changed(SETTINGS, other)) == expected

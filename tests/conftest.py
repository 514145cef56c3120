"""What every test may use: both event loops, and the folder of real messages."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each async test runs twice; one marked `one_loop` (long, or about processes) on uvloop only."""
    if item.get_closest_marker("one_loop"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_loop: run on uvloop only")


@pytest.fixture(scope="session")
def itch_data() -> Path:
    """The folder of real ITCH files, which stands beside the project and is never copied into it."""
    if not DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the real ITCH files in {DATA}")
        pytest.skip(f"REAL DATA NOT TESTED: there is no folder {DATA}")
    return DATA

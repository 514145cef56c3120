"""The client without async, and one worker per stripe."""

import subprocess
import sys
from itertools import islice

import pytest

from gateway.client import KeyRefused, SyncStream, connect_sync, for_each_stripe
from gateway.errors import BadRequest
from tests.fakes.scripted_gateway import ScriptedGateway

TICKERS = "ABCD"
MESSAGES = 400


@pytest.fixture
def gateway(threaded_gateway: ScriptedGateway) -> ScriptedGateway:
    for number in range(MESSAGES):
        threaded_gateway.publish("AddOrder", stock=TICKERS[number % 4])
    return threaded_gateway


def first_hundred(stripe: str, stream: SyncStream) -> list[tuple[str, int | None]]:
    """A worker, importable as those for processes have to be."""
    return [(message.stock, message.sequence_number) for message in islice(stream, MESSAGES // 4)]


def test_a_script_reads_by_for(gateway: ScriptedGateway) -> None:
    with connect_sync(gateway.url) as feed, feed.stream("AddOrder", resume="itch/S1/1") as stream:
        numbers = [message.sequence_number for message in islice(stream, 100)]
        rest = stream.next_batch()

    assert numbers == list(range(1, 101))
    assert rest[0].sequence_number == 101


def test_a_script_reads_batches_and_knows_where_it_stands(gateway: ScriptedGateway) -> None:
    count = 0
    with connect_sync(gateway.url) as feed, feed.stream("AddOrder", resume="itch/S1/1") as stream:
        for batch in stream.batches():
            count += len(batch)
            if count == MESSAGES:
                break
        assert [str(position) for position in stream.positions] == [f"itch/S1/{MESSAGES + 1}"]
        assert stream.doubles == 0
        with pytest.raises(TimeoutError):
            stream.next_batch(timeout_s=0.001)
        stream.close()
        assert list(stream) == []


def test_errors_reach_the_script(gateway: ScriptedGateway) -> None:
    gateway.key = "right"
    with connect_sync(gateway.url, "wrong") as feed, pytest.raises(KeyRefused):
        next(feed.stream("AddOrder"))


def test_a_stream_outside_of_the_connection_is_refused_at_once(gateway: ScriptedGateway) -> None:
    feed = connect_sync(gateway.url)
    with pytest.raises(RuntimeError, match="inside of"):
        feed.stream("AddOrder")
    with feed:
        pass
    with pytest.raises(RuntimeError, match="inside of"):
        feed.stream("AddOrder")


@pytest.mark.parametrize("processes", [0, 2])
def test_each_stripe_has_its_worker_and_all_are_complete_and_ordered(
    gateway: ScriptedGateway, processes: int
) -> None:
    results = for_each_stripe(
        first_hundred, gateway.url, "AddOrder", stripes=list(TICKERS), processes=processes, resume="itch/S1/1"
    )

    assert list(results) == list(TICKERS)
    for index, (ticker, seen) in enumerate(results.items()):
        assert seen == [(ticker, number) for number in range(index + 1, MESSAGES + 1, 4)]


def fails(stripe: str, stream: SyncStream) -> None:
    next(stream)
    raise ValueError(f"worker of {stripe}")


def test_an_error_of_a_worker_is_raised(gateway: ScriptedGateway) -> None:
    with pytest.raises(ValueError, match="worker of A"):
        for_each_stripe(fails, gateway.url, "AddOrder", stripes=["A"], resume="itch/S1/1")


@pytest.mark.parametrize("stripes", [[], ["A", "A"]])
def test_stripes_for_workers_are_checked(stripes: list[str]) -> None:
    with pytest.raises(BadRequest, match="none twice"):
        for_each_stripe(first_hundred, "localhost", "AddOrder", stripes=stripes)


def test_the_client_loads_nothing_of_the_server() -> None:
    code = "import gateway.client, sys; print('\\n'.join(sys.modules))"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )

    rooms = {name.split(".")[1] for name in loaded if name.startswith("gateway.")}
    assert rooms == {"client", "mlink", "errors"}
    strangers = {"uvloop", "typer", "rich", "pydantic_settings", "websockets.server", "pyarrow", "sqlite3"}
    assert not strangers & loaded
    assert "websockets.asyncio.server" not in loaded

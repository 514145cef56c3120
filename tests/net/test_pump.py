"""Those who read what is old take turns: however many there are, a live message waits for one piece."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.hub import Channel, Delivery, Hub, HubLimits, StreamSpec
from gateway.journal import Journal
from gateway.mlink.actions import StreamRequested
from gateway.mlink.choices import StreamResult
from gateway.mlink.session import SubscriberSession
from gateway.net.notices import notice_text
from gateway.net.pump import Pump
from gateway.net.streams import Streams
from gateway.simulator.market import Market
from gateway.soup import packets
from gateway.values import Block, Position
from tests.flow.pipe import frame
from tests.hub.rig import CODECS, STRIPES

READERS = 20
MESSAGES = Market(["AAPL"], seed=1).take(3_000)


class Line:
    """A connection that has room, or has none until it says so; the hub's sink and the pump's socket."""

    def __init__(self, wrote: Callable[[], None]) -> None:
        self._wrote = wrote
        self.writable = False
        self.bytes_written = 0
        self.wake: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        self.bytes_written += len(data)
        self._wrote()

    def backlog(self) -> int:
        return 0


class NoSubscriptions:
    def advance(self, now: float) -> tuple[bool, float]:
        return False, float("inf")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        yield journal


async def test_of_many_whose_sockets_drain_at_once_each_reads_in_a_turn_of_its_own(journal: Journal) -> None:
    """Each read its first piece in the same turn of the loop, so that live messages waited for them all."""
    loop = asyncio.get_running_loop()
    hub = Hub(HubLimits(), loop.call_soon, lambda: 1, notice_text)
    channel = Channel("itch", CODECS, STRIPES, journal)
    hub.add_channel(channel)
    for at in range(0, len(MESSAGES), 100):
        run = packets.sequenced_run(MESSAGES[at : at + 100])
        block = Block("DAY1", at + 1, 100, 1, run)
        journal.write([block])
        hub.publish("itch", block)
    pieces = [0]
    all_have_some = asyncio.Event()

    def wrote() -> None:
        pieces[-1] += 1
        if all(line.bytes_written for line in lines):
            all_have_some.set()

    async def count_turns() -> None:
        while True:
            pieces.append(0)
            await asyncio.sleep(0)

    spec = StreamSpec(True, frozenset({("itch", "AddOrder")}))
    lines: list[Any] = []
    tasks = []
    for number in range(READERS):
        line: Any = Line(wrote)
        session = SubscriberSession(framed=True, now=loop.time(), wall_ns=lambda: 1, logged_on=True)
        (asked,) = session.receive(frame("MLinkStream", msgName="AddOrder", activeLatency=1), loop.time())
        assert isinstance(asked, StreamRequested)
        session.ack_stream(asked, StreamResult.OK)
        streams = Streams(hub, session, lambda actions: None, keys_max=10)
        subscriptions: Any = NoSubscriptions()
        pump = Pump(
            line, session, streams, subscriptions, hub.turns, lambda actions: None, lambda code, why: None, 60
        )
        line.wake = pump.wake
        resume = {"itch": Position("DAY1", 1 + number)}
        stream = hub.open(line, spec, Delivery.EVERY, None, resume=resume)
        streams.begin(asked.id, stream, latency_s=0, coverage=False)
        lines.append(line)
        tasks.append(loop.create_task(pump.run()))
    counting = loop.create_task(count_turns())
    for _ in range(5):
        await asyncio.sleep(0)
    for line in lines:
        line.writable = True
        line.wake()
    await all_have_some.wait()
    for task in (*tasks, counting):
        task.cancel()
    await asyncio.gather(*tasks, counting, return_exceptions=True)

    assert max(pieces) == 1
    assert sum(pieces) >= READERS

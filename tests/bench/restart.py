"""A restart after kill -9, in the middle of a day: from the start of the process until it is ready.

The journal is generated: a market's opening, then its messages over and over; the state is saved as the
gateway does it, a while before the end. `python -m tests.bench restart` takes a few million messages;
by hand, with some 4 GB of disk:

    python -m tests.bench.restart 100
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.hub import Channel, Hub, HubLimits
from gateway.journal import Journal, JournalBusy, JournalLimits
from gateway.net.notices import notice_text
from gateway.simulator.market import Market
from gateway.soup import packets
from gateway.stripes import StripeTable
from gateway.values import Block, Position
from tests.fakes.scripted_upstream import Conversation, ScriptedUpstream
from tests.flow.process import ROOT, GatewayProcess, write_config
from tests.net.scraping import fetch

SESSION = "BENCH"
MILLIONS = 3.0
TICKERS = 8_000
# What one read of a busy market brings, and how many of them one commit of the generator.
BLOCK, BLOCKS = 64, 512
# Messages behind the saved state: 30 s of 20,000 a second.
TAIL = 600_000
CYCLE = 200_000
READY_WITHIN_S = 600.0

Row = tuple[str, float, str]


def run(millions: float = MILLIONS) -> list[Row]:
    """(what, messages a second of the whole journal, note)."""
    with tempfile.TemporaryDirectory(prefix="restart-") as name:
        folder = Path(name)
        began = time.perf_counter()
        count = write_day(folder / "journal", int(millions * 1e6))
        spent = time.perf_counter() - began
        size = sum(path.stat().st_size for path in (folder / "journal" / "itch").iterdir())
        rows: list[Row] = [
            ("journal written", count / spent, f"{count:,} messages, {size / 1e9:.2f} GB, {spent:.1f} s")
        ]
        for what in ("with the saved state", "without it"):
            rows.append(asyncio.run(_restarted(folder, count, what)))
            for state in (folder / "journal" / "itch").glob("*.state"):
                state.unlink()
        return rows


def write_day(folder: Path, count: int) -> int:
    """A running session of so many messages, and its state near the end; gives how many there are."""
    limits = JournalLimits(
        fsync_interval_s=1, checkpoint_bytes=64 << 20, log_bytes_max=4 << 30, stall_max_s=60
    )
    channel = Channel(
        "itch",
        Codecs(load_definitions("itch50")),
        StripeTable.load(ROOT / "config" / "stripes.toml"),
        reader=None,
    )
    hub = Hub(HubLimits(), lambda flush: None, time.time_ns, notice_text)
    hub.add_channel(channel)
    with Journal(folder, "itch", limits) as journal:
        journal.roll(SESSION)
        at, saved, batch = 1, False, []
        for raw, messages in _runs():
            batch.append(Block(SESSION, at, messages, time.time_ns(), raw))
            # Once around is all there is to learn.
            if at <= 2 * CYCLE:
                hub.publish("itch", batch[-1])
            at += messages
            if len(batch) == BLOCKS:
                _write(journal, batch)
                batch = []
                if not saved and at > max(2 * CYCLE, count - TAIL):
                    journal.save_checkpoint(Position(SESSION, at), channel.dump())
                    saved = True
                if at > count:
                    return at - 1
    raise AssertionError("a market never ends")


def _runs() -> Iterator[tuple[bytes, int]]:
    market = Market(TICKERS, seed=1)
    yield from _cut(market.opening())
    cycle = list(_cut(market.take(CYCLE)))
    while True:
        yield from cycle


def _cut(messages: list[bytes]) -> Iterator[tuple[bytes, int]]:
    for at in range(0, len(messages), BLOCK):
        some = messages[at : at + BLOCK]
        yield packets.sequenced_run(some), len(some)


def _write(journal: Journal, blocks: list[Block]) -> None:
    while True:
        try:
            journal.write(blocks)
            return
        except JournalBusy:
            time.sleep(0.05)


async def _restarted(folder: Path, count: int, what: str) -> Row:
    asked: list[tuple[str, int, float]] = []

    async def upstream(client: Conversation) -> None:
        login = await client.login()
        asked.append((login.session, login.next_seq, time.perf_counter()))
        client.accept(SESSION, login.next_seq)
        await client.until_gone()

    async with ScriptedUpstream(upstream) as server:
        gateway = GatewayProcess(write_config(folder, server.port, more="", checkpoint_s=3600.0))
        began = time.perf_counter()
        try:
            await gateway.start(within_s=READY_WITHIN_S)
            serving = time.perf_counter()
            while (await fetch(gateway.port, "/readyz"))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            ready = time.perf_counter()
            resident, highest = _memory(gateway.process.pid)
        finally:
            await gateway.kill()
    session, next_seq, _ = asked[0]
    assert (session, next_seq) == (SESSION, count + 1), "exactly the next number"
    spent = ready - began
    note = f"ready after {spent:.2f} s (port open after {serving - began:.2f} s), asked for {next_seq:,}, "
    note += f"{resident:.0f} MB resident, at most {highest:.0f} MB"
    return f"restart {what}", count / spent, note


def _memory(pid: int) -> tuple[float, float]:
    """Resident now and at most, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024


def main(tell: Callable[[str], None] = print) -> None:
    tell(f"{os.cpu_count()} CPUs")
    for what, rate, note in run(float(sys.argv[1]) if len(sys.argv) > 1 else MILLIONS):
        tell(f"{what:32} {rate:14,.0f}/s   {note}")


if __name__ == "__main__":
    main()

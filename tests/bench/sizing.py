"""What a gateway needs: memory and processor time by subscribers and rate, on a process of its own.

    python -m tests.bench.sizing

Times are those that the kernel charged to the process, so that other work on the machine hardly shows.
"""

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.fakes.raw_subscriber import upgrade
from tests.flow.pipe import frame
from tests.flow.process import GatewayProcess, write_config
from tests.net.scraping import scrape, value

RATES = (0, 500, 2_000, 20_000)
SUBSCRIBERS = (0, 10, 100, 500)
SETTLE_S, MEASURED_S = 2.0, 6.0
LIMITS = "connections_max = 2000\nconnections_per_address_max = 2000\n"


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Swallower(asyncio.BufferedProtocol):
    """A subscriber of everything that looks at nothing: what is measured is the other side."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 18)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        request = frame("MLinkStream", msgName="*", queryID=1, activeLatency=1).encode()
        # Masked, as a client's frames are, with a mask of zeros.
        header = bytes([0x81, 0x80 | 126]) + len(request).to_bytes(2, "big") + bytes(4)
        transport.write(upgrade() + header + request)  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        pass


async def feed(exchange: Exchange, market: Market, rate: int) -> None:
    """What a market brings in a millisecond, each millisecond."""
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    while True:
        await asyncio.sleep(0.001)
        due = int((loop.time() - began) * rate) - sent
        exchange.extend(market.take(due))
        sent += due


async def measured(rate: int, subscribers: int) -> tuple[float, float, float, int]:
    """(memory in MB, share of a core, mean latency in ms, streams not live), all reading everything live."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        market = Market(250, 1)
        exchange = await stack.enter_async_context(Exchange())
        exchange.extend(market.opening())
        gateway = GatewayProcess(write_config(folder, exchange.port, server=LIMITS))
        stack.push_async_callback(gateway.kill)
        await gateway.start()
        for _ in range(subscribers):
            transport, _ = await loop.create_connection(Swallower, "127.0.0.1", gateway.port)
            stack.callback(transport.close)
        while value(await scrape(gateway.port), "streams", state="live") < subscribers:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        feeding = asyncio.create_task(feed(exchange, market, rate))
        stack.callback(feeding.cancel)
        await asyncio.sleep(SETTLE_S)
        pid = gateway.process.pid
        before, at = cpu_s(pid), loop.time()
        first = await scrape(gateway.port)
        await asyncio.sleep(MEASURED_S)
        share = (cpu_s(pid) - before) / (loop.time() - at)
        memory = memory_mb(pid)
        last = await scrape(gateway.port)
        writes, late_s = (
            value(last, name) - value(first, name)
            for name in ("delivery_latency_seconds_count", "delivery_latency_seconds_sum")
        )
        slow = subscribers - int(value(last, "streams", state="live"))
        return memory, share, 1e3 * late_s / max(writes, 1), slow


async def main() -> None:
    print("messages/s  subscribers     memory  of a core  mean latency  not live")
    for rate in RATES:
        for subscribers in SUBSCRIBERS:
            memory, share, late_ms, slow = await measured(rate, subscribers)
            line = f"{rate:>10,}  {subscribers:>11,}  {memory:>6.0f} MB  {share:>9.0%}"
            print(f"{line}  {late_ms:>9.1f} ms  {slow:>8}", flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())

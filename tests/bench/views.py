"""Book updates per second on a generated day, and what the records of views cost beside them.

`python -m tests.bench.views 5000000` measures a day of five million messages; `run()` a shorter one. Times
are the processor's, so that others on the machine disturb them less; those in the notes are medians over
blocks of 256 messages. Memory is what the allocator counts, for the books alone.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.simulator.market import Market
from gateway.values import Block
from gateway.views import Engine, ViewedCodecs
from gateway.views.book import Books

MESSAGES = 300_000
TICKERS = 500
BLOCK = 256
ORDERS = 200_000
BOOK_ONLY: tuple[str, ...] = ()


def day(count: int) -> Iterator[Block]:
    """A generated day in blocks, made as it is read, so that it may be long."""
    market = Market(TICKERS, 1)
    opening = market.opening()
    first_seq = 1
    for messages in [opening, *([None] * (count // BLOCK))]:
        some = market.take(BLOCK) if messages is None else messages
        raw = b"".join((len(each) + 1).to_bytes(2, "big") + b"S" + each for each in some)
        yield Block("bench", first_seq, len(some), 1_700_000_000_000_000_000, raw)
        first_seq += len(some)


def measured(
    codecs: Codecs, views: Sequence[str], wanted: Sequence[str], count: int
) -> tuple[float, float, Engine]:
    """Messages per second, median time per message in µs, and the engine afterwards."""
    engine = Engine(ViewedCodecs(codecs, views))
    engine.want(wanted)
    spent, medians, number = 0.0, [], 0
    for block in day(count):
        began = time.thread_time()
        engine.take(block)
        took = time.thread_time() - began
        spent += took
        number += block.count
        medians.append(took / block.count * 1e6)
    return number / spent, statistics.median(medians), engine


def bytes_per_order() -> float:
    """Of a book with many resting orders on some levels, levels included."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        books = Books()
        for reference in range(1, ORDERS + 1):
            books.add(reference * 7, 2 + reference % (2 * TICKERS), 100 * (1_000 + reference % 40), 100)
        return (tracemalloc.get_traced_memory()[0] - before) / len(books.orders)
    finally:
        tracemalloc.stop()


def run(count: int = MESSAGES) -> list[tuple[str, float, str]]:
    codecs = Codecs(load_definitions("itch50"))
    rows = []
    for what, views, wanted in (
        ("books alone", BOOK_ONLY, ()),
        ("StockBookQuote, nobody wants it", ("StockBookQuote",), ()),
        ("StockBookQuote", ("StockBookQuote",), ("StockBookQuote",)),
        ("StockPrint", ("StockPrint",), ("StockPrint",)),
        ("Bar1s", ("Bar1s",), ("Bar1s",)),
        ("BookDepth, nobody wants it", ("BookDepth",), ()),
        ("BookDepth", ("BookDepth",), ("BookDepth",)),
    ):
        rate, median, engine = measured(codecs, views, wanted, count)
        orders = len(engine.books.orders)
        rows.append((what, rate, f"{median:.2f} µs per message at the median; {orders:,} orders rest"))
    began = time.perf_counter()
    saved = engine.dump()
    dumped = time.perf_counter() - began
    rows.append(
        ("states saved", 1 / dumped, f"{len(saved):,} bytes, {len(saved) / max(orders, 1):.1f} per order")
    )
    rows.append(("bytes per resting order", bytes_per_order(), "in memory, levels included"))
    return rows


if __name__ == "__main__":
    for what, rate, note in run(int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES):
        print(f"{what:32} {rate:12,.0f} {note}")

"""The journal: append with a commit per block, read back, bytes per message; and a day's file opened again.

`python -m tests.bench journal` for the first; for the second, by hand (some 5 GB of disk):

    python -m tests.bench.journal 100
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gateway.journal import Journal, JournalBusy, JournalLimits
from gateway.values import Block, Position

# An ITCH AddOrder: 36 bytes, 39 with length and type byte.
PACKET = b"\x00\x25SA\x00\x0d\x00\x00" + bytes(31)
SECONDS = 2.0
# A market's rate, for what a commit costs when the disk is not what limits.
PACED_RATE = 100_000


def run() -> list[tuple[str, float, str]]:
    """(what, messages/s, note)."""
    rows: list[tuple[str, float, str]] = []
    for count in (1, 32, 256):
        with tempfile.TemporaryDirectory() as folder, Journal(Path(folder), "bench") as journal:
            journal.roll("BENCH")
            rate, note = _append(journal, count)
            rows.append((f"append, a commit per block of {count}", rate, note))
            journal.sync()
            size = sum(path.stat().st_size for path in journal.folder.glob("*.sqlite*"))
            rate, messages = _read(journal)
            journal.end_session()
            settled = sum(path.stat().st_size for path in journal.folder.glob("*.sqlite*"))
            note = f"{settled / messages:.1f} bytes a message on disk, {size / messages:.1f} with the log"
            rows.append((f"read back, blocks of {count}", rate, note))
    rows.append(_together())
    rows.append(_paced())
    return rows


def _together() -> tuple[str, float, str]:
    """What a read brings in single packets, written in one commit."""
    at, started = 1, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder), "bench") as journal:
        journal.roll("BENCH")
        while (spent := time.perf_counter() - started) < SECONDS:
            for seq in range(at, at + 64):
                journal.append(Block("BENCH", seq, 1, time.time_ns(), PACKET))
            journal.commit()
            at += 64
    return "append, blocks of 1, a commit per 64", at / spent, f"{1e6 * spent / at:.1f} µs a block"


def _append(journal: Journal, count: int) -> tuple[float, str]:
    raw, at, busy = PACKET * count, 1, 0
    times: list[float] = []
    started = now = time.perf_counter()
    while now - started < SECONDS:
        try:
            journal.write([Block("BENCH", at, count, time.time_ns(), raw)])
            at += count
        except JournalBusy:
            busy += 1
            time.sleep(0.01)
        before, now = now, time.perf_counter()
        times.append(now - before)
    times.sort()
    note = (
        f"{1e6 * sum(times) / len(times):.1f} µs a commit, p99 {1e6 * times[len(times) * 99 // 100]:.0f} µs"
    )
    note += f", longest {1e3 * times[-1]:.0f} ms, {busy} refused while the log was emptied"
    return (at - 1) / (now - started), note


def _read(journal: Journal) -> tuple[float, int]:
    at = messages = 0
    started = time.perf_counter()
    while items := journal.read(Position("BENCH", at + 1)):
        messages += sum(item.count for item in items if isinstance(item, Block))
        at = messages
    return messages / (time.perf_counter() - started), messages


def _paced() -> tuple[str, float, str]:
    """What journaling takes of the loop at a market's rate, in blocks as 1 ms of it brings them."""
    count, spent, at = PACED_RATE // 1000, 0.0, 1
    raw = PACKET * count
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder), "bench") as journal:
        journal.roll("BENCH")
        started = time.perf_counter()
        for step in range(int(1000 * SECONDS)):
            time.sleep(max(0.0, started + step / 1000 - time.perf_counter()))
            before = time.perf_counter()
            journal.write([Block("BENCH", at, count, time.time_ns(), raw)])
            spent += time.perf_counter() - before
            at += count
    share = 100 * spent / (at / PACED_RATE)
    return (
        f"append at {PACED_RATE:,}/s in blocks of {count}",
        at / spent,
        f"{1e9 * spent / at:.0f} ns a message, {share:.1f} % of a core",
    )


def write_day(folder: Path, messages: int, tell: Callable[[int], None], block: int = 256) -> None:
    """A running session of so many messages, with a state checkpoint near its end."""
    raw = PACKET * block
    limits = JournalLimits(
        fsync_interval_s=1, checkpoint_bytes=64 << 20, log_bytes_max=4 << 30, stall_max_s=60
    )
    with Journal(folder, "bench", limits) as journal:
        journal.roll("BENCH")
        at = 1
        while at <= messages:
            blocks = [
                Block("BENCH", first, block, time.time_ns(), raw)
                for first in range(at, at + 64 * block, block)
            ]
            try:
                journal.write(blocks)
            except JournalBusy:
                time.sleep(0.1)
                continue
            at += 64 * block
            if at // 10_000_000 != (at - 64 * block) // 10_000_000:
                tell(at)
        journal.save_checkpoint(Position("BENCH", at - 100_000), bytes(4 << 20))


def restart(millions: int) -> None:
    """Write a day, open it again, and tell what each step of a restart takes."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        started = time.perf_counter()
        write_day(Path(folder), millions * 1_000_000, lambda at: print(f"  {at:,}", file=sys.stderr))
        print(f"written in {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        with Journal(Path(folder), "bench") as journal:
            opened = time.perf_counter()
            position = journal.position()
            asked = time.perf_counter()
            saved = journal.load_checkpoint()
            loaded = time.perf_counter()
            assert position is not None
            assert saved is not None
            tail = sum(item.count for item in journal.read(saved[0], 64 << 20) if isinstance(item, Block))
            read = time.perf_counter()
            (info,) = journal.sessions()
            print(f"{info.messages:,} messages, {info.bytes / 1e9:.2f} GB")
            print(f"open     {1e3 * (opened - started):8.1f} ms")
            print(f"position {1e3 * (asked - opened):8.1f} ms   next {position.next_seq:,}")
            size, seq = len(saved[1]), saved[0].next_seq
            print(f"state    {1e3 * (loaded - asked):8.1f} ms   {size:,} bytes at {seq:,}")
            print(f"tail     {1e3 * (read - loaded):8.1f} ms   {tail:,} messages behind it")


if __name__ == "__main__":
    restart(int(sys.argv[1]) if len(sys.argv) > 1 else 10)

"""One worker per stripe, over processes or threads.

Knows the plain client and `concurrent.futures`; what a worker does with its messages is its own.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, TypeVar, Unpack

from gateway.client.arguments import ReadOptions
from gateway.client.sync import SyncStream, connect_sync
from gateway.errors import BadRequest

T = TypeVar("T")
Worker = Callable[[str, SyncStream], T]


def for_each_stripe(
    worker: Worker[T],
    url: str,
    *names: str,
    stripes: Sequence[str],
    key: str = "",
    processes: int = 0,
    connection: dict[str, Any] | None = None,
    **options: Unpack[ReadOptions],
) -> dict[str, T]:
    """Run `worker(stripe, stream)` for every stripe, each with a socket of its own; gives what they return.

    With `processes` N the stripes are dealt out to N processes (then the worker is a function that can be
    imported, what it returns can be pickled, and the script has its `if __name__ == "__main__":`);
    otherwise each has a thread of this one. Streams have no end: a worker returns when it has enough. An
    error of any worker is raised when all have ended, or at once for those that have not begun.

    A message of no ticker belongs to every stripe, so each worker sees it.
    """
    if not stripes or len(set(stripes)) < len(stripes):
        raise BadRequest(f"stripes {list(stripes)}: expected at least one, and none twice")
    read = partial(_in_threads, worker, url, names, key, connection or {}, dict(options))
    if processes <= 0:
        return dict(read(tuple(stripes)))
    hands = [tuple(stripes[at::processes]) for at in range(min(processes, len(stripes)))]
    results: dict[str, T] = {}
    # Not by fork: a copy of a process that has threads and an event loop may hang.
    with ProcessPoolExecutor(len(hands), mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(read, hand) for hand in hands]):
            results.update(done.result())
    return {stripe: results[stripe] for stripe in stripes}


def _in_threads(
    worker: Worker[T],
    url: str,
    names: tuple[str, ...],
    key: str,
    connection: dict[str, Any],
    options: dict[str, Any],
    stripes: tuple[str, ...],
) -> list[tuple[str, T]]:
    # Streams have no end, so stripes of one process can't be read one after the other.
    def read(stripe: str) -> tuple[str, T]:
        with (
            connect_sync(url, key, **connection) as feed,
            feed.stream(*names, stripe=stripe, **options) as stream,
        ):
            return stripe, worker(stripe, stream)

    with ThreadPoolExecutor(len(stripes)) as pool:
        results: Iterator[tuple[str, T]] = pool.map(read, stripes)
        return list(results)

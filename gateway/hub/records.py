"""The newest message of each key, as its bytes. Knows blocks; knows nothing of definitions and streams."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge
from operator import itemgetter

from gateway.values import Block
from gateway.views.engine import Found


@dataclass(frozen=True, slots=True)
class Record:
    """The newest message of one key, kept as its bytes and decoded when asked for."""

    seq: int
    received_ns: int
    payload: bytes

    def block(self, session: str) -> Block:
        """The record as a block of one message, to go the way of all blocks."""
        size = len(self.payload) + 1
        return Block(session, self.seq, 1, self.received_ns, size.to_bytes(2, "big") + b"S" + self.payload)


def in_order(records: Iterable[list[Record]], viewed: Iterable[Iterable[Found]]) -> Iterator[Record]:
    """Records of several messages, each part in order of number, in that order over all.

    A stream that does not read may hold this for long: what is not given yet takes a place in a list each.
    """
    parts: list[Iterable[tuple[int, Callable[[], Record]]]] = [
        ((record.seq, partial(_itself, record)) for record in each) for each in records
    ]
    parts += [((seq, partial(_made, seq, ns, payload)) for _, seq, ns, payload in each) for each in viewed]
    return (made() for _, made in merge(*parts, key=itemgetter(0)))


def _itself(record: Record) -> Record:
    return record


def _made(seq: int, received_ns: int, payload: Callable[[], bytes]) -> Record:
    return Record(seq, received_ns, payload())

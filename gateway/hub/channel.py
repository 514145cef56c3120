"""One feed as the hub sees it: what is known of its session, its newest records, and how far it is published.

Knows codecs, directory and records; knows nothing of subscribers.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import chain, islice
from typing import Protocol

import orjson

from gateway.decode import Codecs, Directory, MessageCodec
from gateway.hub.context import SessionContext
from gateway.hub.derived import Derivation
from gateway.hub.router import Router
from gateway.stripes import StripeTable
from gateway.values import Block, Gap, Position
from gateway.views import ViewedCodecs
from gateway.views.engine import Found

# How much of a past session is read at a time when its directory has to be found again.
SCAN_BYTES = 1 << 20
# How many records are written down at once: less than a millisecond of work.
DUMPED_AT_ONCE = 1_000
# JSON has no zero byte, so what follows one in a saved state is something else: the views' own.
BEHIND_JSON = b"\0"
# Past sessions whose meaning is kept while somebody reads them; a context has some megabytes.
PAST_CONTEXTS_MAX = 4
# Ended sessions whose length is known, so that a reader of them can be told how far it is behind.
ENDS_KEPT_MAX = 64


class BlockReader(Protocol):
    """The hub's way back: the blocks that were published, again."""

    def read(self, position: Position, bytes_max: int) -> Sequence[Block | Gap]:
        """What follows `position`, at least one item if there is any; goes on into the next session.

        Raises BadRequest's or JournalError's subclasses for a position that can't be served.
        """

    def next_session(self, session: str) -> Position | None:
        """Where the session after `session` starts; None while there is none."""

    def state_at_end(self, session: str) -> bytes | None:
        """The state that was saved when `session` ended, if it was."""


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


class Channel:
    """One feed: live router, session context, latest records. `position` moves in the hub alone."""

    def __init__(self, name: str, codecs: Codecs, stripes: StripeTable, reader: BlockReader | None) -> None:
        self.name = name
        self.codecs = codecs
        self.reader = reader
        self.router = Router(name, codecs, self._learn)
        self.views = Derivation(codecs) if isinstance(codecs, ViewedCodecs) else None
        self.position = Position("", 1)
        # Where this session's messages begin for us, once there are any.
        self.begun = False
        self.began_at = self.position
        self.received_ns = 0
        # Spent on decoding and writing JSON, all of it together.
        self.encoding_ns = 0
        self.stripes = stripes
        self.records: dict[str, dict[str, Record]] = {}
        self.context = SessionContext("", Directory(codecs), stripes)
        # Sessions that the feed joined late, and the number it joined at.
        self._joined_at: dict[str, int] = {}
        # One past the last number of sessions that ended while we ran, in order.
        self._ends: OrderedDict[str, int] = OrderedDict()
        # The directory's dump, and of which directory at which change it is.
        self._dumped = b""
        self._dumped_of: tuple[Directory | None, int] = (None, 0)
        # Least recently read first.
        self._past: OrderedDict[str, SessionContext] = OrderedDict()

    def start_session(self, session: str) -> None:
        """Forget the old session's directory and records: locate codes and state are of one session."""
        if self.context.session:
            self._keep(self.context)
            self._ends[self.position.session] = self.position.next_seq
            if len(self._ends) > ENDS_KEPT_MAX:
                self._ends.popitem(last=False)
        self.context = SessionContext(session, Directory(self.codecs), self.stripes)
        self.records = {}
        if self.views is not None:
            self.views.start_session(session)
        self.begun = False
        self.position = Position(session, 1)

    def begin(self, first_seq: int) -> None:
        """The session's messages begin at this number, which is 1 unless the feed joined it late."""
        self.begun = True
        self.position = Position(self.position.session, first_seq)
        if first_seq > 1:
            self._joined_at[self.position.session] = first_seq
        if not self.began_at.session:
            self.began_at = self.position

    def readable(self, position: Position) -> Position:
        """Where a reader at `position` has to go on: it may have begun before the feed's messages did."""
        if not position.session:
            return self.began_at
        joined_at = self.first_seq(position.session)
        return position if position.next_seq >= joined_at else Position(position.session, joined_at)

    def first_seq(self, session: str) -> int:
        """The number at which a session's messages begin for us."""
        return self._joined_at.get(session, 1)

    def after(self, position: Position) -> int:
        """How many numbers there are from `position` on; of sessions whose end is not known, none."""
        if position.session == self.position.session:
            return max(0, self.position.next_seq - position.next_seq)
        count = self.position.next_seq - 1
        for session in reversed(self._ends):
            if session == position.session:
                return count + max(0, self._ends[session] - position.next_seq)
            count += self._ends[session] - 1
        return self.position.next_seq - 1

    def restripe(self) -> None:
        """The table of stripes has changed: from the next message on, a stripe is what it says now."""
        for context in (self.context, *self._past.values()):
            context.restripe()

    def context_of(self, session: str) -> SessionContext:
        """What the bytes of `session` mean; of a past one, from the state saved at its end."""
        if session == self.context.session:
            return self.context
        found = self._past.get(session)
        if found is not None:
            self._past.move_to_end(session)
            return found
        saved = self.reader.state_at_end(session) if self.reader else None
        if saved is not None:
            directory, _ = self._loaded(session, saved)
        else:
            directory = self._scan(session)
        context = SessionContext(session, directory, self.stripes)
        self._keep(context)
        return context

    def records_of(self, names: frozenset[tuple[str, str]]) -> Iterator[tuple[str, str, Record]]:
        """The latest record of each key of the named messages as they are now, in order of number.

        Given out one by one, so that a caller can take them in slices.
        """
        # Within a message they stand in order already; copying that costs little, sorting all would not.
        copied: list[list[tuple[int, str, str, Record | Callable[[], Record]]]] = [
            [(record.seq, name, key, record) for key, record in keyed.items()]
            for name, keyed in self.records.items()
            if (self.name, name) in names
        ]
        if self.views is not None:
            copied += [_viewed(name, self.views.latest(name)) for name in self._views_in(names)]
        return (
            (name, key, record if isinstance(record, Record) else record())
            for _, name, key, record in merge(*copied, key=lambda each: each[0])
        )

    def records_at(
        self, names: frozenset[tuple[str, str]], keys: Collection[tuple[str, str]]
    ) -> Iterator[tuple[str, str, Record]]:
        """The same of some (name, key) pairs only, at the cost of these."""
        found = [
            (name, key, record)
            for name, key in keys
            if (self.name, name) in names and (record := self.records.get(name, {}).get(key)) is not None
        ]
        if self.views is not None:
            for name in self._views_in(names):
                wanted = [key for of, key in keys if of == name]
                found += [
                    (name, key, Record(seq, received_ns, payload()))
                    for key, seq, received_ns, payload in self.views.latest_of(name, wanted)
                ]
        found.sort(key=lambda each: each[2].seq)
        return iter(found)

    def dump(self) -> bytes:
        """Directory and records as bytes; they are the state at `position` and are saved with it."""
        return b"".join(self.capture())

    def capture(self) -> Iterator[bytes]:
        """The dump in pieces. What they hold is fixed now; they may be made later, in another thread.

        A day's records take most of a second to write down, which nobody on the loop can wait for.
        """
        directory = self._directory_dumped()
        copied = {name: keyed.copy() for name, keyed in self.records.items()}
        state = _written_down(self.first_seq(self.context.session), directory, copied)
        return state if self.views is None else chain(state, (BEHIND_JSON, self.views.dump()))

    def _directory_dumped(self) -> bytes:
        """As JSON; written anew only when it has changed, which is mostly before the market opens."""
        directory = self.context.directory
        if self._dumped_of != (directory, directory.last_change_seq):
            self._dumped_of = (directory, directory.last_change_seq)
            self._dumped = orjson.dumps(directory.dump())
        return self._dumped

    def load(self, position: Position, saved: bytes) -> None:
        """Stand at `position` with what `dump` gave there. ValueError when the bytes are not a dump."""
        directory, records = self._loaded(position.session, saved)
        if self.views is not None:
            self.views.load(position, saved.partition(BEHIND_JSON)[2])
        self.context = SessionContext(position.session, directory, self.stripes)
        self.records = records
        self.position = position
        self.begun = True
        self.received_ns = max(
            (record.received_ns for keyed in records.values() for record in keyed.values()), default=0
        )

    def _views_in(self, names: frozenset[tuple[str, str]]) -> list[str]:
        assert self.views is not None
        return [name for name in sorted(self.views.names) if (self.name, name) in names]

    def _keep(self, context: SessionContext) -> None:
        self._past[context.session] = context
        if len(self._past) > PAST_CONTEXTS_MAX:
            self._past.popitem(last=False)

    def _loaded(self, session: str, saved: bytes) -> tuple[Directory, dict[str, dict[str, Record]]]:
        try:
            state = orjson.loads(saved.partition(BEHIND_JSON)[0])
            directory = Directory(self.codecs)
            directory.load(state["directory"])
            records = {
                name: {key: Record(seq, ns, text.encode("latin-1")) for key, (seq, ns, text) in keyed.items()}
                for name, keyed in state["records"].items()
            }
            first_seq = int(state.get("first", 1))
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise ValueError(f"feed {self.name}: the saved state can't be read: {exc!r}") from exc
        if first_seq > 1:
            self._joined_at[session] = first_seq
        return directory, records

    def _scan(self, session: str) -> Directory:
        """The directory of a past session whose end was never saved: read its messages again.

        All in one go, and so only a last resort: the state is saved at each session's end, before the next
        begins. It is missing where a crash came between the two, where the disk was too busy or the file
        is gone, or where a repair took the session's end. The last few that ended while we ran are known.
        """
        context = SessionContext(session, Directory(self.codecs), self.stripes)

        def learn(codec: MessageCodec, raw: bytes, start: int, end: int, seq: int) -> None:
            if codec.definition.is_directory:
                context.learn(raw[start:end], seq)

        router = Router(self.name, self.codecs, learn)
        assert self.reader is not None
        position = Position(session, 1)
        while items := self.reader.read(position, SCAN_BYTES):
            for item in items:
                if item.session != session:
                    return context.directory
                if isinstance(item, Gap):
                    position = Position(session, item.to_seq + 1)
                else:
                    router.route(item, context, 0)
                    position = Position(session, item.next_seq)
        return context.directory

    def _learn(self, codec: MessageCodec, raw: bytes, start: int, end: int, seq: int) -> None:
        definition = codec.definition
        if definition.is_directory:
            self.context.learn(raw[start:end], seq)
        if definition.kind == "record":
            keyed = self.records.setdefault(codec.name, {})
            key = codec.key(raw, start, end) or ""
            # Removed and added again, so that the order is that of the sequence numbers.
            keyed.pop(key, None)
            keyed[key] = Record(seq, self.received_ns, raw[start:end])


def _viewed(name: str, found: Iterable[Found]) -> list[tuple[int, str, str, Record | Callable[[], Record]]]:
    """A view's records, each made when it is its turn, of what is known now."""
    return [(seq, name, key, partial(_made, seq, ns, payload)) for key, seq, ns, payload in found]


def _made(seq: int, received_ns: int, payload: Callable[[], bytes]) -> Record:
    return Record(seq, received_ns, payload())


def _written_down(first_seq: int, directory: bytes, records: dict[str, dict[str, Record]]) -> Iterator[bytes]:
    """What `Channel.dump` gives, in pieces of at most `DUMPED_AT_ONCE` records."""
    yield b'{"first":%d,"directory":' % first_seq + directory + b',"records":{'
    for at, (name, keyed) in enumerate(records.items()):
        yield (b"," if at else b"") + orjson.dumps(name) + b":{"
        comma, items = b"", iter(keyed.items())
        while some := {
            key: (record.seq, record.received_ns, record.payload.decode("latin-1"))
            for key, record in islice(items, DUMPED_AT_ONCE)
        }:
            yield comma + orjson.dumps(some)[1:-1]
            comma = b","
        yield b"}"
    yield b"}}"

"""One feed as the hub sees it: what is known of its session, its newest records, and how far it is published.

Knows codecs, directory and records; knows nothing of subscribers.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from itertools import chain

import orjson

from gateway.decode import Codecs, Directory, MessageCodec
from gateway.hub.context import SessionContext
from gateway.hub.derived import Derivation
from gateway.hub.past import BlockReader, Past
from gateway.hub.records import Record, in_order
from gateway.hub.router import Router
from gateway.hub.saved_state import BEHIND_JSON, Records, read_back, written_down
from gateway.stripes import StripeTable
from gateway.values import Position
from gateway.views import ViewedCodecs

# Ended sessions whose length is known, so that a reader of them can be told how far it is behind.
ENDS_KEPT_MAX = 64


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
        self.records: Records = {}
        self.context = SessionContext("", Directory(codecs), stripes)
        self.past = Past(name, codecs, stripes, reader)
        # Sessions that the feed joined late, and the number it joined at.
        self._joined_at: dict[str, int] = {}
        # One past the last number of sessions that ended while we ran, in order.
        self._ends: OrderedDict[str, int] = OrderedDict()
        # The directory's dump, and of which directory at which change it is.
        self._dumped = b""
        self._dumped_of: tuple[Directory | None, int] = (None, 0)

    def start_session(self, session: str) -> None:
        """Forget the old session's directory and records: locate codes and state are of one session."""
        if self.context.session:
            self.past.add(self.context)
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
        joined_at = self._joined_at.get(position.session, 1)
        return position if position.next_seq >= joined_at else Position(position.session, joined_at)

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
        self.context.restripe()
        self.past.restripe()

    def context_of(self, session: str) -> SessionContext | None:
        """What the bytes of `session` mean; None while `past` has to seek it first."""
        return self.context if session == self.context.session else self.past.find(session)

    def records_of(self, names: frozenset[tuple[str, str]]) -> Iterator[Record]:
        """The latest record of each key of the named messages as they are now, in order of number.

        Given out one by one, so that a caller can take them in slices.
        """
        records = [list(keyed.values()) for name, keyed in self.records.items() if (self.name, name) in names]
        if self.views is None:
            return in_order(records, ())
        return in_order(records, [self.views.latest(name) for name in self._views_in(names)])

    def records_at(
        self, names: frozenset[tuple[str, str]], keys: Collection[tuple[str, str]]
    ) -> Iterator[Record]:
        """The same of some (message name, key) pairs only, at the cost of these."""
        records = [
            record
            for name, key in keys
            if (self.name, name) in names and (record := self.records.get(name, {}).get(key)) is not None
        ]
        records.sort(key=lambda record: record.seq)
        if self.views is None:
            return iter(records)
        viewed = [
            self.views.latest_of(name, [key for of, key in keys if of == name])
            for name in self._views_in(names)
        ]
        return in_order([records], [sorted(each, key=lambda found: found[1]) for each in viewed])

    def dump(self) -> bytes:
        """Directory and records as bytes; they are the state at `position` and are saved with it."""
        return b"".join(self.capture())

    def capture(self) -> Iterator[bytes]:
        """The dump in pieces. What they hold is fixed now; they may be made later, in another thread.

        A day's records take most of a second to write down, which nobody on the loop can wait for.
        """
        first_seq = self._joined_at.get(self.context.session, 1)
        copied = {name: keyed.copy() for name, keyed in self.records.items()}
        state = written_down(first_seq, self._directory_dumped(), copied)
        return state if self.views is None else chain(state, (BEHIND_JSON,), self.views.capture())

    def _directory_dumped(self) -> bytes:
        """As JSON; written anew only when it has changed, which is mostly before the market opens."""
        directory = self.context.directory
        if self._dumped_of != (directory, directory.last_change_seq):
            self._dumped_of = (directory, directory.last_change_seq)
            self._dumped = orjson.dumps(directory.dump())
        return self._dumped

    def load(self, position: Position, saved: bytes) -> None:
        """Stand at `position` with what `dump` gave there. ValueError when the bytes are not a dump."""
        first_seq, directory, records = read_back(saved, self.codecs)
        if first_seq > 1:
            self._joined_at[position.session] = first_seq
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

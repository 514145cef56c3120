"""The views of one feed: derived from what is published, and again for those who read old messages.

A view's messages follow from the session's messages, in order, from the first; so who reads on from some
position needs the books as they were there. Mostly that is a stream that has just fallen behind: what live
streams got last is still had (`Recent`). Else they are rebuilt (`Rebuilds`) from the nearest saved state.

Knows engines, blocks and the journal's reader; knows streams only as somebody who asks.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping

from gateway.hub.limits import HubLimits
from gateway.hub.rebuilds import Read, Rebuild, Rebuilds
from gateway.hub.recent import Recent
from gateway.values import Block, Position
from gateway.views import Engine, ViewedCodecs
from gateway.views.engine import Derived, Found


class Derivation:
    """The live engine of a channel, what it gave last, its saved states, and what is rebuilt for readers."""

    def __init__(self, codecs: ViewedCodecs) -> None:
        self._codecs = codecs
        # Those of the hub, once it is in one.
        self.limits = HubLimits()
        self.names = frozenset(codec.name for codec in codecs.views)
        self.live = Engine(codecs)
        self._ids = {codec.name: codec.id_byte for codec in codecs.views}
        self._session = ""
        self._next_seq = 1
        # How many streams want a view, and by its id byte what they got last.
        self._wanted: dict[str, int] = {}
        self._recent: dict[int, Recent] = {}
        # States of the session by the number they stand in front of, in order.
        self._states: dict[int, bytes] = {}
        # Written down and not among them yet: appended to in any thread, taken from in the hub's.
        self._written: deque[tuple[str, int, bytes]] = deque()
        self.rebuilds = Rebuilds()
        # By id byte, how many messages were made for live streams.
        self._made = dict.fromkeys(self._ids.values(), 0)

    # Live.

    def start_session(self, session: str) -> None:
        """Forget the old session's books."""
        self._session, self._next_seq = session, 1
        self.live = Engine(self._codecs)
        self.live.want(self._wanted)
        self._recent = {self._ids[name]: self._new_recent(1) for name in self._wanted}
        self._states = {}

    def publish(self, block: Block) -> list[Derived]:
        """Take in what is published; the messages of wanted views it caused."""
        derived = self.live.take(block)
        for each in derived:
            id_byte = each[1][0]
            self._recent[id_byte].add(each)
            self._made[id_byte] += 1
        self._next_seq = block.next_seq
        return derived

    def want(self, names: Iterable[str]) -> None:
        """A stream of these messages begins, from here or from the past."""
        for name in self.names.intersection(names):
            if name not in self._wanted:
                self.live.want([name])
                self._recent[self._ids[name]] = self._new_recent(self._next_seq)
            self._wanted[name] = self._wanted.get(name, 0) + 1

    def unwant(self, names: Iterable[str]) -> None:
        """A stream of these messages has ended."""
        for name in self.names.intersection(names):
            self._wanted[name] -= 1
            if not self._wanted[name]:
                del self._wanted[name], self._recent[self._ids[name]]
                self.live.want([name], -1)

    def latest(self, name: str) -> Iterator[Found]:
        """The newest message of each ticker in a view, as they are now."""
        return self.live.latest(name)

    def latest_of(self, name: str, keys: Collection[str]) -> Iterator[Found]:
        """The same for some tickers."""
        return self.live.latest_of(name, keys)

    # The state, saved with that of the channel.

    def capture(self) -> Iterator[bytes]:
        """The books at the channel's position, fixed now; written down when it is asked for, in any thread.

        It is kept for readers, too; half of those states go when it is too much.
        """
        self._remember_written()
        twin, session, next_seq = self.live.copied(), self._session, self._next_seq

        def written() -> Iterator[bytes]:
            saved = twin.dump()
            self._written.append((session, next_seq, saved))
            yield saved

        return written()

    def load(self, position: Position, saved: bytes) -> None:
        """Stand at `position` with what `dump` gave there; ValueError for anything else."""
        engine = Engine(self._codecs)
        engine.load(saved)
        self.start_session(position.session)
        self.live, self._next_seq = engine, position.next_seq
        self.live.want(self._wanted)
        self._recent = {self._ids[name]: self._new_recent(position.next_seq) for name in self._wanted}
        self._remember(position.next_seq, saved)

    # Once more, for who reads old messages.

    def has(self, names: frozenset[str], position: Position) -> bool:
        """Whether `again` can be called for a block that begins there."""
        if self._all_recent(names, position) is not None:
            return True
        return self.rebuilds.covering(names, position) is not None

    def again(self, who: Hashable, names: frozenset[str], block: Block) -> list[Derived]:
        """What a block out of the journal causes in these views, if `has` says so for where it begins."""
        if not block.count:
            return []
        recent = self._all_recent(names, Position(block.session, block.first_seq))
        if recent is None:
            return self.rebuilds.of(who, names, block)
        self.release(who)
        return sorted((each for one in recent for each in one.of(block)), key=lambda each: each[0])

    def prepare(
        self, who: Hashable, names: frozenset[str], position: Position, first: int, read: Read
    ) -> None:
        """Come nearer to `position` by one piece of the journal. The session begins at `first`."""
        self._remember_written()
        states = self._states if position.session == self._session else {}
        start = max((seq for seq in states if seq <= position.next_seq), default=first)

        def engine_at(seq: int) -> tuple[Engine, Iterator[None]]:
            engine = Engine(self._codecs)
            return engine, engine.loading(states[seq]) if seq in states else iter(())

        self.rebuilds.prepare(who, names, position, start, engine_at, read, self.limits)

    def release(self, who: Hashable) -> None:
        """It reads nothing old now."""
        ended = self.rebuilds.release(who)
        if ended is not None:
            self._keep(ended)

    # Of it all, for whoever watches.

    @property
    def made(self) -> Mapping[str, int]:
        """How many messages of each view were made for live streams."""
        return {name: self._made[id_byte] for name, id_byte in self._ids.items()}

    @property
    def state_bytes(self) -> tuple[int, int]:
        """What the newest saved state takes, and all that are kept."""
        self._remember_written()
        sizes = [len(self._states[seq]) for seq in sorted(self._states)]
        return (sizes[-1] if sizes else 0), sum(sizes)

    # Inside.

    def _new_recent(self, from_seq: int) -> Recent:
        return Recent(from_seq, self.limits.recent_views)

    def _all_recent(self, names: Collection[str], position: Position) -> list[Recent] | None:
        if position.session != self._session:
            return None
        found = [self._recent[self._ids[name]] for name in names]
        return found if all(recent.from_seq <= position.next_seq for recent in found) else None

    def _remember_written(self) -> None:
        """Take over what was written down, maybe in other threads, since the last time."""
        while self._written:
            session, next_seq, saved = self._written.popleft()
            if session == self._session:
                self._remember(next_seq, saved)

    def _remember(self, next_seq: int, saved: bytes) -> None:
        self._states[next_seq] = saved
        while len(self._states) > 1 and sum(map(len, self._states.values())) > self.limits.view_states_bytes:
            # Every second, from the newest but one on, so that what is left still reaches far back.
            for seq in sorted(self._states)[-2::-2]:
                del self._states[seq]

    def _keep(self, ended: Rebuild) -> None:
        """What was rebuilt up to where the live messages begin, for who comes back a moment later."""
        if ended.session == self._session and ended.made is not None:
            for name in ended.names:
                recent = self._recent.get(self._ids[name])
                if recent is not None and ended.next_seq >= recent.from_seq:
                    recent.put_in_front(ended.made, self._ids[name])

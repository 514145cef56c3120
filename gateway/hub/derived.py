"""The views of one feed: derived from what is published, and again for those who read old messages.

A view's messages follow from the session's messages, in order, from the first; so who reads on from some
position needs the books as they were there. Mostly that is a stream that has just fallen behind: what live
streams got last is still had (`Recent`). Else an engine of its own is brought to its position from the
journal, beginning at the nearest state that was saved, in pieces, and few of them exist at a time.

Knows engines, blocks and the journal's reader; knows streams only as somebody who asks.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.hub.limits import HubLimits
from gateway.values import Block, Gap, Position
from gateway.views import Engine, ViewedCodecs
from gateway.views.engine import Derived, Found

Read = Callable[[Position, int], Sequence[Block | Gap]]

# How often somebody who waits for an engine finds its holder idle before it is taken away. Those who are
# behind have their turns in order, so a holder that is not stuck works once in each round.
IDLE_ROUNDS = 50


class Recent:
    """The newest messages of one view that anybody wants, whole from `from_seq` on. At most twice `keep`."""

    def __init__(self, from_seq: int, keep: int) -> None:
        self.from_seq = from_seq
        self._keep = keep
        self._seqs: list[int] = []
        self._payloads: list[bytes] = []

    def add(self, derived: Derived) -> None:
        seq, payload = derived
        self._seqs.append(seq)
        self._payloads.append(payload)
        if len(self._seqs) >= 2 * self._keep:
            del self._seqs[: self._keep], self._payloads[: self._keep]
            self.from_seq = self._seqs[0]

    def of(self, block: Block) -> list[Derived]:
        """Those that the block's messages caused."""
        first, end = (bisect_left(self._seqs, seq) for seq in (block.first_seq, block.next_seq))
        return list(zip(self._seqs[first:end], self._payloads[first:end], strict=True))


@dataclass(slots=True)
class _Again:
    """An engine that follows one reader. It has taken in all of `session` in front of `next_seq`."""

    engine: Engine
    session: str
    next_seq: int
    uses: int = 0
    is_there: bool = False


@dataclass(slots=True)
class _Waiting:
    """A reader without an engine: how often it asked, and what the holders had done when it last looked."""

    rounds: int = 0
    uses: dict[Hashable, int] = field(default_factory=dict)


class Derivation:
    """The live engine of a channel, what it gave last, its saved states, and the engines of readers."""

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
        self._again: dict[Hashable, _Again] = {}
        self._waiting: dict[Hashable, _Waiting] = {}

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
            self._recent[each[1][0]].add(each)
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

    def dump(self) -> bytes:
        """The books at the channel's position, kept for readers too; half of those go when it is too much."""
        saved = self.live.dump()
        self._remember(self._next_seq, saved)
        return saved

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

    def has(self, who: Hashable, names: Collection[str], position: Position) -> bool:
        """Whether `again` can be called for a block that begins there."""
        if self._all_recent(names, position) is not None:
            return True
        again = self._again.get(who)
        return again is not None and (again.session, again.next_seq) == (position.session, position.next_seq)

    def again(self, who: Hashable, names: Collection[str], block: Block) -> list[Derived]:
        """What a block out of the journal causes in these views, if `has` says so for where it begins."""
        if not block.count:
            return []
        recent = self._all_recent(names, Position(block.session, block.first_seq))
        if recent is not None:
            self.release(who)
            return sorted((each for one in recent for each in one.of(block)), key=lambda each: each[0])
        again = self._again[who]
        if not again.is_there:
            # What it would have given on its way was for nobody, so it was not made.
            again.is_there = True
            again.engine.want(names)
        again.uses += 1
        again.next_seq = block.next_seq
        return again.engine.take(block)

    def prepare(self, who: Hashable, position: Position, first: int, read: Read) -> None:
        """Bring an engine nearer to `position` by one piece of the journal. The session begins at `first`.

        When all are taken it does nothing but count: who holds one without using it loses it.
        """
        again = self._again.get(who)
        if again is None or again.session != position.session or again.next_seq > position.next_seq:
            if again is None and not self._may_have(who):
                return
            self._again[who] = self._begun(position, first)
            return
        again.uses += 1
        left = self.limits.catch_up_bytes
        for item in read(Position(again.session, again.next_seq), left):
            if item.session != again.session:
                break
            if isinstance(item, Gap):
                again.next_seq = item.to_seq + 1
            else:
                block = item.head(max(left, 1)).until(position.next_seq)
                left -= len(block.raw)
                again.engine.take(block)
                again.next_seq = block.next_seq
            if left <= 0 or again.next_seq >= position.next_seq:
                return
        else:
            if left < self.limits.catch_up_bytes:
                return
        # The journal has nothing of the session between here and there.
        again.next_seq = position.next_seq

    def release(self, who: Hashable) -> None:
        """It needs no engine now."""
        self._again.pop(who, None)
        self._waiting.pop(who, None)

    # Inside.

    def _new_recent(self, from_seq: int) -> Recent:
        return Recent(from_seq, self.limits.recent_views)

    def _all_recent(self, names: Collection[str], position: Position) -> list[Recent] | None:
        if position.session != self._session:
            return None
        found = [self._recent[self._ids[name]] for name in names]
        return found if all(recent.from_seq <= position.next_seq for recent in found) else None

    def _remember(self, next_seq: int, saved: bytes) -> None:
        self._states[next_seq] = saved
        while len(self._states) > 1 and sum(map(len, self._states.values())) > self.limits.view_states_bytes:
            # Every second, from the newest but one on, so that what is left still reaches far back.
            for seq in sorted(self._states)[-2::-2]:
                del self._states[seq]

    def _may_have(self, who: Hashable) -> bool:
        if len(self._again) < self.limits.view_engines:
            self._waiting.pop(who, None)
            return True
        waiting = self._waiting.setdefault(who, _Waiting())
        waiting.rounds += 1
        if waiting.rounds % IDLE_ROUNDS == 1:
            idle = [other for other, again in self._again.items() if waiting.uses.get(other) == again.uses]
            if idle:
                self.release(idle[0])
                return self._may_have(who)
            waiting.uses = {other: again.uses for other, again in self._again.items()}
        return False

    def _begun(self, position: Position, first: int) -> _Again:
        engine = Engine(self._codecs)
        next_seq = first
        if position.session == self._session:
            usable = [seq for seq in self._states if seq <= position.next_seq]
            if usable:
                next_seq = max(usable)
                engine.load(self._states[next_seq])
        return _Again(engine, position.session, next_seq)

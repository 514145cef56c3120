"""Books rebuilt from the journal for readers of old messages: few at a time, each for all who come by.

An engine is brought to where somebody reads, in pieces, from the nearest state that was saved. What it
makes from a little in front of there on is kept for a while (`Recent`), so that the hundred who come back
together after a restart have the same books rebuilt once, and not a hundred times.

Knows engines, blocks and the journal's reader; knows streams only as somebody who asks.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from gateway.hub.limits import HubLimits
from gateway.hub.recent import Recent
from gateway.values import Block, Gap, Position
from gateway.views import Engine
from gateway.views.engine import Derived

Read = Callable[[Position, int], Sequence[Block | Gap]]

# How often somebody who waits for an engine asks until one that was not used meanwhile is taken away. Those
# who are behind have their turns in order, so one whose reader is not stuck is used once in each round.
IDLE_ROUNDS = 50
DONE = object()


@dataclass(slots=True, eq=False)
class Rebuild:
    """An engine that has taken in all of `session` in front of `next_seq`.

    `made` holds what it makes of `names`; None while it is so far from `goal`, where the first of its
    readers stands, that what it would make is for nobody. On its way to the goal anybody may help.
    """

    number: int
    engine: Engine
    names: frozenset[str]
    session: str
    next_seq: int
    goal: int
    # Reads the state that it begins with, piece by piece.
    loading: Iterator[None] | None
    made: Recent | None = None
    users: set[Hashable] = field(default_factory=set)
    uses: int = 0

    def covers(self, names: frozenset[str], position: Position) -> bool:
        """Whether it can give what a block that begins there causes."""
        return (
            self.made is not None
            and (self.session, self.names) == (position.session, names)
            and self.made.from_seq <= position.next_seq <= self.next_seq
        )

    def of(self, block: Block) -> list[Derived]:
        """What a block causes that begins where it covers; it goes on by what it has not taken in yet."""
        assert self.made is not None
        known = self.made.of(block)
        if block.next_seq <= self.next_seq:
            return known
        return known + self.take(block.tail(self.next_seq))

    def take(self, block: Block) -> list[Derived]:
        """Go on by a block; what it caused."""
        derived = self.engine.take(block)
        if self.made is not None:
            for each in derived:
                self.made.add(each)
        self.next_seq = block.next_seq
        return derived

    def begin_making(self, keep: int) -> None:
        """From here on, what it makes is for somebody."""
        self.engine.want(self.names)
        self.made = Recent(self.next_seq, keep)


@dataclass(slots=True)
class _Waiting:
    """A reader without an engine: how often it asked, and how much each was used when it last looked."""

    rounds: int = 0
    uses: dict[int, int] = field(default_factory=dict)


class Rebuilds:
    """At most `view_engines` of them. One that nobody uses is gone."""

    def __init__(self) -> None:
        self._numbers = count()
        self._all: list[Rebuild] = []
        self._used: dict[Hashable, Rebuild] = {}
        self._waiting: dict[Hashable, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._all)

    @property
    def waiting(self) -> int:
        """How many readers have none, because all that there may be are taken."""
        return len(self._waiting)

    def covering(self, names: frozenset[str], position: Position) -> Rebuild | None:
        """One that stands there, or has what was made from there on."""
        return next((each for each in self._all if each.covers(names, position)), None)

    def of(self, who: Hashable, names: frozenset[str], block: Block) -> list[Derived]:
        """What a block causes, if one covers where it begins."""
        rebuild = self.covering(names, Position(block.session, block.first_seq))
        assert rebuild is not None
        self._use(who, rebuild)
        with self._gone_if_it_fails(rebuild):
            return rebuild.of(block)

    def prepare(
        self,
        who: Hashable,
        names: frozenset[str],
        position: Position,
        start: int,
        engine_at: Callable[[int], tuple[Engine, Iterator[None]]],
        read: Read,
        limits: HubLimits,
    ) -> None:
        """Bring one nearer to `position` by a piece of the journal; `engine_at` gives a new one at `start`.

        When all are taken it does nothing but count: who holds one without using it loses it.
        """
        rebuild = self._on_its_way(who, names, position, start, limits.recent_views)
        if rebuild is not None:
            self._use(who, rebuild)
            with self._gone_if_it_fails(rebuild):
                self._advance(rebuild, position, read, limits)
            return
        self._leave(who)
        if self._has_room_for(who, limits.view_engines):
            number, (engine, loading) = next(self._numbers), engine_at(start)
            rebuild = Rebuild(number, engine, names, position.session, start, position.next_seq, loading)
            self._all.append(rebuild)
            self._use(who, rebuild)

    def release(self, who: Hashable) -> Rebuild | None:
        """It needs none now. Gives the one that nobody else uses, which is gone."""
        self._waiting.pop(who, None)
        return self._leave(who)

    # Inside.

    def _on_its_way(
        self, who: Hashable, names: frozenset[str], position: Position, start: int, keep: int
    ) -> Rebuild | None:
        """The nearest between `start` and `position` that can go there without harm to its readers."""
        found = [
            each
            for each in self._all
            if (each.session, each.names) == (position.session, names)
            and start <= each.next_seq <= position.next_seq
            and (
                each.next_seq < each.goal or each.users <= {who} or position.next_seq - each.next_seq <= keep
            )
        ]
        return max(found, key=lambda each: each.next_seq, default=None)

    def _advance(self, rebuild: Rebuild, position: Position, read: Read, limits: HubLimits) -> None:
        until = position.next_seq
        if rebuild.loading is not None:
            if next(rebuild.loading, DONE) is DONE:
                rebuild.loading = None
            rebuild.goal = min(rebuild.goal, until)
            return
        if rebuild.made is None:
            # Who comes while it is on its way, and stands nearer, is served first.
            rebuild.goal = min(rebuild.goal, until)
            until = rebuild.goal - limits.recent_views
            if rebuild.next_seq >= until:
                rebuild.begin_making(limits.recent_views)
                return
        elif rebuild.next_seq < rebuild.goal:
            until = min(until, rebuild.goal)
        left = limits.catch_up_bytes
        for item in read(Position(rebuild.session, rebuild.next_seq), left):
            if item.session != rebuild.session:
                break
            if isinstance(item, Gap):
                rebuild.next_seq = item.to_seq + 1
            else:
                block = item.head(max(left, 1)).until(until)
                left -= len(block.raw)
                rebuild.take(block)
            if left <= 0 or rebuild.next_seq >= until:
                return
        else:
            if left < limits.catch_up_bytes:
                return
        # The journal has nothing of the session between here and there.
        rebuild.next_seq = until

    def _use(self, who: Hashable, rebuild: Rebuild) -> None:
        rebuild.uses += 1
        self._waiting.pop(who, None)
        if self._used.get(who) is not rebuild:
            self._leave(who)
            self._used[who] = rebuild
            rebuild.users.add(who)

    @contextmanager
    def _gone_if_it_fails(self, rebuild: Rebuild) -> Iterator[None]:
        """An engine that stopped half-way is of no use to anybody: who needs one begins anew."""
        try:
            yield
        except Exception:
            for user in list(rebuild.users):
                self._leave(user)
            raise

    def _leave(self, who: Hashable) -> Rebuild | None:
        rebuild = self._used.pop(who, None)
        if rebuild is None:
            return None
        rebuild.users.discard(who)
        if rebuild.users:
            return None
        self._all.remove(rebuild)
        return rebuild

    def _has_room_for(self, who: Hashable, engines_max: int) -> bool:
        if len(self._all) < engines_max:
            return True
        waiting = self._waiting.setdefault(who, _Waiting())
        waiting.rounds += 1
        if waiting.rounds % IDLE_ROUNDS == 1:
            idle = [each for each in self._all if waiting.uses.get(each.number) == each.uses]
            if idle:
                for user in list(idle[0].users):
                    self._leave(user)
                return True
            waiting.uses = {each.number: each.uses for each in self._all}
        return False

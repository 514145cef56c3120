"""Full-depth order books of all tickers, in plain integers and dicts: made for speed and for a small state.

Knows orders and price levels; knows nothing of messages, tickers or what is published. A side is
`locate << 1 | is_sell`. A level's rank is its price for buyers and the complement of it for sellers: so on
either side the greatest rank is the best price.

An order is one integer, `level number << 32 | shares`, so that neither orders nor levels are objects
the garbage collector has to visit, and a checkpoint is made of plain arrays. `orders` keeps the order in
which they came to their price, which is the time priority: what reduces an order leaves it its place, a
replaced one goes to the end.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator

from gateway.views.packing import Packed, Unpacked

SHARES_MASK = 0xFFFF_FFFF
NOTHING = -1
# Orders, or levels, that are read at once from a saved state: a few milliseconds of work.
LOADED_AT_ONCE = 10_000
# Ranks of levels that are not there: as many as are watched stand below each side's real ones, so that
# there always is a best rank, and a last watched one, to compare with.
NO_RANK = -1 << 40

# Ranks, the best last; level numbers by rank; what makes a price a rank (`price ^ flip`: 0 or -1); the side
# as the changes return it (`side << 8`).
Side = tuple[list[int], dict[int, int], int, int]


class Books:
    """The live orders of one session.

    Each change returns where it was: `side << 8 | depth` if it was among the best `watched` levels of its
    side (depth 0 is the best), else `NOTHING`. What can't be right is counted, never raised: an order that
    nobody added (`unknown`; its beginning was before ours), one added while it is live (`doubled`; the
    first stays), more taken away than there was (`overdrawn`), one of no shares (`empty`).
    """

    def __init__(self, watched: int = 2) -> None:
        self.watched = watched
        self.orders: dict[int, int] = {}
        self.unknown = self.doubled = self.overdrawn = self.empty = 0
        self._sides: dict[int, Side] = {}
        # By level number. Number 0 is never given.
        self._ranks = [NO_RANK]
        self._levels_side: list[Side] = [([], {}, 0, 0)]
        self._totals = [0]
        self._counts = [0]
        self._free: list[int] = []
        self._last_watched = -watched

    def add(self, reference: int, side: int, price: int, shares: int) -> int:
        """A new order, the last of its price."""
        orders = self.orders
        if reference in orders or not shares:
            if shares:
                self.doubled += 1
            else:
                self.empty += 1
            return NOTHING
        try:
            ranks, numbers, flip, touched = found = self._sides[side]
        except KeyError:
            ranks, numbers, flip, touched = found = self._new_side(side)
        rank = price ^ flip
        number = numbers.get(rank)
        if number is not None:
            self._totals[number] += shares
            self._counts[number] += 1
            orders[reference] = number << 32 | shares
        else:
            number = numbers[rank] = self._new_level(found, rank, shares)
            orders[reference] = number << 32 | shares
            if rank > ranks[-1]:
                ranks.append(rank)
                return touched
            insort(ranks, rank)
        if rank == ranks[-1]:
            return touched
        if rank < ranks[self._last_watched]:
            return NOTHING
        return touched | len(ranks) - 1 - bisect_left(ranks, rank)

    def reduce(self, reference: int, shares: int) -> int:
        """Some of an order, or all that is left of it, is executed or cancelled."""
        orders = self.orders
        try:
            order = orders[reference]
        except KeyError:
            self.unknown += 1
            return NOTHING
        left = order & SHARES_MASK
        if shares >= left:
            if shares > left:
                self.overdrawn += 1
            return self.delete(reference)
        orders[reference] = order - shares
        number = order >> 32
        self._totals[number] -= shares
        rank = self._ranks[number]
        ranks, _, _, touched = self._levels_side[number]
        if rank == ranks[-1]:
            return touched
        if rank < ranks[self._last_watched]:
            return NOTHING
        return touched | len(ranks) - 1 - bisect_left(ranks, rank)

    def delete(self, reference: int) -> int:
        """An order is gone."""
        try:
            order = self.orders.pop(reference)
        except KeyError:
            self.unknown += 1
            return NOTHING
        number = order >> 32
        rank = self._ranks[number]
        ranks, numbers, _, touched = self._levels_side[number]
        self._counts[number] -= 1
        # No order is of no shares, so that a level without shares has no orders.
        total = self._totals[number] = self._totals[number] - (order & SHARES_MASK)
        if total:
            if rank == ranks[-1]:
                return touched
            if rank < ranks[self._last_watched]:
                return NOTHING
            return touched | len(ranks) - 1 - bisect_left(ranks, rank)
        del numbers[rank]
        self._free.append(number)
        if rank == ranks[-1]:
            ranks.pop()
            return touched
        at = bisect_left(ranks, rank)
        depth = len(ranks) - 1 - at
        del ranks[at]
        return touched | depth if depth < self.watched else NOTHING

    def replace(self, reference: int, new_reference: int, price: int, shares: int) -> int:
        """An order gives way to another on the same side, which stands behind all others of its price."""
        order = self.orders.get(reference)
        if order is None:
            self.unknown += 1
            return NOTHING
        side = self._levels_side[order >> 32][3] >> 8
        gone = self.delete(reference)
        came = self.add(new_reference, side, price, shares)
        # On the same side the lesser is the one nearer to the top.
        return came if gone == NOTHING or NOTHING < came < gone else gone

    def where(self, reference: int) -> tuple[int, int] | None:
        """(side, price) of a live order."""
        order = self.orders.get(reference)
        if order is None:
            return None
        _, _, flip, touched = self._levels_side[order >> 32]
        return touched >> 8, self._ranks[order >> 32] ^ flip

    def top(self, side: int) -> tuple[int, int, int, int]:
        """Price and shares of the best level, and of the next; 0 where there is none."""
        found = self._sides.get(side)
        if found is None:
            return 0, 0, 0, 0
        ranks, numbers, flip, _ = found
        best, totals = ranks[-1], self._totals
        if best == NO_RANK:
            return 0, 0, 0, 0
        if len(ranks) == self.watched + 1:
            return best ^ flip, totals[numbers[best]], 0, 0
        second = ranks[-2]
        return best ^ flip, totals[numbers[best]], second ^ flip, totals[numbers[second]]

    def levels(self, side: int, count_max: int | None = None) -> list[tuple[int, int, int]]:
        """(price, shares, number of orders) of the levels of a side, the best first."""
        if side not in self._sides:
            return []
        ranks, numbers, flip, _ = self._sides[side]
        last = self.watched if count_max is None else max(self.watched, len(ranks) - count_max)
        found = []
        for at in range(len(ranks) - 1, last - 1, -1):
            number = numbers[ranks[at]]
            found.append((ranks[at] ^ flip, self._totals[number], self._counts[number]))
        return found

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """(reference, shares) of a price's orders, the first in line first. Looks at every order there is."""
        if side not in self._sides:
            return []
        _, numbers, flip, _ = self._sides[side]
        number = numbers.get(price ^ flip, 0)
        return [
            (reference, order & SHARES_MASK)
            for reference, order in self.orders.items()
            if order >> 32 == number
        ]

    def locates(self) -> Iterator[int]:
        """The locate codes that ever had an order."""
        return iter(sorted({side >> 1 for side in self._sides}))

    def copied(self) -> "Books":
        """What `dump` needs, as it is now: so that another thread may take its time to write it down."""
        twin = Books(self.watched)
        twin.unknown, twin.doubled = self.unknown, self.doubled
        twin.overdrawn, twin.empty = self.overdrawn, self.empty
        twin.orders = self.orders.copy()
        twin._ranks, twin._levels_side, twin._free = self._ranks[:], self._levels_side[:], self._free[:]
        return twin

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint: 16 bytes per order, 12 per level."""
        packed.numbers(self.unknown, self.doubled, self.overdrawn, self.empty)
        packed.array(array("Q", self.orders.keys()))
        packed.array(array("Q", self.orders.values()))
        packed.array(array("q", self._ranks))
        packed.array(array("I", [side[3] >> 8 for side in self._levels_side]))
        packed.array(array("Q", self._free))

    def load(self, unpacked: Unpacked) -> Iterator[None]:
        """Know exactly what `dump` gave, piece by piece; ValueError when it does not fit together."""
        self.unknown, self.doubled, self.overdrawn, self.empty = unpacked.numbers(4)
        references, orders = unpacked.array("Q"), unpacked.array("Q")
        ranks, sides, free = unpacked.array("q"), unpacked.array("I"), unpacked.array("Q")
        if len(references) != len(orders) or not ranks or len(ranks) != len(sides):
            raise ValueError(
                f"books: {len(references)} references, {len(orders)} orders, "
                f"{len(ranks)} levels of {len(sides)} sides"
            )
        self.orders = {}
        self._ranks, self._free = list(ranks), list(free)
        totals, counts = [0] * len(ranks), [0] * len(ranks)
        for at in range(0, len(orders), LOADED_AT_ONCE):
            some = orders[at : at + LOADED_AT_ONCE]
            self.orders.update(zip(references[at : at + LOADED_AT_ONCE], some, strict=True))
            for order in some:
                if order >> 32 >= len(totals):
                    raise ValueError(f"books: an order in level {order >> 32} of {len(totals)}")
                totals[order >> 32] += order & SHARES_MASK
                counts[order >> 32] += 1
            yield
        self._totals, self._counts = totals, counts
        self._sides = {}
        self._levels_side = self._levels_side[:1]
        for number in range(1, len(ranks)):
            side = self._sides.get(sides[number]) or self._new_side(sides[number])
            self._levels_side.append(side)
            if totals[number]:
                side[0].append(ranks[number])
                side[1][ranks[number]] = number
            if number % LOADED_AT_ONCE == 0:
                yield
        for at, side in enumerate(self._sides.values()):
            side[0].sort()
            if at % 1_000 == 0:
                yield

    def _new_side(self, side: int) -> Side:
        new: Side = ([NO_RANK] * self.watched, {}, -(side & 1), side << 8)
        self._sides[side] = new
        return new

    def _new_level(self, side: Side, rank: int, shares: int) -> int:
        """The number of a level of one order, which was there before or is new."""
        if self._free:
            number = self._free.pop()
            self._ranks[number] = rank
            self._levels_side[number] = side
            self._totals[number] = shares
            self._counts[number] = 1
        else:
            number = len(self._ranks)
            self._ranks.append(rank)
            self._levels_side.append(side)
            self._totals.append(shares)
            self._counts.append(1)
        return number

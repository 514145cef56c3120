"""Full-depth order books of all tickers, in plain integers and dicts: made for speed and for a small state.

Knows orders and price levels; knows nothing of messages, tickers or what is published. A side is
`locate << 1 | is_sell`. A level's key is `side << 32 | rank`, where the rank is the price for buyers and
its complement for sellers: so on either side the greatest key is the best price.

An order is one integer, `level number << 32 | shares`, so that neither orders nor levels are objects
the garbage collector has to visit, and a checkpoint is made of plain arrays. `orders` keeps the order in
which they came to their price, which is the time priority: what reduces an order leaves it its place, a
replaced one goes to the end.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator

from gateway.views.packing import Packed, Unpacked

PRICE_MASK = 0xFFFF_FFFF
SHARES_MASK = 0xFFFF_FFFF
# A level's total: shares above, number of orders below.
COUNT_BITS = 24
COUNT_MASK = (1 << COUNT_BITS) - 1
NOTHING = -1


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
        # Each side's level keys, the best last.
        self.sides: dict[int, list[int]] = {}
        self.unknown = self.doubled = self.overdrawn = self.empty = 0
        # Level numbers by key, and key and total by level number. Number 0 is never given.
        self._numbers: dict[int, int] = {}
        self._keys = [0]
        self._totals = [0]
        self._free: list[int] = []

    def add(self, reference: int, side: int, price: int, shares: int) -> int:
        """A new order, the last of its price."""
        if not shares:
            self.empty += 1
            return NOTHING
        if reference in self.orders:
            self.doubled += 1
            return NOTHING
        key = side << 32 | (price ^ PRICE_MASK if side & 1 else price)
        number = self._numbers.get(key)
        if number is not None:
            self._totals[number] += (shares << COUNT_BITS) + 1
            self.orders[reference] = number << 32 | shares
            keys = self.sides[side]
        else:
            if self._free:
                number = self._free.pop()
                self._keys[number] = key
                self._totals[number] = (shares << COUNT_BITS) + 1
            else:
                number = len(self._keys)
                self._keys.append(key)
                self._totals.append((shares << COUNT_BITS) + 1)
            self._numbers[key] = number
            self.orders[reference] = number << 32 | shares
            found = self.sides.get(side)
            if not found:
                self.sides[side] = [key]
                return side << 8
            keys = found
            if key > keys[-1]:
                keys.append(key)
            else:
                insort(keys, key)
        if key == keys[-1]:
            return side << 8
        if len(keys) > self.watched and key < keys[-self.watched]:
            return NOTHING
        return self._depth(side, key, keys)

    def reduce(self, reference: int, shares: int) -> int:
        """Some of an order, or all that is left of it, is executed or cancelled."""
        order = self.orders.get(reference)
        if order is None:
            self.unknown += 1
            return NOTHING
        left = order & SHARES_MASK
        if shares >= left:
            if shares > left:
                self.overdrawn += 1
            return self.delete(reference)
        self.orders[reference] = order - shares
        number = order >> 32
        self._totals[number] -= shares << COUNT_BITS
        key = self._keys[number]
        side = key >> 32
        keys = self.sides[side]
        if key == keys[-1]:
            return side << 8
        if len(keys) > self.watched and key < keys[-self.watched]:
            return NOTHING
        return self._depth(side, key, keys)

    def delete(self, reference: int) -> int:
        """An order is gone."""
        order = self.orders.pop(reference, None)
        if order is None:
            self.unknown += 1
            return NOTHING
        number = order >> 32
        total = self._totals[number] - ((order & SHARES_MASK) << COUNT_BITS) - 1
        key = self._keys[number]
        side = key >> 32
        keys = self.sides[side]
        if total:
            self._totals[number] = total
            if key == keys[-1]:
                return side << 8
            if len(keys) > self.watched and key < keys[-self.watched]:
                return NOTHING
            return self._depth(side, key, keys)
        del self._numbers[key]
        self._free.append(number)
        if key == keys[-1]:
            keys.pop()
            return side << 8
        at = bisect_left(keys, key)
        depth = len(keys) - 1 - at
        del keys[at]
        return side << 8 | depth if depth < self.watched else NOTHING

    def replace(self, reference: int, new_reference: int, price: int, shares: int) -> int:
        """An order gives way to another on the same side, which stands behind all others of its price."""
        order = self.orders.get(reference)
        if order is None:
            self.unknown += 1
            return NOTHING
        side = self._keys[order >> 32] >> 32
        gone = self.delete(reference)
        came = self.add(new_reference, side, price, shares)
        # On the same side the lesser is the one nearer to the top.
        return came if gone == NOTHING or NOTHING < came < gone else gone

    def where(self, reference: int) -> tuple[int, int] | None:
        """(side, price) of a live order."""
        order = self.orders.get(reference)
        if order is None:
            return None
        key = self._keys[order >> 32]
        side = key >> 32
        return side, (key ^ PRICE_MASK if side & 1 else key) & PRICE_MASK

    def top(self, side: int) -> tuple[int, int, int, int]:
        """Price and shares of the best level, and of the next; 0 where there is none."""
        keys = self.sides.get(side)
        if not keys:
            return 0, 0, 0, 0
        flip = PRICE_MASK if side & 1 else 0
        best = keys[-1]
        shares = self._totals[self._numbers[best]] >> COUNT_BITS
        if len(keys) == 1:
            return (best ^ flip) & PRICE_MASK, shares, 0, 0
        second = keys[-2]
        return (
            (best ^ flip) & PRICE_MASK,
            shares,
            (second ^ flip) & PRICE_MASK,
            self._totals[self._numbers[second]] >> COUNT_BITS,
        )

    def levels(self, side: int, count_max: int | None = None) -> list[tuple[int, int, int]]:
        """(price, shares, number of orders) of the levels of a side, the best first."""
        keys = self.sides.get(side, [])
        flip = PRICE_MASK if side & 1 else 0
        first = 0 if count_max is None else max(0, len(keys) - count_max)
        found = []
        for at in range(len(keys) - 1, first - 1, -1):
            key = keys[at]
            total = self._totals[self._numbers[key]]
            found.append(((key ^ flip) & PRICE_MASK, total >> COUNT_BITS, total & COUNT_MASK))
        return found

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """(reference, shares) of a price's orders, the first in line first. Looks at every order there is."""
        key = side << 32 | (price ^ PRICE_MASK if side & 1 else price)
        number = self._numbers.get(key, 0)
        return [
            (reference, order & SHARES_MASK)
            for reference, order in self.orders.items()
            if order >> 32 == number
        ]

    def locates(self) -> Iterator[int]:
        """The locate codes that ever had an order."""
        return iter(sorted({side >> 1 for side in self.sides}))

    def dump(self, packed: Packed) -> None:
        """Add everything to a checkpoint: 16 bytes per order, 8 per level."""
        packed.numbers(self.unknown, self.doubled, self.overdrawn, self.empty)
        packed.array(array("Q", self.orders.keys()))
        packed.array(array("Q", self.orders.values()))
        packed.array(array("Q", self._keys))
        packed.array(array("Q", self._free))

    def load(self, unpacked: Unpacked) -> None:
        """Know exactly what `dump` gave; ValueError when it does not fit together."""
        self.unknown, self.doubled, self.overdrawn, self.empty = unpacked.numbers(4)
        references, orders = unpacked.array("Q"), unpacked.array("Q")
        keys, free = unpacked.array("Q"), unpacked.array("Q")
        if len(references) != len(orders) or not keys:
            raise ValueError(f"books: {len(references)} references, {len(orders)} orders, {len(keys)} levels")
        self.orders = dict(zip(references, orders, strict=True))
        self._keys, self._free = list(keys), list(free)
        totals = [0] * len(keys)
        for order in orders:
            if order >> 32 >= len(totals):
                raise ValueError(f"books: an order in level {order >> 32} of {len(totals)}")
            totals[order >> 32] += ((order & SHARES_MASK) << COUNT_BITS) + 1
        self._totals = totals
        self._numbers = {key: number for number, key in enumerate(keys) if totals[number]}
        self.sides = {}
        for key in sorted(self._numbers):
            self.sides.setdefault(key >> 32, []).append(key)

    @staticmethod
    def _depth(side: int, key: int, keys: list[int]) -> int:
        """The answer for a level that is watched and not the best."""
        return side << 8 | (len(keys) - 1 - bisect_left(keys, key))

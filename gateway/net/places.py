"""Who holds which place: of all TCP connections by address, of all subscribers by key.

Knows connections as things that answer a ping or do not; knows nothing of what they say.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from gateway.net.access import Access

# Connections that may stand above their limit for as long as it takes to tell them so; more are cut unheard.
TOLD_MAX = 16
# Connections in their handshake, or with plain HTTP, beyond all subscribers there may be.
PASSING_MAX = 256


class Occupant(Protocol):
    """A connection, as far as its place goes."""

    async def answers(self, timeout_s: float) -> bool:
        """Whether anything is heard of the other side in time."""

    def evict(self) -> None:
        """End it, because a newer one takes its place."""


class Places:
    """A place is taken before anything waits, and free at the moment its holder is gone."""

    def __init__(self, subscribers_max: int, per_address_max: int, ghost_timeout_s: float) -> None:
        self._subscribers_max = subscribers_max
        self._per_address_max = per_address_max
        self._ghost_timeout_s = ghost_timeout_s
        self._connected: dict[Occupant, str | None] = {}
        self._addresses: Counter[str] = Counter()
        self._surplus: set[Occupant] = set()
        self._seats: dict[Occupant, str | None] = {}
        # As dicts, for their order: whoever came first is asked first.
        self._holders: dict[str, dict[Occupant, None]] = {}

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def occupants(self) -> Iterable[Occupant]:
        """Everybody with a TCP connection."""
        return tuple(self._connected)

    def arrive(self, who: Occupant, address: str | None) -> bool:
        """A TCP connection stands. False: there are so many that it is not even told why.

        A proxy's counts for no address (None) until it says whom it `speaks_for`.
        """
        if len(self._connected) >= self._subscribers_max + PASSING_MAX:
            return False
        if address is not None and self._addresses[address] >= self._per_address_max + TOLD_MAX:
            return False
        self._connected[who] = None
        if address is not None:
            self.speaks_for(who, address)
        return True

    def speaks_for(self, who: Occupant, address: str) -> None:
        """It counts for this address. Said once; nothing for one that is gone."""
        if who not in self._connected:
            return
        assert self._connected[who] is None
        self._connected[who] = address
        self._addresses[address] += 1
        if self._addresses[address] > self._per_address_max:
            self._surplus.add(who)

    def leave(self, who: Occupant) -> None:
        """It is gone, and all it held is free."""
        if who not in self._connected:
            return
        address = self._connected.pop(who)
        if address is not None:
            self._surplus.discard(who)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
        self.stand_up(who)

    def is_crowded(self, who: Occupant) -> bool:
        """Whether its address had as many connections as allowed when it came."""
        return who in self._surplus

    def sit_down(self, who: Occupant) -> bool:
        """Take a subscriber's place, for nobody's account yet. False: all are taken, or it is gone again."""
        if len(self._seats) >= self._subscribers_max or who not in self._connected:
            return False
        self._seats[who] = None
        return True

    def stand_up(self, who: Occupant) -> None:
        """Give the subscriber's place back; the TCP connection may stand for a moment yet."""
        self._give_back(who)
        self._seats.pop(who, None)

    async def charge(self, who: Occupant, access: Access) -> bool:
        """Put its place on the account of a key. False: that key has as many as it may, and all are alive.

        Whoever does not answer a ping gives way first: a laptop that was closed must not keep its owner out.
        """
        if who not in self._seats:
            return False
        if self._seats[who] == access.holder:
            return True
        if not self._has_room(access):
            present = list(self._holders[access.holder])
            alive = await asyncio.gather(*(each.answers(self._ghost_timeout_s) for each in present))
            for each, answered in zip(present, alive, strict=True):
                # Others may have come and gone meanwhile.
                if not answered and not self._has_room(access) and each in self._seats:
                    self.stand_up(each)
                    each.evict()
        if not self._has_room(access) or who not in self._seats:
            return False
        self._give_back(who)
        self._seats[who] = access.holder
        self._holders.setdefault(access.holder, {})[who] = None
        return True

    def _has_room(self, access: Access) -> bool:
        limit = access.connections_max
        return limit is None or len(self._holders.get(access.holder, ())) < limit

    def _give_back(self, who: Occupant) -> None:
        holder = self._seats.get(who)
        if holder is not None:
            self._seats[who] = None
            del self._holders[holder][who]
            if not self._holders[holder]:
                del self._holders[holder]

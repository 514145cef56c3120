"""A bell: one rings, all who wait wake up and look for themselves what has changed.

Knows asyncio and nothing of what it is about.
"""

import asyncio
from math import inf


class Bell:
    """Wakes all who wait for a change; they look for themselves what it was."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def heard(self, timeout_s: float = inf) -> None:
        """Wait for the next ring, or until the time is over."""
        try:
            async with asyncio.timeout(None if timeout_s == inf else max(timeout_s, 0.0)):
                await self._rung.wait()
        except TimeoutError:
            pass

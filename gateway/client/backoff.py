"""How long to wait before the next try. Knows no clock: it gives seconds, others wait."""

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Growing, jittered, capped. Reset only when messages flow again, not when a connection stands."""

    first_s: float = 0.25
    longest_s: float = 30.0
    growth: float = 2.0
    draw: random.Random = field(default_factory=random.Random, repr=False)
    attempt: int = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Seconds until the next try: half to all of the step, so that a thousand don't come at once."""
        # The exponent is bounded too: a line that is down for a day must not end in an overflow.
        step = min(self.longest_s, self.first_s * self.growth ** min(self.attempt, 64))
        self.attempt += 1
        return max(at_least_s, step * self.draw.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Messages flow."""
        self.attempt = 0

"""How long to wait before trying again: exponential, with full jitter, so that a hundred recorders cut off together do
not come back together."""

from __future__ import annotations

from random import Random

FIRST = 0.5  # seconds; a lost connection costs data every second it is away
LONGEST = 60.0
STABLE = 60.0  # a connection that held this long starts over at FIRST


class Backoff:
    """The waits between failures. `random` is an argument: the same seed waits the same."""

    def __init__(self, random: Random, first: float = FIRST, longest: float = LONGEST) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._failures = 0

    def next_wait(self) -> float:
        """Seconds to wait after one more failure: between half of and the whole exponential step."""
        step = min(self._longest, self._first * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return step * self._random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        self._failures = 0

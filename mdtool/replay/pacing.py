"""When to release a record so that a replay keeps the recorded rhythm.

Rule: every release time is computed from the start, never from the release before it, so lateness does not
add up and a recorded silence lasts exactly as long as it was (divided by the speed). A replay that fell
behind catches up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from fractions import Fraction

from mdtool.clock import SECOND, Clock, SystemClock
from mdtool.errors import UsageError

CLOCK_STEP = SECOND  # a receive time further back than this is the recorder's clock having been set, not jitter
SPIN_NS = 200_000  # a sleeping thread wakes this late at worst on an idle machine; the rest is spun
ASYNC_SPIN_NS = 1_200_000  # epoll rounds a timeout up to the next millisecond


class Pacer:
    """Release times at `speed` times the recorded rhythm; None releases everything at once.

    The rhythm starts with the first record asked about, or with `start`. Where the recorder's clock was set
    back by more than CLOCK_STEP, the record is due at once and the rhythm goes on from it.
    """

    def __init__(self, speed: float | None = 1.0, clock: Clock | None = None) -> None:
        if speed is not None and not (speed > 0 and math.isfinite(speed)):
            raise UsageError(f"speed {speed}: expected a number above 0, or max")
        self.speed = speed
        self._clock: Clock = SystemClock() if clock is None else clock
        # As a ratio of integers, because a float loses nanoseconds after 104 days of recording.
        ratio = Fraction(1) if speed is None else Fraction(speed).limit_denominator(1_000_000_000)
        if not ratio:
            raise UsageError(f"speed {speed}: too slow")
        self._up, self._down = ratio.denominator, ratio.numerator
        self._start_ns: int | None = None  # monotonic time at which...
        self._first_ns = 0  # ...this receive time is due
        self._highest_ns = 0

    def start(self, recv_ns: int) -> None:
        """A record received at `recv_ns` is due now."""
        self._start_ns = self._clock.monotonic_ns()
        self._first_ns = self._highest_ns = recv_ns

    def target_ns(self, recv_ns: int) -> int:
        """The monotonic time at which a record received at `recv_ns` is due. At max speed, now."""
        if self.speed is None:
            return self._clock.monotonic_ns()
        if self._start_ns is None:
            self.start(recv_ns)
        elif recv_ns > self._highest_ns:
            self._highest_ns = recv_ns
        elif recv_ns < self._highest_ns - CLOCK_STEP:
            self._start_ns = self._due_ns(self._highest_ns)
            self._first_ns = self._highest_ns = recv_ns
        return self._due_ns(recv_ns)

    def _due_ns(self, recv_ns: int) -> int:
        assert self._start_ns is not None
        return self._start_ns + (recv_ns - self._first_ns) * self._up // self._down

    def wait_ns(self, recv_ns: int) -> int:
        """How long to wait, from now, before a record received at `recv_ns` is due; 0 where it is overdue."""
        if self.speed is None:
            return 0
        return max(0, self.target_ns(recv_ns) - self._clock.monotonic_ns())

    def wait(self, recv_ns: int, *, sleep: Callable[[float], object] = time.sleep) -> int:
        """Blocks until the record is due. Returns how late it is released, in ns (0 at max speed)."""
        if self.speed is None:
            return 0
        target = self.target_ns(recv_ns)
        return sleep_until(target, self._clock, sleep=sleep) - target

    async def wait_async(self, recv_ns: int, *, spin_ns: int = ASYNC_SPIN_NS) -> int:
        """As `wait`, on the event loop: other tasks run meanwhile, also during the spin. `spin_ns` 0 never
        spins, which saves a core and costs about a millisecond of lateness."""
        if self.speed is None:
            return 0
        target = self.target_ns(recv_ns)
        while (left := target - self._clock.monotonic_ns()) > 0:
            await asyncio.sleep(max(0, left - spin_ns) / SECOND)
        return -left


def sleep_until(target_ns: int, clock: Clock, *, sleep: Callable[[float], object] = time.sleep) -> int:
    """Blocks until the monotonic time `target_ns`: sleeps, then spins the last SPIN_NS. Returns the time it is
    then. The clock has to move by itself."""
    while (left := target_ns - (now := clock.monotonic_ns())) > 0:
        # sleep(0) would not do for the spin: it goes to the timer all the same, and costs its 50 us of slack.
        if left > SPIN_NS:
            sleep((left - SPIN_NS) / SECOND)
    return now

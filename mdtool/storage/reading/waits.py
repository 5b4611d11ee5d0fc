"""How a reader waits for more at the end of what there is: the three trades between delay and processor time."""

from __future__ import annotations

import time
from typing import Literal

Wait = Literal["sleep", "spin", "hybrid"]

SPIN_NS = 100_000  # a hybrid wait spins this long after the last record before it sleeps
NAP = 50e-6  # what a hybrid wait sleeps; with the kernel's timer slack about 100 us
FIRST_SLEEP = 0.001
LONGEST_SLEEP = 0.02  # a sleeping wait doubles up to this: at most 20 ms late, 50 wake-ups a second


class Waiting:
    """ "spin" sees a record within a microsecond and keeps a core busy; "hybrid" spins for 100 us after each record and
    then naps; "sleep" costs next to nothing and is up to 20 ms late."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._quiet_since = time.monotonic_ns()
        self._pause = FIRST_SLEEP

    def busy(self) -> None:
        """There was something."""
        self._quiet_since, self._pause = time.monotonic_ns(), FIRST_SLEEP

    def idle(self, at_most: float = LONGEST_SLEEP) -> None:
        """There was nothing: wait as agreed, and no longer than `at_most` seconds."""
        if self._wait == "sleep":
            time.sleep(min(self._pause, at_most))
            self._pause = min(self._pause * 2, LONGEST_SLEEP)
        elif self._wait == "hybrid" and time.monotonic_ns() - self._quiet_since > SPIN_NS:
            time.sleep(min(NAP, at_most))

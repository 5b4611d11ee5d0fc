"""Time as an argument: whoever stamps or waits is handed a Clock, so tests decide what time it is."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """Wall time in ns since the epoch, UTC, and a monotonic ns counter for intervals."""

    def now_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The machine's clocks. The methods are the C functions themselves: a stamp costs no Python frame."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Both clocks move by `ns`."""
        self._now_ns += ns
        self._monotonic_ns += ns

    def step(self, ns: int) -> None:
        """Only the wall clock moves, as when NTP steps it."""
        self._now_ns += ns


def day_start(ns: int) -> int:
    """The UTC midnight at or before `ns`."""
    return ns - ns % DAY

"""What is known of the clock that records are stamped with: the kernel's own word on it each minute, and its steps.

Rule: it is evidence, put on record as it was. A clock is not corrected here, nor is a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mdtool.clock import MINUTE, SECOND, Clock

STEP_NS = SECOND // 10  # a wall clock that moved this much against the monotonic one was stepped
EVERY_NS = MINUTE

_UNSYNCHRONISED, _IN_NANOSECONDS = 0x0040, 0x2000  # of `status`; see adjtimex(2)


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of its clock. Bounds are the kernel's own, fed by whatever disciplines it (chrony, ntpd,
    ptp): without one, `synchronised` is False and the bounds grow to 16 s."""

    synchronised: bool
    offset_ns: int  # still to be corrected
    max_error_ns: int
    estimated_error_ns: int
    frequency_ppb: int  # by how much it is run faster


class _Timex(ctypes.Structure):
    """struct timex of Linux, 64 bits."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 20),
    ]


def kernel_clock() -> KernelClock | None:
    """The kernel's clock as of now; None where it does not tell (a sandbox)."""
    said = _Timex()  # modes 0: nothing is set
    try:
        failed = ctypes.CDLL(None).adjtimex(ctypes.byref(said)) < 0
    except (OSError, AttributeError):
        return None
    if failed:
        return None
    return KernelClock(
        synchronised=not said.status & _UNSYNCHRONISED,
        offset_ns=said.offset if said.status & _IN_NANOSECONDS else said.offset * 1000,
        max_error_ns=said.max_error * 1000,
        estimated_error_ns=said.estimated_error * 1000,
        frequency_ppb=round(said.frequency * 1000 / 65_536),
    )


class Timekeeper:
    """Notes on a run's clock. `look` about once a second."""

    def __init__(self, clock: Clock, ask: Callable[[], KernelClock | None] = kernel_clock) -> None:
        self._clock = clock
        self._ask = ask
        self._offset_ns = self._now_offset_ns()
        self._next_ns = clock.monotonic_ns()

    def look(self) -> Iterator[dict[str, Any]]:
        """What there is to put on record now: a step, and each minute how the clock stands."""
        offset_ns = self._now_offset_ns()
        if abs(offset_ns - self._offset_ns) > STEP_NS:
            yield {"note": "clock stepped", "by_ns": offset_ns - self._offset_ns}
            self._next_ns = self._clock.monotonic_ns()  # how it stands behind that
        # Slower than a step it drifts: by the kernel's own correction, which is no step.
        self._offset_ns = offset_ns
        if self._clock.monotonic_ns() >= self._next_ns:
            self._next_ns += EVERY_NS
            said = self._ask()
            kernel = {"synchronised": None} if said is None else asdict(said)
            yield {"note": "clock", "wall_minus_monotonic_ns": offset_ns, **kernel}

    def _now_offset_ns(self) -> int:
        return self._clock.now_ns() - self._clock.monotonic_ns()

"""How far something long has come: what is done, how fast, and what is left of it, on one line.

    42.1MiB of 118MiB, 11.3MiB/s, 7s left

It goes to a terminal only, which the output sees to; whoever does the work calls it as often as it likes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from mdtool.units import format_size

LOOKED_BACK = 5.0  # seconds over which the rate is taken: what a disk or a cache did before is over
SHOWN_AFTER = 0.5  # seconds before a rate says anything
EVERY = 0.1  # seconds between two looks at it
_MINUTE, _HOUR = 60, 3600


class Progress:
    """`progress(done, total)` with `show` the output's progress line. `of` prints an amount; bytes unless given.

    >>> now = iter([0.0, 1.0, 2.0])
    >>> progress = Progress(print, clock=lambda: next(now))
    >>> progress(10 << 20, 50 << 20)
    10MiB of 50MiB
    >>> progress(20 << 20, 50 << 20)
    20MiB of 50MiB, 10MiB/s, 3s left
    >>> progress(30 << 20, None)
    30MiB, 10MiB/s
    """

    def __init__(
        self,
        show: Callable[[str], None],
        *,
        what: str = "",
        of: Callable[[int], str] = format_size,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._what = f"{what}: " if what else ""
        self._of = of
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()  # time and amount, the oldest first

    def __call__(self, done: int, total: int | None) -> None:
        now = self._clock()
        if self._seen and now - self._seen[-1][0] < EVERY:
            return
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= LOOKED_BACK:
            self._seen.popleft()
        self._show(self._what + self._text(now, done, total))

    def _text(self, now: float, done: int, total: int | None) -> str:
        of = self._of
        text = of(done) if total is None else f"{of(done)} of {of(total)}"
        since, before = self._seen[0]
        if now - since < SHOWN_AFTER or done <= before:
            return text
        rate = (done - before) / (now - since)
        text += f", {of(round(rate))}/s"
        return text if total is None else f"{text}, {_left(max(0, total - done) / rate)} left"


def _left(seconds: float) -> str:
    """7s, 2m05s, 3h10m: as coarse as such a guess is."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"

"""Trades of a sliding window, added up exactly in bounded memory.

Rule: a window slides in whole steps. It holds the step the newest time falls in and the `steps - 1` before it, so it
spans at most `steps * step_ns` and less than one step below that; of the trades in it the figures are exact. Time does
not run backwards: a trade received with an older time than one before it counts as of the newest time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction


@dataclass(slots=True)
class _Step:
    """The trades of one step."""

    number: int
    trades: int
    volume: int
    notional: int
    bought: int
    first: int
    last: int
    high: int
    low: int


@dataclass(frozen=True, slots=True)
class TradeWindow:
    """Figures of the trades in a window. Prices and sizes are mantissas, `notional` at the sum of their exponents."""

    since_ns: int  # where the window begins
    trades: int
    volume: int
    notional: int  # sum of price times size
    bought: int  # the part of the volume whose aggressor bought
    first: int | None  # prices; None without a trade
    last: int | None
    high: int | None
    low: int | None

    @property
    def change(self) -> int | None:
        """Last price less first."""
        return None if self.last is None or self.first is None else self.last - self.first

    @property
    def vwap(self) -> Fraction | None:
        """Mean price by volume, exact, in price mantissas; None without volume."""
        return Fraction(self.notional, self.volume) if self.volume else None


class RollingTrades:
    """The trades of the last `steps` steps of `step_ns`. Memory is bounded by `steps`, not by trades."""

    def __init__(self, step_ns: int, steps: int) -> None:
        if step_ns < 1 or steps < 1:
            raise ValueError(f"step_ns {step_ns} and steps {steps}, expected at least 1")
        self._step_ns = step_ns
        self._count = steps
        self._newest = 0  # number of the newest step
        self._steps: deque[_Step] = deque()  # those with trades, oldest first
        # Steps whose high (low) no later one reaches: the first has the window's, without looking at the others.
        self._highs: deque[_Step] = deque()
        self._lows: deque[_Step] = deque()
        self._trades = self._volume = self._notional = self._bought = 0

    def add(self, time_ns: int, price: int, size: int, *, bought: bool) -> None:
        """One trade."""
        self.move_to(time_ns)
        step = self._steps[-1] if self._steps else None
        if step is None or step.number != self._newest:
            step = _Step(self._newest, 0, 0, 0, 0, price, price, price, price)
            self._steps.append(step)
        step.trades += 1
        step.volume += size
        step.notional += price * size
        step.bought += size if bought else 0
        step.last = price
        step.high = max(step.high, price)
        step.low = min(step.low, price)
        self._trades += 1
        self._volume += size
        self._notional += price * size
        self._bought += size if bought else 0
        while self._highs and self._highs[-1].high <= step.high:
            self._highs.pop()
        self._highs.append(step)
        while self._lows and self._lows[-1].low >= step.low:
            self._lows.pop()
        self._lows.append(step)

    def move_to(self, now_ns: int) -> None:
        """Time has come to `now_ns`; what is too old falls out."""
        self._newest = max(self._newest, now_ns // self._step_ns)
        oldest = self._newest - self._count + 1
        while self._steps and self._steps[0].number < oldest:
            gone = self._steps.popleft()
            self._trades -= gone.trades
            self._volume -= gone.volume
            self._notional -= gone.notional
            self._bought -= gone.bought
            if self._highs[0] is gone:
                self._highs.popleft()
            if self._lows[0] is gone:
                self._lows.popleft()

    def figures(self) -> TradeWindow:
        """As of the newest time."""
        steps = self._steps
        return TradeWindow(
            since_ns=(self._newest - self._count + 1) * self._step_ns,
            trades=self._trades,
            volume=self._volume,
            notional=self._notional,
            bought=self._bought,
            first=steps[0].first if steps else None,
            last=steps[-1].last if steps else None,
            high=self._highs[0].high if steps else None,
            low=self._lows[0].low if steps else None,
        )

    def multiply(self, price_factor: int, size_factor: int) -> None:
        """Everything at a finer scale from now on."""
        both = price_factor * size_factor
        for step in self._steps:
            step.volume *= size_factor
            step.notional *= both
            step.bought *= size_factor
            step.first *= price_factor
            step.last *= price_factor
            step.high *= price_factor
            step.low *= price_factor
        self._volume *= size_factor
        self._notional *= both
        self._bought *= size_factor


class RollingCount:
    """How many of something in the last `steps` steps of `step_ns`."""

    def __init__(self, step_ns: int, steps: int) -> None:
        self._step_ns = step_ns
        self._count = steps
        self._newest = 0
        self._slots = [0] * steps
        self.total = 0

    @property
    def span_ns(self) -> int:
        return self._step_ns * self._count

    def add(self, time_ns: int) -> None:
        self.move_to(time_ns)
        self._slots[self._newest % self._count] += 1
        self.total += 1

    def move_to(self, now_ns: int) -> None:
        newest = now_ns // self._step_ns
        if newest <= self._newest:
            return
        for number in range(max(self._newest + 1, newest - self._count + 1), newest + 1):
            at = number % self._count
            self.total -= self._slots[at]
            self._slots[at] = 0
        self._newest = newest

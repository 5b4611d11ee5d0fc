"""Receive time minus venue time over any number of messages, in bounded memory."""

from __future__ import annotations

from array import array

from mdtool.audit.report import Offset

_SAMPLE = 1 << 18  # values kept; when full, every second one goes and only every second is taken from then on


class OffsetMeter:
    """`values` are added by whoever decodes (it is the hot path), `settle` is called now and then to bound it."""

    def __init__(self) -> None:
        self.values = array("q")
        self._sample = array("q")
        self._stride = 1
        self._skip = 0
        self._count = 0
        self._min: int | None = None
        self._max: int | None = None

    def settle(self) -> None:
        """Take over the values added since the last call."""
        values = self.values
        if not values:
            return
        low, high = min(values), max(values)
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)
        self._sample.extend(values[self._skip :: self._stride])
        self._skip = (self._skip - len(values)) % self._stride
        self._count += len(values)
        del values[:]
        while len(self._sample) > _SAMPLE:
            # The last one kept decides how many of the coming values are left out.
            if len(self._sample) % 2:
                self._skip += self._stride
            self._sample = self._sample[::2]
            self._stride *= 2

    def result(self) -> Offset | None:
        self.settle()
        if self._min is None or self._max is None:
            return None
        ordered = sorted(self._sample)
        return Offset(self._min, ordered[len(ordered) // 2], self._max, self._count, len(ordered))

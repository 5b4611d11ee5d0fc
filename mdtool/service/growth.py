"""What has come of a feed, and how its counters have grown, over the last minute.

Rule: it is read as any other reader reads. What cannot be read is as if nothing were there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from mdtool.capture.options import FeedCounters, counters_of
from mdtool.clock import MINUTE, SECOND
from mdtool.errors import StoreError
from mdtool.model import Kind
from mdtool.storage.journal.registry import ChunkInfo
from mdtool.storage.reading.reader import Reader

MOST_POINTS = 120  # looks kept of the last minute
AMONG = 256  # records at a feed's end among which its last message is looked for


class Window:
    """Counters as they were over the last minute."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=MOST_POINTS)

    def add(self, now_ns: int, counters: tuple[int, ...]) -> None:
        points = self._points
        points.append((now_ns, counters))
        while len(points) > 2 and now_ns - points[1][0] >= MINUTE:
            points.popleft()

    @property
    def lasted_ns(self) -> int:
        return self._points[-1][0] - self._points[0][0] if self._points else 0

    def growth(self) -> tuple[int, ...]:
        """By how much each has grown; what began anew is taken for no growth."""
        first, last = self._points[0][1], self._points[-1][1]
        return tuple(max(new - old, 0) for old, new in zip(first, last, strict=True))

    def rates(self, at: int) -> tuple[float, ...]:
        """The growth a second of one counter between each two looks, the oldest first."""
        return tuple(
            max(later[1][at] - earlier[1][at], 0) * SECOND / max(later[0] - earlier[0], 1)
            for earlier, later in pairwise(self._points)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    records: int = 0
    minute: tuple[int, int] = (0, 0)  # records, bytes
    counted: tuple[int, ...] = ()  # the growth of the counters in the last minute
    rate: float = 0.0
    rates: tuple[float, ...] = ()
    last_ns: int | None = None  # of the last message
    latest: ChunkInfo | None = None
    came: int = 0
    came_bytes: int = 0


class Watched:
    """A feed as it was looked at."""

    def __init__(self) -> None:
        self.reader: Reader | None = None
        self.window = Window()
        self._last_ns = 0  # of the last message that was seen
        self._chunk = -1  # the newest that was seen; 0: there was none
        self._seen = (0, 0)  # its records and bytes
        self._came = (0, 0)  # since it was looked at first

    def take(self, reader: Reader | None, counters: FeedCounters, now_ns: int) -> Seen:
        if reader is None:
            self._chunk = max(self._chunk, 0)
            return Seen(came=self._came[0], came_bytes=self._came[1])  # counters never go back
        try:
            latest, records = reader.latest_chunk(), reader.count()
            self._last_ns = max(self._last_ns, reader.newest_ns(Kind.DATA, AMONG) or 0)
        except (StoreError, OSError):
            return Seen(came=self._came[0], came_bytes=self._came[1])
        if latest is not None:
            self._grow(reader, latest)
        self._chunk = max(self._chunk, 0)
        self.window.add(now_ns, (*self._came, *counters_of(counters)))
        new, size, *counted = self.window.growth()
        rate = new * SECOND / self.window.lasted_ns if self.window.lasted_ns else 0.0
        rates = self.window.rates(0)
        return Seen(records, (new, size), tuple(counted), rate, rates, self._last_ns or None, latest, *self._came)

    def _grow(self, reader: Reader, latest: ChunkInfo) -> None:
        """Count what has come since the last look, in chunks that were closed meanwhile too."""
        chunks = [latest]
        if 0 <= self._chunk < latest.chunk_id:
            chunks = [chunk for chunk in reader.chunks() if self._chunk <= chunk.chunk_id < latest.chunk_id] + chunks
        for chunk in chunks:
            now = (chunk.rows, chunk.heap_bytes)
            before = self._seen if chunk.chunk_id == self._chunk else (0, 0) if self._chunk >= 0 else now
            self._came = (self._came[0] + now[0] - before[0], self._came[1] + now[1] - before[1])
            self._chunk, self._seen = chunk.chunk_id, now

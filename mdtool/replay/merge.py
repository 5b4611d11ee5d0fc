"""Many feeds as one, ordered by receive time.

Rule: a feed's own order is never changed. Where its clock stepped back, its records are placed by the highest
receive time the feed has shown so far. Ties go to the feed named first. So the order depends on the feeds
alone, never on how they are cut into batches.

The merge works on windows of the row index: within a window numpy sorts the times of all feeds at once, and a
record is only built when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mdtool.storage.journal.batch import Batch
    from mdtool.storage.reading.reader import Reader, Record

WINDOW = 1 << 16  # rows looked at together, over all feeds: the sort stays in cache and the first record comes soon
SMALLEST_WINDOW = 256  # rows of one feed, however many feeds there are
BEGINNING = np.iinfo(np.int64).min


class Stretch(NamedTuple):
    """Rows `start` to `stop` of one batch of one feed, in the feed's order."""

    reader: Reader
    batch: Batch
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A stretch of the merged order: at most one run a feed, and how they interleave."""

    runs: tuple[Stretch, ...]
    order: npt.NDArray[np.intp] | None  # (records,) into the runs laid end to end; None: one run

    def __len__(self) -> int:
        return sum(run.stop - run.start for run in self.runs)

    def sources(self) -> npt.NDArray[np.intp]:
        """For each record in merged order, which of `runs` it comes from; a run keeps its order."""
        sizes = [run.stop - run.start for run in self.runs]
        source = np.repeat(np.arange(len(sizes), dtype=np.intp), sizes)
        return source if self.order is None else source[self.order]

    def rows(self) -> npt.NDArray[Any]:
        """The row index in merged order, (records,) of storage's ROW. A copy unless one feed is alone.
        `stream` and `offset` still count within their own feed and chunk."""
        parts = [run.batch.rows[run.start : run.stop] for run in self.runs]
        if self.order is None:
            return np.asarray(parts[0])
        return np.asarray(np.concatenate(parts).take(self.order))


class _Feed:
    """How far one feed is merged."""

    def __init__(self, reader: Reader, until_ns: int | None) -> None:
        self.reader = reader
        self.until_ns = until_ns
        self.batches = iter(reader.batches())
        self.batch: Batch | None = None
        self.rows: npt.NDArray[Any] = np.empty(0)
        self.at = 0  # the next row to hand out
        self.keys: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # of the rows in the window, from `at`
        self.end: int | None = None  # the last of them; None where there is none
        self.reached = BEGINNING  # the highest receive time handed out

    def load(self, size: int) -> bool:
        """Makes `keys` reach about `size` rows ahead, within the batch; False where the feed has ended."""
        # Topped up from half full, so that all feeds reach ahead about as far and a round merges many rows.
        if len(self.keys) * 2 >= size or 0 < len(self.keys) == len(self.rows) - self.at:
            return True
        while self.at == len(self.rows):
            self.batch = next(self.batches, None)
            if self.batch is None:
                return False
            self.rows, self.at = self.batch.rows, 0
        keys = np.maximum.accumulate(self.rows["recv_ns"][self.at : self.at + size])
        if self.reached > keys[0]:
            np.maximum(keys, self.reached, out=keys)
        if self.until_ns is not None and keys[-1] >= self.until_ns:
            keys = keys[: int(np.searchsorted(keys, self.until_ns))]
            self.rows, self.batches = self.rows[: self.at + len(keys)], iter(())
        self.keys = keys
        return len(keys) > 0

    def take(self, count: int) -> tuple[Stretch, npt.NDArray[np.int64]]:
        assert self.batch is not None
        run = Stretch(self.reader, self.batch, self.at, self.at + count)
        keys, self.keys = self.keys[:count], self.keys[count:]
        self.at += count
        self.reached = int(keys[-1])
        return run, keys


def merge_batches(readers: Sequence[Reader], until_ns: int | None = None) -> Iterator[Merged]:
    """The records from each reader's position to its end as of now, or up to `until_ns` (exclusive), in
    stretches. The fast way: nothing is built per record. Where a reader stands after an early stop is not
    defined."""
    feeds = [_Feed(reader, until_ns) for reader in readers]
    size = max(SMALLEST_WINDOW, WINDOW // max(1, len(feeds)))
    # (first key, feed) and (last key, feed) of each window, the earliest in front, so that a round touches the feeds
    # it takes from and no other: many small feeds end one by one.
    firsts: list[tuple[int, int]] = []
    ends: list[tuple[int, int]] = []

    def look_ahead(i: int) -> None:
        feed, end = feeds[i], feeds[i].end
        feed.end = int(feed.keys[-1]) if feed.load(size) else None
        if feed.end is None:
            return
        heappush(firsts, (int(feed.keys[0]), i))
        if feed.end != end:
            heappush(ends, (feed.end, i))

    for i in range(len(feeds)):
        look_ahead(i)
    while firsts:
        while ends[0][0] != feeds[ends[0][1]].end:
            heappop(ends)  # it reaches further by now
        # Nothing later than the earliest window's end may go out yet: that feed may have more at that very
        # time, which comes before the same time of the feeds named after it.
        horizon, limit = heappop(ends)
        due = []
        while firsts and firsts[0] <= (horizon, limit):
            due.append(heappop(firsts)[1])
        runs, keys = [], []
        for i in sorted(due):
            feed, side = feeds[i], "right" if i < limit else "left"
            count = len(feed.keys) if i == limit else int(np.searchsorted(feed.keys, horizon, side))  # type: ignore[call-overload]
            run, taken = feed.take(count)
            runs.append(run)
            keys.append(taken)
        order = None if len(keys) == 1 else np.argsort(np.concatenate(keys), kind="stable")
        yield Merged(tuple(runs), order)
        feeds[limit].end = None  # taken whole
        for i in due:
            look_ahead(i)


def merge(readers: Sequence[Reader], until_ns: int | None = None) -> Iterator[tuple[Reader, Record]]:
    """(reader, record) of all feeds by receive time, from each reader's position to its end as of now, or up
    to `until_ns` (exclusive). Lazy. Where a reader stands after an early stop is not defined."""
    if len(readers) == 1:
        yield from _alone(readers[0], until_ns)
        return
    opened: dict[int, tuple[Batch, Iterator[Record]]] = {}  # by reader: the records of the batch it is in
    for merged in merge_batches(readers, until_ns):
        nexts = []
        for run in merged.runs:
            batch, records = opened.get(id(run.reader), (None, None))
            if batch is not run.batch or records is None:
                records = iter(run.batch.records())
                opened[id(run.reader)] = run.batch, records
            nexts.append((run.reader, records.__next__))
        for i in merged.sources().tolist():
            reader, take = nexts[i]
            yield reader, take()


def _alone(reader: Reader, until_ns: int | None) -> Iterator[tuple[Reader, Record]]:
    if until_ns is None:
        for record in reader.records():
            yield reader, record
        return
    for record in reader.records():
        if record.recv_ns >= until_ns:
            return
        yield reader, record

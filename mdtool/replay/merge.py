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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mdtool.kernel.journal import Record
    from mdtool.storage.reader import Batch, Reader

WINDOW = (
    1 << 16
)  # rows looked at together, over all feeds: the sort stays in cache and the first record comes soon
SMALLEST_WINDOW = 256  # rows of one feed, however many feeds there are
BEGINNING = np.iinfo(np.int64).min


class Run(NamedTuple):
    """Rows `start` to `stop` of one batch of one feed, in the feed's order."""

    reader: Reader
    batch: Batch
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A stretch of the merged order: at most one run a feed, and for each record which run it comes from.

    The n-th mention of a run in `source` is the run's n-th record.
    """

    runs: tuple[Run, ...]
    source: npt.NDArray[np.intp]  # (records,) indexes of `runs`

    def __len__(self) -> int:
        return len(self.source)

    def rows(self) -> npt.NDArray[Any]:
        """The row index in merged order, (records,) of storage's ROW. A copy unless one feed is alone.
        `stream` and `offset` still count within their own feed and chunk."""
        parts = [run.batch.rows[run.start : run.stop] for run in self.runs]
        if len(parts) == 1:
            return np.asarray(parts[0])
        # A stable sort by source is the permutation from feed order to merged order; scattering inverts it.
        merged: npt.NDArray[Any] = np.empty(len(self.source), dtype=parts[0].dtype)
        merged[np.argsort(self.source, kind="stable")] = np.concatenate(parts)
        return merged


class _Feed:
    """How far one feed is merged."""

    def __init__(self, reader: Reader, until_ns: int | None) -> None:
        self.reader = reader
        self.until_ns = until_ns
        self.batches = iter(reader.batches())
        self.batch: Batch | None = None
        self.rows: npt.NDArray[Any] = np.empty(0)
        self.at = 0  # the next row to hand out
        self.loaded = 0  # rows before this have their key in `keys`
        self.keys: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # of rows at..loaded
        self.highest = BEGINNING

    def load(self, size: int) -> bool:
        """Makes `keys` non-empty; False where the feed has nothing more."""
        if self.at < self.loaded:
            return True
        while self.batch is None or self.at == len(self.rows):
            self.batch = next(self.batches, None)
            if self.batch is None:
                return False
            self.rows, self.at = self.batch.rows, 0
        self.loaded = min(self.at + size, len(self.rows))
        keys = np.maximum.accumulate(self.rows["recv_ns"][self.at : self.loaded])
        if self.highest > keys[0]:
            np.maximum(keys, self.highest, out=keys)
        if self.until_ns is not None and keys[-1] >= self.until_ns:
            keys = keys[: np.searchsorted(keys, self.until_ns)]
            self.loaded = self.at + len(keys)
            self.rows, self.batches = self.rows[: self.loaded], iter(())
            if not len(keys):
                return False
        self.highest = int(keys[-1])
        self.keys = keys
        return True

    def take(self, count: int) -> tuple[Run, npt.NDArray[np.int64]]:
        assert self.batch is not None
        run = Run(self.reader, self.batch, self.at, self.at + count)
        keys, self.keys = self.keys[:count], self.keys[count:]
        self.at += count
        return run, keys


def merge_batches(readers: Sequence[Reader], until_ns: int | None = None) -> Iterator[Merged]:
    """The records from each reader's position to its end as of now, or up to `until_ns` (exclusive), in
    stretches. The fast way: nothing is built per record. Where a reader stands after an early stop is not
    defined."""
    feeds = [_Feed(reader, until_ns) for reader in readers]
    size = max(SMALLEST_WINDOW, WINDOW // max(1, len(feeds)))
    while feeds := [feed for feed in feeds if feed.load(size)]:
        # Nothing later than the earliest window's end may go out yet: that feed may have more at that very
        # time, which comes before the same time of the feeds named after it.
        limit = min(range(len(feeds)), key=lambda i: feeds[i].highest)
        horizon = feeds[limit].highest
        runs, keys = [], []
        for i, feed in enumerate(feeds):
            side = "right" if i <= limit else "left"
            count = len(feed.keys) if i == limit else int(np.searchsorted(feed.keys, horizon, side))  # type: ignore[call-overload]
            if count:
                run, taken = feed.take(count)
                runs.append(run)
                keys.append(taken)
        yield Merged(tuple(runs), _order(keys))


def _order(keys: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.intp]:
    if len(keys) == 1:
        return np.zeros(len(keys[0]), dtype=np.intp)
    source = np.repeat(np.arange(len(keys), dtype=np.intp), [len(k) for k in keys])
    ordered: npt.NDArray[np.intp] = source[np.argsort(np.concatenate(keys), kind="stable")]
    return ordered


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
        for i in merged.source.tolist():
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

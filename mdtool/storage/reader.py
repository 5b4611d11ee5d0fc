"""Reading a feed: by record, by batch, from a time, to the end or following it. Readers map read-only; they never
write, repair or truncate, and no reader is ever waited for."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Cursor, Journal, Record
from mdtool.storage import layout
from mdtool.storage.chunk import OpenChunk, open_chunk
from mdtool.storage.layout import ChunkFlag, ChunkState
from mdtool.storage.registry import ChunkInfo, FeedInfo, FeedRegistry

__all__ = ["Batch", "Reader", "Record", "WriterStatus", "index_rows"]

Rows = npt.NDArray[np.void]
Wait = Literal["sleep", "spin", "hybrid"]

ROW_BITS = 32  # a position is chunk id << 32 | row
SPIN_NS = 100_000  # a hybrid wait spins this long after the last record before it sleeps
NAP = 50e-6  # what a hybrid wait sleeps; with the kernel's timer slack about 100 us
LONGEST_SLEEP = 0.02  # a sleeping wait doubles from 1 ms up to this: at most 20 ms late, 50 wake-ups a second
REOPEN = 5  # tries at a chunk that was moved between reading the registry and opening it


class WriterStatus(Enum):
    """Whether the feed has a writer, by what it left behind."""

    ALIVE = "alive"  # its heartbeat is younger than the ttl
    STALE = "stale"  # it has not closed its chunk, and its heartbeat is old: died or hangs
    GONE = "gone"  # it closed its chunk, or there never was one


def index_rows(index: mmap.mmap | bytes, count: int) -> Rows:
    """The first `count` rows of an index as an array, without copying."""
    return np.frombuffer(index, layout.ROW, count, layout.PAGE)


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records of one chunk. `rows`: array of layout.ROW, a view of the mapping; `position` is that of its
    first row."""

    rows: Rows
    position: int
    streams: list[str]
    _journal: Journal
    _heap: mmap.mmap | bytes

    def __len__(self) -> int:
        return len(self.rows)

    def payload(self, number: int) -> bytes:
        """The payload of row `number` of this batch."""
        row = self.rows[number]
        start = int(row["offset"])
        return bytes(self._heap[start : start + int(row["length"])])

    def records(self) -> Iterator[Record]:
        start = self.position & ((1 << ROW_BITS) - 1)
        return self._journal.records(start, start + len(self.rows), False)


class Reader:
    """One position in one feed. Not for use from two threads at once; open as many readers as are needed.

    `verify`: every record's CRC is checked as it is read, and one that does not hold raises CorruptStore.
    """

    def __init__(self, feed: FeedInfo, *, verify: bool = True) -> None:
        self.feed = feed
        self.verify = verify
        self._registry = _registry(feed)
        self._entry = 0  # number of the current chunk in the chunk table
        self._row = 0
        self._open: tuple[int, OpenChunk] | None = None
        self._cursor: Cursor | None = None

    # -- what there is ------------------------------------------------------------------------------------------

    @property
    def streams(self) -> list[str]:
        """Stream names; `Record.stream` is the index."""
        return self._registry.streams if self._registry else []

    def stream_name(self, number: int) -> str:
        names = self.streams
        return names[number] if number < len(names) else f"#{number}"

    def chunks(self) -> list[ChunkInfo]:
        """The feed's chunks in order, live ones with their figures as of now."""
        return [self._current_figures(entry) for entry in range(self._chunk_count)]

    def latest_chunk(self) -> ChunkInfo | None:
        """The newest chunk, from the mapping alone; None where nothing was recorded."""
        return self._current_figures(self._chunk_count - 1) if self._chunk_count else None

    def has_data_since(self, ns: int) -> bool:
        """Whether a record was received at or after `ns`, from the mapping alone."""
        return any(
            figures.rows and figures.max_ns >= ns
            for figures in (self._current_figures(entry) for entry in reversed(range(self._chunk_count)))
        )

    @property
    def first_ns(self) -> int | None:
        """Receive time of the first record; None where there is none."""
        return next((figures.min_ns for figures in self.chunks() if figures.rows), None)

    @property
    def last_ns(self) -> int | None:
        """Highest receive time as of now; None where there is none."""
        return max((figures.max_ns for figures in self.chunks() if figures.rows), default=None)

    def count(self) -> int:
        """Records committed as of now."""
        return sum(figures.rows for figures in self.chunks())

    def writer_status(self, ttl_ns: int, now_ns: int) -> WriterStatus:
        """Whether a writer is at work: it says so about once a second."""
        latest = self.latest_chunk()
        if latest is None or latest.state != ChunkState.LIVE:
            return WriterStatus.GONE
        heartbeat_ns = self._chunk(self._chunk_count - 1).heartbeat_ns
        return WriterStatus.ALIVE if now_ns - heartbeat_ns <= ttl_ns else WriterStatus.STALE

    # -- where it stands ----------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The next record to be read: chunk id << 32 | row. Stays valid for as long as the chunk is kept."""
        self._settle()
        if self._entry < self._chunk_count:
            return (self._registered(self._entry).chunk_id << ROW_BITS) | self._row
        return 0

    def move_to(self, position: int) -> None:
        """Stand at a position another reader (or this one) had. Raises CorruptStore where its chunk is gone."""
        self._forget()
        if position == 0:
            self._entry, self._row = 0, 0
            return
        chunk_id, row = position >> ROW_BITS, position & ((1 << ROW_BITS) - 1)
        for entry in reversed(range(self._chunk_count)):
            if self._registered(entry).chunk_id == chunk_id:
                self._entry, self._row = entry, row
                return
        raise CorruptStore(f"{self.feed.name}: position {position} is in chunk {chunk_id}, which is not kept any more")

    def to_start(self) -> None:
        self._forget()
        self._entry, self._row = 0, 0

    def to_end(self) -> None:
        """Behind the last record committed as of now."""
        self._forget()
        self._entry = max(0, self._chunk_count - 1)
        self._row = self._chunk(self._entry).journal.committed if self._chunk_count else 0

    def seek(self, ns: int) -> None:
        """Stand at the first record received at or after `ns` (the end, where there is none)."""
        for entry in range(self._chunk_count):
            figures = self._current_figures(entry)
            if not figures.rows or figures.max_ns < ns:
                continue
            times = index_rows(self._chunk(entry).index, figures.rows)["recv_ns"]
            self._forget()
            self._entry = entry
            if figures.flags & ChunkFlag.ORDERED:
                self._row = int(np.searchsorted(times, ns, "left"))
            else:  # live, or the clock stepped back: the first that is late enough
                self._row = int(np.argmax(times >= ns))
            return
        self.to_end()

    # -- reading ------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Every record from the position to the end as of now, advancing."""
        return chain.from_iterable(self._cursors())

    def poll(self, limit: int = 4096) -> list[Record]:
        """What is there now, at most `limit` records, advancing; empty when there is nothing. Never waits."""
        if self._open is not None and self._cursor is not None and self._open[0] == self._entry:
            # Caught up with a live chunk: one load tells, which is what a spinning reader does most of the time.
            row = self._cursor.next_row
            if self._open[1].journal.committed == row and self._chunk_count == self._entry + 1:
                return []
        return list(islice(self.records(), limit))

    def follow(self, *, wait: Wait = "sleep", stop: Callable[[], bool] | None = None) -> Iterator[Record]:
        """Every record from the position on, waiting for more at the end; ends when `stop()` is true there.

        `wait`: "spin" sees a record within a microsecond and keeps a core busy; "hybrid" spins for 100 us after each
        record and then naps; "sleep" costs next to nothing and is up to 20 ms late.
        """
        quiet_since = time.monotonic_ns()
        pause = 0.001
        while True:
            batch = self.poll()
            if batch:
                yield from batch
                quiet_since, pause = time.monotonic_ns(), 0.001
                continue
            if stop is not None and stop():
                return
            if wait == "sleep":
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_SLEEP)
            elif wait == "hybrid" and time.monotonic_ns() - quiet_since > SPIN_NS:
                time.sleep(NAP)

    def batches(self) -> Iterator[Batch]:
        """The same records as `records()`, a run of one chunk at a time as array views."""
        while (opened := self._next_chunk()) is not None:
            committed = opened.journal.committed
            if self._row < committed:
                start, self._row = self._row, committed
                if self.verify and (bad := opened.journal.check(start, committed)) is not None:
                    opened.journal.record(bad)  # raises, naming the row
                rows = index_rows(opened.index, committed)[start:]
                position = opened.journal.base_position + start
                yield Batch(rows, position, self.streams, opened.journal, opened.heap)
            if not self._advance(opened):
                return

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _chunk_count(self) -> int:
        if self._registry is None:
            self._registry = _registry(self.feed)
        return self._registry.chunk_count if self._registry else 0

    def _registered(self, entry: int) -> ChunkInfo:
        assert self._registry is not None  # there is an entry, so there is a registry
        return self._registry.chunk(entry)

    def _current_figures(self, entry: int) -> ChunkInfo:
        """An entry of the chunk table; for a live chunk, what its index says right now."""
        info = self._registered(entry)
        if info.state != ChunkState.LIVE:
            return info
        opened = self._chunk(entry)
        rows = index_rows(opened.index, opened.journal.committed)
        if not len(rows):
            return info
        times: Any = rows["recv_ns"]
        heap_bytes = int(rows[-1]["offset"]) + int(rows[-1]["length"])
        return ChunkInfo(
            info.chunk_id, info.epoch, info.state, info.location, info.flags, info.part,
            len(rows), heap_bytes, int(times.min()), int(times.max()), info.created_ns, info.closed_ns,
        )  # fmt: skip

    def _chunk(self, entry: int) -> OpenChunk:
        """The chunk mapped; the last one asked for is kept."""
        if self._open is None or self._open[0] != entry:
            for attempt in range(REOPEN):
                try:
                    self._open = (entry, open_chunk(self.feed, self._registered(entry)))
                    break
                except ChunkUnavailable:
                    if attempt == REOPEN - 1:
                        raise
                    time.sleep(0.001)  # being moved from shared memory to disk: the registry will say where to
        assert self._open is not None  # the loop has set it or raised
        return self._open[1]

    def _settle(self) -> None:
        """Take over how far the last cursor was consumed."""
        if self._cursor is not None:
            self._row = self._cursor.next_row

    def _forget(self) -> None:
        self._cursor = None

    def _next_chunk(self) -> OpenChunk | None:
        self._settle()
        self._cursor = None
        return self._chunk(self._entry) if self._entry < self._chunk_count else None

    def _advance(self, opened: OpenChunk) -> bool:
        """Move on to the next chunk if there is one and this one is read to its end."""
        if self._chunk_count <= self._entry + 1:
            return False
        # A later chunk exists, so this one's count is final; it may have grown since it was last loaded.
        if self._row >= opened.journal.committed:
            self._entry, self._row = self._entry + 1, 0
        return True

    def _cursors(self) -> Iterator[Cursor]:
        while (opened := self._next_chunk()) is not None:
            cursor = opened.journal.records(self._row, opened.journal.committed, self.verify)
            self._cursor = cursor
            yield cursor
            if self._cursor is not cursor:
                return  # moved by seek() and the like: this iteration is over
            self._row = cursor.next_row
            if not self._advance(opened):
                return
            self._cursor = None

    def close(self) -> None:
        """Let go of the feed. Records already read stay readable."""
        self._open = None
        self._cursor = None
        if self._registry is not None:
            self._registry.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _registry(feed: FeedInfo) -> FeedRegistry | None:
    """The feed's registry; None while the feed is known to the store and not yet written."""
    try:
        return FeedRegistry(feed.directory / "feed.bin")
    except FileNotFoundError:
        return None

"""Reading a feed: by record, by batch, from a time, to the end or following it. Readers map read-only; they never
write, repair or truncate, and no reader is ever waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Cursor, Journal, Record
from mdtool.storage import layout
from mdtool.storage.chunk import Heap, OpenChunk, Rows, Run, index_rows, open_chunk
from mdtool.storage.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.registry import ChunkInfo, FeedInfo, FeedRegistry

if TYPE_CHECKING:
    from mdtool.storage.part import PartChunk, PartShelf

__all__ = ["Batch", "Reader", "Record", "WriterStatus", "index_rows"]

Wait = Literal["sleep", "spin", "hybrid"]

ROW_BITS = 32  # a position is chunk id << 32 | row
SPIN_NS = 100_000  # a hybrid wait spins this long after the last record before it sleeps
NAP = 50e-6  # what a hybrid wait sleeps; with the kernel's timer slack about 100 us
LONGEST_SLEEP = 0.02  # a sleeping wait doubles from 1 ms up to this: at most 20 ms late, 50 wake-ups a second
EARLIEST = -(1 << 63)
REOPEN = 5  # tries at a chunk that was moved between reading the registry and opening it


class WriterStatus(Enum):
    """Whether the feed has a writer, by what it left behind."""

    ALIVE = "alive"  # its heartbeat is younger than the ttl
    STALE = "stale"  # it has not closed its chunk, and its heartbeat is old: died or hangs
    GONE = "gone"  # it closed its chunk, or there never was one


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records of one chunk. `rows`: array of layout.ROW, a view of the mapping or made of a part's columns;
    `position` is that of its first row."""

    rows: Rows
    position: int
    streams: list[str]
    _journal: Journal
    _heap: Heap

    def __len__(self) -> int:
        return len(self.rows)

    def payload(self, number: int) -> bytes:
        """The payload of row `number` of this batch."""
        row = self.rows[number]
        start = int(row["offset"])
        return bytes(self._heap[start : start + int(row["length"])])

    def records(self) -> Iterator[Record]:
        start = self.position - self._journal.base_position
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
        self._open: tuple[int, OpenChunk | PartChunk] | None = None
        self._shelf: PartShelf | None = None  # opens parts, once one is needed
        self._live: Journal | None = None  # that the cursor reads; None while it reads a part
        self._run_start = 0  # row of the chunk that is the cursor's row 0
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
            for figures in map(self._current_figures, reversed(self._entries_until(ns).tolist()))
        )

    @property
    def first_ns(self) -> int | None:
        """Receive time of the first record; None where there is none."""
        figures = map(self._current_figures, self._entries_until(EARLIEST).tolist())
        return next((one.min_ns for one in figures if one.rows), None)

    @property
    def last_ns(self) -> int | None:
        """Highest receive time as of now; None where there is none."""
        figures = map(self._current_figures, self._entries_until(EARLIEST, latest_only=True).tolist())
        return max((one.max_ns for one in figures if one.rows), default=None)

    def count(self) -> int:
        """Records committed as of now."""
        table = self._table()
        kept, live = table["state"] != ChunkState.TRASHED, table["state"] == ChunkState.LIVE
        figures = map(self._current_figures, np.flatnonzero(live).tolist())
        return int(table["rows"][kept & ~live].sum()) + sum(one.rows for one in figures)

    def writer_status(self, ttl_ns: int, now_ns: int) -> WriterStatus:
        """Whether a writer is at work: it says so about once a second."""
        latest = self.latest_chunk()
        if latest is None or latest.state != ChunkState.LIVE:
            return WriterStatus.GONE
        opened = self._chunk(self._chunk_count - 1)
        if not isinstance(opened, OpenChunk):
            return WriterStatus.GONE  # closed and sealed since it was looked at
        heartbeat_ns = opened.heartbeat_ns
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
        for entry in np.flatnonzero(self._table()["chunk_id"] == chunk_id).tolist():
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
        self._row = self._chunk(self._entry).committed if self._chunk_count else 0

    def seek(self, ns: int) -> None:
        """Stand at the first record received at or after `ns` (the end, where there is none)."""
        for entry in self._entries_until(ns).tolist():
            figures = self._current_figures(entry)
            if not figures.rows or figures.max_ns < ns:
                continue
            times = self._chunk(entry).times(figures.rows)
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
        # Caught up with a live chunk: one load tells, which is what a spinning reader does most of the time.
        live, cursor = self._live, self._cursor
        caught_up = live is not None and cursor is not None and live.committed == cursor.next_row
        if caught_up and self._chunk_count == self._entry + 1:
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
            run, start = opened.run(self._row), self._row
            stop = run.start + run.journal.committed
            if start < stop:
                self._row = stop
                if self._checks(run) and (bad := run.journal.check(start - run.start, stop - run.start)) is not None:
                    run.journal.record(bad)  # raises, naming the row
                position = run.journal.base_position + start - run.start
                yield Batch(run.rows(start, stop), position, self.streams, run.journal, run.heap)
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
        if not isinstance(opened, OpenChunk):
            return self._registered(entry)  # closed and sealed since the entry was read
        rows = index_rows(opened.index, opened.journal.committed)
        if not len(rows):
            return info
        times: Any = rows["recv_ns"]
        heap_bytes = int(rows[-1]["offset"]) + int(rows[-1]["length"])
        return ChunkInfo(
            info.chunk_id, info.epoch, info.state, info.location, info.flags, info.part,
            len(rows), heap_bytes, int(times.min()), int(times.max()), info.created_ns, info.closed_ns,
        )  # fmt: skip

    def _table(self) -> Rows:
        """The chunk table as it stands, in one piece; the rows and times of a live chunk are not in it."""
        count = self._chunk_count
        if self._registry is None or not count:
            return np.zeros(0, layout.CHUNK_SLOT)
        return self._registry.table()

    def _entries_until(self, ns: int, *, latest_only: bool = False) -> npt.NDArray[np.intp]:
        """Entries that may hold a record received at or after `ns`, in order; `latest_only`: those that may hold the
        latest. A feed of 10,000 parts is asked as one array, and not a slot at a time."""
        table = self._table()
        live = table["state"] == ChunkState.LIVE
        closed = ~live & (table["state"] != ChunkState.TRASHED) & (table["rows"] > 0)
        if latest_only and closed.any():
            closed &= table["max_ns"] == table["max_ns"][closed].max()
        return np.flatnonzero(live | (closed & (table["max_ns"] >= ns)))

    def _checks(self, run: Run) -> bool:
        return self.verify and not run.proven

    def _opened(self, info: ChunkInfo) -> OpenChunk | PartChunk:
        if info.location != Location.PART:
            return open_chunk(self.feed, info)
        if self._shelf is None:
            from mdtool.storage.part import PartShelf  # and with it pyarrow, which takes its time

            self._shelf = PartShelf(self.feed, verify=self.verify)
        return self._shelf.chunk(info, self.streams)

    def _chunk(self, entry: int) -> OpenChunk | PartChunk:
        """The chunk opened; the last one asked for is kept."""
        if self._open is None or self._open[0] != entry:
            for attempt in range(REOPEN):
                try:
                    self._open = (entry, self._opened(self._registered(entry)))
                    break
                except ChunkUnavailable:
                    if attempt == REOPEN - 1:
                        raise
                    time.sleep(0.001)  # being moved to disk, or into a part: the registry will say where to
        assert self._open is not None  # the loop has set it or raised
        return self._open[1]

    def _settle(self) -> None:
        """Take over how far the last cursor was consumed."""
        if self._cursor is not None:
            self._row = self._run_start + self._cursor.next_row

    def _forget(self) -> None:
        self._cursor = self._live = None

    def _next_chunk(self) -> OpenChunk | PartChunk | None:
        self._settle()
        self._forget()
        return self._chunk(self._entry) if self._entry < self._chunk_count else None

    def _advance(self, opened: OpenChunk | PartChunk) -> bool:
        """Move on to the next chunk if there is one and this one is read to its end."""
        if not isinstance(opened, OpenChunk) and self._row < opened.committed:
            return True  # the part's next row group
        if self._chunk_count <= self._entry + 1:
            return False
        # A later chunk exists, so this one's count is final; it may have grown since it was last loaded.
        if self._row >= opened.committed:
            self._entry, self._row = self._entry + 1, 0
        return True

    def _cursors(self) -> Iterator[Cursor]:
        while (opened := self._next_chunk()) is not None:
            run = opened.run(self._row)
            cursor = run.journal.records(self._row - run.start, run.journal.committed, self._checks(run))
            self._cursor, self._run_start = cursor, run.start
            self._live = run.journal if isinstance(opened, OpenChunk) else None
            yield cursor
            if self._cursor is not cursor:
                return  # moved by seek() and the like: this iteration is over
            self._row = run.start + cursor.next_row
            if not self._advance(opened):
                return
            self._forget()

    def close(self) -> None:
        """Let go of the feed. Records already read stay readable."""
        self._open = None
        self._forget()
        if self._shelf is not None:
            self._shelf.close()
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

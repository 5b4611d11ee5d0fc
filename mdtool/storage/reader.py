"""Reading a feed: by record, by batch, from a time, to the end or following it. Readers map read-only; they never
write, repair or truncate, and no reader is ever waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Cursor, Journal, Record
from mdtool.model import Kind
from mdtool.storage import layout, presence
from mdtool.storage.chunk import Heap, OpenChunk, Rows, Run, index_rows, open_chunk
from mdtool.storage.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.locks import holder
from mdtool.storage.presence import Disconnect, Signs, WriterStatus
from mdtool.storage.registry import ChunkInfo, FeedInfo, FeedRegistry
from mdtool.storage.waits import Wait, Waiting

if TYPE_CHECKING:
    from mdtool.storage.part import PartChunk, PartShelf

__all__ = ["Batch", "Disconnect", "Reader", "Record", "WriterStatus", "index_rows"]

ROW_BITS = 32  # a position is chunk id << 32 | row
EARLIEST = -(1 << 63)
REOPEN = 5  # tries at a chunk that was moved between reading the registry and opening it


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
        self.missed = 0  # records that retention removed before this reader came to them
        self._underway = False  # it has read, or was told where to stand: what is removed from there on is missed
        self._open: tuple[int, OpenChunk | PartChunk] | None = None
        self._peeked: tuple[int, OpenChunk | PartChunk] | None = None
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
        """The chunks that are kept, in order, live ones with their figures as of now."""
        kept = np.flatnonzero(self._table()["state"] != ChunkState.TRASHED).tolist()
        return [self._current_figures(entry) for entry in kept]

    def latest_chunk(self) -> ChunkInfo | None:
        """The newest chunk, from the mapping alone; None where nothing was recorded, or nothing of it is kept."""
        latest = self._current_figures(self._chunk_count - 1) if self._chunk_count else None
        return latest if latest is not None and latest.state != ChunkState.TRASHED else None

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
        """Whether a writer is at work: ALIVE while one holds the feed and has said within `ttl_ns` that it lives (it
        does about once a second), STALE where it died or hangs, GONE where it gave the feed back or never was."""
        return presence.status(self._signs(), ttl_ns, now_ns)

    def detect_disconnect(self, ttl_ns: int, now_ns: int) -> Disconnect | None:
        """Why the feed is not being written, None while it is. Asks nobody and takes no lock: the writer, or one that
        is about to start, is not disturbed."""
        return presence.disconnect(self._signs(), ttl_ns, now_ns)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more as of now and the record before the position is END: the writer stopped of its
        own will. Another may start later."""
        position = self.position
        last = self._last_record()
        return last is not None and last.kind == Kind.END and position == last.position + 1

    # -- where it stands ----------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The next record to be read: chunk id << 32 | row. Stays valid for as long as the chunk is kept."""
        self._settle()
        count = self._chunk_count
        if self._entry < count:
            return (self._registered(self._entry).chunk_id << ROW_BITS) | self._row
        if not count:
            return 0
        last = self._registered(count - 1)  # and it is not kept: this is behind it
        return (last.chunk_id << ROW_BITS) | last.rows

    def move_to(self, position: int) -> None:
        """Stand at a position another reader (or this one) had; 0 is the start. Raises CorruptStore where the record
        there is not kept any more."""
        if position == 0:
            self.to_start()
            return
        chunk_id, row = position >> ROW_BITS, position & ((1 << ROW_BITS) - 1)
        table = self._table()
        for entry in np.flatnonzero(table["chunk_id"] == chunk_id).tolist():
            if table["state"][entry] == ChunkState.TRASHED:
                if row < table["rows"][entry]:
                    break
                entry, row = entry + 1, 0  # all of it had been read
            self._stand(entry, row)
            return
        raise CorruptStore(f"{self.feed.name}: position {position} is in chunk {chunk_id}, which is not kept any more")

    def to_start(self) -> None:
        """At the first record that is kept."""
        self._stand(0, 0)
        self._underway = False

    def to_end(self) -> None:
        """Behind the last record committed as of now."""
        count = self._chunk_count
        last = self._registered(count - 1) if count else None
        if last is None or last.state == ChunkState.TRASHED:
            self._stand(count, 0)
        elif last.state == ChunkState.LIVE:
            self._stand(count - 1, self._chunk(count - 1).committed)
        else:
            self._stand(count - 1, last.rows)

    def seek(self, ns: int) -> None:
        """Stand at the first record received at or after `ns` (the end, where there is none)."""
        for entry in self._entries_until(ns).tolist():
            figures = self._current_figures(entry)
            if not figures.rows or figures.max_ns < ns:
                continue
            times = self._chunk(entry).times(figures.rows)
            # Live, or the clock stepped back: the first that is late enough.
            ordered = figures.flags & ChunkFlag.ORDERED
            self._stand(entry, int(np.searchsorted(times, ns, "left") if ordered else np.argmax(times >= ns)))
            return
        self.to_end()

    # -- reading ------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Every record from the position to the end as of now, advancing."""
        return chain.from_iterable(self._cursors())

    def poll(self, limit: int = 4096) -> list[Record]:
        """What is there now, at most `limit` records, advancing; empty when there is nothing. Never waits."""
        # At a live chunk, which is where a spinning reader is, the cursor goes on with what has been committed since.
        cursor, registry = self._cursor, self._registry
        if self._live is not None and cursor is not None and registry is not None:
            records = cursor.take(limit)
            if records or registry.chunk_total.value == self._entry + 1:
                return records
        return list(islice(self.records(), limit))

    def follow(
        self, *, wait: Wait = "sleep", stop: Callable[[], bool] | None = None, until_end: bool = False
    ) -> Iterator[Record]:
        """Every record from the position on, waiting for more at the end. Ends there when `stop()` is true, or
        (`until_end`) when the last record is END.

        `wait`: "spin" sees a record within a microsecond and keeps a core busy; "hybrid" spins for 100 us after each
        record and then naps; "sleep" costs next to nothing and is up to 20 ms late.
        """
        waiting = Waiting(wait)
        while True:
            if batch := self.poll():
                yield from batch
                waiting.busy()
            elif (stop is not None and stop()) or (until_end and self.ended):
                return
            else:
                waiting.idle()

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
        opened = self._peek(entry)
        if not isinstance(opened, OpenChunk):
            return self._registered(entry)  # closed and sealed since the entry was read
        rows = opened.journal.committed
        if not rows:
            return info
        last = index_rows(opened.index, rows)[-1]
        min_ns, max_ns, ordered = opened.time_range  # after the count: if they say ordered now, those rows are
        return replace(
            info,
            flags=info.flags | ChunkFlag.ORDERED if ordered else info.flags,
            rows=rows,
            heap_bytes=int(last["offset"]) + int(last["length"]),
            min_ns=min_ns,
            max_ns=max_ns,
        )

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
            self._open = (entry, self._reopened(entry))
        return self._open[1]

    def _peek(self, entry: int) -> OpenChunk | PartChunk:
        """The chunk opened, without letting go of the one being read: that may be unlinked by now."""
        if self._open is None or self._open[0] == entry:
            return self._chunk(entry)
        if self._peeked is None or self._peeked[0] != entry:
            self._peeked = (entry, self._reopened(entry))
        return self._peeked[1]

    def _reopened(self, entry: int) -> OpenChunk | PartChunk:
        for _ in range(REOPEN - 1):
            try:
                return self._opened(self._registered(entry))
            except ChunkUnavailable:
                time.sleep(0.001)  # being moved to disk, or into a part: the registry will say where to
        return self._opened(self._registered(entry))

    def _last_record(self) -> Record | None:
        """The feed's last record as of now; None where there is none, or it is not kept."""
        for entry in reversed(range(self._chunk_count)):
            info = self._registered(entry)
            if info.state == ChunkState.TRASHED:
                return None
            if info.state != ChunkState.LIVE and not info.rows:
                continue
            opened = self._peek(entry)
            if count := opened.committed:
                run = opened.run(count - 1)
                return run.journal.record(count - 1 - run.start, False)
        return None

    def _signs(self) -> Signs:
        while True:
            lock, entry = holder(self.feed.directory), self._chunk_count - 1
            latest = self._registered(entry) if entry >= 0 else None
            heartbeat_ns, missing, last = None, None, None
            mapped = self._open[1] if self._open is not None and self._open[0] == entry else None
            if latest is not None and latest.state == ChunkState.LIVE:
                opened = mapped
                try:
                    opened = self._reopened(entry)  # anew, even where it is mapped: its file may be gone
                except ChunkUnavailable as error:
                    missing = str(error)
                heartbeat_ns = opened.heartbeat_ns if isinstance(opened, OpenChunk) else None
            if missing is None or mapped is not None:
                last = self._last_record()
            if lock == holder(self.feed.directory):  # else a writer came or went while this looked
                return Signs(self.feed.name, lock, latest, heartbeat_ns, missing, last)

    def _settle(self) -> None:
        """Take over how far the last cursor was consumed."""
        if self._cursor is not None:
            self._row = self._run_start + self._cursor.next_row

    def _forget(self) -> None:
        self._cursor = self._live = None

    def _stand(self, entry: int, row: int) -> None:
        self._forget()
        self._entry, self._row, self._underway = entry, row, True

    def _next_chunk(self) -> OpenChunk | PartChunk | None:
        self._settle()
        self._forget()
        while self._entry < self._chunk_count:
            if self._open is None or self._open[0] != self._entry:
                if self._registered(self._entry).state == ChunkState.TRASHED:
                    self._pass_what_is_gone()
                    continue
                try:
                    self._chunk(self._entry)
                except ChunkUnavailable:
                    if self._registered(self._entry).state != ChunkState.TRASHED:
                        raise
                    continue
            self._underway = True
            return self._chunk(self._entry)
        return None

    def _pass_what_is_gone(self) -> None:
        table = self._table()[self._entry :]
        kept = np.flatnonzero(table["state"] != ChunkState.TRASHED)
        gone = int(kept[0]) if len(kept) else len(table)
        if self._underway:
            self.missed += int(table["rows"][:gone].sum()) - self._row
        self._entry, self._row = self._entry + gone, 0

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
        self._open = self._peeked = None
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

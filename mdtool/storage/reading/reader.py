"""Reading a feed: by record, by batch, from a time, to the end or following it. Readers map read-only; they never
write, repair or truncate, and no reader is ever waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain, islice

import numpy as np

from mdtool.errors import ChunkUnavailable, CorruptStore, RecordsRemoved, StoreError
from mdtool.kernel.journal import Cursor, Journal, Record
from mdtool.model import Kind
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ROW_BITS, ChunkFlag, ChunkState
from mdtool.storage.journal.batch import Batch
from mdtool.storage.journal.chunk import OpenChunk, Run, index_rows
from mdtool.storage.journal.presence import Disconnect, WriterStatus
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.reading.contents import Contents, Opened
from mdtool.storage.reading.spooled import Spooled
from mdtool.storage.reading.waits import Wait, Waiting
from mdtool.units import count

__all__ = ["Batch", "Disconnect", "Reader", "Record", "WriterStatus"]


class Reader(Contents):
    """One position in one feed. Not for use from two threads at once; open as many readers as are needed.

    `verify`: every record's CRC is checked as it is read, and one that does not hold raises CorruptStore naming file
    and row. ChunkUnavailable is raised for a part that is not there, and for what is in shared memory that is not
    visible here. RecordsRemoved is raised where retention has removed what the reader was on its way to; asked again
    it goes on behind that. Of a chunk whose file is missing a NOTE takes the place, which says what is lost. Nothing is
    ever written, and no writer waits.

    >>> reader = store.reader("sim/ALPHA_USDT")
    >>> [record.payload for record in reader.poll(limit=2)]
    [b'{"p":"64.2","q":"1"}', b'{"p":"64.3","q":"2"}']
    >>> here = reader.position
    >>> [(record.recv_ns, mdtool.Kind(record.kind).name) for record in reader.records()]
    [(1760000000500000000, 'NOTE'), (1760000001000000000, 'END')]
    >>> reader.poll(), reader.ended
    ([], True)
    >>> reader.move_to(here)
    >>> [record.payload for record in reader.follow(until_end=True)]
    [b'{"note":"half way"}', b'{"reason": "done"}']
    >>> reader.seek(1760000000000000001)
    >>> next(reader.records()).payload
    b'{"p":"64.3","q":"2"}'
    >>> for when in ("first+250ms", "2025-10-09T08:53:20.25Z", datetime(2025, 10, 9, 8, 53, 20, 250_000, tzinfo=UTC)):
    ...     reader.seek(when)
    ...     print(next(reader.records()).recv_ns)
    1760000000250000000
    1760000000250000000
    1760000000250000000
    >>> reader.has_data_since(1760000001000000001), reader.latest_chunk().rows
    (False, 4)
    """

    def __init__(self, feed: FeedInfo, *, verify: bool = True) -> None:
        super().__init__(feed, verify=verify)
        self._entry = 0  # number of the current chunk in the chunk table
        self._row = 0
        self.missed = 0  # records that retention removed before this reader came to them
        self._underway = False  # it has read, or was told where to stand: what is removed from there on is missed
        self._live: Journal | None = None  # that the cursor reads; None while it reads a part
        self._owed = ""  # what is to be told yet of records that were removed
        self._run_start = 0  # row of the chunk that is the cursor's row 0
        self._cursor: Cursor | None = None

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

    def seek(self, when: int | datetime | str) -> None:
        """Stand at the first record received at or after a time (the end, where there is none): ns since the epoch, a
        datetime that says its zone, or text as the command line takes it, as in "2025-10-09T08:53:20Z", "-15m" or
        "first+10s". Raises UsageError where it is none of these."""
        ns = self._ns(when)
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

    @property
    def ended(self) -> bool:
        """Whether there is nothing more as of now and the record before the position is END: the writer stopped of its
        own will. Another may start later."""
        position = self.position
        last = self._last_record()
        return last is not None and last.kind == Kind.END and position > last.position

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
        taken: list[Record] = []
        try:
            taken.extend(islice(self.records(), limit))
        except StoreError as error:
            if not taken:
                raise
            # Else it is the next call's: none of the records before it is lost. Of what is gone it would not be raised
            # again, as the reader stands behind it.
            self._owed = str(error) if isinstance(error, RecordsRemoved) else ""
        return taken

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

    def release(self) -> None:
        """Give back the memory that what has been read of a live chunk takes in this process: for one that follows many
        feeds for long. It can be read again."""
        opened = self._open[1] if self._open is not None else None
        if isinstance(opened, OpenChunk) and self._open is not None and self._open[0] == self._entry:
            self._settle()
            if self._row:
                last = index_rows(opened.index, self._row)[-1]
                opened.heap.forget(0, int(last["offset"]) + int(last["length"]))
                opened.index.forget(layout.PAGE, layout.PAGE + self._row * layout.ROW.itemsize)

    # -- inside -------------------------------------------------------------------------------------------------

    def _checks(self, run: Run) -> bool:
        return self.verify and not run.proven

    def _settle(self) -> None:
        """Take over how far the last cursor was consumed."""
        if self._cursor is not None:
            self._row = self._run_start + self._cursor.next_row

    def _forget(self) -> None:
        self._cursor = self._live = None

    def _stand(self, entry: int, row: int) -> None:
        self._forget()
        self._owed = ""
        self._entry, self._row, self._underway = entry, row, True

    def _next_chunk(self) -> Opened | None:
        self._settle()
        self._forget()
        if self._owed:
            owed, self._owed = self._owed, ""
            raise RecordsRemoved(owed)
        while self._entry < self._chunk_count:
            if not self._is_open(self._open, self._entry):
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
        lost = int(table["rows"][:gone].sum()) - self._row if self._underway else 0
        position = (int(table["chunk_id"][0]) << ROW_BITS) | self._row
        self._entry, self._row = self._entry + gone, 0
        if lost:
            self.missed += lost
            were = ("was", "it was") if lost == 1 else ("were", "they were")
            raise RecordsRemoved(
                f"{self.feed.name}: {count(lost, 'record')} from position {position} on {were[0]} removed by "
                f"retention before {were[1]} read; what is kept begins behind them: read on, or begin anew"
            )

    def _advance(self, opened: Opened) -> bool:
        """Move on to the next chunk if there is one and this one is read to its end."""
        if not isinstance(opened, OpenChunk) and self._row < opened.committed:
            return True  # the part's next row group
        if isinstance(opened, Spooled) and opened.awaited:
            return opened.info != self._registered(self._entry)  # else the rest is on its way, whatever stands behind
        if self._chunk_count <= self._entry + 1:
            return False
        # A later chunk exists, so this one's count is final; it may have grown since it was last loaded.
        if self._row >= opened.committed:
            if self._is_coming(self._entry + 1):
                return False
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
        self._forget()
        super().close()

"""The trades of the 24 hours before a moment, and on from there.

Rule: a screen does not wait for a day to be read. Reading goes on in slices between two frames, and until it has come
to the moment there is no figure, only how far it is. Where trades have a stream of their own nothing else is decoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain, compress

from mdtool.books.book import Book
from mdtool.books.rolling import TradeWindow
from mdtool.clock import DAY
from mdtool.kernel.journal import Record
from mdtool.model import Kind, Scale
from mdtool.storage.reading.reader import Reader
from mdtool.venues.venue import Venue

LOOK_EVERY = 512  # trades between two looks at the clock


class DayTrades:
    """Reads with a reader of its own. `until_ns` None: whatever comes, for ever."""

    def __init__(self, reader: Reader, venue: Venue, until_ns: int | None) -> None:
        self._reader = reader
        self._venue = venue
        self._until_ns = until_ns
        self._book = Book(reader)
        end_ns = reader.last_ns if until_ns is None else until_ns
        self._end_ns = end_ns or 0
        self.since_ns = max(self._end_ns - DAY, reader.first_ns or 0)  # first time read, and looked at
        self._at_ns = self.since_ns
        self._more = self._trades()
        self._ahead: Record | None = None  # read, and later than the moment
        self.done = False
        if end_ns is not None:
            reader.seek(self.since_ns)

    @property
    def progress(self) -> float:
        """How much of the way to the moment is read, 0 to 1."""
        done, total = self.way
        return min(1.0, done / max(1, total))

    @property
    def way(self) -> tuple[int, int]:
        """How much of it is read and how much there is, in ns."""
        return self._at_ns - self.since_ns, self._end_ns - self.since_ns

    def advance(self, seconds: float | None = None) -> bool:
        """Read on, for about so long at most; whether everything is read."""
        stop = None if seconds is None else time.perf_counter() + seconds
        book, until_ns = self._book, self._until_ns
        ahead, self._ahead = self._ahead, None
        for number, record in enumerate(self._more if ahead is None else chain((ahead,), self._more)):
            if until_ns is not None and record.recv_ns > until_ns:
                self._ahead = record
                break
            book.on_record(record)
            self._at_ns = record.recv_ns
            if stop is not None and number % LOOK_EVERY == LOOK_EVERY - 1 and time.perf_counter() > stop:
                return False
        else:
            self._more = self._trades()
        self.done = True
        return True

    def move_to(self, until_ns: int) -> bool:
        """On to a later moment. False where that is not to be had: begin anew."""
        if self._until_ns is None or until_ns < self._until_ns or not self.done:
            return False
        self._until_ns = self._end_ns = until_ns
        self.done = False
        return True

    def window(self, now_ns: int | None = None) -> tuple[Scale, TradeWindow] | None:
        """The last 24 hours as of `now_ns`; None while they are not read."""
        if not self.done:
            return None
        figures = self._book.figures(now_ns)
        return figures.scale, figures.day

    def _trades(self) -> Iterator[Record]:
        for batch in self._reader.batches():
            rows = batch.rows
            mask = rows["kind"] == Kind.DATA
            streams = batch.streams
            named = [number for number, name in enumerate(streams) if name in self._venue.trade_streams]
            if named:  # else trades may be anywhere: among the orders of a book, say
                mask &= rows["stream"] == named[0]
            if mask.any():
                yield from compress(batch.records(), mask.tolist())

"""A feed's book out of the store: following what is recorded, or as of any moment, and from there step by step.

Rule: reading begins at the nearest whole book before the moment, not at the feed's beginning, and goes back further
only where that one does not connect; so a feed of a month opens as fast as one of a minute. Of the time before the last
minute only the book's own messages are decoded, and in it little else than trades.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from enum import IntEnum
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from mdtool.books.book import Book
from mdtool.books.phases import NO_WHOLE_YET
from mdtool.books.sync import BookState, BookSync
from mdtool.clock import MINUTE, SECOND
from mdtool.commands.tasks.amounts import Told, records_between
from mdtool.commands.tasks.picture import STALE_AFTER_NS, Seen, Worth, draw, worth
from mdtool.errors import UsageError
from mdtool.history.seams import Seam, seam_at
from mdtool.history.wholes import whole_books
from mdtool.kernel.journal import Record
from mdtool.model import SESSION_STREAM, SNAPSHOT_STREAM, Kind
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.presence import WRITER_TTL_NS
from mdtool.storage.reading.reader import Reader, WriterStatus
from mdtool.venues.venue import Venue
from mdtool.view.book import BookPicture, Mid

__all__ = ["STALE_AFTER_NS", "BookFollower"]

TRIES = 8  # whole books to try, newest first, before reading from the beginning
TAIL_NS = MINUTE  # before the moment: its trades are read, for the tape and the minute's figures
RECENT_NS = 11 * SECOND  # before the moment: everything is read, for the rates, which are of ten seconds
MID_EVERY_NS = SECOND // 20  # at most so often is the mid kept for the sparkline
MIDS_KEPT = 6_000
STEPS_KEPT = 4_096  # positions of the last updates, to step back
MARK_EVERY = 2_000  # updates between two copies of the book kept while travelling
STEP_MARK_EVERY = 100  # and while stepping back, where the same updates are read again and again
MARKS_KEPT = 48
LAST_WORDS = 64  # records before the moment that are read however old: among them is how a recording ended
TOLD_EVERY = 1_000  # records between two of them of which it is told how far it is
LOOK_EVERY = 64  # records between two looks at the clock


class _Part(IntEnum):
    """What a stream is to the screen, and so from where on it is read."""

    BOOK = 0  # from the whole book on
    TRADES = 1  # or where there may be some: of the last minute
    REST = 2  # counted in the rates only


class _Mark(NamedTuple):
    """A book as it stood before a position."""

    position: int
    recv_ns: int
    sync: BookSync


class BookFollower:
    """One feed's book as a reader sees it. Call `catch_up` once, then `poll` for what is new. `until_ns`: the book as
    of that receive time; `by_order`: of the stream that has every order. Raises UsageError where there is none."""

    def __init__(
        self,
        reader: Reader,
        venue: Venue,
        until_ns: int | None = None,
        *,
        by_order: bool = False,
    ) -> None:
        self._reader = reader
        self._told: Told | None = None
        self._to_read: int | None = None  # records, of the reading that is going on
        self._venue = venue
        self._stream = self._order_stream() if by_order else None
        self.at_ns = until_ns  # the moment travelled to; None: live
        self.is_behind = False  # the last poll left something unread
        self._marks: list[_Mark] = []  # by position
        self._mark_every = MARK_EVERY
        self._recent = 0
        self._status_at_ns = 0
        self._writer = WriterStatus.GONE
        self._fresh(None, 0)

    def _order_stream(self) -> str:
        names = self._reader.streams
        found = [name for name in names if self._venue.is_book(name) and self._venue.traits(name).by_order]
        if not found:
            raise UsageError(
                f"{self._reader.feed.name}: no stream by order is recorded, so there is no L3 book; it has "
                f"{', '.join(name for name in names if self._venue.is_book(name)) or 'no book stream'}"
            )
        return found[0]

    def _fresh(self, mark: _Mark | None, base: int) -> None:
        """Begin anew: of a kept book, or with nothing before the record at `base`."""
        self.book = Book(self._reader, stream=self._stream)
        self.updates = 0
        self.records = 0
        self.as_of_ns = 0
        self._ended_ns: int | None = None
        self._closed_ns: int | None = None
        self._seam: Seam | None = None
        self._last: tuple[int, int, int] | None = None  # kind, session and chunk of the last record
        self._book_session = 0  # of the last message of the book's stream
        self.mids: deque[Mid] = deque(maxlen=MIDS_KEPT)
        self._steps: deque[int] = deque(maxlen=STEPS_KEPT)  # positions of the last updates applied
        self._marked = 0  # updates applied when the last mark was set
        self._parts: dict[int, _Part] = {}
        self._base = base
        if mark is not None:
            self.book.resume(mark.sync.copy())
            self.as_of_ns = mark.recv_ns
            self._steps.append(mark.position - 1)  # a mark is set right behind an update

    @property
    def seam(self) -> Seam | None:
        """Of a moment of the past: the stretch it lies in that nobody recorded."""
        return self._seam

    @property
    def state(self) -> BookState:
        return self.book.state

    @property
    def sync(self) -> BookSync | None:
        return self.book.sync

    # -- to a moment --------------------------------------------------------------------------------------------

    def catch_up(self, told: Told | None = None) -> None:
        """Read what there is, so that the book stands as of now (or of `until_ns`). `told`: of how many records how
        many have been read."""
        self._told = told
        self._rebuild(self.at_ns, None)
        self._told = None

    def go_live(self) -> None:
        """Back to now, following again."""
        self.at_ns = None
        self._rebuild(None, None)

    def go_to(self, ns: int) -> None:
        """The book as of a receive time, not beyond the feed's last record."""
        ns = min(ns, self._reader.last_ns or ns)
        ns = max(ns, self._reader.first_ns or ns)
        forward = self.at_ns is not None and self.as_of_ns <= ns and ns >= self.at_ns
        self.at_ns = ns
        if forward and self.state not in NO_WHOLE_YET:
            self._read(ns, None)
        else:
            self._rebuild(ns, None)

    def next_update(self) -> None:
        """The book after the next update that goes into it; where there is none, as it is at the end."""
        self._enter_travel()
        before = self.updates
        for record in self._reader.records():
            self._take(record)
            if self.updates != before:
                break
        self.at_ns = max(self.at_ns or 0, self.as_of_ns)
        self._stay()

    def previous_update(self) -> None:
        """The book before the last update that went into it."""
        self._enter_travel()
        if not self._steps:
            self.go_to(self.as_of_ns - 1)
            return
        position = self._steps[-1]
        self._mark_every = min(STEP_MARK_EVERY, MARK_EVERY)
        self._rebuild(self.at_ns, position)
        self._mark_every = MARK_EVERY
        self.at_ns = self.as_of_ns

    def seek_gap(self, seconds: float) -> bool:
        """Read on to the next hole in the book's sequence, for about so long at most; whether there is no more to do:
        it stands at one, or at the end."""
        self._enter_travel()
        before, stop = self.book.gaps, time.perf_counter() + seconds
        for number, record in enumerate(self._reader.records(), 1):
            self._take(record)
            if self.book.gaps != before or (number % LOOK_EVERY == 0 and time.perf_counter() > stop):
                break
        else:
            self.at_ns = self.as_of_ns
            return True
        self.at_ns = self.as_of_ns
        self._stay()
        return self.book.gaps != before

    def _enter_travel(self) -> None:
        if self.at_ns is None:
            self.at_ns = self.as_of_ns

    def _stay(self) -> None:
        """Leave an iteration where it is: the next one begins there."""
        self._reader.move_to(self._reader.position)

    def _rebuild(self, ns: int | None, position: int | None) -> None:
        """The book as of a time (None: now) and before a position (None: any)."""
        last_ns = self._reader.last_ns
        if last_ns is None:
            self._fresh(None, 0)
            return
        end_ns = last_ns if ns is None else min(ns, last_ns)
        self._reader.seek(end_ns - RECENT_NS)
        self._recent = self._reader.position
        self._reader.seek(end_ns - TAIL_NS)
        tail = self._reader.position
        self._reader.seek(end_ns + 1)
        end = self._reader.position
        self._recent = min(self._recent, self._back(end, LAST_WORDS))
        mark = self._mark_before(ns, position)
        if mark is not None:
            self._build(mark, mark.position, tail, ns, position, end)
            return
        found = False
        wholes = whole_books(self._reader, self._venue, until_ns=ns, stream=self._stream)
        for _, start in islice(wholes, TRIES):
            if position is None or start < position:
                found = True
                if self._build(None, start, tail, ns, position, end):
                    return
        self._reader.to_start()
        if not found or not self._build(None, self._reader.position, tail, ns, position, end):
            self._build(None, tail, tail, ns, position, end)

    def _back(self, position: int, number: int) -> int:
        """The position so many records before another, or that of the first."""
        chunk_id, row = position >> ROW_BITS, position & ((1 << ROW_BITS) - 1)
        for chunk in reversed(self._reader.chunks()):
            if chunk.chunk_id > chunk_id:
                continue
            rows = min(row, chunk.rows) if chunk.chunk_id == chunk_id else chunk.rows
            if number <= rows:
                return chunk.chunk_id << ROW_BITS | (rows - number)
            number -= rows
        return 0

    def _build(self, mark: _Mark | None, base: int, tail: int, ns: int | None, position: int | None, end: int) -> bool:
        """Whether there has been a whole book."""
        self._fresh(mark, base)
        begin = min(base, tail, self._recent)
        self._reader.move_to(begin) if begin else self._reader.to_start()
        self._to_read = records_between(self._reader, begin, end)
        self._read(ns, position, tail)
        self._to_read = None
        return self.state not in NO_WHOLE_YET

    def _read(self, ns: int | None, position: int | None, tail: int = 0) -> None:
        recent = self._recent if tail else 0
        begins = self._base, min(tail, recent), recent  # by _Part
        base, last = self._base, max(begins)
        for number, record in enumerate(self._reader.records(), 1):
            if self._told is not None and number % TOLD_EVERY == 0:
                self._told(number, self._to_read)
            at = record.position
            if (ns is not None and record.recv_ns > ns) or (position is not None and at >= position):
                self._seam = self._find_seam(record, ns) if ns is not None and position is None else None
                self._reader.move_to(at)
                return
            if at < last:
                stream = record.stream
                part = self._parts[stream] if stream in self._parts else self._part(stream)
                if at < begins[part]:
                    continue
            kept_ns = self.as_of_ns  # of the book begun with, which is later than what is read before its position
            self._take(record)
            if at < base and kept_ns:
                self.as_of_ns = kept_ns

    def _find_seam(self, following: Record, ns: int) -> Seam | None:
        """The stretch that a moment lies in, before a record, where that is more than silence. Looked for only where
        something around says that it may be."""
        here = (Kind.DATA, following.session, following.position >> ROW_BITS)
        if following.kind == Kind.DATA and self._last == here and self._book_session == following.session:
            return None
        stream = self._stream or next((name for name in self._reader.streams if self._venue.is_book(name)), None)
        if stream is None:
            return None
        rule = self.sync.rule if self.sync is not None else None
        seam = seam_at(self._reader, self._venue, stream, following.position, rule)
        return seam if seam is not None and ns > seam.from_ns else None

    def _part(self, stream: int) -> _Part:
        name, trades = self._reader.stream_name(stream), self._venue.trade_streams
        part = _Part.REST
        if name in (SNAPSHOT_STREAM, SESSION_STREAM) or self._venue.is_book(name):  # the second says what is missing
            part = _Part.BOOK
        elif name in trades or not any(one in trades for one in self._reader.streams):
            part = _Part.TRADES
        self._parts[stream] = part
        return part

    def _mark_before(self, ns: int | None, position: int | None) -> _Mark | None:
        if ns is None and position is None:
            return None  # live: whatever came since is better read from the last whole book
        for mark in reversed(self._marks):
            if (ns is None or mark.recv_ns <= ns) and (position is None or mark.position <= position):
                return mark
        return None

    def _mark(self, position: int) -> None:
        """Keep the book as it stands behind a record."""
        self._marked = self.updates
        sync = self.book.sync
        at = bisect_left(self._marks, position, key=lambda mark: mark.position)
        known = at < len(self._marks) and self._marks[at].position == position
        if sync is None or sync.state is not BookState.SYNCED or known:
            return
        self._marks.insert(at, _Mark(position, self.as_of_ns, sync.copy()))
        if len(self._marks) > MARKS_KEPT:
            del self._marks[1::2]  # half of them, evenly: a step costs twice as much at most

    # -- record by record ---------------------------------------------------------------------------------------

    def poll(self, seconds: float | None = None) -> int:
        """Take in what is new, for about so long at most; the number of records. Nothing while travelling."""
        if self.at_ns is not None:
            return 0
        before = self.records
        self.is_behind = False
        stop = None if seconds is None else time.perf_counter() + seconds
        for number, record in enumerate(self._reader.records(), 1):
            self._take(record)
            if stop is not None and number % LOOK_EVERY == 0 and time.perf_counter() > stop:
                self._stay()
                self.is_behind = True
                break
        return self.records - before

    def _take(self, record: Record) -> None:
        self.records += 1
        recv_ns = record.recv_ns
        if record.kind != Kind.NOTE:  # the recorder's own words are no news of the book
            self.as_of_ns = recv_ns
        self._see(record)
        applied = 0
        for event in self.book.on_record(record):
            if event.step is not None and record.kind == Kind.DATA:
                self._book_session = record.session
            if event.step is not None and event.step.applied:
                applied += event.step.applied
                if self._stream is None and event.stream != SNAPSHOT_STREAM:
                    self._stream = event.stream  # of several book streams the same one is followed wherever it goes
        if not applied:
            return
        self.updates += applied
        self._steps.append(record.position)
        if self.at_ns is not None and self.updates - self._marked >= self._mark_every:
            self._mark(record.position + 1)
        if not self.mids or recv_ns - self.mids[-1].recv_ns >= MID_EVERY_NS:
            bid, ask = self.book.best_bid(), self.book.best_ask()
            if bid is not None and ask is not None and self.state is BookState.SYNCED:
                self.mids.append(Mid(recv_ns, Fraction(bid[0] + ask[0], 2) * Fraction(10) ** self.book.scale.price_exp))

    def _see(self, record: Record) -> None:
        """What a record says of the recording."""
        self._seam = None
        self._last = (record.kind, record.session, record.position >> ROW_BITS)
        if record.kind == Kind.END:
            self._ended_ns = record.recv_ns
        elif record.kind == Kind.CLOSE:
            self._closed_ns = record.recv_ns
        elif record.kind != Kind.NOTE:
            self._ended_ns = self._closed_ns = None

    # -- what it looks like -------------------------------------------------------------------------------------

    def picture(self, depth: int, now_ns: int | None = None) -> BookPicture:
        """The book now. With `now_ns` it is looked at as live: silence and the writer's end show in the state."""
        now_ns = self.at_ns or now_ns
        return draw(self, self._reader.feed.name, depth, self._worth(now_ns), self.stands_ns(now_ns), now_ns)

    def stands_ns(self, now_ns: int | None) -> int | None:
        """As of when figures are. Nothing slides on where there is nobody to record what comes."""
        if self.at_ns is not None or now_ns is None:
            return self.at_ns
        return now_ns if self._presence(now_ns) is WriterStatus.ALIVE else self.as_of_ns

    def _worth(self, now_ns: int | None) -> Worth:
        seen = Seen(self.as_of_ns, self._ended_ns, self._closed_ns, self._seam)
        past = self.at_ns is not None or now_ns is None
        return worth(self.sync, seen, now_ns, None if past else self._presence(now_ns or 0))

    def _presence(self, now_ns: int) -> WriterStatus:
        """Whether the feed has a writer; asked once a second."""
        if now_ns - self._status_at_ns > SECOND:
            self._status_at_ns = now_ns
            self._writer = self._reader.writer_status(WRITER_TTL_NS, now_ns)
        return self._writer

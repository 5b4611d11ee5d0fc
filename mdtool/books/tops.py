"""A feed's book written down after every update, or on a grid of times: the best levels as columns.

They are int64; where a number does not fit those, the array is one of Python's integers (dtype object), as exact.

Rule: there is a row for each update that went into a whole book, and for no other; a grid says nothing (null) of times
at which the book was not whole. Updates are judged one by one and applied many at a time, by the compiled ladder and
without the GIL, except where the book must be looked at after each (a checksum, a depth that is cut, orders).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import SHORTEST_LEVEL, LevelParser
from mdtool.books.sync import BookState, BookSync, open_book
from mdtool.books.tables import COLUMNS, Form, Int64, Mantissas, Numbers, Times, largest
from mdtool.errors import TooLarge, UsageError
from mdtool.kernel.book import ASK, BID, Levels
from mdtool.kernel.ladder import Beyond64Bits
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Scale, Update
from mdtool.venues.venue import Venue

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4_096  # updates applied at once; their rows of ten levels a side are 1.3 MB
BATCH_LEVELS = 1 << 17  # levels gathered before they are applied


@dataclass(frozen=True, slots=True)
class Tops:
    """The best `depth` levels a side after each update, mantissas at `scale`."""

    scale: Scale
    recv_ns: Int64
    venue_ns: Int64  # NO_TIME (0) where the venue gives none
    seq: Int64  # UNKNOWN (-1) where the venue gives none
    whole: NDArray[np.bool_]  # the update was a whole book, not a change: what was missed before it is not in the rows
    exact: Mantissas  # (rows, 4, depth): see COLUMNS, best first; price and size 0 where there is no level

    def __len__(self) -> int:
        return len(self.recv_ns)

    @property
    def levels(self) -> Int64:
        """`exact` as int64. Raises TooLarge where one of them does not fit."""
        if self.exact.dtype != object:
            return self.exact
        try:
            return self.exact.astype(np.int64)
        except OverflowError:
            raise TooLarge(
                f"a level beyond 64 bits at {self.scale}: `exact` has it as one of Python's integers, and so has "
                f"to_arrow(numbers='decimal') as a decimal"
            ) from None

    def column(self, name: str) -> Int64:
        """One of COLUMNS, of shape (rows, depth). Raises TooLarge where a value does not fit 64 bits."""
        return self.levels[:, COLUMNS.index(name)]

    def last(self) -> Tops:
        """The last row alone."""
        return Tops(self.scale, self.recv_ns[-1:], self.venue_ns[-1:], self.seq[-1:], self.whole[-1:], self.exact[-1:])

    def at_scale(self, scale: Scale) -> Tops:
        """The same at a finer scale."""
        return self if scale == self.scale else Tops(
            scale, self.recv_ns, self.venue_ns, self.seq, self.whole, _finer(self.exact, self.scale, scale)
        )  # fmt: skip

    def to_arrow(self, *, numbers: Numbers = "mantissa", times: Times = "ns") -> pa.Table:
        """Columns recv_ns, venue_ns, seq, whole, and bid_price_1, bid_size_1, ask_price_1, ask_size_1, bid_price_2
        ..., null where there is no level. The schema's metadata has price_exp and size_exp.

        `numbers`: "mantissa" (int64), "decimal" (decimal128, or decimal256 where one needs more than 38 digits; exact)
        or "float" (the nearest float64). `times`: "ns" (int64) or "timestamp" (ns, UTC). Raises TooLarge where a
        mantissa does not fit 64 bits."""
        import pyarrow as pa

        from mdtool import arrow

        form = Form(numbers, times)
        columns: dict[str, Any] = {
            "recv_ns": form.times(self.recv_ns),
            "venue_ns": form.times(self.venue_ns, self.venue_ns == NO_TIME),
            "seq": arrow.array(self.seq, pa.int64(), self.seq == UNKNOWN),
            "whole": arrow.array(self.whole, pa.bool_()),
        }
        return form.table(columns, self.exact, self.scale)


def join(parts: Iterable[Tops], depth: int, scale: Scale | None = None) -> Tops:
    """One after the other, at the finest of their scales."""
    parts = list(parts)
    finest = scale or (parts[0].scale if parts else Scale(0, 0))
    for part in parts:
        finest = finest.finest(part.scale)
    none = np.zeros(0, np.int64)
    empty = Tops(finest, none, none, none, np.zeros(0, np.bool_), np.zeros((0, 4, depth), np.int64))
    same = [empty, *(part.at_scale(finest) for part in parts)]
    return Tops(
        finest,
        np.concatenate([part.recv_ns for part in same]),
        np.concatenate([part.venue_ns for part in same]),
        np.concatenate([part.seq for part in same]),
        np.concatenate([part.whole for part in same]),
        np.concatenate([part.exact for part in same]),
    )


class TopsBuilder:
    """Has an engine's book tell it of each update; take the rows as they come."""

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise UsageError(f"depth {depth}, expected at least 1")
        self.depth = depth
        self.states: list[tuple[int, BookState]] = []  # (receive time, what the book was worth from then on)
        self._sync: BookSync | None = None
        self._gatherer: _Gatherer | None = None
        self._scale = Scale(0, 0)  # of the rows not settled
        self._heads: list[tuple[int, int, int, bool]] = []
        self._rows: list[Mantissas] = []
        self._done: list[Tops] = []

    def open(self, venue: Venue, stream: str, scale: Scale | None) -> BookSync:
        """The book whose rows these are, as a FeedEngine asks for it."""
        traits = venue.traits(stream)
        gathers = traits.depth is None and traits.checksum is None and not traits.by_order
        self._gatherer = _Gatherer(self, scale) if gathers else None
        sync = open_book(venue, stream, scale, self._gatherer, partial=False)
        if sync is None:
            raise UsageError(f"{venue.name}: {stream} has no sequence rule, so no book can be built of it")
        if self._gatherer is None:
            sync.observer = self._observe
        self._sync = sync
        self._scale = sync.book.scale
        return sync

    def step(self, recv_ns: int) -> None:
        """Behind each record: what the book is worth now, and rows that are enough for a batch."""
        if self._sync is None:
            return
        state = self._sync.state
        if state is not (self.states[-1][1] if self.states else BookState.WAITING):
            self.states.append((recv_ns, state))
        if len(self._heads) >= BATCH_ROWS:
            self.settle()

    def take(self) -> list[Tops]:
        """The rows of full batches since the last call."""
        done, self._done = self._done, []
        return done

    @property
    def is_full(self) -> bool:
        """Whether `take` has something."""
        return bool(self._done)

    def settle(self) -> None:
        """Apply what is gathered, so that `take` has all there is and the book stands."""
        if self._gatherer is not None and self._sync is not None:
            self._gatherer.apply(self._sync.book)
            self._scale = self._sync.book.scale
        if not self._heads:
            return
        heads = np.array(self._heads, np.int64).reshape(-1, 4)
        levels = np.concatenate(self._rows) if len(self._rows) > 1 else self._rows[0]
        self._done.append(
            Tops(self._scale, heads[:, 0], heads[:, 1], heads[:, 2], heads[:, 3].astype(np.bool_), levels)
        )
        self._heads, self._rows = [], []

    def add_head(self, update: Update, *, whole: bool) -> None:
        assert self._sync is not None  # that is whose update it is
        self._heads.append((self._sync.taken_ns, update.venue_ns, update.last_seq, whole))

    def add_rows(self, levels: Mantissas) -> None:
        self._rows.append(levels)

    def add_book(self, book: Levels) -> None:
        """The row of the book as it stands."""
        row: Mantissas = np.zeros((1, 4, self.depth), np.int64)
        try:
            for at, side in ((0, BID), (2, ASK)):
                book.columns(side, row[0, at], row[0, at + 1])
        except TooLarge:
            row = np.zeros((1, 4, self.depth), object)
            for at, levels in zip((0, 2), book.top(self.depth), strict=True):
                row[0, at : at + 2, : len(levels)] = np.array(levels, object).reshape(-1, 2).T
        self._rows.append(row)

    def _observe(self, update: Update, book: Levels, *, whole: bool) -> None:
        """The book as it stands after one update."""
        assert self._sync is not None
        if self._sync.book.scale != self._scale:  # the rows before are at the coarser one
            self.settle()
            self._scale = self._sync.book.scale
        self.add_head(update, whole=whole)
        self.add_book(book)


class _Gatherer(LevelParser):
    """Puts updates into a row to be applied together, instead of into the book; into that where it is wide, or has to
    become so."""

    def __init__(self, builder: TopsBuilder, scale: Scale | None) -> None:
        super().__init__(scale)
        self._builder = builder
        self._grow(2 * BATCH_LEVELS)
        self._at = 0
        self._ends = array("q")
        self._resets = array("q")

    def put(self, update: BookUpdate, book: L2Book, *, whole: bool = False) -> L2Book:
        room = (len(memoryview(update.bids)) + len(memoryview(update.asks))) // SHORTEST_LEVEL + 2
        if self._at and (self._at > BATCH_LEVELS or self._at + room > self._room):
            self._builder.settle()
        if room > self._room:
            self._grow(2 * room)
        try:
            middle, end = self._fill_from(update)
            if self.scale != book.scale:  # what is gathered is at the book's
                self._builder.settle()
                middle, end = self._fill_from(update)
        except Beyond64Bits:
            return self._put_now(update, book, whole=whole)
        if book.is_wide or self.scale != book.scale:  # nothing is gathered
            book = (book.emptied() if whole else book).at_scale(self.scale)
        if book.is_wide:
            return self._put_now(update, book, whole=whole)
        self._at = end
        self._ends.extend((middle, end))
        self._resets.append(whole)
        self._builder.add_head(update, whole=whole)
        return book

    def _put_now(self, update: BookUpdate, book: L2Book, *, whole: bool) -> L2Book:
        """Into the book, behind what is gathered."""
        if self._resets:
            self._builder.settle()  # before its ladders are read, which takes the buffers of what is gathered
        ladders = self.parse_update(update)
        if ladders.scale != book.scale:
            self._builder.settle()
        book = ladders.put(book, whole=whole)
        self._builder.add_head(update, whole=whole)
        self._builder.add_book(book)
        return book

    def _fill_from(self, update: BookUpdate) -> tuple[int, int]:
        middle = self._at + self._fill(update.bids, self._at, update.shape)
        return middle, middle + self._fill(update.asks, middle, update.shape)

    def apply(self, book: L2Book) -> None:
        """All that is gathered into the book, and its rows to the builder."""
        if not self._resets:
            return
        out = np.zeros((len(self._resets), 4, self._builder.depth), np.int64)
        prices, sizes = memoryview(self._prices)[: self._at], memoryview(self._sizes)[: self._at]
        book.apply_many(prices, sizes, self._ends, self._resets, out)
        self._builder.add_rows(out)
        self._at = 0
        self._ends, self._resets = array("q"), array("q")


class Grid:
    """The book as of each of a row of rising times, from Tops as they come."""

    def __init__(self, times_ns: Int64, depth: int, scale: Scale | None = None) -> None:
        count = len(times_ns)
        self.times_ns = times_ns
        self.scale = scale
        self._rows = np.zeros(count, np.bool_)  # whether any update came before
        self._recv_ns = np.zeros(count, np.int64)
        self._seq = np.zeros(count, np.int64)
        self._levels: Mantissas = np.zeros((count, 4, depth), np.int64)
        self._last: Tops | None = None
        self._next = 0  # the first time not settled

    def add(self, tops: Tops) -> None:
        """Rows that follow those before, received no earlier."""
        if not len(tops):
            return
        tops = self._same_scale(tops)
        recv_ns = tops.recv_ns
        start = int(np.searchsorted(self.times_ns, recv_ns[0]))
        self._carry(start)
        stop = int(np.searchsorted(self.times_ns, recv_ns[-1]))
        at = np.searchsorted(recv_ns, self.times_ns[start:stop], "right") - 1
        self._set(start, stop, tops, at)
        self._next = max(self._next, stop)
        self._last = tops.last()

    def table(self, states: list[tuple[int, BookState]], until_ns: int, form: Form) -> pa.Table:
        """Columns time_ns, recv_ns (of the last update before), seq, state, and levels as in Tops.to_arrow; null where
        the book was not SYNCED. `states`: as a TopsBuilder's. Of times after `until_ns` nothing is known: the state is
        null too."""
        import pyarrow as pa

        from mdtool import arrow

        self._carry(len(self.times_ns))
        changed = np.array([ns for ns, _ in states], np.int64)
        names = [BookState.WAITING.name, *(state.name for _, state in states)]
        at = np.searchsorted(changed, self.times_ns, "right")
        told = self.times_ns <= until_ns
        known = self._rows & told & (np.array(names) == BookState.SYNCED.name)[at]
        levels = np.where(known[:, None, None], self._levels, 0)
        columns: dict[str, Any] = {
            "time_ns": form.times(self.times_ns),
            "recv_ns": form.times(self._recv_ns, ~known),
            "seq": arrow.array(self._seq, pa.int64(), ~known | (self._seq == UNKNOWN)),
            "state": arrow.picked(at, names, ~told).cast(pa.string()),
        }
        return form.table(columns, levels, self.scale or Scale(0, 0))

    def _carry(self, stop: int) -> None:
        """Times up to `stop` come after the last row and before the next."""
        if self._last is not None and stop > self._next:
            self._set(self._next, stop, self._last, np.zeros(stop - self._next, np.int64))
        self._next = max(self._next, stop)

    def _set(self, start: int, stop: int, tops: Tops, at: NDArray[np.int64]) -> None:
        self._rows[start:stop] = True
        self._recv_ns[start:stop] = tops.recv_ns[at]
        self._seq[start:stop] = tops.seq[at]
        if tops.exact.dtype != self._levels.dtype:
            self._levels = self._levels.astype(object)
        self._levels[start:stop] = tops.exact[at]

    def _same_scale(self, tops: Tops) -> Tops:
        finest = tops.scale if self.scale is None else self.scale.finest(tops.scale)
        if self.scale is not None and finest != self.scale:
            self._levels = _finer(self._levels, self.scale, finest)
            self._last = self._last and self._last.at_scale(finest)
        self.scale = finest
        return tops.at_scale(finest)


def _finer(levels: Mantissas, old: Scale, new: Scale) -> Mantissas:
    finer = levels.copy()
    for at, digits in ((0, old.price_exp - new.price_exp), (1, old.size_exp - new.size_exp)):
        most = largest(finer[:, at::2])
        if not most:
            continue
        if finer.dtype != object and most > np.iinfo(np.int64).max // 10**digits:
            finer = finer.astype(object)
        finer[:, at::2] *= 10**digits
    return finer

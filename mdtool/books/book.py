"""A feed's book for Python: step by step with its messages, on a grid of times, or a day at once.

    for event, book in Book(reader):
        print(event.recv_ns, book.state, book.top(5))

Rule: a Book reads its source from where that stands, and never writes. What it shows is the venue's own book only while
`state` is SYNCED.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mdtool.books.engine import FeedEngine, RecordLike, RecordSource
from mdtool.books.stats import Figures, LiveStats
from mdtool.books.sync import BookState, BookSync, Step, open_book
from mdtool.books.tables import Form, Numbers, Times
from mdtool.books.tops import Grid, Tops, TopsBuilder, join
from mdtool.errors import UsageError
from mdtool.model import UNKNOWN, Message, Scale, Side, Trade
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Venue

if TYPE_CHECKING:
    import pyarrow as pa

    from mdtool.books.l2 import L2Book

MOST_TIMES = 50_000_000  # of a grid: more is a mistake in the step
NOT_TRADES = (Verdict.STALE, Verdict.KEEPALIVE)  # repeats, as after a reconnect: they are not traded twice


class Event(NamedTuple):
    """A message of the feed and what it did."""

    recv_ns: int
    stream: str
    message: Message
    step: Step | None  # None: it does not concern the book


class Book:
    """The book of one feed, from where `source` stands: a Reader, or anything like one. `stream` names the book stream
    where the feed has several and not the first is wanted.

    In step with the messages, each with what it did; prices and sizes are integer mantissas at `scale`, exact:

        >>> with store.reader("sim/CHARLIE_USDT") as reader:
        ...     for event, book in mdtool.Book(reader):
        ...         print(event.stream, book.state.name, book.last_seq, book.top(1))
        depth@100ms PARTIAL 12 ([(645, 3)], [])
        snapshot SYNCED 12 ([(645, 30)], [(647, 20)])
        trade SYNCED 12 ([(645, 30)], [(647, 20)])
        depth@100ms SYNCED 14 ([(645, 30)], [(646, 5)])
        >>> book.scale
        Scale(price_exp=-1, size_exp=-1)

    `levels` is the L2Book (or L3Book) itself, `figures` everything that follows from the feed at this moment:

        >>> book.levels.volume_to(mdtool.Side.BID, 640), book.vwap(mdtool.Side.ASK, 10)
        (75, Fraction(1293, 2))
        >>> now = book.figures()
        >>> now.touch.mid, now.touch.spread_ticks, now.imbalance, now.last_trade.price, now.day.volume
        (Fraction(1291, 2), 1, Fraction(1, 2), 647, 10)

    The best levels after every update as columns, or as of a row of times; both are Arrow if you like:

        >>> with store.reader("sim/CHARLIE_USDT") as reader:
        ...     tops = mdtool.Book(reader).tops(depth=2)
        >>> tops.seq, tops.column("ask_price")
        (array([10, 12, 14]), array([[647,   0],
               [647,   0],
               [646, 647]]))
        >>> with store.reader("sim/CHARLIE_USDT") as reader:
        ...     start = reader.first_ns
        ...     table = mdtool.Book(reader).grid(200_000_000, 1, start_ns=start, stop_ns=start + 800_000_000)
        >>> table.select(["state", "seq", "bid_price_1", "ask_price_1"]).to_pylist()[2:]
        [{'state': 'SYNCED', 'seq': 12, 'bid_price_1': 645, 'ask_price_1': 647}, {'state': 'SYNCED', 'seq': 14, \
'bid_price_1': 645, 'ask_price_1': 646}]

    Prices and sizes may be exact decimals or floats, and times timestamps, of both:

        >>> row = tops.to_arrow(numbers="decimal", times="timestamp").slice(2).to_pylist()[0]
        >>> print(row["bid_price_1"], row["ask_price_2"], row["ask_size_2"], row["recv_ns"])
        64.5 64.7 2.0 2025-10-09 08:53:20.600000+00:00
        >>> tops.to_arrow(numbers="float")["ask_price_1"].to_pylist()
        [64.7, 64.7, 64.6]

    `events(reader.follow())` goes on with what is recorded; `advance_to(ns)` stops at a moment.
    """

    def __init__(self, source: RecordSource, *, stream: str | None = None) -> None:
        self.venue = catalog.get(source.feed.venue)
        self.stats = LiveStats(source.feed.scale)
        self.recv_ns = 0  # of the last record read
        self.records = 0
        self._source = source
        self._stream = stream
        self._engine = FeedEngine(self.venue, source, stream=stream, opens=_opened)
        self._trade_stream: str | None = None  # the first that has any: a second one tells them again
        self._read_ns = 0  # newest receive time of what `tops` and `grid` have read
        self._ahead: RecordLike | None = None  # read, and later than what was asked for

    @property
    def sync(self) -> BookSync | None:
        """The book and how it stands to its stream; None until a record has come, and that is known."""
        return self._engine.sync

    def resume(self, sync: BookSync) -> None:
        """Go on with a copy of `sync` that was kept, of the same feed and stream."""
        self._engine.resume(sync)

    @property
    def state(self) -> BookState:
        """What the book is worth."""
        return BookState.WAITING if self.sync is None else self.sync.state

    @property
    def levels(self) -> L2Book | None:
        """The book itself, None before the first message of the book stream."""
        return None if self.sync is None else self.sync.book

    @property
    def scale(self) -> Scale:
        """Exponents of prices and sizes: value = mantissa * 10**exponent."""
        return Scale(0, 0) if self.sync is None else self.sync.book.scale

    @property
    def last_seq(self) -> int:
        """The id the book is at, UNKNOWN before one."""
        return UNKNOWN if self.sync is None else self.sync.last_seq

    @property
    def proven_depth(self) -> int | None:
        """Levels a side that the venue's checksums vouch for, where nothing does for those below: they may be stale.
        None: all levels are as good as the state says."""
        return None if self.sync is None else self.sync.proven_depth

    @property
    def gaps(self) -> int:
        """Holes seen."""
        return 0 if self.sync is None else self.sync.gaps

    @property
    def undecodable(self) -> int:
        """Records that were not what their stream says."""
        return self._engine.undecodable

    def best_bid(self) -> tuple[int, int] | None:
        """(price, size), None without one."""
        return None if self.sync is None else self.sync.book.best_bid()

    def best_ask(self) -> tuple[int, int] | None:
        """(price, size), None without one."""
        return None if self.sync is None else self.sync.book.best_ask()

    def top(self, count: int = 10) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `count` bids and asks as (price, size), best first."""
        return ([], []) if self.sync is None else self.sync.book.top(count)

    def volume_to(self, side: Side, price: int) -> int:
        """Size of a side from its best level to `price`, that one included."""
        return 0 if self.sync is None else self.sync.book.volume_to(side, price)

    def vwap(self, side: Side, size: int) -> Fraction | None:
        """The mean price, in price mantissas, at which `size` would be taken from a side; None where the side holds
        less."""
        notional, filled = (0, 0) if self.sync is None else self.sync.book.take(side, size)
        return Fraction(notional, filled) if filled == size > 0 else None

    def figures(self, now_ns: int | None = None, depth: int = 10) -> Figures:
        """Tape, touch, rolling volumes, rates and lateness, as of `now_ns` (the newest receive time without it)."""
        return self.stats.figures(self.sync, now_ns, depth)

    def __iter__(self) -> Iterator[tuple[Event, Book]]:
        """Every message from here to the end of what there is now, and the book after it. To go on with what has come
        since, iterate again."""
        return self.events()

    def events(self, records: Iterable[RecordLike] | None = None) -> Iterator[tuple[Event, Book]]:
        """As iterating, over `records` of the same source: `book.events(reader.follow())` goes on for ever."""
        for record in self._records(records):
            for event in self.on_record(record):
                yield event, self

    def on_record(self, record: RecordLike) -> list[Event]:
        """Take the next record; its messages and what they did."""
        self.records += 1
        recv_ns = self.recv_ns = record.recv_ns
        line, said, _, _ = self._engine.on_record(record)
        events = []
        for one in said:
            message = one.message
            if not isinstance(message, Trade) or self._counts(line.name, one.verdict):
                self.stats.on_message(message, recv_ns)
            events.append(Event(recv_ns, line.name, message, one.step))
        return events

    def advance_to(self, ns: int) -> Book:
        """Read on until every record received up to `ns` is in the book. Never goes back: seek the source and begin a
        new Book for that."""
        for record in self._records(None):
            if record.recv_ns > ns:
                self._ahead = record
                break
            self.on_record(record)
        return self

    def _records(self, records: Iterable[RecordLike] | None) -> Iterator[RecordLike]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            yield ahead
        yield from self._source.records() if records is None else records

    def _counts(self, stream: str, verdict: Verdict | None) -> bool:
        """Whether a trade counts: of the first stream that has any, and not there before."""
        self._trade_stream = self._trade_stream or stream
        return stream == self._trade_stream and verdict not in NOT_TRADES

    def tops(self, depth: int = 10, *, until_ns: int | None = None) -> Tops:
        """The best `depth` levels after every update from where the source stands to its end (or the first record
        received after `until_ns`), as columns. Does not move this book. A day of updates is large: 8 bytes times 4
        times depth each; `batches` gives it in parts. Of numbers that 64 bits do not hold see Tops.exact."""
        return join(self.batches(depth, until_ns=until_ns), depth, self._source.feed.scale)

    def batches(self, depth: int = 10, *, until_ns: int | None = None) -> Iterator[Tops]:
        """`tops` in parts of a few thousand rows, each at its own scale."""
        for _, done in self._build(depth, until_ns):
            yield from done

    def grid(
        self,
        every_ns: int,
        depth: int = 10,
        *,
        start_ns: int,
        stop_ns: int,
        numbers: Numbers = "mantissa",
        times: Times = "ns",
    ) -> pa.Table:
        """The best `depth` levels as of `start_ns`, `start_ns + every_ns` ... before `stop_ns`, as an Arrow table:
        time_ns, recv_ns and seq of the last update before it, state, bid_price_1 ...; null where the book was not
        SYNCED, and the state null too after the last record there is. Reads the source from where it stands, which is
        to be before `start_ns`, as a book begins with a whole one. Does not move this book. `numbers` and `times` as in
        `Tops.to_arrow`."""
        form = Form(numbers, times)
        if every_ns < 1 or (stop_ns - start_ns) // every_ns > MOST_TIMES:
            raise UsageError(
                f"a grid of every {every_ns} ns from {start_ns} to {stop_ns}: expected at most {MOST_TIMES:,}"
            )
        grid = Grid(np.arange(start_ns, stop_ns, every_ns, dtype=np.int64), depth, self._source.feed.scale)
        states: list[tuple[int, BookState]] = []
        for builder, done in self._build(depth, stop_ns, forward=True):
            for tops in done:
                grid.add(tops)
            states = builder.states
        return grid.table(states, stop_ns if self._ahead is not None else self._read_ns, form)

    def _build(
        self, depth: int, until_ns: int | None, *, forward: bool = False
    ) -> Iterator[tuple[TopsBuilder, Sequence[Tops]]]:
        """`forward`: a receive time that steps back counts as the newest before it, as on a grid order is by time."""
        builder = TopsBuilder(depth)
        engine = FeedEngine(self.venue, self._source, stream=self._stream, book_only=True, opens=builder.open)
        unwanted = engine.unwanted
        self._read_ns = 0
        for record in self._records(None):
            recv_ns = record.recv_ns
            if until_ns is not None and recv_ns > until_ns:
                self._ahead = record
                break
            self._read_ns = max(self._read_ns, recv_ns)
            if forward:
                recv_ns = self._read_ns
            stream = record.stream
            if stream in unwanted:
                continue
            engine.take(record.kind, record.flags, stream, record.payload, recv_ns)
            builder.step(recv_ns)
            if builder.is_full:
                yield builder, builder.take()
        builder.settle()
        yield builder, builder.take()


def _opened(venue: Venue, stream: str, scale: Scale | None) -> BookSync:
    sync = open_book(venue, stream, scale)
    if sync is None:
        raise UsageError(f"{venue.name}: {stream} has no sequence rule, so no book can be built of it")
    return sync

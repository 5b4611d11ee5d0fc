"""A feed's book out of the store: as of some time, or following what is recorded.

Rule: reading begins shortly before the last whole book, not at the feed's beginning, and goes back further only where
that one does not connect; so a feed of a month opens as fast as one of a minute.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from mdtool.books.l2 import L2Book
from mdtool.books.sync import BookSync, State, open_book
from mdtool.clock import SECOND
from mdtool.errors import UsageError, WireError
from mdtool.kernel.journal import Record
from mdtool.model import UNKNOWN, Flag, Kind, Message, Trade, Update
from mdtool.storage.reader import Reader, WriterStatus
from mdtool.venues.venue import Decoder, Venue
from mdtool.view.book import BookPicture, Print

SNAPSHOT_STREAM = "snapshot"
LEAD_NS = 10 * SECOND  # how long before a whole book the update that connects to it may have been received
TRIES = 3  # whole books to try, newest first, before reading from the beginning
TRADES_KEPT = 100
STALE_AFTER_NS = 5 * SECOND  # without a record; a quiet symbol is as silent as a dead line, and neither is fresh
WRITER_TTL_NS = 5 * SECOND


class BookFollower:
    """One feed's book as a reader sees it. Call `catch_up` once, then `poll` for what is new. `until_ns`: the book as
    of that receive time."""

    def __init__(self, reader: Reader, venue: Venue, until_ns: int | None = None) -> None:
        self._reader = reader
        self._venue = venue
        self._until_ns = until_ns
        self._book_stream: str | None = None
        self._decoders: dict[int, Decoder | None] = {}
        self._has_trades = any(name in venue.trade_streams for name in reader.streams)
        self.trades: deque[Print] = deque(maxlen=TRADES_KEPT)
        self._begin()

    def _begin(self) -> None:
        self.records = 0
        self.updates = 0
        self.undecoded = 0
        self.as_of_ns = 0
        self.ended_ns: int | None = None
        self._sync: BookSync | None = None
        self._pending: list[tuple[Message, int]] = []  # whole books before the first update told which rule holds
        self.trades.clear()

    @property
    def state(self) -> State:
        return self._sync.state if self._sync else State.WAITING

    def catch_up(self) -> None:
        """Read what there is, so that the book stands as of now (or of `until_ns`)."""
        for start_ns in self._starts():
            self._begin()
            if start_ns is None:
                self._reader.to_start()
            else:
                self._reader.seek(start_ns)
            self.poll()
            if self.state is State.SYNCED:
                return

    def poll(self) -> int:
        """Take in what is new; the number of records."""
        before = self.records
        until_ns = self._until_ns
        for record in self._reader.records():
            if until_ns is not None and record.recv_ns > until_ns:
                break
            self._take(record)
        return self.records - before

    def picture(self, depth: int, now_ns: int | None = None) -> BookPicture:
        """The book now. With `now_ns` it is looked at as live: silence and the writer's end show in the state."""
        sync = self._sync
        state, note = self._state(now_ns)
        return BookPicture(
            feed=self._reader.feed.name,
            state=state,
            note=note,
            as_of_ns=self.as_of_ns,
            last_seq=sync.last_seq if sync else UNKNOWN,
            scale=sync.book.scale if sync else L2Book().scale,
            bids=tuple(sync.book.bids(depth)) if sync else (),
            asks=tuple(sync.book.asks(depth)) if sync else (),
            trades=tuple(self.trades),
            records=self.records,
            updates=self.updates,
            gaps=sync.gaps if sync else 0,
        )

    def _state(self, now_ns: int | None) -> tuple[str, str]:
        notes = {State.WAITING: "for snapshot", State.DIRTY: "gap, waiting for snapshot", State.SYNCED: ""}
        name, note = self.state.name, notes[self.state]
        if now_ns is None:
            return name, note
        worth = "" if self.state is State.SYNCED else f", {name} {note}"
        if self.ended_ns is not None:
            return "ENDED", f"the recorder stopped{worth}"
        silent_ns = now_ns - self.as_of_ns
        if self.as_of_ns and silent_ns > STALE_AFTER_NS:
            alive = self._reader.writer_status(WRITER_TTL_NS, now_ns) is WriterStatus.ALIVE
            return "STALE", f"{silent_ns // SECOND} s{'' if alive else ', no recorder'}{worth}"
        return name, note

    def _starts(self) -> list[int | None]:
        """Where to begin: before each of the last whole books, newest first, and then the feed's beginning (None)."""
        if SNAPSHOT_STREAM not in self._reader.streams:
            return [None]
        stream = self._reader.streams.index(SNAPSHOT_STREAM)
        found: deque[int] = deque(maxlen=TRIES)
        self._reader.to_start()
        for batch in self._reader.batches():
            rows = batch.rows
            good = (rows["kind"] == Kind.RESPONSE) & (rows["stream"] == stream) & (rows["flags"] & Flag.FAILED == 0)
            if self._until_ns is not None:
                good &= rows["recv_ns"] <= self._until_ns
            found.extend(int(ns) for ns in rows["recv_ns"][np.flatnonzero(good)[-TRIES:]])
        return [*(ns - LEAD_NS for ns in reversed(found)), None]

    def _take(self, record: Record) -> None:
        self.records += 1
        self.as_of_ns = record.recv_ns
        kind = record.kind
        if kind == Kind.END:
            self.ended_ns = record.recv_ns
            return
        self.ended_ns = None
        if (kind == Kind.RESPONSE and not record.flags & Flag.FAILED) or kind == Kind.DATA:
            decode = self._decoder(record)
            if decode is None:
                return
            try:
                messages = decode(record.payload)
            except WireError:
                self.undecoded += 1
                return
            for message in messages:
                self._on_message(message, record.recv_ns)

    def _decoder(self, record: Record) -> Decoder | None:
        """The decoder of a record's stream where the book needs it: its own stream, whole books, trades."""
        stream = record.stream
        if stream not in self._decoders:
            name = self._reader.stream_name(stream)
            decoder = self._venue.decoder(name)
            wanted = name == SNAPSHOT_STREAM or name in self._venue.trade_streams
            if self._venue.is_book(name):
                # Two streams of one book tell the same story twice; the first that comes is the one.
                self._book_stream = self._book_stream or name
                wanted = name == self._book_stream
            elif not wanted and not self._has_trades and record.kind == Kind.DATA:
                wanted = _is_trade(decoder, record.payload)
            self._decoders[stream] = decoder if wanted else None
        return self._decoders[stream]

    def _on_message(self, message: Message, recv_ns: int) -> None:
        if isinstance(message, Trade):
            self.trades.appendleft(Print(recv_ns, message))
        elif isinstance(message, Update):
            if self._sync is None:
                if self._book_stream is None:
                    self._pending.append((message, recv_ns))
                    return
                self._sync = self._new_sync(self._book_stream)
                for earlier, earlier_ns in self._pending:
                    self.updates += self._sync.on_message(earlier, earlier_ns).applied
                self._pending.clear()
            self.updates += self._sync.on_message(message, recv_ns).applied

    def _new_sync(self, stream: str) -> BookSync:
        sync = open_book(self._venue, stream, self._reader.feed.scale)
        if sync is None:
            raise UsageError(f"{self._venue.name}: {stream} has no sequence rule, so no book can be built of it")
        return sync


def _is_trade(decoder: Decoder, payload: bytes) -> bool:
    try:
        return any(isinstance(message, Trade) for message in decoder(payload))
    except WireError:
        return False

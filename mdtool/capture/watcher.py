"""What keeps the recording whole: follows the recorded feeds, judges every update's sequence, and asks for a snapshot
when a book needs one.

Rule: it reads the store as any other reader does. It never appends, and if it falls behind or fails, recording goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync, open_book
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.clock import SECOND, Clock
from mdtool.errors import StoreError, WireError
from mdtool.model import SNAPSHOT_STREAM, BookUpdate, Flag, Kind, Message, Update
from mdtool.storage.reading.reader import Reader, Record
from mdtool.storage.store import Store
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Decoder, Venue

INTERVAL = 0.05  # seconds between two looks: a gap is answered within this
SLICE = 500  # records of one feed before the event loop gets its turn; about 2 ms
QUIET_NS = 5 * SECOND  # a book without updates for this long after its connection opened gets its snapshot all the same


class _Headers(LevelParser):
    """Leaves ladders unparsed: whether a book is whole is a matter of sequence alone. Not so where a checksum is to be
    compared, and orders are few enough to be read."""

    def put(self, update: BookUpdate, book: L2Book, *, whole: bool = False) -> None:
        """Nothing."""


def _watched_book(venue: Venue, stream: str) -> BookSync | None:
    traits = venue.traits(stream)
    return open_book(venue, stream, parser=None if traits.checksum or traits.by_order else _Headers())


@dataclass(slots=True)
class _Watched:
    """One feed and what is known of it."""

    symbol: str
    reader: Reader
    sync: BookSync
    decoders: dict[int, Decoder | None] = field(default_factory=dict)  # by stream id; None: builds no book
    open_since_ns: int = 0  # of a connection that has brought no update yet
    undecodable: int = 0
    next_snapshot_ns: int = 0  # when to ask for a whole book that nothing else calls for; 0: never


class Watcher:
    """Watches the feeds of one venue from their end as of now. `ask(symbol)` requests a snapshot."""

    def __init__(
        self, store: Store, venue: Venue, symbols: tuple[str, ...], streams: tuple[str, ...], clock: Clock,
        ask: Callable[[str], None], notify: Notify,
    ) -> None:  # fmt: skip
        self._store = store
        self._venue = venue
        self._clock = clock
        self._ask = ask
        self._notify = notify
        self._feeds: list[_Watched] = []
        self.gaps = 0
        book_stream = next((stream for stream in streams if venue.is_book(stream)), None)
        for symbol in symbols if book_stream is not None else ():
            sync = _watched_book(venue, book_stream) if book_stream is not None else None
            if sync is None:
                continue
            reader = store.reader(f"{venue.name}/{symbol}")
            reader.to_end()
            self._feeds.append(_Watched(symbol, reader, sync, next_snapshot_ns=self._timed_from()))

    def _timed_from(self) -> int:
        every = self._venue.snapshot_every
        return self._clock.now_ns() + int(every * SECOND) if every else 0

    @property
    def synced(self) -> int:
        """How many books are whole."""
        return sum(feed.sync.state is BookState.SYNCED for feed in self._feeds)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            busy = False
            for feed in list(self._feeds):
                busy |= self._look(feed)
                await asyncio.sleep(0)
            if not busy:
                await asyncio.sleep(INTERVAL)

    def _look(self, feed: _Watched) -> bool:
        """Take in what is new in one feed; whether there is more."""
        try:
            records = feed.reader.poll(SLICE)
            for record in records:
                self._take(feed, record)
        except StoreError as error:
            self._feeds.remove(feed)
            self._notify(RecorderEvent.GAP, f"{feed.symbol}: no longer watched: {error}")
            return False
        if feed.open_since_ns and self._clock.now_ns() - feed.open_since_ns > QUIET_NS:
            feed.open_since_ns = 0
            if feed.sync.state is not BookState.SYNCED:
                self._ask(feed.symbol)
        if feed.next_snapshot_ns and self._clock.now_ns() >= feed.next_snapshot_ns:
            feed.next_snapshot_ns = self._timed_from()
            self._ask(feed.symbol)
        return len(records) == SLICE

    def _take(self, feed: _Watched, record: Record) -> None:
        if record.kind == Kind.OPEN:
            feed.open_since_ns = record.recv_ns
        decode = self._decoder(feed, record)
        if decode is None:
            return
        try:
            messages = decode(record.payload)
        except WireError as error:
            feed.undecodable += 1
            if feed.undecodable == 1:
                self._notify(RecorderEvent.GAP, f"{feed.symbol}: cannot be decoded, kept as received: {error}")
            return
        for message in messages:
            self._judge(feed, message, record.recv_ns)

    def _decoder(self, feed: _Watched, record: Record) -> Decoder | None:
        """The decoder of what builds a book, None for all else."""
        if record.kind == Kind.RESPONSE:
            return None if record.flags & Flag.FAILED else self._venue.decoder(SNAPSHOT_STREAM)
        if record.kind != Kind.DATA:
            return None
        if record.stream not in feed.decoders:
            name = feed.reader.stream_name(record.stream)
            feed.decoders[record.stream] = self._venue.decoder(name) if self._venue.is_book(name) else None
        return feed.decoders[record.stream]

    def _judge(self, feed: _Watched, message: Message, recv_ns: int) -> None:
        step = feed.sync.on_message(message, recv_ns)
        if not isinstance(message, Update):
            return
        if message.snapshot and isinstance(message, BookUpdate) and step.applied:
            self._learn_scale(feed, message)
        if message.in_stream or not message.snapshot:
            feed.open_since_ns = 0
        if not message.snapshot and step.verdict is Verdict.GAP:
            self.gaps += 1
            self._notify(
                RecorderEvent.GAP, f"{feed.symbol}: gap before update {message.first_seq}; asking for a snapshot"
            )
        if step.mismatch is not None:
            self.gaps += 1
            self._notify(RecorderEvent.GAP, f"{feed.symbol}: {step.mismatch}; asking for a whole book")
        if step.needs_snapshot:
            self._ask(feed.symbol)

    def _learn_scale(self, feed: _Watched, snapshot: BookUpdate) -> None:
        """Keep how many digits the venue quotes with, so that readers need not find out by widening."""
        known = self._store.feed(feed.reader.feed.name).scale
        parser = LevelParser(known)
        parser.parse_update(snapshot)  # the book has taken it, so it parses
        if parser.scale != known:
            self._store.set_scale(feed.reader.feed.name, parser.scale)

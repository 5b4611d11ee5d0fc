"""The book of one recorded feed, as far as it has been played: what REST answers from.

Rule: the answer is always one from which a client can build a whole book. While the book is whole, that is the book, at
the last update played. Before the feed's first snapshot, and behind a gap, it is the next snapshot recorded, verbatim:
its id is ahead of the stream, and the client bridges it when the stream gets there.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec
import numpy as np

from mdtool.books.engine import FeedEngine
from mdtool.books.l2 import Level
from mdtool.books.l3 import L3Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, open_book
from mdtool.books.wire import texts
from mdtool.errors import WireError
from mdtool.exchange.source import BookView, Instrument, OrdersView
from mdtool.history.wholes import whole_books
from mdtool.model import OTHER_STREAM, SESSION_STREAM, SNAPSHOT_STREAM, BookUpdate, Flag, Kind, Scale, Side
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues.venue import Venue

NOT_PUBLISHED = frozenset(
    {SNAPSHOT_STREAM, SESSION_STREAM, "ping", OTHER_STREAM}
)  # streams of the recorder's, not of the venue's
SAMPLE = 4096  # records looked at for the digits of the wire where no snapshot shows them
PLAIN_DIGITS = Scale(-8, -8)  # of a feed in which no price was ever seen


class RecordedFeed:
    """One feed: a reader that is played, and a second one that looks ahead for snapshots."""

    def __init__(self, store: Store, name: str, venue: Venue) -> None:
        self.info = store.feed(name)
        self.symbol = venue.named(venue.native(self.info.symbol))  # of a feed of before, as it is called now
        self.reader = store.reader(name)
        self._ahead = store.reader(name)
        self._venue = venue
        self._snapshots = _positions(self._ahead, Kind.RESPONSE, SNAPSHOT_STREAM)  # of the answers that hold a book
        self._at = -1  # position of the last record played
        self._firsts: dict[str, bytes | None] = {}
        digits, scale = self._digits()
        self._wire_digits = digits.finest(scale)
        tick, step = (10 ** (e - d) for e, d in zip(scale, self._wire_digits, strict=True))
        self._engine = FeedEngine(
            venue, self.reader, book_only=True, opens=lambda venue, stream, _: open_book(venue, stream, scale)
        )
        self.instrument = Instrument(self.symbol, venue.native(self.symbol), self._wire_digits, tick, step)

    def stream(self, number: int) -> str | None:
        """The name of a stream of the venue's, None for one of the recorder's."""
        name = self.reader.stream_name(number)
        return None if name in NOT_PUBLISHED else name

    @property
    def published(self) -> list[str]:
        """The venue's streams in the feed."""
        return [name for name in self.reader.streams if name not in NOT_PUBLISHED]

    def first(self, stream: str) -> bytes | None:
        """The first message of a stream."""
        if stream not in self._firsts:
            found = _positions(self._ahead, Kind.DATA, stream, 1) if stream in self.published else []
            self._firsts[stream] = self._read(found[0]) if found else None
        return self._firsts[stream]

    def start_at(self, from_ns: int) -> None:
        """Stands at the first record received at or after `from_ns`, with the book as it was then."""
        self.reader.seek(from_ns)
        target = self.reader.position
        newest = next(whole_books(self._ahead, self._venue, before=target), None)
        if newest is not None:
            self.reader.move_to(newest.start)
            for record in self.reader.records():
                if record.position >= target:
                    break
                self.play(record.kind, record.flags, record.stream, record.payload, record.recv_ns, record.position)
        self.reader.move_to(target)
        self._at = target - 1

    def play(self, kind: int, flags: int, stream: int, payload: bytes, recv_ns: int, position: int) -> None:
        """Takes a record into the book."""
        self._at = position
        if stream not in self._engine.unwanted:
            self._engine.take(kind, flags, stream, payload, recv_ns)

    def depth(self, limit: int) -> BookView | bytes | None:
        """The book now, or the next snapshot recorded; None where neither is known."""
        sync = self._engine.sync
        if sync is not None and sync.state is BookState.SYNCED:
            digits = self._wire_digits.finest(sync.book.scale)
            bids, asks = (_rescaled(half, sync.book.scale, digits) for half in sync.book.top(limit))
            return BookView(sync.last_seq, sync.venue_ns, digits, bids, asks)
        body = self._following()
        return None if body is None else _trimmed(body, limit)

    def orders(self) -> OrdersView | bytes | None:
        """The book by order now, or the next snapshot recorded; None where neither is known."""
        sync = self._engine.sync
        book: object = None if sync is None or sync.state is not BookState.SYNCED else sync.book
        if sync is None or not isinstance(book, L3Book):
            return self._following()
        digits = self._wire_digits.finest(book.scale)
        price, size = (10 ** (old - new) for old, new in zip(book.scale, digits, strict=True))
        bids, asks = (
            [(order_id, at * price, resting * size) for order_id, at, resting in book.orders(side)] for side in Side
        )
        return OrdersView(sync.last_seq, sync.venue_ns, digits, bids, asks)

    def _following(self) -> bytes | None:
        """The next answer recorded."""
        following = bisect_right(self._snapshots, self._at)
        return None if following == len(self._snapshots) else self._read(self._snapshots[following])

    def close(self) -> None:
        self.reader.close()
        self._ahead.close()

    def _read(self, position: int) -> bytes:
        self._ahead.move_to(position)
        return next(self._ahead.records()).payload

    def _digits(self) -> tuple[Scale, Scale]:
        """The digits the wire prints, and those its values need, from the first book seen."""
        known = self.info.scale
        for update in self._first_books():
            parser = LevelParser(known)
            try:
                parser.parse_update(update)
            except WireError:
                continue
            level = next(iter(texts(update.bids, update.shape) or texts(update.asks, update.shape)), None)
            if level is not None:
                price, size = (-len(text.partition(".")[2]) for text in level)
                return Scale(price, size), parser.scale
        return PLAIN_DIGITS, known or PLAIN_DIGITS

    def _first_books(self) -> list[BookUpdate]:
        found: list[BookUpdate] = []
        candidates = [(SNAPSHOT_STREAM, self._read(position)) for position in self._snapshots[:1]]
        if not candidates:
            self._ahead.to_start()
            for record, _ in zip(self._ahead.records(), range(SAMPLE), strict=False):
                name = self.reader.stream_name(record.stream)
                if record.kind == Kind.DATA and self._venue.is_book(name):
                    candidates.append((name, record.payload))
        for name, payload in candidates:
            try:
                found += [m for m in self._venue.decoder(name)(payload) if isinstance(m, BookUpdate)]
            except WireError:
                continue
        return found


def _positions(reader: Reader, kind: Kind, stream: str, most: int = 2**63) -> list[int]:
    """Where the records of a kind and stream stand whose request did not fail; stops looking behind `most`."""
    positions: list[int] = []
    reader.to_start()
    unverified = reader.verify
    reader.verify = False  # only the row index is looked at here; payloads are checked when they are read
    for batch in reader.batches():
        if stream not in batch.streams:
            continue
        rows = batch.rows
        hits = (
            (rows["kind"] == kind)
            & (rows["stream"] == batch.streams.index(stream))
            & (rows["flags"] & Flag.FAILED == 0)
        )
        positions += [batch.position + int(row) for row in np.flatnonzero(hits)]
        if len(positions) >= most:
            break
    reader.verify = unverified
    return positions


def _rescaled(levels: list[Level], scale: Scale, finer: Scale) -> list[Level]:
    price, size = (10 ** (old - new) for old, new in zip(scale, finer, strict=True))
    return levels if price == size == 1 else [(p * price, s * size) for p, s in levels]


def _trimmed(body: bytes, limit: int) -> bytes:
    """A recorded answer with at most `limit` levels a side: verbatim where it has no more."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        halves = {
            side: msgspec.json.decode(fields[side], type=list[msgspec.Raw])
            for side in ("bids", "asks")
            if side in fields
        }
    except (msgspec.MsgspecError, UnicodeError):
        return body
    if all(len(levels) <= limit for levels in halves.values()):
        return body
    return msgspec.json.encode({**fields, **{side: levels[:limit] for side, levels in halves.items()}})

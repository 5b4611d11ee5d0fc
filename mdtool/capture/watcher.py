"""What keeps the recording whole: follows the recorded feeds, judges every update's sequence, and asks for a snapshot
when a book needs one.

Rule: it reads the store as any other reader does, and says what it finds. Where a feed leads it back to the same
knowledge is a mark (`Mark`): one that begins there tells nothing twice and forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.books.sync import BookState, BookSync, open_book
from mdtool.capture.protocol import Ask, Gap, Learned, Mark, NoBook, Said, Undecodable, Unwatched, text
from mdtool.clock import SECOND, Clock
from mdtool.errors import CorruptStore, StoreError, WireError
from mdtool.model import SNAPSHOT_STREAM, BookUpdate, Flag, Kind, Message, Scale, Update
from mdtool.storage.reading.reader import Reader, Record
from mdtool.storage.store import Store
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Decoder, Venue

SLICE = 500  # records of one feed before the next has its turn; about 2 ms
QUIET_NS = 5 * SECOND  # a book without updates for this long after its connection opened gets its snapshot all the same
# A mark leads back over this many records at most: about a second of reading. A book that has been whole for longer is
# asked for anew by the one that begins at its mark.
LONGEST_WAY_BACK = 100_000


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
    anchor: int  # from where on reading leads to the same state
    told: int  # before it, all is told
    decoders: dict[int, Decoder | None] = field(default_factory=dict)  # by stream id; None: builds no book
    open_since_ns: int = 0  # of a connection that has brought no update yet
    undecodable: int = 0  # not said yet
    understood: bool = True  # no reason has been given yet
    next_snapshot_ns: int = 0  # when to ask for a whole book that nothing else calls for; 0: never
    since_anchor: int = 0  # records
    owed: bool = False  # a whole book was needed within what was told before
    scale: Scale | None = None  # as it is known
    news: list[Said] = field(default_factory=list)  # not said yet


class Watcher:
    """Watches the feeds of one venue, each from its mark on. `say` gets what there is to tell of a feed with the mark
    that belongs to it, to be sent in one piece: what was said is never without its mark."""

    def __init__(
        self, store: Store, venue: Venue, streams: Sequence[str], marks: Sequence[Mark], clock: Clock,
        say: Callable[[list[Said]], None],
    ) -> None:  # fmt: skip
        self._venue = venue
        self._clock = clock
        self._say = say
        self._feeds: list[_Watched] = []
        stream = next((stream for stream in streams if venue.is_book(stream)), None)
        for mark in marks if stream is not None else ():
            sync = _watched_book(venue, stream) if stream is not None else None
            if sync is None:
                continue
            reader = store.reader(f"{venue.name}/{mark.symbol}")
            _stand(reader, mark)
            feed = _Watched(mark.symbol, reader, sync, reader.position, mark.told)
            feed.next_snapshot_ns, feed.scale = self._timed_from(), reader.feed.scale
            self._feeds.append(feed)

    def _timed_from(self) -> int:
        every = self._venue.snapshot_every
        return self._clock.now_ns() + int(every * SECOND) if every else 0

    def look(self) -> bool:
        """Take in what is new; whether there is more."""
        busy = False
        for feed in list(self._feeds):
            busy |= self._look(feed)
        return busy

    def marks(self) -> list[Mark]:
        """Where each feed stands."""
        return [_mark(feed) for feed in self._feeds]

    def _look(self, feed: _Watched) -> bool:
        """Take in what is new in one feed; whether there is more."""
        busy = self._read(feed)
        if feed.undecodable:
            feed.news.append(Undecodable(feed.symbol, feed.undecodable))
            feed.undecodable = 0
        if feed.news:
            said, feed.news = feed.news, []
            self._say([*said, _mark(feed)] if feed in self._feeds else said)
        return busy

    def _read(self, feed: _Watched) -> bool:
        try:
            records = feed.reader.poll(SLICE)
            for record in records:
                self._take(feed, record)
            if feed.owed and feed.reader.position >= feed.told:
                feed.owed = False
                feed.news.append(Ask(feed.symbol))
        except StoreError as error:
            self._feeds.remove(feed)
            feed.news.append(Unwatched(feed.symbol, text(error)))
            return False
        if feed.open_since_ns and self._clock.now_ns() - feed.open_since_ns > QUIET_NS:
            feed.open_since_ns = 0
            if feed.sync.state is not BookState.SYNCED:
                feed.news.append(Ask(feed.symbol))
        if feed.next_snapshot_ns and self._clock.now_ns() >= feed.next_snapshot_ns:
            feed.next_snapshot_ns = self._timed_from()
            feed.news.append(Ask(feed.symbol))
        return len(records) == SLICE

    def _take(self, feed: _Watched, record: Record) -> None:
        feed.since_anchor += 1
        if record.kind == Kind.OPEN:
            feed.open_since_ns = record.recv_ns
        decode = self._decoder(feed, record)
        if decode is None:
            return
        again = record.position < feed.told
        before = feed.sync.state
        try:
            messages = decode(record.payload)
            for message in messages:
                self._judge(feed, message, record, again=again)
        except Exception as error:  # noqa: BLE001 - the door of a venue's code: whatever it raises, the feed goes on
            why = str(error) if isinstance(error, WireError) else f"{type(error).__name__}: {error}"
            self._not_understood(feed, record, why, again=again)
        else:
            if record.kind == Kind.RESPONSE and not again and not any(map(_is_whole, messages)):
                feed.news.append(NoBook(feed.symbol, "it holds no whole book"))
        if before is BookState.SYNCED and feed.sync.state is not before:
            feed.anchor, feed.since_anchor = record.position, 0
        feed.owed &= feed.sync.state is not BookState.SYNCED

    def _not_understood(self, feed: _Watched, record: Record, why: str, *, again: bool) -> None:
        if again:
            return
        if record.kind == Kind.RESPONSE:
            feed.news.append(NoBook(feed.symbol, text(why)))
            return
        feed.undecodable += 1
        if feed.understood:
            feed.news.append(Undecodable(feed.symbol, feed.undecodable, text(why)))
            feed.understood, feed.undecodable = False, 0

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

    def _judge(self, feed: _Watched, message: Message, record: Record, *, again: bool) -> None:
        step = feed.sync.on_message(message, record.recv_ns)
        if not isinstance(message, Update):
            return
        if message.snapshot and message.in_stream and step.state is BookState.SYNCED:
            feed.anchor, feed.since_anchor = record.position, 0
        if not message.snapshot and feed.since_anchor > LONGEST_WAY_BACK:
            feed.anchor, feed.since_anchor = record.position, 0  # an update, so that no snapshot is taken for its base
        if message.in_stream or not message.snapshot:
            feed.open_since_ns = 0
        if again:
            feed.owed |= step.needs_snapshot
            return
        if message.snapshot and isinstance(message, BookUpdate) and step.applied:
            self._learn_scale(feed, message)
        if not message.snapshot and step.verdict is Verdict.GAP:
            feed.news.append(Gap(feed.symbol, f"gap before update {message.first_seq}; asking for a snapshot"))
        if step.mismatch is not None:
            feed.news.append(Gap(feed.symbol, text(f"{step.mismatch}; asking for a whole book")))
        if step.needs_snapshot:
            feed.news.append(Ask(feed.symbol))

    def _learn_scale(self, feed: _Watched, snapshot: BookUpdate) -> None:
        """Say how many digits the venue quotes with, so that readers need not find out by widening."""
        parser = LevelParser(feed.scale)
        parser.parse_update(snapshot)
        if parser.scale != feed.scale:
            feed.scale = parser.scale
            feed.news.append(Learned(feed.symbol, *parser.scale))


def _is_whole(message: Message) -> bool:
    return isinstance(message, Update) and message.snapshot


def _mark(feed: _Watched) -> Mark:
    return Mark(feed.symbol, feed.anchor, max(feed.told, feed.reader.position))


def _stand(reader: Reader, mark: Mark) -> None:
    """At the mark's anchor, or as near to it as what is kept allows."""
    for position in (mark.anchor, mark.told):
        try:
            reader.move_to(position)
        except CorruptStore:  # removed by retention
            continue
        return
    reader.to_end()

"""What keeps the recording whole: follows the recorded feeds, judges every update's sequence, and asks for a snapshot
when a book needs one.

Rule: it reads the store as any other reader does, and says what it finds. Where a feed leads it back to the same
knowledge is a mark (`Mark`): one that begins there tells nothing twice and forgets nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mdtool.books.engine import FeedEngine
from mdtool.books.phases import NO_WHOLE_YET
from mdtool.books.sync import BookState, Step
from mdtool.capture.numbers import Numbers
from mdtool.capture.options import BUCKETS
from mdtool.capture.protocol import (
    Ask,
    Book,
    Counted,
    Delays,
    Gap,
    Learned,
    Mark,
    NoBook,
    Reset,
    Said,
    Undecodable,
    Unwatched,
    text,
)
from mdtool.clock import SECOND, Clock
from mdtool.errors import CorruptStore, StoreError
from mdtool.model import NO_TIME, Flag, Kind, Scale, Update, is_session
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.reading.reader import Reader, Record
from mdtool.storage.store import Store
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Venue, book_stream

SLICE = 500  # records of one feed before the next has its turn; about 2 ms
QUIET_NS = 5 * SECOND  # a book without updates for this long after its connection opened gets its snapshot all the same
# A mark leads back over this many records at most: about a second of reading. A book that has been whole for longer is
# asked for anew by the one that begins at its mark.
LONGEST_WAY_BACK = 100_000


@dataclass(slots=True)
class _Watched:
    """One feed and what is known of it. `engine`: None of a session's, which has no book but numbers."""

    symbol: str
    reader: Reader
    engine: FeedEngine | None
    anchor: int  # from where on reading leads to the same state
    told: int  # before it, all is told
    counted: int | None = None  # from where on numbers are needed; None: there are none
    open_since_ns: int = 0  # of a connection that has brought no update yet
    undecodable: int = 0  # not said yet
    understood: bool = True  # no reason has been given yet
    next_snapshot_ns: int = 0  # when to ask for a whole book that nothing else calls for; 0: never
    since_anchor: int = 0  # records
    owed: bool = False  # a whole book was needed within what was told before
    scale: Scale | None = None  # as it is known
    shown: BookState | None = None  # what was said of its book
    known: BookState | None = None  # the same, by whoever watched before, too
    delays: Counter[int] = field(default_factory=Counter)  # not said yet: of updates, by the power of two of their ns
    early: int = 0  # not said yet
    news: list[Said] = field(default_factory=list)  # not said yet


class Watcher:
    """Watches the feeds of one venue, each from its mark on. `say` gets what there is to tell of a feed with the mark
    that belongs to it, to be sent in one piece: what was said is never without its mark."""

    def __init__(
        self, store: Store, venue: Venue, streams: Sequence[str], marks: Sequence[Mark], clock: Clock,
        say: Callable[[list[Said]], None], counted: Sequence[Counted] = (),
    ) -> None:  # fmt: skip
        self._venue = venue
        self._clock = clock
        self._say = say
        self._feeds: list[_Watched] = []
        rule = venue.connection_rule()
        self._numbers = Numbers(rule.number, [mark.symbol for mark in marks], counted) if rule is not None else None
        stream = book_stream(venue, streams)
        if stream is None or venue.rule(stream) is None:
            return
        for mark in marks:
            reader = store.reader(f"{venue.name}/{mark.symbol}")
            if not _stand(reader, mark) and self._numbers is not None:
                self._numbers.forget()
            engine = None
            if not is_session(mark.symbol):
                engine = FeedEngine(venue, reader, stream=stream, book_only=True)
            feed = _Watched(mark.symbol, reader, engine, max(mark.anchor, reader.position), mark.told, mark.counted)
            feed.next_snapshot_ns = self._timed_from() if engine is not None else 0
            feed.scale, feed.known = reader.feed.scale, mark.book
            self._feeds.append(feed)

    def _timed_from(self) -> int:
        every = self._venue.snapshot_every
        return self._clock.now_ns() + int(every * SECOND) if every else 0

    def look(self) -> bool:
        """Take in what is new; whether there is more."""
        busy = False
        for feed in list(self._feeds):
            busy |= self._look(feed)
        if self._numbers is not None:
            self._count(self._numbers)
        return busy

    def _count(self, numbers: Numbers) -> None:
        """Say what is missing of connections, and keep where their numbers are known."""
        missed = numbers.missed()
        if numbers.settled:
            numbers.settle()
            for feed in self._feeds:
                feed.counted = feed.reader.position
        if missed:
            self._say([*missed, *self.marks()])

    def rest(self) -> None:
        """Hold no more memory than what is still to come takes."""
        for feed in self._feeds:
            feed.reader.release()

    def marks(self) -> list[Said]:
        """Where each feed stands with what was counted up to there, and each connection."""
        marks = [said for feed in self._feeds for said in (*_delays(feed), _mark(feed))]
        return [*marks, *self._counted()]

    def _counted(self) -> Sequence[Counted]:
        return self._numbers.counted() if self._numbers is not None else ()

    def _look(self, feed: _Watched) -> bool:
        """Take in what is new in one feed; whether there is more."""
        busy = self._read(feed)
        if feed.undecodable:
            feed.news.append(Undecodable(feed.symbol, feed.undecodable))
            feed.undecodable = 0
        told = feed.engine is not None and feed in self._feeds and feed.reader.position >= feed.told
        if told and (worth := _worth(feed)) is not feed.shown:
            feed.shown = feed.known = worth
            feed.news.append(Book(feed.symbol, worth))
        if feed.news:
            said, feed.news = feed.news, []
            self._say([*said, *_delays(feed), _mark(feed), *self._counted()] if feed in self._feeds else said)
        return busy

    def _read(self, feed: _Watched) -> bool:
        try:
            records = feed.reader.poll(SLICE)
            for record in records:
                self._take(feed, record)
            if feed.owed and feed.reader.position >= feed.told:
                feed.owed = False
                feed.news.append(Ask(feed.symbol))
            if self._numbers is not None and len(records) < SLICE and _is_at_end(feed.reader):
                self._numbers.at_end(feed.symbol)
        except StoreError as error:
            self._feeds.remove(feed)
            self._numbers = None  # what it would have shown is not known to be missing
            feed.news.append(Unwatched(feed.symbol, text(error)))
            return False
        if feed.open_since_ns and self._clock.now_ns() - feed.open_since_ns > QUIET_NS:
            feed.open_since_ns = 0
            if _state(feed) is not BookState.SYNCED:
                feed.news.append(Ask(feed.symbol))
        if feed.next_snapshot_ns and self._clock.now_ns() >= feed.next_snapshot_ns:
            feed.next_snapshot_ns = self._timed_from()
            feed.news.append(Ask(feed.symbol))
        return len(records) == SLICE

    def _take_number(self, numbers: Numbers, feed: _Watched, record: Record) -> None:
        if feed.counted is None or record.position < feed.counted:
            return
        if record.kind == Kind.DATA:
            numbers.take(feed.symbol, record.session, record.payload, record.recv_ns)
        elif record.kind == Kind.OPEN:
            numbers.opened(feed.symbol, record.session)

    def _take(self, feed: _Watched, record: Record) -> None:
        if self._numbers is not None:
            self._take_number(self._numbers, feed, record)
        if feed.engine is None or record.position < feed.anchor:
            return
        feed.since_anchor += 1
        if record.kind == Kind.OPEN:
            feed.open_since_ns = record.recv_ns
        if record.stream in feed.engine.unwanted:
            return
        again = record.position < feed.told
        before = _state(feed)
        taken = feed.engine.on_record(record)
        for said in taken.said:
            if said.step is not None and isinstance(said.message, Update):
                self._judge(feed, said.message, said.step, record, again=again)
        if taken.fault is not None:
            self._not_understood(feed, record, taken.fault, again=again)
        elif record.kind == Kind.RESPONSE and not record.flags & Flag.FAILED and not again and not taken.said:
            feed.news.append(NoBook(feed.symbol, "it holds no whole book"))
        for _, step in taken.losses:
            self._needed(feed, step, again=again)
        state = _state(feed)
        if before is BookState.SYNCED and state is not before and taken.fault is None:  # else its numbers are unknown
            feed.anchor, feed.since_anchor = record.position, 0
        feed.owed &= state is not BookState.SYNCED

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

    def _judge(self, feed: _Watched, message: Update, step: Step, record: Record, *, again: bool) -> None:
        if message.snapshot and message.in_stream and step.state is BookState.SYNCED:
            feed.anchor, feed.since_anchor = record.position, 0
        if not message.snapshot and feed.since_anchor > LONGEST_WAY_BACK:
            feed.anchor, feed.since_anchor = record.position, 0  # an update, so that no snapshot is taken for its base
        if message.in_stream or not message.snapshot:
            feed.open_since_ns = 0
        if not again:
            if not message.snapshot and message.venue_ns != NO_TIME:
                _measure(feed, record.recv_ns - message.venue_ns)
            if message.snapshot and step.applied:
                self._learn_scale(feed)
            if step.error is not None:
                self._not_understood(feed, record, step.error, again=again)
            elif not message.snapshot and step.verdict is Verdict.GAP:
                feed.news.append(Gap(feed.symbol, f"gap before update {message.first_seq}; asking for a snapshot"))
            elif not message.snapshot and step.verdict is Verdict.RESET:
                feed.news.append(Reset(feed.symbol))
            if step.mismatch is not None:
                feed.news.append(Gap(feed.symbol, text(f"{step.mismatch}; asking for a whole book")))
        if step.error is None or record.kind != Kind.RESPONSE:  # whoever fetched a book that is none asks again
            self._needed(feed, step, again=again)

    def _needed(self, feed: _Watched, step: Step, *, again: bool) -> None:
        if again:
            feed.owed |= step.needs_snapshot
        elif step.needs_snapshot:
            feed.news.append(Ask(feed.symbol))

    def _learn_scale(self, feed: _Watched) -> None:
        """Say how many digits the venue quotes with, so that readers need not find out by widening: what 64 bits do not
        hold is no use to them before they meet it."""
        sync = feed.engine.sync if feed.engine is not None else None
        assert sync is not None  # it has taken a whole book
        if sync.book.scale != feed.scale and not sync.book.is_wide:
            feed.scale = sync.book.scale
            feed.news.append(Learned(feed.symbol, *feed.scale))


def _state(feed: _Watched) -> BookState:
    sync = feed.engine.sync if feed.engine is not None else None
    return BookState.WAITING if sync is None else sync.state


def _worth(feed: _Watched) -> BookState:
    """Of a book that was whole once, and is not by what came since the anchor, something is missing."""
    state = _state(feed)
    return BookState.DIRTY if state in NO_WHOLE_YET and feed.known not in (None, *NO_WHOLE_YET) else state


def _measure(feed: _Watched, delay_ns: int) -> None:
    if delay_ns < 0:
        feed.early += 1
    else:
        feed.delays[min(max(delay_ns, 1).bit_length(), BUCKETS) - 1] += 1


def _delays(feed: _Watched) -> list[Said]:
    """What was counted before its mark, to be said with it: so nothing is counted twice."""
    if not feed.delays and not feed.early:
        return []
    said = Delays(feed.symbol, tuple(sorted(feed.delays.items())), feed.early)
    feed.delays.clear()
    feed.early = 0
    return [said]


def _mark(feed: _Watched) -> Mark:
    if feed.engine is None:  # nothing is known of it but the numbers
        return Mark(feed.symbol, feed.counted or 0, feed.counted or 0, feed.counted)
    return Mark(feed.symbol, feed.anchor, max(feed.told, feed.reader.position), feed.counted, feed.known)


def _stand(reader: Reader, mark: Mark) -> bool:
    """At the mark, or as near to it as what is kept allows; whether at it."""
    counted = mark.anchor if mark.counted is None else mark.counted
    begin = min(mark.anchor, counted)
    for position in (begin, mark.anchor, mark.told):
        try:
            reader.move_to(position)
        except CorruptStore:  # removed by retention
            continue
        return position == begin
    reader.to_end()
    return False


def _is_at_end(reader: Reader) -> bool:
    """Whether a reader that has been given less than it asked for has all there was, and not only all of a chunk."""
    latest = reader.latest_chunk()
    return latest is None or latest.chunk_id <= reader.position >> ROW_BITS

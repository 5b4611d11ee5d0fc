"""How the recorders of a store are doing, read from outside: from their pages, and from what they have recorded.

Rule: nobody is asked and nobody is held up. What is not known is None, and of a recorder that is gone no more is said
than that.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

from mdtool.books.phases import NO_WHOLE_YET, BookState
from mdtool.capture.options import BOOK_STATES, COUNTERS, NOT_COUNTED, FeedCounters, counters_of
from mdtool.clock import SECOND
from mdtool.errors import MdtoolError, StoreError
from mdtool.service.growth import Seen, Watched, Window
from mdtool.service.page import TOTALS, PageReader
from mdtool.service.processes import memory, open_files
from mdtool.service.roster import Member, Roster
from mdtool.storage.format import layout
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues import catalog

QUIET_NS = 60 * SECOND  # a feed that has brought nothing for longer is called quiet
STUCK_NS = 10 * SECOND  # a recorder beats once a second; one that has not for so long hangs


class FeedState(Enum):
    """A feed in one word, worst first."""

    DOWN = "down"  # its recorder is gone
    STUCK = "stuck"  # its recorder hangs
    PARKED = "parked"  # let go until there is room
    REFUSED = "refused"  # the venue refuses some of it
    OFFLINE = "offline"  # no connection carries it
    BROKEN = "broken"  # its book is not whole
    SILENT = "silent"  # nothing has come since its recorder began
    QUIET = "quiet"  # nothing has come for a while
    WAITING = "waiting"  # for its first whole book
    LIVE = "live"
    ENDED = "ended"  # its recorder was told to end


ORDER = list(FeedState)
TROUBLE = frozenset(ORDER[: ORDER.index(FeedState.QUIET)])


@dataclass(frozen=True, slots=True)
class FeedReading:
    """One feed at one moment. Times in ns; `minute` is of the last minute, or of as long as it was looked at."""

    feed: str
    recorder: str
    state: FeedState
    records: int  # kept
    minute_records: int
    minute_bytes: int
    rate: float  # records a second in the last minute
    rates: tuple[float, ...]  # of each moment it was looked at in it, the oldest first
    age_ns: int | None  # of the last message, as far as it is known
    epoch: int | None
    chunk: int | None
    counters: FeedCounters
    minute: Mapping[str, int]  # the growth of the counters in the last minute
    book: BookState | None
    came: int  # records since it was looked at first
    came_bytes: int
    delays_ns: tuple[int, ...] = ()  # of its updates: how many came 2**n to 2**(n+1) ns after the venue's time of them

    @property
    def in_trouble(self) -> bool:
        return self.state in TROUBLE

    def to_json(self) -> dict[str, Any]:
        counters = dict(zip(COUNTERS, counters_of(self.counters), strict=True))
        del counters["book"], counters["parked"]  # above in words
        return {
            "feed": self.feed,
            "recorder": self.recorder,
            "state": self.state.value,
            "book": self.book.value if self.book is not None else None,
            "records": self.records,
            "rate": round(self.rate, 3),
            "age_ns": self.age_ns,
            "epoch": self.epoch,
            "chunk": self.chunk,
            **counters,
            "minute": {"records": self.minute_records, "bytes": self.minute_bytes, **self.minute},
            "rates": [round(rate, 3) for rate in self.rates],
        }


@dataclass(frozen=True, slots=True)
class RecorderReading:
    """One recorder at one moment."""

    name: str
    venue: str
    symbols: tuple[str, ...]
    pid: int
    alive: bool
    ended: str | None  # why, where it is not
    graceful: bool  # it ended as it was told to
    started_ns: int | None
    beat_age_ns: int | None
    memory: int | None  # bytes of it that are its own
    open_files: int | None
    totals: Mapping[str, int]
    minute: Mapping[str, int]  # the same, of the last minute
    rss: int | None = None  # bytes, with what it maps
    commit_ns: tuple[int, ...] = ()  # of a sample of its records: how many took 2**n to 2**(n+1) ns to be committed
    watched_age_ns: int | None = None  # since a sign of life of what watches its books; None: none, as yet
    keeps_books: bool = False  # it records streams whose books are watched

    def to_json(self) -> dict[str, Any]:
        return {
            "recorder": self.name,
            "venue": self.venue,
            "pid": self.pid,
            "alive": self.alive,
            "ended": self.ended,
            "graceful": self.graceful,
            "feeds": len(self.symbols),
            "started_ns": self.started_ns,
            "beat_age_ns": self.beat_age_ns,
            "memory_bytes": self.memory,
            "open_files": self.open_files,
            "totals": dict(self.totals),
            "minute": dict(self.minute),
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """A store's recorders at one moment."""

    now_ns: int
    recorders: tuple[RecorderReading, ...]
    feeds: tuple[FeedReading, ...]  # the most troubled first
    free_bytes: int
    full_in_ns: int | None  # at the last minute's rate; None where nothing comes, or it is too early to say
    window_ns: int  # how much of the last minute was looked at

    @property
    def trouble(self) -> bool:
        """Whether something is not as it should be."""
        died = any(not one.alive and not one.graceful for one in self.recorders)
        return died or any(feed.in_trouble for feed in self.feeds)

    def to_json(self) -> dict[str, Any]:
        """What `status --json` prints."""
        return {
            "now_ns": self.now_ns,
            "window_ns": self.window_ns,
            "free_bytes": self.free_bytes,
            "full_in_ns": self.full_in_ns,
            "recorders": [one.to_json() for one in self.recorders],
            "feeds": [one.to_json() for one in self.feeds],
        }


class Readings:
    """A context: of all recorders of a store, or of those that have these names by then. Each `take` knows what those
    of the last minute found."""

    def __init__(self, store: Store, names: Callable[[], Sequence[str]] | None = None) -> None:
        self._store = store
        self._names = names
        self._roster = Roster(store.path)
        self._feeds: dict[str, Watched] = {}
        self._recorders: dict[str, _Recorder] = {}  # by life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for feed in self._feeds.values():
            if feed.reader is not None:
                feed.reader.close()

    def take(self, now_ns: int) -> Reading:
        """As of now. Raises nothing of one feed or recorder that cannot be read."""
        recorders: list[RecorderReading] = []
        feeds: dict[str, FeedReading] = {}
        members = self._members()
        lives = {member.duty.assignment.life for member in members}
        self._recorders = {life: known for life, known in self._recorders.items() if life in lives}
        for member in sorted(members, key=lambda member: not member.alive):
            known = self._recorders.setdefault(member.duty.assignment.life, _Recorder())
            recorder = known.take(member, self._roster, now_ns)
            if not recorder.alive and feeds.keys() >= {f"{recorder.venue}/{symbol}" for symbol in recorder.symbols}:
                continue  # others record all that it did
            recorders.append(recorder)
            page = known.page
            counted = page.feeds() if page is not None else {}
            delays = page.delays_ns() if page is not None else {}
            for symbol in recorder.symbols:
                name = f"{recorder.venue}/{symbol}"
                if name in feeds:
                    continue  # somebody else's now
                counters = FeedCounters(**counted.get(name, {}))
                seen = self._feeds.setdefault(name, Watched()).take(self._reader(name), counters, now_ns)
                feeds[name] = _feed(name, recorder, seen, counters, delays.get(name, ()), now_ns)
        for name in self._feeds.keys() - feeds.keys():
            if (reader := self._feeds.pop(name).reader) is not None:
                reader.close()
        free = shutil.disk_usage(self._store.path).free
        window_ns = max((feed.window.lasted_ns for feed in self._feeds.values()), default=0)
        grown = sum(feed.minute_bytes + feed.minute_records * layout.ROW.itemsize for feed in feeds.values())
        full_in_ns = round(free / grown * window_ns) if grown > 0 and window_ns >= SECOND else None
        recorders.sort(key=lambda recorder: recorder.name)
        worst = sorted(feeds.values(), key=lambda feed: (ORDER.index(feed.state), -feed.rate, feed.feed))
        return Reading(now_ns, tuple(recorders), tuple(worst), free, full_in_ns, window_ns)

    def _members(self) -> list[Member]:
        if self._names is None:
            return self._roster.members()
        return [member for name in self._names() if (member := self._roster.member(name)) is not None]

    def _reader(self, name: str) -> Reader | None:
        known = self._feeds[name]
        if known.reader is None:
            with contextlib.suppress(StoreError, OSError):
                known.reader = self._store.reader(name, verify=False)
        return known.reader


class _Recorder:
    """A recorder as it was looked at."""

    def __init__(self) -> None:
        self.page: PageReader | None = None
        self._window = Window()
        self._books: bool | None = None

    def take(self, member: Member, roster: Roster, now_ns: int) -> RecorderReading:
        if self.page is None:
            self.page = member.page()
        page, pid = self.page, member.duty.pid
        ended = None if member.alive else roster.ended(member.name, member.duty.assignment.life)
        totals = page.totals() if page is not None else {}
        watched_ns = page.watched_ns if page is not None else None
        if ended is not None and ended.totals.keys() == set(TOTALS):
            totals = ended.totals
        if page is not None:
            self._window.add(now_ns, tuple(page.totals().values()))
        return RecorderReading(
            name=member.name,
            venue=member.duty.venue,
            symbols=member.duty.assignment.symbols,
            pid=pid,
            alive=member.alive,
            ended=None if member.alive else "died without a word" if ended is None else ended.error or ended.why,
            graceful=ended is not None and not ended.error,
            started_ns=page.started_ns if page is not None else None,
            beat_age_ns=max(now_ns - page.beat_ns, 0) if page is not None else None,
            memory=memory(pid, "RssAnon") if member.alive else None,
            rss=memory(pid, "VmRSS") if member.alive else None,
            open_files=open_files(pid) if member.alive else None,
            totals=totals,
            minute=dict(zip(TOTALS, self._window.growth(), strict=True)) if page is not None else {},
            commit_ns=page.commit_ns() if page is not None else (),
            watched_age_ns=max(now_ns - watched_ns, 0) if watched_ns is not None else None,
            keeps_books=self._keeps_books(member),
        )

    def _keeps_books(self, member: Member) -> bool:
        if self._books is None:
            told = member.duty.assignment
            try:
                venue = catalog.called(told.venue)
            except MdtoolError:
                self._books = False
            else:
                stream = next((stream for stream in told.streams if venue.is_book(stream)), None)
                self._books = stream is not None and venue.rule(stream) is not None
        return self._books


def _feed(
    name: str, recorder: RecorderReading, seen: Seen, counters: FeedCounters, delays_ns: tuple[int, ...], now_ns: int
) -> FeedReading:
    book = BOOK_STATES[counters.book] if 0 <= counters.book < len(BOOK_STATES) else None
    return FeedReading(
        feed=name,
        recorder=recorder.name,
        state=_state(recorder, counters, book, seen.last_ns, now_ns),
        records=seen.records,
        minute_records=seen.minute[0],
        minute_bytes=seen.minute[1],
        rate=seen.rate,
        rates=seen.rates,
        age_ns=max(now_ns - seen.last_ns, 0) if seen.last_ns is not None else None,
        epoch=seen.latest.epoch if seen.latest is not None else None,
        chunk=seen.latest.chunk_id if seen.latest is not None else None,
        counters=counters,
        minute={name: grown for name, grown in zip(COUNTERS, seen.counted, strict=False) if name not in NOT_COUNTED},
        book=book,
        came=seen.came,
        came_bytes=seen.came_bytes,
        delays_ns=delays_ns,
    )


def _state(
    recorder: RecorderReading, counters: FeedCounters, book: BookState | None, last_ns: int | None, now_ns: int
) -> FeedState:
    if not recorder.alive:
        return FeedState.ENDED if recorder.graceful else FeedState.DOWN
    if recorder.beat_age_ns is not None and recorder.beat_age_ns > STUCK_NS:
        return FeedState.STUCK
    if counters.parked:
        return FeedState.PARKED
    if counters.refused and counters.missing:
        return FeedState.REFUSED
    if not counters.connected and recorder.started_ns is not None:
        return FeedState.OFFLINE
    if last_ns is None or (recorder.started_ns is not None and last_ns < recorder.started_ns):
        return FeedState.SILENT
    if book is BookState.DIRTY:
        return FeedState.BROKEN
    if now_ns - last_ns > QUIET_NS:
        return FeedState.QUIET
    return FeedState.WAITING if book in NO_WHOLE_YET else FeedState.LIVE

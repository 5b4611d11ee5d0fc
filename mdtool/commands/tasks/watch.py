"""One feed on the screen: its book, and its day beside it. It may not be there yet."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from mdtool.commands.tasks.amounts import Told
from mdtool.commands.tasks.book import BookFollower
from mdtool.commands.tasks.daily import DayTrades
from mdtool.commands.tasks.picture import waiting
from mdtool.errors import FeedNotFound
from mdtool.storage.store import Store
from mdtool.venues import catalog
from mdtool.view.book import BookPicture

DAY_SLICE = 0.02  # seconds of a frame for the day


class Watch:
    """Raises UnknownVenue, and UsageError where a book by order is asked for and there is none."""

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        at_ns: int | None = None,
        by_order: bool = False,
        told: Told | None = None,
    ) -> None:
        self.name = name
        self.follower: BookFollower | None = None
        self._store = store
        self._venue = catalog.get(name.partition("/")[0])
        self._at_ns = at_ns
        self._by_order = by_order
        self._told = told
        self._open = ExitStack()
        self._day: DayTrades | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def start(self) -> bool:
        """Read up to the moment, once there is something to read; whether there is."""
        if self.follower is not None:
            return True
        try:
            reader = self._open.enter_context(self._store.reader(self.name))
        except FeedNotFound:
            return False
        self.follower = BookFollower(reader, self._venue, self._at_ns, by_order=self._by_order)
        self.follower.catch_up(self._told)
        self._begin_day()
        return True

    def poll(self, seconds: float) -> int:
        """Take in what is new, for about so long; the number of records."""
        if self.follower is None:
            return int(self.start())
        if self._day is None:
            self._begin_day()
        elif self._at_ns != self.follower.at_ns:
            self._at_ns = self.follower.at_ns
            if self._at_ns is None or not self._day.move_to(self._at_ns):
                self._begin_day()
        return self.follower.poll(seconds)

    def read_whole_day(self, told: Told) -> None:
        """Go on with the day to its end, telling how many ns of it are read."""
        while self._day is not None and not self._day.advance(DAY_SLICE):
            told(*self._day.way)

    def read_day(self, seconds: float = DAY_SLICE) -> bool:
        """Go on with the day; whether that changed anything to be shown."""
        if self._day is None or (self._day.done and self._at_ns is not None):
            return False
        done = self._day.done
        self._day.advance(seconds)
        return not done

    def picture(self, depth: int, now_ns: int | None = None) -> BookPicture:
        """As it stands; see `BookFollower.picture`."""
        if self.follower is None:
            return waiting(self.name, "for source")
        picture = self.follower.picture(depth, now_ns)
        if self._day is None:
            return picture
        day = self._day.window(self.follower.stands_ns(now_ns))
        return replace(picture, day=day, day_progress=self._day.progress, day_since_ns=self._day.since_ns)

    def _begin_day(self) -> None:
        """The day needs a reader of its own: it stands elsewhere."""
        if self.follower is not None:
            reader = self._open.enter_context(self._store.reader(self.name, verify=False))
            if reader.last_ns is not None:
                self._day = DayTrades(reader, self._venue, self._at_ns)

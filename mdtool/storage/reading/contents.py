"""What a feed holds, as its chunk table and its chunks say: nothing here moves, and nothing is scanned but the figures
of chunks that are still being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from mdtool.clock import SECOND, SystemClock
from mdtool.errors import ChunkUnavailable, StoreError
from mdtool.kernel.journal import Record
from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import presence
from mdtool.storage.journal.chunk import OpenChunk, Rows, chunk_is_there, chunk_paths, index_rows, open_chunk
from mdtool.storage.journal.locks import Holder, holder, is_written
from mdtool.storage.journal.presence import Disconnect, Signs, WriterStatus
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo, FeedRegistry, denied_of
from mdtool.storage.journal.remains import open_spool
from mdtool.storage.reading.hole import Hole, hole
from mdtool.storage.reading.spooled import Spooled
from mdtool.units import time_ns

if TYPE_CHECKING:
    from mdtool.storage.parts.part import PartChunk, PartShelf

Opened: TypeAlias = "OpenChunk | PartChunk | Hole | Spooled"
EARLIEST = -(1 << 63)
COPY_DUE_NS = 60 * SECOND  # after that a chunk without one is of a writer that makes none: a sync comes each second
REOPEN = 5  # tries at a chunk that was moved between reading the registry and opening it


class Contents:
    """The chunks of one feed, live ones with their figures as of now."""

    def __init__(self, feed: FeedInfo, *, verify: bool = True) -> None:
        self.feed = feed
        self.verify = verify
        self._registry = _registry(feed)
        self._open: tuple[int, Opened] | None = None
        self._peeked: tuple[int, Opened] | None = None
        self._shelf: PartShelf | None = None  # opens parts, once one is needed

    @property
    def streams(self) -> list[str]:
        """Stream names; `Record.stream` is the index."""
        return self._registry.streams if self._registry else []

    def stream_name(self, number: int) -> str:
        """The name behind a `Record.stream`; "#7" for a number that the feed does not know."""
        names = self.streams
        return names[number] if number < len(names) else f"#{number}"

    def chunks(self) -> list[ChunkInfo]:
        """The chunks that are kept, in order, live ones with their figures as of now."""
        infos = self._registry.chunks() if self._chunk_count and self._registry is not None else []
        return [
            self._current_figures(entry) if info.state == ChunkState.LIVE else info
            for entry, info in enumerate(infos)
            if info.state != ChunkState.TRASHED
        ]

    def latest_chunk(self) -> ChunkInfo | None:
        """The newest chunk, from the mapping alone; None where nothing was recorded, or nothing of it is kept."""
        return next(map(self._current_figures, self._latest()), None)

    def has_data_since(self, when: int | datetime | str) -> bool:
        """Whether a record was received at or after a time (given as to `Reader.seek`), from the mapping alone."""
        ns = self._ns(when)
        return any(
            figures.rows and figures.max_ns >= ns
            for figures in map(self._current_figures, reversed(self._entries_until(ns).tolist()))
        )

    @property
    def first_ns(self) -> int | None:
        """Receive time of the first record; None where there is none."""
        figures = map(self._current_figures, self._entries_until(EARLIEST).tolist())
        return next((one.min_ns for one in figures if one.rows), None)

    @property
    def last_ns(self) -> int | None:
        """Highest receive time as of now; None where there is none."""
        figures = map(self._current_figures, self._entries_until(EARLIEST, latest_only=True).tolist())
        return max((one.max_ns for one in figures if one.rows), default=None)

    def newest_ns(self, kind: Kind, among: int) -> int | None:
        """Receive time of the newest record of a kind among the last so many of the newest chunk that holds any; None
        where it is none of them, or the chunk is sealed."""
        for entry in self._latest():
            opened = self._peek(entry)
            if not isinstance(opened, OpenChunk):
                return None
            if rows := opened.journal.committed:
                last = index_rows(opened.index, rows)[max(0, rows - among) :]
                found = last["recv_ns"][last["kind"] == kind]
                return int(found.max()) if len(found) else None
        return None

    def count(self) -> int:
        """Records committed as of now."""
        table = self._table()
        kept, live = table["state"] != ChunkState.TRASHED, table["state"] == ChunkState.LIVE
        figures = map(self._current_figures, np.flatnonzero(live).tolist())
        return int(table["rows"][kept & ~live].sum()) + sum(one.rows for one in figures)

    def writer_status(self, ttl_ns: int, now_ns: int) -> WriterStatus:
        """Whether a writer is at work: ALIVE while one holds the feed and has said within `ttl_ns` that it lives (it
        does about once a second), STALE where it died or hangs, GONE where it gave the feed back or never was."""
        return presence.status(self._signs(presence.turns_on_the_end), ttl_ns, now_ns)

    def detect_disconnect(self, ttl_ns: int, now_ns: int) -> Disconnect | None:
        """Why the feed is not being written, None while it is. Asks nobody and takes no lock: the writer, or one that
        is about to start, is not disturbed. `ttl_ns`: silence longer than this counts; `now_ns`: by the writer's clock.

        >>> found = store.reader("sim/ALPHA_USDT").detect_disconnect(ttl_ns=5_000_000_000, now_ns=1760000009000000000)
        >>> print(found.reason.value, found.since_ns)
        ended 1760000001000000000
        >>> print(found.text)
        sim/ALPHA_USDT: its writer stopped of its own will: done
        """
        return presence.disconnect(self._signs(lambda lock, latest: True), ttl_ns, now_ns)

    # -- inside ----------------------------------------------------------------------------------------------

    def _ns(self, when: int | datetime | str) -> int:
        if not isinstance(when, str):
            return time_ns(when, now_ns=0)  # which it is not asked of
        return time_ns(when, now_ns=SystemClock().now_ns(), first_ns=self.first_ns, last_ns=self.last_ns)

    @property
    def _chunk_count(self) -> int:
        if self._registry is None:
            self._registry = _registry(self.feed)
        return self._registry.chunk_count if self._registry else 0

    def _registered(self, entry: int) -> ChunkInfo:
        assert self._registry is not None  # there is an entry, so there is a registry
        return self._registry.chunk(entry)

    def _current_figures(self, entry: int) -> ChunkInfo:
        """An entry of the chunk table; for a live chunk, what its index says right now."""
        info = self._registered(entry)
        if info.state != ChunkState.LIVE:
            return info
        opened = self._peek(entry)
        if isinstance(opened, Spooled):
            opened = opened.copy
        if not isinstance(opened, OpenChunk):
            return self._registered(entry)  # closed and sealed since the entry was read
        rows = opened.journal.committed
        if not rows:
            return info
        last = index_rows(opened.index, rows)[-1]
        min_ns, max_ns, ordered = opened.time_range  # after the count: if they say ordered now, those rows are
        return replace(
            info,
            flags=info.flags | ChunkFlag.ORDERED if ordered else info.flags,
            rows=rows,
            heap_bytes=int(last["offset"]) + int(last["length"]),
            min_ns=min_ns,
            max_ns=max_ns,
        )

    def _table(self) -> Rows:
        """The chunk table as it stands, in one piece; the rows and times of a live chunk are not in it."""
        count = self._chunk_count
        if self._registry is None or not count:
            return np.zeros(0, layout.CHUNK_SLOT)
        return self._registry.table()

    def _entries_until(self, ns: int, *, latest_only: bool = False) -> npt.NDArray[np.intp]:
        """Entries that may hold a record received at or after `ns`, in order; `latest_only`: those that may hold the
        latest. A feed of 10,000 parts is asked as one array, and not a slot at a time."""
        table = self._table()
        live = table["state"] == ChunkState.LIVE
        closed = ~live & (table["state"] != ChunkState.TRASHED) & (table["rows"] > 0)
        if latest_only and closed.any():
            closed &= table["max_ns"] == table["max_ns"][closed].max()
        return np.flatnonzero(live | (closed & (table["max_ns"] >= ns)))

    def _opened(self, info: ChunkInfo) -> Opened:
        if info.location != Location.PART:
            return open_chunk(self.feed, info)
        if self._shelf is None:
            from mdtool.storage.parts.part import PartShelf  # and with it pyarrow, which takes its time

            self._shelf = PartShelf(self.feed, verify=self.verify)
        return self._shelf.chunk(info, self.streams)

    def _chunk(self, entry: int) -> Opened:
        """The chunk opened; the last one asked for is kept."""
        if not self._is_open(self._open, entry):
            self._open = (entry, self._reopened(entry))
        return self._open[1]

    def _is_open(self, kept: tuple[int, Opened] | None, entry: int) -> TypeGuard[tuple[int, Opened]]:
        """Whether `kept` is the chunk of this entry; a copy stands for it only as long as the entry says the same."""
        if kept is None or kept[0] != entry:
            return False
        return not isinstance(kept[1], Spooled) or kept[1].info == self._registered(entry)

    def _peek(self, entry: int) -> Opened:
        """The chunk opened, without letting go of the one being read: that may be unlinked by now."""
        if self._open is None or self._open[0] == entry:
            return self._chunk(entry)
        if not self._is_open(self._peeked, entry):
            self._peeked = (entry, self._reopened(entry))
        return self._peeked[1]

    def _reopened(self, entry: int) -> Opened:
        for _ in range(REOPEN - 1):
            try:
                return self._opened(self._registered(entry))
            except ChunkUnavailable:
                time.sleep(0.001)  # being moved to disk, or into a part: the registry will say where to
        info = self._registered(entry)
        try:
            return self._opened(info)
        except ChunkUnavailable as error:
            instead = self._copy_of(entry, info) or hole(self.feed, info, error, self.streams)
            if instead is None:
                raise
            return instead

    def _copy_of(self, entry: int, info: ChunkInfo) -> Spooled | None:
        """The copy on disk of a chunk in shared memory; None where there is none."""
        copy = open_spool(self.feed, info) if info.location == Location.SHM else None
        if copy is None:
            return None

        def coming() -> bool:
            # The lock is asked first: who gave it back has entered what became of the chunk.
            at_work = is_written(self.feed.directory) and info.epoch == self._registered(self._chunk_count - 1).epoch
            return at_work or info != self._registered(entry)

        return Spooled(info, copy, self.streams, coming)

    def _is_coming(self, entry: int) -> bool:
        """Whether a chunk in shared memory that is not to be seen from here has just begun, so that its copy on disk is
        yet to come."""
        info = self._registered(entry)
        if info.location != Location.SHM or SystemClock().now_ns() - info.created_ns > COPY_DUE_NS:
            return False
        there = (chunk_paths(self.feed, info.chunk_id, where)[0] for where in (Location.SHM, Location.DISK))
        return not any(path.exists() for path in there) and is_written(self.feed.directory)

    def _latest(self) -> Iterator[int]:
        """Entries from the newest back for as long as they are kept. One that went without a record in it was made
        ready and not needed: it says nothing of those before."""
        for entry in reversed(range(self._chunk_count)):
            info = self._registered(entry)
            if info.state != ChunkState.TRASHED:
                yield entry
            elif info.rows:
                return

    def _last_record(self) -> Record | None:
        """The feed's last record as of now; None where there is none, or it is not kept."""
        for entry in self._latest():
            info = self._registered(entry)
            if (info.state != ChunkState.LIVE and not info.rows) or self._is_coming(entry):
                continue
            opened = self._peek(entry)
            if count := opened.committed:
                run = opened.run(count - 1)
                return run.journal.record(count - 1 - run.start, False)
        return None

    def _signs(self, needs_last: Callable[[Holder, ChunkInfo | None], bool]) -> Signs:
        """What can be seen of the writer; the last record where that is needed, as it takes the longest to find."""
        while True:
            lock, entry = holder(self.feed.directory), self._chunk_count - 1
            latest = self._registered(entry) if entry >= 0 else None
            heartbeat_ns, missing, last = None, None, None
            mapped = opened = self._open[1] if self._open is not None and self._open[0] == entry else None
            if latest is not None and latest.state == ChunkState.LIVE:
                try:
                    if mapped is None or not chunk_is_there(self.feed, latest):  # a mapping outlives its file
                        opened = self._reopened(entry)
                except ChunkUnavailable as error:
                    missing = str(error)
                heartbeat_ns = opened.heartbeat_ns if isinstance(opened, OpenChunk) else None
                if isinstance(opened, Spooled):  # a writer at work says in its memory that it lives, and not there
                    missing = opened.text(self.feed.name)
                    heartbeat_ns = None if lock.held else opened.copy.heartbeat_ns
            if (missing is None or mapped is not None or isinstance(opened, Spooled)) and needs_last(lock, latest):
                last = self._last_record()
            if lock == holder(self.feed.directory):  # else a writer came or went while this looked
                return Signs(self.feed.name, lock, latest, heartbeat_ns, missing, last)

    def close(self) -> None:
        """Let go of the feed. Records already read stay readable."""
        self._open = self._peeked = None
        if self._shelf is not None:
            self._shelf.close()
        if self._registry is not None:
            self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _registry(feed: FeedInfo) -> FeedRegistry | None:
    """The feed's registry; None while the feed is known to the store and not yet written."""
    if (path := denied_of(feed)) is not None:
        raise StoreError(files.denial(path))
    try:
        return FeedRegistry(feed.directory / "feed.bin")
    except FileNotFoundError:
        return None

"""The one writer of a feed. Its append is the kernel's; everything here happens around it.

Rule: only the process that holds the feed's lock writes to the feed's registry and chunks, and it never opens for
writing what an earlier one wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from types import TracebackType

from typing_extensions import Buffer

from mdtool.clock import DAY, SECOND, Clock, day_start
from mdtool.errors import ChunkUnavailable, StoreError, StoreFull, SyncFailed
from mdtool.kernel.journal import Appender
from mdtool.model import SESSION_STREAM, Kind
from mdtool.storage import files
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import chunk
from mdtool.storage.journal.closed import Closed, Sync
from mdtool.storage.journal.live import FIRST_STEP, LiveChunk, discard_next, preallocate
from mdtool.storage.journal.locks import WriterLock
from mdtool.storage.journal.registry import FeedInfo, FeedRegistry
from mdtool.storage.journal.remains import figures, settle
from mdtool.storage.journal.spool import discard_drafts
from mdtool.units import count

__all__ = ["Sync", "Writer"]

MAX_ORPHANS = 1000
MOST_AHEAD = 64 * 1024 * 1024  # bytes prepared ahead of the writer at most
BEFORE_MIDNIGHT = 10 * 60 * SECOND


class Writer:
    """Appends to one feed. Opens a chunk with the first record or when told to `make_ready`, rolls when it is full and
    at UTC midnight.

    `append(recv_ns, kind, stream_id, session, payload, flags=0)` is a compiled bound method: it commits, and raises
    StoreFull when there is no space (nothing is lost but that record).
    `sync_policy`: "none" survives a crash of the process; "1s" expects `sync()` once a second; "chunk" syncs closed
    chunks only. Whatever blocks (`sync`, `prepare`, `close`) belongs off the hot path.

    >>> with store.writer("sim/CHARLIE_USDT", chunk_bytes=1 << 20) as writer:
    ...     depth = writer.stream("depth@100ms")
    ...     writer.append(1760000000000000000, mdtool.Kind.DATA, depth, 1, b'{"U":1,"u":2,"b":[],"a":[]}')
    ...     writer.heartbeat(1760000000500000000)
    ...     writer.end(1760000001000000000, "done")
    >>> store.writer("sim/../CHARLIE_USDT")
    Traceback (most recent call last):
    mdtool.errors.UsageError: symbol '../CHARLIE_USDT': expected letters, digits ..., as in ETH_USDT
    """

    def __init__(self, feed: FeedInfo, lock: WriterLock, clock: Clock, sync_policy: Sync = "1s") -> None:
        self.feed = feed
        self.sync_policy = sync_policy
        self._clock = clock
        self._making_room = threading.RLock()  # rolling, against the worker that prepares room
        self._day_ns = 0
        self._prepared_bytes = 0  # appended_bytes when the worker last looked
        self._finishing = threading.Lock()  # what is done in threads, each after the other, and close() the last
        self._lock: WriterLock | None = lock  # which is this writer's from here on
        self._chunk: LiveChunk | None = None
        self._entry = -1  # the live chunk's number in the chunk table
        self._synced = (0, 0)  # chunk id and rows brought to disk by the last sync
        self._owed: list[dict[str, object]] = []  # notes of its own, not yet on record
        self._appender = Appender(self._make_room)
        self.append = self._appender.append
        try:
            self._registry = FeedRegistry(feed.directory / "feed.bin", writable=True)
            self._closed = Closed(feed, self._registry, sync_policy, self._distrust)
            self._streams = {name: number for number, name in enumerate(self._registry.streams)}
            last = self._registry.chunk(self._registry.chunk_count - 1) if self._registry.chunk_count else None
            self.epoch = last.epoch + 1 if last else 1
            self._next_chunk_id = last.chunk_id + 1 if last else 1
            self._close_what_the_dead_left()
        except BaseException:
            lock.release()
            raise

    def stream(self, name: str) -> int:
        """The id of a stream of this feed, made known if it is new. At most 60 bytes, 1024 streams."""
        number = self._streams.get(name)
        if number is None:
            with self._making_room:  # a worker that has a NOTE to write may be at it, too
                number = self._streams.get(name)
                if number is None:
                    number = self._streams[name] = self._registry.add_stream(name)
                    if self._chunk is not None:
                        self._chunk.know_stream(number, name)
        return number

    def takes(self, name: str, most: int) -> bool:
        """Whether the feed knows this stream, or knows fewer than `most`."""
        return name in self._streams or len(self._streams) < most

    @property
    def appended_bytes(self) -> int:
        """Payload bytes this writer has appended."""
        return self._appender.appended_bytes

    def measure(self, histogram: Buffer) -> None:
        """Have the time from receiving to the commit counted; see `Appender.measure`."""
        self._appender.measure(histogram)

    def heartbeat(self, now_ns: int) -> None:
        """Say that the writer lives; about once a second."""
        if self._chunk is not None:
            self._chunk.heartbeat(now_ns)

    def make_ready(self) -> None:
        """Open the chunk to begin with before there is a record, so that the first append is one like any other. Raises
        StoreFull."""
        with self._making_room:
            if self._chunk is None:
                fresh = self._open_chunk(self._clock.now_ns(), 0)
                fresh.back(self._appender, 1, min(FIRST_STEP, fresh.heap.size))

    def prepare(self) -> None:
        """Have storage ready before the hot path needs it: as much as twice what came since the last call, and the next
        chunk once this one is half full or its day is about to end; and give back the memory of what it has written.
        About once a second, from a worker's thread; of a writer that is closed, nothing. Raises StoreFull."""
        with self._finishing:
            if self._lock is not None:
                self._prepare()

    def _prepare(self) -> None:
        appended, appender = self._appender.appended_bytes, self._appender
        fresh, self._prepared_bytes = appended - self._prepared_bytes, appended
        with self._making_room:
            live = self._chunk
            if live is None or not fresh:
                return
            ahead = appender.heap_used + min(2 * fresh, MOST_AHEAD)
            rows_ahead = appender.count_committed * ahead // max(1, appender.heap_used) + 1
            live.back(appender, rows_ahead, min(ahead, live.heap.size))
            live.forget(appender.count_committed, appender.heap_used)
            half_full = 2 * ahead > live.heap.size or 2 * rows_ahead > live.row_capacity
            chunk_id = self._next_chunk_id
        now_ns = self._clock.now_ns()
        if half_full or self._day_ns + DAY - now_ns < BEFORE_MIDNIGHT:
            preallocate(self.feed, chunk_id, now_ns)

    def sync(self) -> str | None:
        """Bring what was appended to disk, as the sync policy promises. Blocks; safe from another thread; of a writer
        that is closed, nothing. Raises StoreFull.

        What the disk refuses is said in the value, and recording goes on. Of a chunk in shared memory the copy on disk
        is tried again. One on disk is closed and never synced again, as that would succeed and prove nothing, a NOTE
        says from which row on it may lack data, and a new chunk begins."""
        with self._finishing:
            if self._lock is None:
                return None
            with self._making_room:  # so that they are of one chunk
                if self._chunk is not None and not self._chunk.is_there:
                    self._appender.allow(0, 0)  # its shared memory was cleared: readers see the next one
                    self._close_chunk()
                live, committed = self._chunk, self._appender.count_committed
                if self.sync_policy != "1s" or not committed or (live and (live.chunk_id, committed) == self._synced):
                    live = None
                page = live.page if live is not None else b""
            refused: list[str] = []
            followed = live is None or self._closed.follow(refused)
            if live is not None and followed:
                try:
                    live.sync(committed, page)
                    # A chunk is found by its entry.
                    if live.chunk_id == self._synced[0] or self._closed.sync_registry(refused):
                        self._synced = (live.chunk_id, committed)
                except StoreError as failure:
                    if live.spool is not None:  # of shared memory nothing is lost: its copy is tried again
                        refused.append(str(failure))
                    else:
                        refused.append(self._distrust(live, failure))
                        with contextlib.suppress(StoreError), self._making_room:
                            self._pay(self._clock.now_ns())  # else the next chunk says it
            before = len(refused)
            if followed:
                self._closed.finish(refused)
            if len(refused) > before:
                with contextlib.suppress(StoreError), self._making_room:
                    self._pay(self._clock.now_ns())
            return "; ".join(dict.fromkeys(refused)) or None

    def end(self, recv_ns: int, reason: str) -> None:
        """Append the END record that tells readers the writer stopped of its own will."""
        payload = json.dumps({"reason": reason}).encode()
        self.append(recv_ns, Kind.END, self.stream(SESSION_STREAM), 0, payload)

    def close(self) -> None:
        """Close the chunk, finish what is pending, release the feed. Idempotent. Raises SyncFailed where the disk
        refuses what was appended last; all else is done then."""
        with self._finishing:
            lock, self._lock = self._lock, None
            if lock is not None:
                self._close(lock)

    def _close(self, lock: WriterLock) -> None:
        refused: list[str] = []
        try:
            with self._making_room:
                self._close_chunk()
            discard_next(self.feed, self.feed.live)  # a later writer may want another size
            self._closed.finish(refused)
            if self.sync_policy != "none":
                self._registry.sync()
            chunk.leave_shm(self.feed)
        finally:
            self._registry.close()
            lock.release()
        if refused:
            raise SyncFailed("; ".join(refused))

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_room(self, recv_ns: int, length: int) -> None:
        with self._making_room:
            live = self._chunk
            if live is not None and not self._appender.count_committed:
                self._attach(live, recv_ns)  # nothing is in it: it is of no day yet
            same_day = self._day_ns <= recv_ns < self._day_ns + DAY
            if live is not None and same_day and live.make_room(self._appender, length):
                return
            self._close_chunk()
            self._open_chunk(recv_ns, length)

    def _open_chunk(self, recv_ns: int, length: int) -> LiveChunk:
        now_ns = self._clock.now_ns()
        heap_bytes = max(self.feed.chunk_bytes, length)
        fresh = self._create_chunk(heap_bytes, now_ns)
        try:
            for name, number in self._streams.items():
                fresh.know_stream(number, name)
            self._attach(fresh, recv_ns)
            if not fresh.make_room(self._appender, length):
                raise StoreFull(f"{fresh.heap.path}: a record of {count(length, 'byte')} does not fit a new chunk")
            self._entry = self._registry.add_chunk(
                {
                    "chunk_id": fresh.chunk_id,
                    "epoch": self.epoch,
                    "state": ChunkState.LIVE,
                    "location": fresh.location,
                    "created_ns": now_ns,
                    "min_ns": recv_ns,
                    "max_ns": recv_ns,
                    "boot": files.boot_id() if fresh.location == Location.SHM else bytes(16),
                }
            )
        except BaseException:
            # No entry names it, so no record is in it: it goes, and the next try has its number.
            self._appender.detach()
            fresh.discard()
            self._next_chunk_id = fresh.chunk_id
            raise
        self._chunk = fresh
        with contextlib.suppress(StoreError):  # else the next one says it
            self._pay(recv_ns)
        return fresh

    def _attach(self, live: LiveChunk, recv_ns: int) -> None:
        self._day_ns = day_start(recv_ns)
        self._appender.attach(live.index.map, live.heap.map, self._day_ns, self._day_ns + DAY)

    def _create_chunk(self, heap_bytes: int, now_ns: int) -> LiveChunk:
        # A file under the next name is one whose writer died before it was registered, so it holds no record; it is
        # left for verify to report, and the next name is taken.
        for _ in range(MAX_ORPHANS):
            copy = chunk.chunk_paths(self.feed, self._next_chunk_id, Location.DISK)
            if self.feed.live == Location.SHM and any(os.path.lexists(path) for path in copy):
                self._next_chunk_id += 1  # its copy would have to replace that
                continue
            wanted = (self.feed, self._next_chunk_id, self.epoch, self.feed.live, heap_bytes, now_ns)
            try:
                fresh = LiveChunk.adopt(*wanted) or LiveChunk.create(*wanted)
            except FileExistsError:
                self._next_chunk_id += 1
                continue
            self._next_chunk_id += 1
            return fresh
        raise StoreError(f"{self.feed.directory}: {MAX_ORPHANS} unregistered chunks in a row; run: mdtool verify")

    def _close_chunk(self) -> None:
        live, self._chunk = self._chunk, None
        if live is None:
            return
        appender = self._appender
        now_ns = self._clock.now_ns()
        live.mark_closed(now_ns)
        if appender.count_committed:
            low, high = appender.time_range
            self._registry.update_chunk(
                self._entry,
                {
                    "state": ChunkState.CLOSED,
                    "flags": ChunkFlag.ORDERED if appender.ordered else ChunkFlag(0),
                    "rows": appender.count_committed,
                    "heap_bytes": appender.heap_used,
                    "min_ns": low,
                    "max_ns": high,
                    "closed_ns": now_ns,
                },
            )
        else:  # made ready, and nothing came
            self._registry.update_chunk(self._entry, {"state": ChunkState.TRASHED, "closed_ns": now_ns})
        appender.detach()
        self._closed.add(self._entry, live)

    def _distrust(self, live: LiveChunk, failure: StoreError) -> str:
        """Have done with a chunk that the disk refused to take, and owe a NOTE of it. Returns what there is to say."""
        synced_id, row = self._synced
        row = row if live.chunk_id == synced_id else 0
        live.distrusted = True
        with self._making_room:
            if self._chunk is live:
                self._appender.allow(0, 0)  # who appends waits for the next chunk from here on
                self._close_chunk()
            said = {"note": "sync failed", "why": str(failure), "chunk": live.chunk_id, "row": row}
            self._owed.append(said)
        return f"{self.feed.name}: chunk {live.chunk_id} may lack its records from row {row:,} on: {failure}"

    def _pay(self, recv_ns: int) -> None:
        """Put on record what is owed. The caller holds `_making_room`."""
        while self._owed:
            note = self._owed.pop()
            try:
                self.append(recv_ns, Kind.NOTE, self.stream(SESSION_STREAM), 0, json.dumps(note).encode())
            except StoreError:
                self._owed.append(note)
                raise

    def _close_what_the_dead_left(self) -> None:
        """Enter the final figures of a chunk whose writer died, so readers need not wait for it, and have on disk what
        is in shared memory. Its bytes are not touched."""
        discard_drafts(self.feed)
        for entry in range(self._registry.chunk_count):
            info = self._registry.chunk(entry)
            if info.state > ChunkState.CLOSED:
                continue
            try:
                if info.state == ChunkState.LIVE or info.location == Location.SHM:
                    left = chunk.open_chunk(self.feed, info)
                if info.state == ChunkState.LIVE:
                    self._registry.update_chunk(entry, figures(info, left))
                # What is damaged is for repair: its copy, which may be whole, stays beside it.
                proven = info.location != Location.SHM or left.journal.check(0, left.committed) is None
                if info.location == Location.SHM and proven:
                    self._closed.add(entry, None)
            except ChunkUnavailable:
                # Where it is only not to be seen from here it may yet come back: readers make do with its copy.
                if info.location == Location.SHM and self._registry.boot_is_over(entry):
                    whole = settle(self.feed, info, self.stream(SESSION_STREAM))
                    if whole is not None:
                        self._registry.update_chunk(entry, whole)
        self._closed.finish([])

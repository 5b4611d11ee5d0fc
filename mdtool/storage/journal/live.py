"""The chunk a writer appends to: created or preallocated, backed with storage ahead of the writer, published by name.

Rule: a file that is there already is never opened for writing, except a preallocated one whose header says that it is
this feed's next chunk and holds nothing.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import uuid
from pathlib import Path

import numpy as np

from mdtool.errors import CorruptStore, StoreFull
from mdtool.kernel.journal import Appender, populate, store_release
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.format.stream_names import add_name
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.journal.spool import Spool

# A row for each 128 bytes of heap: the captures at hand average 200 to 500 bytes a message, so the heap fills first.
HEAP_BYTES_PER_ROW = 128
# Storage is reserved ahead of the writer in steps that double between these: an idle feed costs a few pages, a busy one
# reserves seldom. What is reserved is faulted in, so a step is also what a feed takes of the writer's memory.
FIRST_STEP = 16 * 1024
LARGEST_STEP = 512 * 1024
WORTH_FORGETTING = 64 * 1024  # bytes written, whose memory is given back together
PREALLOCATED_HEAP = 1024 * 1024  # of the next chunk: what a busy feed fills before its worker looks again


class Region:
    """A file mapped whole and sparse, backed with storage from its start up to `reserved`. Owns the descriptor."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        try:
            mapping = files.map_file(fd, writable=True)
            if not mapping:
                raise CorruptStore(f"{path}: empty, expected a chunk's file")
        except BaseException:
            os.close(fd)
            raise
        self.map = mapping
        self.size = len(mapping)
        self.reserved = 0
        self._step = FIRST_STEP
        self._forgotten = mmap.PAGESIZE  # whose memory is given back, but for the first page

    @classmethod
    def create(cls, path: Path, size: int) -> Region:
        """A new sparse file, or none at all. Raises FileExistsError where there is one, StoreFull, StoreError."""
        try:
            fd = files.create(path, size)
        except FileExistsError:
            raise
        except OSError as error:
            raise files.refusal(path, error, "cannot be made") from None
        try:
            return cls(path, fd)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def back(self, upto: int) -> None:
        """Reserve storage to at least `upto`, and a step beyond while the file has it. Raises StoreFull."""
        stop = min(self.size, max(upto, self.reserved + self._step))
        if stop > self.reserved:
            files.reserve(self.fd, self.reserved, stop, self.path)
            files.blank(self.fd, self.reserved, stop, self.path)
            # Faulted in at once: one by one, as they are written, the faults cost more than the appends.
            populate(self.map, self.reserved - self.reserved % mmap.PAGESIZE, stop)
            self.reserved = stop
            self._step = min(self._step * 2, LARGEST_STEP)

    def confirm(self, reserved: int) -> None:
        """Take over what another process has reserved. Its word is not enough: a copy of a store may leave out what is
        blank. Raises StoreFull."""
        self.reserved = min(max(reserved, mmap.PAGESIZE), self.size)
        files.reserve(self.fd, 0, self.reserved, self.path)

    def forget(self, upto: int) -> None:
        """Give back the memory of what stands before `upto`, which is not written to any more."""
        upto -= upto % mmap.PAGESIZE
        if upto - self._forgotten >= WORTH_FORGETTING:
            self.map.forget(self._forgotten, upto)
            self._forgotten = upto

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def discard(self) -> None:
        """Close the file and take its name away: nothing was ever recorded in it."""
        self.close()
        self.path.unlink(missing_ok=True)


class LiveChunk:
    """A chunk open for appending. Make one with `create`, or take the preallocated one with `adopt`."""

    def __init__(self, feed: FeedInfo, chunk_id: int, location: Location, index: Region, heap: Region) -> None:
        self.feed = feed
        self.chunk_id = chunk_id
        self.location = location
        self.index = index
        self.heap = heap
        self.row_capacity = (index.size - layout.PAGE) // layout.ROW.itemsize
        self.spool = Spool(feed, chunk_id, index.map, heap.map) if location == Location.SHM else None
        self.distrusted = False  # whether a sync of it has failed
        self._named = False  # whether its names are known to be on disk

    @classmethod
    def create(
        cls, feed: FeedInfo, chunk_id: int, epoch: int, location: Location, heap_bytes: int, now_ns: int
    ) -> LiveChunk:
        """A new chunk under its own name. Raises FileExistsError where a file has that name, StoreFull."""
        index_path, heap_path = chunk_paths(feed, chunk_id, location)
        fresh = cls._create_files(feed, chunk_id, location, index_path, heap_path, heap_bytes)
        try:
            fresh.index.back(layout.PAGE)
            fresh._write_header(epoch, ChunkState.LIVE, now_ns)
        except BaseException:
            fresh.discard()
            raise
        return fresh

    @classmethod
    def adopt(
        cls, feed: FeedInfo, chunk_id: int, epoch: int, location: Location, heap_bytes: int, now_ns: int
    ) -> LiveChunk | None:
        """The preallocated chunk, published under its own name; None where there is none that fits. One that is stale,
        foreign or too small is discarded: it holds no record."""
        index_path, heap_path = _next_paths(feed, location)
        try:
            index_fd = files.open_existing(index_path, writable=True)
        except OSError:
            return None
        regions: list[Region] = []
        try:
            page = os.pread(index_fd, layout.PAGE, 0)  # not through a mapping: what is behind it is yet to be seen
            regions.append(Region(index_path, index_fd))
            head = layout.header(layout.CHUNK_HEADER, layout.CHUNK_MAGIC, page, str(index_path))
            if not _is_next(head, feed, chunk_id, heap_bytes):
                raise CorruptStore(f"{index_path}: not the chunk that comes next")
            regions.append(Region(heap_path, files.open_existing(heap_path, writable=True)))
            for region, name in zip(regions, ("index_reserved", "heap_reserved"), strict=True):
                region.confirm(int(head[name]))
        except (CorruptStore, StoreFull, OSError):
            for region in regions:
                region.close()
            discard_next(feed, location)
            return None
        index, heap = regions
        adopted = cls(feed, chunk_id, location, index, heap)
        adopted._write_header(epoch, ChunkState.LIVE, now_ns)
        published: list[Path] = []
        try:
            for region, path in zip((heap, index), reversed(chunk_paths(feed, chunk_id, location)), strict=True):
                os.link(region.path, path)  # and not rename, which would replace what is there
                region.path = path
                if not os.path.samestat(os.fstat(region.fd), os.lstat(path)):
                    # Another process put its own there in the meantime. Both hold nothing; the name stays for verify.
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
                published.append(path)
        except OSError as error:
            adopted.close()
            for path in published:
                path.unlink(missing_ok=True)
            if isinstance(error, FileNotFoundError):
                return None  # a worker found it stale in the same moment
            if isinstance(error, FileExistsError):
                raise
            raise files.refusal(index_path, error, "cannot be given the chunk's name") from None
        finally:
            discard_next(feed, location)
        return adopted

    @classmethod
    def _create_files(
        cls, feed: FeedInfo, chunk_id: int, location: Location, index_path: Path, heap_path: Path, heap_bytes: int
    ) -> LiveChunk:
        files.make_directory(index_path.parent)
        index_bytes = layout.PAGE + max(64, heap_bytes // HEAP_BYTES_PER_ROW) * layout.ROW.itemsize
        index = Region.create(index_path, index_bytes)
        try:
            heap = Region.create(heap_path, max(heap_bytes, mmap.PAGESIZE))
        except BaseException:
            index.discard()
            raise
        return cls(feed, chunk_id, location, index, heap)

    def _write_header(self, epoch: int, state: ChunkState, now_ns: int) -> None:
        free = state == ChunkState.FREE
        self.index.map[: layout.PAGE] = layout.chunk_header(
            self.feed.store_id,
            self.feed.feed_id,
            self.chunk_id,
            epoch,
            row_capacity=self.row_capacity,
            heap_capacity=self.heap.size,
            created_ns=now_ns,
            index_reserved=self.index.reserved if free else 0,
            heap_reserved=self.heap.reserved if free else 0,
            state=state,
            heartbeat_ns=now_ns,
        )

    def make_room(self, appender: Appender, length: int) -> bool:
        """Let the appender put one more record of `length` bytes; False when the chunk is full. Raises StoreFull."""
        rows, used = appender.count_committed + 1, appender.heap_used + length
        if rows > self.row_capacity or used > self.heap.size:
            return False
        self.back(appender, rows, used)
        return True

    def back(self, appender: Appender, rows: int, heap_bytes: int) -> None:
        """Back so many rows and bytes with storage, as far as the chunk has them. Raises StoreFull."""
        index_bytes = min(self.index.size, layout.PAGE + rows * layout.ROW.itemsize)
        if index_bytes > self.index.reserved:
            self.index.back(index_bytes)
        if heap_bytes > self.heap.reserved:
            self.heap.back(heap_bytes)
        appender.allow((self.index.reserved - layout.PAGE) // layout.ROW.itemsize, self.heap.reserved)

    def forget(self, rows: int, heap_bytes: int) -> None:
        """Give back the memory of so many rows and bytes that are written."""
        self.index.forget(layout.PAGE + rows * layout.ROW.itemsize)
        self.heap.forget(heap_bytes)

    def heartbeat(self, now_ns: int) -> None:
        store_release(self.index.map, layout.HEARTBEAT_AT, now_ns)

    @property
    def page(self) -> bytes:
        """Its header as it stands; whoever adds stream names meanwhile has to be kept out."""
        return bytes(self.index.map[: layout.PAGE])

    @property
    def is_there(self) -> bool:
        """Whether what it is in shared memory still has its names: that may be cleared behind a writer's back."""
        return self.spool is None or all(os.fstat(region.fd).st_nlink for region in (self.index, self.heap))

    def sync(self, rows: int, page: bytes) -> None:
        """Bring it to disk; from shared memory the first `rows` rows, `page` in front. Heap before index: a row that
        survives a power loss then has its payload, or its CRC says it has not. Raises SyncFailed, and from then on a
        chunk on disk is not to be relied on; for one in shared memory StoreFull and StoreError, too."""
        if self.spool is not None:
            self.spool.follow(rows, page)
            return
        files.sync(self.heap.fd, self.heap.path)
        files.sync(self.index.fd, self.index.path)
        if not self._named:
            files.sync_directory(self.index.path.parent)
            self._named = True

    def know_stream(self, number: int, name: str) -> None:
        """Keep a stream's name in the chunk itself, as far as its page has room."""
        add_name(self.index.map, number, name)

    def mark_closed(self, now_ns: int) -> None:
        self.heartbeat(now_ns)
        store_release(self.index.map, layout.CLOSED_NS_AT, now_ns)
        store_release(self.index.map, layout.STATE_AT, ChunkState.CLOSED)

    def close(self) -> None:
        self.heap.close()
        self.index.close()

    def discard(self) -> None:
        """Close it and take its names away: it was made, and never came to hold a record."""
        self.index.discard()
        self.heap.discard()


def preallocate(feed: FeedInfo, chunk_id: int, now_ns: int) -> bool:
    """Make the feed's next chunk ready, so that rolling to it is an open; False where one is ready already.

    For a worker, in this process or another: it touches nothing of the writer's. The chunk is made under a name of its
    own and published by rename. Raises StoreFull.
    """
    index_path, heap_path = _next_paths(feed, feed.live)
    if index_path.exists():
        if _waiting_chunk(index_path) == chunk_id:
            return False
        discard_next(feed, feed.live)  # made for a chunk that the writer has passed in the meantime
    aside = [path.with_name(f".{path.name}.{os.getpid()}") for path in (index_path, heap_path)]
    for path in (*aside, heap_path):
        path.unlink(missing_ok=True)  # what an interrupted one left; without the index it was never published
    fresh = LiveChunk._create_files(feed, chunk_id, feed.live, aside[0], aside[1], feed.chunk_bytes)
    try:
        heap_bytes = min(PREALLOCATED_HEAP, fresh.heap.size)
        fresh.heap.back(heap_bytes)
        fresh.index.back(layout.PAGE + heap_bytes // HEAP_BYTES_PER_ROW * layout.ROW.itemsize)
        fresh._write_header(0, ChunkState.FREE, now_ns)
        aside[1].rename(heap_path)
        aside[0].rename(index_path)
    except BaseException:
        fresh.discard()
        raise
    fresh.close()
    return True


def discard_next(feed: FeedInfo, location: Location) -> None:
    """Remove the preallocated chunk's names. It holds no record; adopted, it has a name of its own."""
    for path in _next_paths(feed, location):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _next_paths(feed: FeedInfo, location: Location) -> tuple[Path, Path]:
    directory = chunk_directory(feed, location)
    return directory / f"{layout.NEXT_CHUNK}.idx", directory / f"{layout.NEXT_CHUNK}.dat"


def _waiting_chunk(index_path: Path) -> int | None:
    """The chunk id inside a preallocated chunk; None where it cannot be told."""
    try:
        fd = files.open_existing(index_path)
    except OSError:
        return None
    try:
        head = layout.header(layout.CHUNK_HEADER, layout.CHUNK_MAGIC, os.pread(fd, layout.PAGE, 0), str(index_path))
    except CorruptStore:
        return None
    finally:
        os.close(fd)
    return int(head["chunk_id"])


def _is_next(head: np.void, feed: FeedInfo, chunk_id: int, heap_bytes: int) -> bool:
    """Whether a preallocated chunk's header is that of the chunk this writer needs."""
    identity = (uuid.UUID(bytes=bytes(head["store_id"])).hex, int(head["feed_id"]), int(head["chunk_id"]))
    empty = head["state"] == ChunkState.FREE and head["committed"] == 0
    return bool(identity == (feed.store_id, feed.feed_id, chunk_id) and empty and head["heap_capacity"] >= heap_bytes)

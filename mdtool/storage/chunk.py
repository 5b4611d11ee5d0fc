"""One live chunk: its two files, created, backed with storage as they fill, closed, and copied out of shared memory."""

from __future__ import annotations

import mmap
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Appender, Journal, load_acquire, store_release
from mdtool.storage import files, layout
from mdtool.storage.layout import ChunkState, Location
from mdtool.storage.registry import ChunkInfo, FeedInfo

# A row for each 128 bytes of heap: the captures at hand average 200 to 500 bytes a message, so the heap fills first.
HEAP_BYTES_PER_ROW = 128
# Storage is reserved ahead of the writer in steps that double between these: an idle feed costs two pages, a busy one
# reserves seldom.
FIRST_STEP = 16 * 1024
LARGEST_STEP = 4 * 1024 * 1024


def chunk_paths(feed: FeedInfo, chunk_id: int, location: Location) -> tuple[Path, Path]:
    """Where a live chunk's index and heap are."""
    directory = (
        layout.shm_directory(feed.store_id, feed.feed_id) if location == Location.SHM else feed.directory / "live"
    )
    name = layout.chunk_name(chunk_id)
    return directory / f"{name}.idx", directory / f"{name}.dat"


class Region:
    """A file mapped whole and sparse, backed with storage from its start up to `reserved`."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.fd = files.create(path, size)
        try:
            mapping = files.map_file(self.fd, writable=True)
        except BaseException:
            os.close(self.fd)
            raise
        assert isinstance(mapping, mmap.mmap)  # size is never 0 here
        self.map = mapping
        self.size = size
        self.reserved = 0
        self._step = FIRST_STEP

    def back(self, upto: int) -> None:
        """Reserve storage to at least `upto`, and a step beyond while the file has it. Raises StoreFull."""
        stop = min(self.size, max(upto, self.reserved + self._step))
        files.reserve(self.fd, self.reserved, stop, self.path)
        files.populate(self.map, self.reserved, stop)
        self.reserved = stop
        self._step = min(self._step * 2, LARGEST_STEP)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class LiveChunk:
    """The chunk a writer appends to. Created exclusively: raises FileExistsError rather than open what is there."""

    def __init__(
        self, feed: FeedInfo, chunk_id: int, epoch: int, location: Location, heap_bytes: int, created_ns: int
    ) -> None:
        self.feed = feed
        self.chunk_id = chunk_id
        self.location = location
        index_path, heap_path = chunk_paths(feed, chunk_id, location)
        files.make_directory(index_path.parent)
        self.row_capacity = max(64, heap_bytes // HEAP_BYTES_PER_ROW)
        self.index = Region(index_path, layout.PAGE + self.row_capacity * layout.ROW.itemsize)
        try:
            self.heap = Region(heap_path, max(heap_bytes, mmap.PAGESIZE))
        except BaseException:
            self.index.close()
            raise
        self.index.back(layout.PAGE)
        self.index.map[: layout.PAGE] = layout.sealed(
            layout.CHUNK_HEADER,
            magic=layout.CHUNK_MAGIC,
            version=layout.VERSION,
            header_bytes=layout.PAGE,
            store_id=uuid.UUID(feed.store_id).bytes,
            feed_id=feed.feed_id,
            chunk_id=chunk_id,
            epoch=epoch,
            row_capacity=self.row_capacity,
            heap_capacity=self.heap.size,
            created_ns=created_ns,
            state=ChunkState.LIVE,
            heartbeat_ns=created_ns,
        )

    def make_room(self, appender: Appender, length: int) -> bool:
        """Let the appender put one more record of `length` bytes; False when the chunk is full."""
        rows, used = appender.count_committed + 1, appender.heap_used + length
        if rows > self.row_capacity or used > self.heap.size:
            return False
        index_bytes = layout.PAGE + rows * layout.ROW.itemsize
        if index_bytes > self.index.reserved:
            self.index.back(index_bytes)
        if used > self.heap.reserved:
            self.heap.back(used)
        appender.allow((self.index.reserved - layout.PAGE) // layout.ROW.itemsize, self.heap.reserved)
        return True

    def heartbeat(self, now_ns: int) -> None:
        store_release(self.index.map, layout.HEARTBEAT_AT, now_ns)

    def sync(self) -> None:
        """Heap before index: a row that survives a power loss then has its payload, or its CRC says it has not."""
        os.fdatasync(self.heap.fd)
        os.fdatasync(self.index.fd)

    def mark_closed(self, now_ns: int) -> None:
        store_release(self.index.map, layout.CLOSED_NS_AT, now_ns)
        store_release(self.index.map, layout.STATE_AT, ChunkState.CLOSED)

    def close(self) -> None:
        self.heap.close()
        self.index.close()


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk mapped for reading."""

    info: ChunkInfo
    index: mmap.mmap
    heap: mmap.mmap | bytes
    journal: Journal

    @property
    def heartbeat_ns(self) -> int:
        return load_acquire(self.index, layout.HEARTBEAT_AT)


def open_chunk(feed: FeedInfo, info: ChunkInfo) -> OpenChunk:
    """Map a chunk's files read-only. Raises ChunkUnavailable when they are not where the registry says, CorruptStore
    when they are another's."""
    index_path, heap_path = chunk_paths(feed, info.chunk_id, info.location)
    maps: list[mmap.mmap | bytes] = []
    for path in (index_path, heap_path):
        try:
            fd = files.open_existing(path)
        except OSError as error:
            raise ChunkUnavailable(_unavailable(feed, info, path, error)) from None
        try:
            maps.append(files.map_file(fd))
        finally:
            os.close(fd)
    index, heap = maps
    head = layout.header(layout.CHUNK_HEADER, layout.CHUNK_MAGIC, index[: layout.PAGE], str(index_path))
    if (uuid.UUID(bytes=bytes(head["store_id"])).hex, int(head["feed_id"]), int(head["chunk_id"])) != (
        feed.store_id,
        feed.feed_id,
        info.chunk_id,
    ):
        raise CorruptStore(
            f"{index_path}: belongs to another feed or store, expected chunk {info.chunk_id} of {feed.name}"
        )
    assert isinstance(index, mmap.mmap)  # it has a header

    def fault(row: int, found: int, expected: int) -> Exception:
        return CorruptStore(
            f"{index_path} row {row}: crc {found:08x}, expected {expected:08x}; run: mdtool verify {feed.name}"
        )

    return OpenChunk(info, index, heap, Journal(index, heap, info.chunk_id << 32, True, fault))


def _unavailable(feed: FeedInfo, info: ChunkInfo, path: Path, error: OSError) -> str:
    if info.location == Location.SHM:
        return (
            f"{path}: chunk {info.chunk_id} of {feed.name} is in shared memory that is not visible here: after a "
            "reboot it is gone; from a container, start it with --ipc=host or mount the host's /dev/shm"
        )
    what = f"chunk {info.chunk_id} of {feed.name} cannot be opened: {error.strerror}"
    return f"{path}: {what}; run: mdtool verify {feed.name}"


def copy_to_disk(feed: FeedInfo, info: ChunkInfo) -> None:
    """A closed chunk's used bytes from shared memory to the feed's directory, durably. The source stays."""
    source = open_chunk(feed, info)
    index_path, heap_path = chunk_paths(feed, info.chunk_id, Location.DISK)
    files.make_directory(index_path.parent)
    index_bytes = layout.PAGE + source.journal.committed * layout.ROW.itemsize
    # Views of the mappings, so nothing is read into memory first; the index last, as it is what names the chunk.
    for path, mapping, size in ((heap_path, source.heap, info.heap_bytes), (index_path, source.index, index_bytes)):
        path.unlink(missing_ok=True)  # what an interrupted copy left: the registry still names the source
        files.write_durably(path, [memoryview(mapping)[:size]])


def remove_shm(feed: FeedInfo, chunk_id: int) -> None:
    for path in chunk_paths(feed, chunk_id, Location.SHM):
        path.unlink(missing_ok=True)

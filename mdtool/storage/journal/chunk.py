"""A chunk as files: where they are, and mapped for reading."""

from __future__ import annotations

import contextlib
import os
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Journal, load_acquire
from mdtool.kernel.mapping import FileMap
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo
from mdtool.units import count


def chunk_directory(feed: FeedInfo, location: Location) -> Path:
    """Where a feed's live chunks are."""
    if location == Location.SHM:
        return layout.shm_directory(feed.store_id, feed.feed_id)
    return feed.directory / "live"


def chunk_paths(feed: FeedInfo, chunk_id: int, location: Location) -> tuple[Path, Path]:
    """Where a live chunk's index and heap are."""
    directory, name = chunk_directory(feed, location), layout.chunk_name(chunk_id)
    return directory / f"{name}.idx", directory / f"{name}.dat"


def chunk_is_there(feed: FeedInfo, info: ChunkInfo) -> bool:
    """Whether both files of a live chunk have their names."""
    return all(path.exists() for path in chunk_paths(feed, info.chunk_id, info.location))


Heap = FileMap | memoryview | bytes
Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a chunk that are read in one go: all of a live one, or what one row group of a part has of it.

    `start`: row of the chunk that is the journal's row 0. `proven`: what it was read from has been checked, so that a
    record's CRC would be compared with itself."""

    start: int
    journal: Journal
    index: FileMap | Rows
    heap: Heap
    proven: bool = False

    def rows(self, first: int, stop: int) -> Rows:
        """Rows [first, stop) of the chunk as an array of layout.ROW, a view."""
        if isinstance(self.index, np.ndarray):
            return self.index[first - self.start : stop - self.start]
        return index_rows(self.index, stop)[first:]


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk mapped for reading."""

    info: ChunkInfo
    index: FileMap
    heap: FileMap
    journal: Journal
    whole: Run

    @property
    def committed(self) -> int:
        """Rows that may be read now."""
        return self.journal.committed

    def run(self, row: int) -> Run:
        """The run that `row` is in."""
        return self.whole

    def times(self, count: int) -> npt.NDArray[np.int64]:
        """Receive times of the first `count` rows."""
        times: npt.NDArray[np.int64] = index_rows(self.index, count)["recv_ns"]
        return times

    @property
    def heartbeat_ns(self) -> int:
        return load_acquire(self.index, layout.HEARTBEAT_AT)

    @property
    def time_range(self) -> tuple[int, int, bool]:
        """Lowest and highest receive time as of the last commit, and whether none stepped back."""
        low, high, disordered = struct.unpack_from("<qqQ", self.index, layout.TIMES_AT)
        return low, high, not disordered


def index_rows(index: FileMap | memoryview, count: int) -> Rows:
    """The first `count` rows of an index as an array, without copying."""
    return np.frombuffer(memoryview(index), layout.ROW, count, layout.PAGE)


def open_chunk(feed: FeedInfo, info: ChunkInfo) -> OpenChunk:
    """Map a chunk's files read-only. Raises ChunkUnavailable when they are not where the registry says, CorruptStore
    when they are another's."""
    index_path, heap_path = chunk_paths(feed, info.chunk_id, info.location)
    index = _map(feed, info, index_path, _rows_end)
    used = _heap_end(index) if len(index) >= layout.PAGE else 0
    heap = _map(feed, info, heap_path, lambda _: used)
    head = layout.header(layout.CHUNK_HEADER, layout.CHUNK_MAGIC, bytes(index[: layout.PAGE]), str(index_path))
    if (uuid.UUID(bytes=bytes(head["store_id"])).hex, int(head["feed_id"]), int(head["chunk_id"])) != (
        feed.store_id,
        feed.feed_id,
        info.chunk_id,
    ):
        raise CorruptStore(
            f"{index_path}: belongs to another feed or store, expected chunk {info.chunk_id} of {feed.name}"
        )

    def fault(row: int, found: int, expected: int) -> Exception:
        return CorruptStore(
            f"{index_path} row {row}: crc {found:08x}, expected {expected:08x}; run: mdtool verify {feed.name}"
        )

    rows_end = int.from_bytes(index[layout.COMMITTED_AT : layout.COMMITTED_AT + 8], "little")
    if layout.PAGE + rows_end * layout.ROW.itemsize > len(index):
        raise CorruptStore(
            f"{index_path}: {count(len(index), 'byte')}, too few for the {count(rows_end, 'row')} it counts; "
            f"run: mdtool verify {feed.name}"
        )
    journal = Journal(index, heap, info.chunk_id << 32, True, fault)
    return OpenChunk(info, index, heap, journal, Run(0, journal, index, heap))


def _map(feed: FeedInfo, info: ChunkInfo, path: Path, used: Callable[[bytes], int]) -> FileMap:
    """One of a chunk's files, mapped, and safe to be read as far as `used` makes of its first page."""
    try:
        fd = files.open_existing(path)
    except OSError as error:
        raise ChunkUnavailable(_unavailable(feed, info, path, error)) from None
    try:
        mapping = files.map_file(fd)
        if not files.allocated(fd):
            files.check_backed(mapping, fd, used(os.pread(fd, layout.PAGE, 0)), path)
    finally:
        os.close(fd)
    return mapping


def _rows_end(page: bytes) -> int:
    """Where an index ends as far as it is in use."""
    rows = int.from_bytes(page[layout.COMMITTED_AT : layout.COMMITTED_AT + 8], "little")
    return layout.PAGE + rows * layout.ROW.itemsize


def _heap_end(index: FileMap) -> int:
    """Where the payloads of an index's rows end."""
    last = min(_rows_end(bytes(index[: layout.PAGE])), len(index)) - layout.ROW.itemsize
    if last < layout.PAGE:
        return 0
    row = np.frombuffer(memoryview(index), layout.ROW, 1, last)[0]
    return int(row["offset"]) + int(row["length"])


def _unavailable(feed: FeedInfo, info: ChunkInfo, path: Path, error: OSError) -> str:
    if info.location == Location.SHM:
        return (
            f"{path}: chunk {info.chunk_id} of {feed.name} is in shared memory that is not visible here: after a "
            f"reboot it is gone (mdtool repair {feed.name} notes the loss, and readers go on); from a container, start "
            "it with --ipc=host or mount the host's /dev/shm"
        )
    what = f"chunk {info.chunk_id} of {feed.name} cannot be opened: {error.strerror}"
    return f"{path}: {what}; run: mdtool verify {feed.name}"


def leave_shm(feed: FeedInfo) -> None:
    """Take away the feed's folder in shared memory, and with the last one the store's, where nothing is left in it."""
    folder = chunk_directory(feed, Location.SHM)
    for one in (folder, folder.parent):
        with contextlib.suppress(OSError):  # there is none, or somebody's chunks are in it
            one.rmdir()


def remove_shm(feed: FeedInfo, chunk_id: int) -> None:
    for path in chunk_paths(feed, chunk_id, Location.SHM):
        path.unlink(missing_ok=True)

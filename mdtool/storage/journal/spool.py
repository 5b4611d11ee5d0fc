"""The copy on disk that a chunk in shared memory has while it is written: as far as the last sync, and on the device.

Rule: payloads first, then rows, then the page that counts them, each on the device before the next is written. A copy
has its names only once it holds what it says, and one that it replaces held no more. So wherever it is cut short, what
it counts is there.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdtool.errors import StoreFull, SyncFailed
from mdtool.kernel.journal import Journal
from mdtool.kernel.mapping import FileMap
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths, index_rows
from mdtool.storage.journal.registry import FeedInfo

_DRAFT = re.compile(r"\.+\d{8,12}\.(idx|dat)(\.\d+)+")
_BLOCK = 1 << 18  # compared in one go, and nobody else runs meanwhile
_TIMES = struct.Struct("<qqQ")


class Spool:
    """Follows one chunk. `replaces`: a copy that an earlier writer has begun may stand under its names.

    It keeps no descriptor: a file that was taken away meanwhile is missed, and the copy made anew."""

    def __init__(self, feed: FeedInfo, chunk_id: int, index: FileMap, heap: FileMap, *, replaces: bool = False) -> None:
        index_path, heap_path = chunk_paths(feed, chunk_id, Location.DISK)
        self._paths = (heap_path, index_path)  # in the order they are written and named
        self._index = index
        self._heap = heap
        self._replaces = replaces
        self._files: tuple[os.stat_result, ...] = ()  # under its names; none where it is still to be made
        self._rows = 0
        self._used = 0
        self._times = (0, 0, True)  # lowest, highest, whether none stepped back

    def follow(self, rows: int, page: bytes) -> None:
        """Have the chunk's first `rows` rows on disk, and in front of them its header `page`. Blocks. Raises StoreFull
        and StoreError, after which what was there before still is; SyncFailed, after which the next call makes the copy
        anew, as the system may take for written what it has not."""
        try:
            fresh = not self._there()
            if fresh:
                files.make_directory(self._paths[1].parent)
                self._rows, self._used, self._times = 0, 0, (0, 0, True)
            places = [_aside(path) for path in self._paths] if fresh else list(self._paths)
            try:
                with ExitStack() as held:
                    heap, index = (self._opened(held, *one, fresh) for one in zip(places, self._sizes, strict=True))
                    done = self._write(heap, index, rows, page)
                if fresh:
                    self._name(places)
            finally:
                if fresh:
                    for place in places:
                        place.unlink(missing_ok=True)
        except SyncFailed:
            self._files = ()
            raise
        except OSError as error:
            what = "cannot be copied out of shared memory, which alone has what came since the last sync"
            raise files.refusal(self._paths[1], error, what) from None
        self._rows, self._used, self._times = done

    def finish(self, rows: int, page: bytes) -> None:
        """As `follow`, for the last time: the memory may go then. What was written before is read again, and where it
        is not what memory has, the copy is made anew, unless it is the memory that does not prove itself."""
        self.follow(rows, page)
        try:
            same = self._agrees()
        except OSError as error:
            raise files.refusal(self._paths[1], error, "cannot be read again") from None
        if not same and Journal(self._index, self._heap).check(0, rows) is None:
            self._files = ()
            self.follow(rows, page)

    def _agrees(self) -> bool:
        spans = ((0, self._used), (layout.PAGE, layout.PAGE + self._rows * layout.ROW.itemsize))
        for path, source, (at, stop) in zip(self._paths, (self._heap, self._index), spans, strict=True):
            with ExitStack() as held:
                fd = self._opened(held, path, 0, fresh=False)
                for start in range(at, stop, _BLOCK):
                    end = min(start + _BLOCK, stop)
                    if os.pread(fd, end - start, start) != source[start:end]:
                        return False
        return True

    @property
    def _sizes(self) -> tuple[int, int]:
        return len(self._heap), len(self._index)

    def _there(self) -> bool:
        """Whether the files it has made are still under their names."""
        try:
            return bool(self._files) and all(
                os.path.samestat(path.lstat(), made) for path, made in zip(self._paths, self._files, strict=True)
            )
        except FileNotFoundError:
            return False

    @staticmethod
    def _opened(held: ExitStack, place: Path, size: int, fresh: bool) -> int:
        if fresh:
            place.unlink(missing_ok=True)
        fd = files.create(place, size) if fresh else files.open_existing(place, writable=True)
        held.callback(os.close, fd)
        return fd

    def _write(self, heap: int, index: int, rows: int, page: bytes) -> tuple[int, int, tuple[int, int, bool]]:
        """Bring what is new to disk; how far it is then."""
        used, times = self._used, self._times
        if rows > self._rows:
            used, times = self._write_rows(heap, index, rows)
        head = counted(page, rows, times)
        _put(index, head, 0, len(head))
        files.sync(index, self._paths[1])
        return rows, used, times

    def _write_rows(self, heap: int, index: int, rows: int) -> tuple[int, tuple[int, int, bool]]:
        start, stop = (layout.PAGE + n * layout.ROW.itemsize for n in (self._rows, rows))
        _check_backed(self._index, start, stop, self._paths[1])
        new = index_rows(self._index, rows)[self._rows :]
        used = max(self._used, int((new["offset"] + new["length"]).max()))
        _check_backed(self._heap, self._used, used, self._paths[0])
        _put(heap, self._heap, self._used, used)
        files.sync(heap, self._paths[0])
        _put(index, self._index, start, stop)
        files.sync(index, self._paths[1])
        return used, self._times_with(new["recv_ns"])

    def _times_with(self, new: npt.NDArray[np.int64]) -> tuple[int, int, bool]:
        low, high, ordered = self._times
        first, last = int(new.min()), int(new.max())
        stepped = bool((new[1:] < new[:-1]).any())
        if self._rows:
            before = int(index_rows(self._index, self._rows)["recv_ns"][-1])
            first, last, stepped = min(low, first), max(high, last), stepped or int(new[0]) < before
        return first, last, ordered and not stepped

    def _name(self, places: list[Path]) -> None:
        for place, path in zip(places, self._paths, strict=True):
            if self._replaces:
                place.rename(path)
                files.sync_directory(path.parent)  # the index there now goes with more payloads, and not with fewer
            else:
                os.link(place, path)  # which never replaces what is there
        self._replaces = True
        files.sync_directory(self._paths[0].parent)
        self._files = tuple(path.lstat() for path in self._paths)


def discard_drafts(feed: FeedInfo) -> None:
    """Remove what a writer left that died before its copy was whole: it never had a name."""
    directory = chunk_directory(feed, Location.DISK)
    for path in directory.iterdir() if directory.is_dir() else ():
        if _DRAFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


def counted(page: bytes, rows: int, times: tuple[int, int, bool]) -> bytearray:
    """A chunk's header page that counts so many rows and gives these times."""
    head = bytearray(page)
    head[layout.COMMITTED_AT : layout.COMMITTED_AT + 8] = rows.to_bytes(8, "little")
    low, high, ordered = times
    _TIMES.pack_into(head, layout.TIMES_AT, low, high, not ordered)
    return head


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _put(fd: int, source: FileMap | bytearray, start: int, stop: int) -> None:
    view = memoryview(source)[start:stop]
    while view:
        done = os.pwrite(fd, view, start)
        view, start = view[done:], start + done


def _check_backed(mapping: FileMap, start: int, stop: int, where: Path) -> None:
    """Memory that somebody has punched a hole into, and that is full, would end the process where it is read."""
    if not mapping.is_backed(start, stop):
        raise StoreFull(f"{where}: the shared memory it is a copy of has a hole, and no space is left to read that")

"""What a store's files say, read without trusting any of them: whatever the bytes, a value comes back and nothing is
raised, mapped beyond its end, waited for or written."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdtool.errors import CorruptStore
from mdtool.kernel.journal import Journal
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.stream_names import Names, names_in

Buffer = mmap.mmap | bytes
Rows = npt.NDArray[np.void]
Progress = Callable[[int, int], None]  # records and payload bytes looked at since the last call

RUN = 65_536  # rows checked between two reports of progress
PROBE = 1 << 20
SETTLE = 50  # tries, 100 us apart, at a slot that a writer may be rewriting


def no_progress(records: int, payload_bytes: int) -> None:
    """For who does not want to know."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A file's content; `error` says why there is none."""

    path: Path
    data: Buffer = b""
    error: str | None = None
    missing: bool = False

    def __len__(self) -> int:
        return len(self.data)


def load(path: Path) -> Bytes:
    """A regular file, mapped. The device is read here already as far as it is needed by `probe`."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return Bytes(path, error="is no regular file")
        fd = files.open_existing(path)
        try:
            return Bytes(path, files.map_file(fd))
        finally:
            os.close(fd)
    except OSError as error:
        return Bytes(path, error=error.strerror or str(error), missing=error.errno == errno.ENOENT)


def probe(path: Path, size: int) -> str | None:
    """Read the first `size` bytes: what the device refuses comes as an error here, and as SIGBUS from a mapping."""
    try:
        fd = files.open_existing(path)
        try:
            scratch = bytearray(PROBE)
            at = 0
            while at < size:
                if not (got := os.preadv(fd, [scratch], at)):
                    return None
                at += got
        finally:
            os.close(fd)
    except OSError as error:
        return f"{error.strerror} at byte {at:,}" if error.errno == errno.EIO else error.strerror
    return None


def head_of(data: Buffer, dtype: np.dtype[Any], magic: bytes) -> tuple[np.void | None, str]:
    """A header that proves itself; else None and what is wrong with it."""
    try:
        return layout.header(dtype, magic, bytes(data[: layout.PAGE]), ""), ""
    except CorruptStore as error:
        return None, str(error).removeprefix(": ").split(";")[0].split(", expected")[0]


def whole_slot(dtype: np.dtype[Any], data: Buffer, at: int) -> np.void | None:
    """The slot at `at` where it proves itself."""
    part = bytes(data[at : at + dtype.itemsize])
    return layout.unsealed(dtype, part) if len(part) == dtype.itemsize else None


@dataclass(slots=True)
class TableEvidence:
    """The slots of one table: None for each that is damaged."""

    slots: list[np.void | None]
    count: int  # as the file says
    behind: list[np.void | None] = field(default_factory=list)  # slots behind the count, up to the last whole one

    @property
    def damaged(self) -> list[int]:
        return [number for number, slot in enumerate(self.slots) if slot is None]


def read_table(
    path: Path, data: Buffer, dtype: np.dtype[Any], at: int, count_at: int, *, in_use: bool, limit: int = 1 << 40
) -> TableEvidence:
    """A table of slots. `in_use`: a slot may be in the middle of being rewritten, and the count may just have risen."""
    room = min(limit, max(0, (len(data) - at) // dtype.itemsize))
    count = int.from_bytes(data[count_at : count_at + 8], "little") if len(data) >= count_at + 8 else 0
    slots: list[np.void | None] = []
    for number in range(min(count, room)):
        slot = whole_slot(dtype, data, at + number * dtype.itemsize)
        for _ in range(SETTLE if in_use and slot is None else 0):
            time.sleep(1e-4)
            if (slot := whole_slot(dtype, data, at + number * dtype.itemsize)) is not None:
                break
        slots.append(slot)
    blank = bytes(dtype.itemsize)
    while slots and slots[-1] is None:
        start = at + (len(slots) - 1) * dtype.itemsize
        if bytes(data[start : start + dtype.itemsize]) != blank:
            break
        slots.pop()  # never written: the count is what is wrong
    behind = [
        whole_slot(dtype, data, at + number * dtype.itemsize) for number in range(len(slots), 0 if in_use else room)
    ]
    while behind and behind[-1] is None:
        behind.pop()
    return TableEvidence(slots, count, behind)


@dataclass(slots=True)
class FeedEvidence:
    """What feed.bin says."""

    path: Path
    file: Bytes
    head: np.void | None
    why: str  # there is no head
    chunks: TableEvidence
    streams: list[str | None]  # None: damaged
    streams_count: int
    streams_behind: list[str | None]
    settings: np.void | None  # the copy of the feed's slot in registry.bin


def examine_feed(directory: Path, *, in_use: bool) -> FeedEvidence:
    """feed.bin, whatever its state."""
    path = directory / "feed.bin"
    file = load(path)
    head, why = head_of(file.data, layout.FEED_HEADER, layout.FEED_MAGIC)
    names = read_table(
        path, file.data, layout.STREAM_SLOT, layout.PAGE, layout.STREAMS_AT, in_use=in_use, limit=layout.MAX_STREAMS
    )
    return FeedEvidence(
        path,
        file,
        head,
        file.error or why,
        read_table(path, file.data, layout.CHUNK_SLOT, layout.CHUNKS_AT, layout.COMMITTED_AT, in_use=in_use),
        [_text(slot) for slot in names.slots],
        names.count,
        [_text(slot) for slot in names.behind],
        whole_slot(layout.FEED_SLOT, file.data, layout.SETTINGS_AT),
    )


def _text(slot: np.void | None) -> str | None:
    return None if slot is None else bytes(slot["name"]).decode("utf-8", "replace")


@dataclass(slots=True)
class ChunkEvidence:
    """What a chunk's two files say."""

    chunk_id: int
    index: Bytes
    heap: Bytes
    head: np.void | None
    why: str  # there is no head
    identity: bool  # the head is that of this chunk of this feed
    committed: int = 0
    state: int = 0
    closed_ns: int = 0
    heartbeat_ns: int = 0
    times: tuple[int, int, int] = (0, 0, 0)  # lowest, highest, whether one stepped back: as the head says
    count: int = 0  # rows looked at: those claimed and whole ones behind them
    claimed: int = 0  # rows that should be there, by the registry or else the index itself
    behind: int = 0  # whole rows behind the claimed ones
    bad: list[int] = field(default_factory=list)  # rows below `count` that do not prove themselves
    unreadable: str | None = None
    names: Names = field(default_factory=lambda: Names({}, True))

    @property
    def room(self) -> int:
        """Rows the index file has room for."""
        return max(0, (len(self.index) - layout.PAGE) // layout.ROW.itemsize)

    @property
    def rows(self) -> Rows:
        """The rows looked at, good and bad; a view of the mapping."""
        if not self.count:
            return np.zeros(0, layout.ROW)
        return np.frombuffer(self.index.data, layout.ROW, self.count, layout.PAGE)

    @property
    def good(self) -> Rows:
        """The rows that prove themselves."""
        return np.delete(self.rows, self.bad) if self.bad else self.rows


def examine_chunk(
    store_id: str | None,
    feed_id: int,
    chunk_id: int,
    paths: tuple[Path, Path],
    *,
    claimed: int | None,
    in_use: bool,
    progress: Progress = no_progress,
) -> ChunkEvidence:
    """A chunk's files, every row and payload of them. `claimed`: the rows a registry says it has; None: as many as the
    index itself says."""
    index, heap = load(paths[0]), load(paths[1])
    head, why = head_of(index.data, layout.CHUNK_HEADER, layout.CHUNK_MAGIC)
    identity = head is not None and (int(head["feed_id"]), int(head["chunk_id"])) == (feed_id, chunk_id)
    if head is not None and store_id is not None:
        identity = identity and uuid.UUID(bytes=bytes(head["store_id"])).hex == store_id
    found = ChunkEvidence(chunk_id, index, heap, head, index.error or why, identity)
    if len(index) < layout.PAGE:
        found.claimed = claimed or 0
        return found
    page = bytes(index.data[: layout.PAGE])
    value = np.frombuffer(page, layout.CHUNK_HEADER, 1)[0]
    found.committed, found.state = int(value["committed"]), int(value["state"])
    found.closed_ns, found.heartbeat_ns = int(value["closed_ns"]), int(value["heartbeat_ns"])
    found.times = (int(value["min_ns"]), int(value["max_ns"]), int(value["disordered"]))
    found.names = names_in(page)
    if claimed is None:
        sane = head is not None and found.committed <= int(value["row_capacity"])
        claimed = found.committed if sane else _last_row(found)
    found.claimed = claimed
    found.count = min(claimed, found.room)
    index_bytes = layout.PAGE + found.count * layout.ROW.itemsize
    found.unreadable = probe(index.path, index_bytes)
    if found.unreadable is None and not heap.missing:
        rows = found.rows
        used = int((rows["offset"] + rows["length"]).max(initial=0)) if len(rows) else 0
        found.unreadable = probe(heap.path, min(used, len(heap)))
    if found.unreadable is not None:
        found.count = 0
        return found
    _check_rows(found, progress)
    if not in_use and found.count == claimed:
        journal = _journal(found, found.room)
        while found.count < found.room and journal.check(found.count, found.count + 1) is None:
            found.count += 1
        found.behind = found.count - claimed
    return found


def _last_row(found: ChunkEvidence) -> int:
    """Rows up to the last that holds anything: where the count is not to be had."""
    rows = np.frombuffer(found.index.data, "V32", found.room, layout.PAGE)
    written = np.flatnonzero(rows != np.zeros((), "V32"))
    return int(written[-1]) + 1 if len(written) else 0


def _journal(found: ChunkEvidence, rows: int) -> Journal:
    end = layout.PAGE + rows * layout.ROW.itemsize
    return Journal(memoryview(found.index.data)[layout.PAGE : end], found.heap.data, 0, False)


def _check_rows(found: ChunkEvidence, progress: Progress) -> None:
    journal, rows = _journal(found, found.count), found.rows
    at = 0
    while at < found.count:
        stop = min(at + RUN, found.count)
        start = at
        while (row := journal.check(start, stop)) is not None:
            found.bad.append(row)
            start = row + 1
        progress(stop - at, int(rows["length"][at:stop].sum(dtype=np.int64)))
        at = stop


def figures(rows: Rows) -> dict[str, int]:
    """What a chunk slot says of these rows: rows, heap_bytes, min_ns, max_ns, and whether their times never step
    back."""
    if not len(rows):
        return {"rows": 0, "heap_bytes": 0, "ordered": 1}
    times = rows["recv_ns"]
    return {
        "rows": len(rows),
        "heap_bytes": int((rows["offset"] + rows["length"]).max()),
        "min_ns": int(times.min()),
        "max_ns": int(times.max()),
        "ordered": int(bool(np.all(times[1:] >= times[:-1]))),
    }

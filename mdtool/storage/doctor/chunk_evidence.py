"""What one chunk's two files say: every row and payload asked, which prove themselves and which do not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdtool.kernel.journal import Journal
from mdtool.storage.doctor.untrusted import Bytes, Rows, head_of, load, probe
from mdtool.storage.format import layout
from mdtool.storage.format.stream_names import Names, names_in

Progress = Callable[[int, int], None]  # records and payload bytes looked at since the last call

RUN = 65_536  # rows checked between two reports of progress


def no_progress(records: int, payload_bytes: int) -> None:
    """For who does not want to know."""


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
        return np.frombuffer(memoryview(self.index.data), layout.ROW, self.count, layout.PAGE)

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
    rows = np.frombuffer(memoryview(found.index.data), "V32", found.room, layout.PAGE)
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

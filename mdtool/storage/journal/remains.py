"""What a writer that died has left: the figures of its chunks, and what is to be had of those whose memory is gone.

Rule: what was synced stays as it is, and what may be lost behind it has a NOTE there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mdtool.errors import ChunkUnavailable, CorruptStore
from mdtool.kernel.journal import Journal, load_acquire
from mdtool.model import SESSION_STREAM, Kind
from mdtool.storage import files
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.format.loss_note import PREFIX, loss, put
from mdtool.storage.format.stream_names import add_name, names_in
from mdtool.storage.journal.chunk import Heap, OpenChunk, Rows, chunk_paths, index_rows, open_chunk
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo
from mdtool.storage.journal.spool import counted

LOST = "its shared memory is gone"
LOST_BEHIND = "its shared memory is gone, and its copy on disk ends with the last sync"


def figures(info: ChunkInfo, opened: OpenChunk) -> dict[str, object]:
    """What a dead writer's chunk holds, from its committed rows: fields of its entry."""
    rows = opened.whole.rows(0, opened.committed)
    times = rows["recv_ns"]
    ordered = len(rows) == 0 or bool(np.all(times[1:] >= times[:-1]))
    return {
        "state": ChunkState.CLOSED,
        "flags": ChunkFlag.UNCLEAN | (ChunkFlag.ORDERED if ordered else ChunkFlag(0)),
        "rows": len(rows),
        "heap_bytes": int((rows["offset"] + rows["length"]).max()) if len(rows) else 0,
        "min_ns": int(times.min()) if len(rows) else info.min_ns,
        "max_ns": int(times.max()) if len(rows) else info.max_ns,
        "closed_ns": opened.heartbeat_ns,
    }


def open_spool(feed: FeedInfo, info: ChunkInfo) -> OpenChunk | None:
    """The copy on disk of a chunk in shared memory, opened; None where there is none that can be."""
    try:
        return open_chunk(feed, replace(info, location=Location.DISK))
    except (ChunkUnavailable, CorruptStore):
        return None


def lost_behind(info: ChunkInfo, copy: OpenChunk) -> int | None:
    """How many records went with the shared memory of which `copy` is left: as the entry counts them, or None where
    nobody knows. None went behind an END, nor behind a NOTE of this loss."""
    return _lost(info, copy.journal, copy.committed)


def _lost(info: ChunkInfo, journal: Journal, rows: int) -> int | None:
    live = info.state == ChunkState.LIVE
    if not live and rows >= info.rows:
        return 0
    if rows and journal.check(rows - 1, rows) is None:
        last = journal.record(rows - 1, False)
        if last.payload.startswith(PREFIX) or (live and last.kind == Kind.END):
            return 0
    return None if live else info.rows - rows


def settle(feed: FeedInfo, info: ChunkInfo, session_stream: int) -> dict[str, object] | None:
    """Make the copy all there is of a chunk, and say what its entry is to say then: rows that were on their way and
    prove themselves are counted, and what is lost has a NOTE behind the last. Where there is no copy, the NOTE is all
    there is. None where it is damaged, which is for repair to mend. Raises StoreError."""
    copy = open_spool(feed, info)
    if copy is None and not chunk_paths(feed, info.chunk_id, Location.DISK)[0].exists():
        copy = _put_in_place(feed, info, np.zeros(0, layout.ROW), b"", bytearray(_page(feed, info)), session_stream)
    if copy is None or copy.journal.check(0, copy.committed) is not None:
        return None
    whole = _made_whole(feed, info, copy, session_stream)
    said = load_acquire(whole.index, layout.STATE_AT)
    clean = info.state == said == ChunkState.CLOSED and whole.committed == info.rows
    return {"location": Location.DISK} | ({} if clean else figures(info, whole))


def _made_whole(feed: FeedInfo, info: ChunkInfo, copy: OpenChunk, session_stream: int) -> OpenChunk:
    rows = index_rows(copy.index, _proven(copy)).copy()
    if len(rows) == copy.committed and lost_behind(info, copy) == 0:
        return copy
    return _put_in_place(feed, info, rows, copy.heap, bytearray(copy.index[: layout.PAGE]), session_stream)


def _put_in_place(
    feed: FeedInfo, info: ChunkInfo, rows: Rows, heap: Heap, page: bytearray, session_stream: int
) -> OpenChunk:
    """Write the chunk of these rows, and of a NOTE behind them where any are lost."""
    used, tail = int((rows["offset"] + rows["length"]).max()) if len(rows) else 0, b""
    if (lost := _lost(info, Journal(rows, heap, 0, False), len(rows))) != 0:
        row, at_ns = len(rows), int(rows["recv_ns"][-1]) if len(rows) else info.min_ns
        why = LOST_BEHIND if row else LOST
        rows = np.append(rows, np.zeros(1, layout.ROW))
        tail = put(rows, row, loss(info.chunk_id, row, lost, why), at_ns, session_stream, used)
        if session_stream not in names_in(bytes(page)).by_id:
            add_name(page, session_stream, SESSION_STREAM)
    times = rows["recv_ns"]
    ordered = bool((times[1:] >= times[:-1]).all())
    head = counted(bytes(page), len(rows), (int(times.min()), int(times.max()), ordered))
    index_path, heap_path = chunk_paths(feed, info.chunk_id, Location.DISK)
    try:  # payloads first: until the new index is there the old one fits them
        files.make_directory(index_path.parent)
        files.replace_durably(heap_path, [memoryview(heap)[:used], tail])
        files.replace_durably(index_path, [bytes(head), rows.tobytes()])
    except OSError as error:
        raise files.refusal(index_path, error, "cannot be made whole") from None
    return open_chunk(feed, replace(info, location=Location.DISK))


def _page(feed: FeedInfo, info: ChunkInfo) -> bytes:
    """The header of a chunk of which nothing is left but its entry: room for one row."""
    return layout.chunk_header(
        feed.store_id,
        feed.feed_id,
        info.chunk_id,
        info.epoch,
        row_capacity=1,
        created_ns=info.created_ns,
        state=ChunkState.LIVE,
        heartbeat_ns=max(info.created_ns, info.closed_ns),
    )


def _proven(copy: OpenChunk) -> int:
    """Rows it counts, and those behind that prove themselves."""
    rows, room = copy.committed, (len(copy.index) - layout.PAGE) // layout.ROW.itemsize
    journal = Journal(memoryview(copy.index)[layout.PAGE :], copy.heap, 0, False)
    while rows < room and _is_backed(copy, rows) and journal.check(rows, rows + 1) is None:
        rows += 1
    return rows


def _is_backed(copy: OpenChunk, row: int) -> bool:
    start = layout.PAGE + row * layout.ROW.itemsize
    if not copy.index.is_backed(start, start + layout.ROW.itemsize):
        return False
    said = index_rows(copy.index, row + 1)[row]
    start, end = int(said["offset"]), int(said["offset"]) + int(said["length"])
    return end <= len(copy.heap) and copy.heap.is_backed(start, end)

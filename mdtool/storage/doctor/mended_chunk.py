"""What a damaged chunk becomes: every record that proves itself stays at its position, byte for byte.

A row in the middle that does not prove itself is replaced by a NOTE record at the same position, so no other record
moves. Rows at the end that do not are cut off, and one NOTE stands where the first of them was. A chunk that is gone
altogether becomes a chunk of one NOTE. Each NOTE says how many records were lost, and why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mdtool.model import Kind
from mdtool.storage import files
from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, figures
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.untrusted import Buffer, Rows
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.format.loss_note import PREFIX, loss, put
from mdtool.storage.format.stream_names import add_name
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.journal.remains import LOST_BEHIND


@dataclass(frozen=True, slots=True)
class Mended:
    """A chunk as it is to be: its slot, its rows, and the heap they point into (`tail` goes behind `heap_used` bytes
    of the old one)."""

    slot: Slot
    rows: Rows
    heap: Buffer
    heap_used: int
    tail: bytes
    rewrite_heap: bool
    lost: int | None  # records; None: nobody knows how many
    notes: int
    untouched: bool = False  # its files stay as they are


def mend(slot: Slot, seen: ChunkEvidence, stream: int, *, is_copy: bool = False) -> Mended:
    """What can be made of a chunk whose files are there. `stream`: id for the NOTE records; `is_copy`: that of a chunk
    which went with shared memory, and which may have had more."""
    rows, bad = seen.rows.copy(), set(seen.bad)
    stop = len(rows)
    while stop and stop - 1 in bad:
        stop -= 1
    cut: int | None = max(len(rows), seen.claimed) - stop  # rows that are not even in the file are lost too
    if _cut_before(seen):
        cut = 0
    elif is_copy and slot.state == ChunkState.LIVE and not (stop and rows[stop - 1]["kind"] == Kind.END):
        cut = None
    good = seen.good
    used = int((good["offset"] + good["length"]).max()) if len(good) else 0
    tail = b""
    near_ns = _near_ns(rows, bad, slot)
    for row in sorted(bad):
        if row < stop:
            fields = _note(
                slot, row, 1, "its bytes contradict their checksum", rows[row] if rows[row]["crc32c"] else None
            )
            tail += put(rows, row, fields, int(near_ns[row]), stream, used + len(tail))
    rows = rows[:stop]
    if cut != 0:
        fields = _note(slot, stop, cut, LOST_BEHIND if is_copy else "the end of the chunk did not survive", None)
        rows = np.append(rows, np.zeros(1, layout.ROW))
        tail += put(
            rows, stop, fields, int(rows["recv_ns"][stop - 1]) if stop else slot.min_ns, stream, used + len(tail)
        )
    made = closed(slot, seen, rows)
    replaced = sum(row < stop for row in bad)
    whole_heap = len(seen.heap) in (made.heap_bytes, _heap_capacity(seen))
    return Mended(
        made,
        rows,
        seen.heap.data,
        used,
        tail,
        bool(tail) or not whole_heap or seen.heap.missing or slot.location == Location.SHM,
        replaced + cut if cut is not None else None,
        replaced + (cut != 0),
    )


def lost_chunk(slot: Slot, stream: int, why: str) -> Mended:
    """The chunk that stands for one that is gone."""
    lost = slot.rows if slot.state != ChunkState.LIVE else None
    rows = np.zeros(1, layout.ROW)
    tail = put(rows, 0, _note(slot, 0, lost, why, None), slot.min_ns, stream, 0)
    return Mended(closed(slot, None, rows), rows, b"", 0, tail, True, lost, 1)


def write(feed: FeedInfo, mended: Mended, streams: Mapping[int, str]) -> None:
    """Put the chunk in place on disk, heap first: until the new index is there the old one fits the new heap."""
    slot = mended.slot
    index_path, heap_path = chunk_paths(feed, slot.chunk_id, Location.DISK)
    files.make_directory(index_path.parent)
    capacity = len(mended.heap)
    if mended.rewrite_heap:
        capacity = mended.heap_used + len(mended.tail)
        files.replace_durably(heap_path, [memoryview(mended.heap)[: mended.heap_used], mended.tail])
    page = bytearray(
        layout.chunk_header(
            feed.store_id,
            feed.feed_id,
            slot.chunk_id,
            slot.epoch,
            row_capacity=len(mended.rows),
            heap_capacity=capacity,
            created_ns=slot.created_ns,
            state=ChunkState.CLOSED,
            closed_ns=slot.closed_ns,
            heartbeat_ns=slot.closed_ns,
            committed=len(mended.rows),
            min_ns=slot.min_ns if len(mended.rows) else 0,
            max_ns=slot.max_ns if len(mended.rows) else 0,
            disordered=int(not slot.flags & ChunkFlag.ORDERED),
        )
    )
    for number, name in streams.items():
        add_name(page, number, name)
    files.replace_durably(index_path, [bytes(page), mended.rows.tobytes()])


def closed(slot: Slot, seen: ChunkEvidence | None, rows: Rows) -> Slot:
    """The slot of the mended chunk."""
    found = figures(rows)
    flags = slot.flags & ~ChunkFlag.ORDERED | (ChunkFlag.ORDERED if found.pop("ordered") else ChunkFlag(0))
    closed_ns, created_ns, epoch = slot.closed_ns, slot.created_ns, slot.epoch
    if slot.state == ChunkState.LIVE:
        flags |= ChunkFlag.UNCLEAN
        closed_ns = max(found.get("max_ns", slot.min_ns), created_ns)
        if seen is not None and 0 < seen.heartbeat_ns < 1 << 63:
            closed_ns = seen.heartbeat_ns
    return replace(
        slot, state=ChunkState.CLOSED, location=Location.DISK, flags=flags, part=0,
        part_bytes=0, part_crc32c=0, rows_crc32c=0, epoch=epoch,
        created_ns=created_ns, closed_ns=closed_ns, boot=bytes(16), **found,
    )  # fmt: skip


def _heap_capacity(seen: ChunkEvidence) -> int:
    return int(seen.head["heap_capacity"]) if seen.head is not None and seen.identity else -1


def _cut_before(seen: ChunkEvidence) -> bool:
    """Whether a repair that was cut short has dealt with this chunk and did not get to its entry: the file is exactly
    as long as its rows, all of them prove themselves, and the last one is the NOTE that names the loss."""
    if seen.head is None or seen.bad or not seen.count or seen.count != seen.room or seen.count != seen.committed:
        return False
    last = seen.rows[-1]
    start = int(last["offset"])
    payload = bytes(seen.heap.data[start : start + int(last["length"])])
    return int(last["kind"]) == Kind.NOTE and payload.startswith(PREFIX)


def _near_ns(rows: Rows, bad: Collection[int], slot: Slot) -> npt.NDArray[np.int64]:
    """A receive time for what stands in place of each row: its own where it fits in, else that of the good one before
    (or, at the very start, behind)."""
    own = rows["recv_ns"].astype(np.int64)
    good = np.ones(len(rows), bool)
    good[list(bad)] = False
    if not good.any():
        return np.full(len(rows), slot.min_ns)
    numbers = np.arange(len(rows))
    before = np.maximum.accumulate(np.where(good, numbers, -1))
    after = np.minimum.accumulate(np.where(good, numbers, len(rows))[::-1])[::-1]
    low = own[np.where(before < 0, np.minimum(after, len(rows) - 1), before)]
    high = own[np.where(after == len(rows), np.maximum(before, 0), after)]
    fits: npt.NDArray[np.int64] = np.where((low <= own) & (own <= high), own, low)
    return fits


def _note(slot: Slot, row: int, lost: int | None, why: str, seems: np.void | None) -> dict[str, object]:
    note = loss(slot.chunk_id, row, lost, why)
    if seems is not None and seems["crc32c"]:  # what the row itself says, which nothing proves
        note["seems"] = {name: int(seems[name]) for name in ("recv_ns", "stream", "kind", "session", "length")}
    return note

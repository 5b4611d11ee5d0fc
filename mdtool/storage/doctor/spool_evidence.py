"""What the copy on disk of a chunk in shared memory says, and where it contradicts the chunk. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, examine_chunk
from mdtool.storage.doctor.chunk_findings import bad_rows
from mdtool.storage.doctor.flaws import Flaw, FlawKind
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.format import layout
from mdtool.storage.format.layout import Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.registry import FeedInfo
from mdtool.units import count


def examine_spool(feed: FeedInfo, slot: Slot, *, in_use: bool, claimed: int | None = None) -> ChunkEvidence | None:
    """The copy on disk that a chunk in shared memory has; None where there is none. `claimed`: the rows it should have;
    None: as many as it says."""
    if slot.location != Location.SHM:
        return None
    paths = chunk_paths(feed, slot.chunk_id, Location.DISK)
    seen = examine_chunk(feed.store_id, feed.feed_id, slot.chunk_id, paths, claimed=claimed, in_use=in_use)
    return None if seen.index.missing else seen


def stands_for(spool: ChunkEvidence) -> bool:
    """Whether a chunk can be made of it: it is of that chunk, or nothing of it says of which and its rows are whole."""
    return spool.identity or (spool.head is None and bool(len(spool.good)))


def healed(seen: ChunkEvidence, spool: ChunkEvidence) -> ChunkEvidence:
    """The chunk with those records put right that its copy alone proves."""
    bad = set(spool.bad)
    there = [row for row in seen.bad if row < spool.count and row not in bad]
    if not there or len(seen.heap) != len(spool.heap):
        return seen
    index, heap = bytearray(seen.index.data), bytearray(seen.heap.data)
    for row in there:
        at = layout.PAGE + row * layout.ROW.itemsize
        index[at : at + layout.ROW.itemsize] = spool.index.data[at : at + layout.ROW.itemsize]
        start = int(spool.rows[row]["offset"])
        stop = start + int(spool.rows[row]["length"])
        heap[start:stop] = spool.heap.data[start:stop]
    return replace(
        seen,
        index=replace(seen.index, data=memoryview(index)),
        heap=replace(seen.heap, data=memoryview(heap)),
        bad=[row for row in seen.bad if row not in there],
    )


def spool_findings(feed: FeedInfo, seen: ChunkEvidence, spool: ChunkEvidence) -> Iterator[Flaw]:
    """Where the copy contradicts itself, or the chunk as far as it goes. That it goes less far is no fault: it follows
    at each sync."""
    copy = f"the copy of {seen.index.path}"

    def finding(what: FlawKind, found: str, expected: str, where: str = str(spool.index.path)) -> Flaw:
        return Flaw(feed.name, where, what, found, expected, f"run: mdtool repair {feed.name}")

    for file in (spool.index, spool.heap):
        if file.error is not None:
            kind = FlawKind.MISSING if file.missing else FlawKind.UNREADABLE
            yield finding(kind, file.error, copy, str(file.path))
            return
    if not spool.identity:
        yield finding(FlawKind.HEADER, spool.why or "belongs to another feed or chunk", copy)
        return
    if spool.unreadable is not None:
        yield finding(FlawKind.UNREADABLE, spool.unreadable, "to be read")
        return
    yield from (finding(*found) for found in bad_rows(spool))
    if spool.claimed > spool.room:
        yield finding(FlawKind.MISSING, f"room for {count(spool.room, 'row')}", f"{spool.claimed:,}")
    if seen.index.missing or spool.bad:
        return
    together = min(spool.claimed, spool.count, seen.count)
    differ = spool.rows[:together] != seen.rows[:together]
    differ[[row for row in seen.bad if row < together]] = False  # it is the chunk that says nothing there
    if len(differing := np.flatnonzero(differ)):
        where = f"{spool.index.path} row {differing[0]}"
        yield finding(FlawKind.FIGURES, "another record than in shared memory", "the same", where)
    if spool.claimed > seen.claimed:
        yield finding(FlawKind.COUNT, f"{count(spool.claimed, 'row')} counted", f"at most {seen.claimed:,}")

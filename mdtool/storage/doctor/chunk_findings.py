"""One chunk judged: where its files, its entry and the stream names contradict each other. Reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, figures
from mdtool.storage.doctor.flaws import Flaw, FlawKind
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal.registry import FeedInfo
from mdtool.units import count

MOST_RUNS = 20  # runs of bad rows named one by one; the rest is counted


def _blanks(dtype: np.dtype[Any], *used: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Bytes of a header page, behind what its checksum covers, that nothing uses: what is set there is not ours."""
    fields = [(offset, offset + part.itemsize) for part, offset, *_ in (dtype.fields or {}).values()]
    taken = sorted([*fields, *used, (0, layout.CRC_AT + 4), (layout.PAGE, layout.PAGE)])
    return tuple((a[1], b[0]) for a, b in pairwise(taken) if a[1] < b[0])


BLANK_IN_CHUNK = _blanks(layout.CHUNK_HEADER, (layout.NAMES_AT, layout.PAGE))
BLANK_IN_FEED = _blanks(layout.FEED_HEADER, (layout.SETTINGS_AT, layout.SETTINGS_AT + layout.FEED_SLOT.itemsize))
BLANK_IN_STORE = _blanks(layout.STORE_HEADER)
NOT_HERE = (
    "repair where the writer ran (a container: --ipc=host); if it is lost for good, run: mdtool repair --gone {feed}"
)


def stray(page: bytes, blanks: Sequence[tuple[int, int]]) -> int | None:
    """The first byte that is set where none should be."""
    for start, stop in blanks:
        part = page[start:stop]
        if part.count(0) != len(part):
            return start + next(at for at, byte in enumerate(part) if byte)
    return None


def chunk_findings(
    feed: FeedInfo,
    slot: Slot,
    seen: ChunkEvidence,
    *,
    in_use: bool,
    streams: Sequence[str | None],
    spool: ChunkEvidence | None = None,
) -> Iterator[Flaw]:
    """What is wrong with one chunk. `in_use`: the feed's writer is at work; `spool`: what the copy on disk says that a
    chunk in shared memory has."""
    todo = f"run: mdtool repair {feed.name}"
    index = str(seen.index.path)

    def finding(what: FlawKind, found: str, expected: str, where: str = index, todo: str = todo) -> Flaw:
        return Flaw(feed.name, where, what, found, expected, todo)

    for file in (seen.index, seen.heap):
        if file.error is not None and slot.location == Location.SHM and file.missing:
            over = slot.boot_is_over
            found = "went with a boot of the machine" if over else "is in shared memory that is not visible here"
            rows = count(slot.rows, "record") if slot.state != ChunkState.LIVE else "records"
            kept = f"; its copy on disk has {count(len(spool.good), 'record')}" if spool is not None else ""
            yield finding(
                FlawKind.MISSING,
                f"chunk {slot.chunk_id} {found}{kept}",
                f"its {rows}",
                str(file.path),
                todo if over else NOT_HERE.format(feed=feed.name),
            )
            return
        if file.error is not None:
            kind = FlawKind.MISSING if file.missing else FlawKind.UNREADABLE
            yield finding(kind, file.error, f"chunk {slot.chunk_id}, {count(slot.rows, 'record')}", str(file.path))
    if seen.index.error is not None:
        return
    if seen.head is None:
        yield finding(FlawKind.HEADER, seen.why, f"the head of chunk {slot.chunk_id}")
    elif not seen.identity:
        yield finding(FlawKind.HEADER, "belongs to another feed or chunk", f"chunk {slot.chunk_id}")
    if seen.unreadable is not None:
        yield finding(FlawKind.UNREADABLE, seen.unreadable, "to be read", todo="check the device, then run it again")
        return
    if len(seen.index) >= layout.PAGE:
        yield from (finding(*found) for found in _page_faults(slot, seen, streams, in_use))
        yield from (finding(*found) for found in _size_faults(slot, seen))
    yield from (finding(*found) for found in bad_rows(seen))
    if slot.state == ChunkState.LIVE:
        if not in_use:
            yield finding(
                FlawKind.UNFINISHED,
                f"chunk {slot.chunk_id} was left open by a writer that died; "
                f"{count(seen.count - len(seen.bad), 'record')}",
                "it to be closed",
                todo=f"the next writer closes it, or run: mdtool repair {feed.name}",
            )
        return
    if slot.location == Location.SHM and not in_use:
        yield finding(
            FlawKind.UNFINISHED, f"chunk {slot.chunk_id} is closed and in shared memory only", "it to be on disk"
        )
    if seen.behind > (1 if slot.flags & ChunkFlag.UNCLEAN else 0):
        # A writer may be killed between writing a row and counting it; more than one tells of a count that is wrong.
        yield finding(
            FlawKind.COUNT, f"{count(seen.behind, 'whole record')} behind the {seen.claimed:,} counted", "none"
        )
    if not seen.bad and seen.count >= seen.claimed:
        yield from (finding(*found) for found in _figure_faults(slot, seen))


def _page_faults(
    slot: Slot, seen: ChunkEvidence, streams: Sequence[str | None], in_use: bool
) -> Iterator[tuple[FlawKind, str, str]]:
    page = bytes(seen.index.data[: layout.PAGE])
    if (at := stray(page, BLANK_IN_CHUNK)) is not None:
        yield FlawKind.HEADER, f"byte {at} is set", "0"
    if not in_use and not seen.names.whole:
        yield FlawKind.HEADER, "its stream names contradict their checksum or count", "them whole"
    clean = slot.state == ChunkState.CLOSED and not slot.flags & ChunkFlag.UNCLEAN
    if clean and page[seen.names.end :].count(0) != layout.PAGE - seen.names.end:
        yield FlawKind.HEADER, "bytes behind its stream names are set", "0"
    for number, name in seen.names.by_id.items():
        if number >= len(streams) or streams[number] not in (None, name):
            known = streams[number] if number < len(streams) else "none"
            yield FlawKind.FIGURES, f"feed.bin calls stream {number} {known!r}", f"{name!r}, as the chunk does"
    if seen.head is not None and (epoch := int(seen.head["epoch"])) != slot.epoch:
        yield FlawKind.FIGURES, f"epoch {epoch}", f"{slot.epoch}, as feed.bin says"
    if in_use and slot.state == ChunkState.LIVE:
        return
    if seen.state not in (ChunkState.LIVE, ChunkState.CLOSED) or (clean and seen.state != ChunkState.CLOSED):
        yield FlawKind.FIGURES, f"state {seen.state}", f"{int(slot.state)}, as feed.bin says"
    closed = seen.state == ChunkState.CLOSED
    if seen.closed_ns not in ((slot.closed_ns if clean else seen.heartbeat_ns) if closed else 0,):
        yield FlawKind.FIGURES, f"closed at {seen.closed_ns}", "the time feed.bin or the last sign of life gives"
    if slot.state == ChunkState.CLOSED and seen.heartbeat_ns != slot.closed_ns:
        yield FlawKind.FIGURES, f"last sign of life at {seen.heartbeat_ns}", f"{slot.closed_ns}, as feed.bin says"


def _size_faults(slot: Slot, seen: ChunkEvidence) -> Iterator[tuple[FlawKind, str, str]]:
    capacity = int(seen.head["row_capacity"]) if seen.head is not None else None
    if capacity is not None and seen.committed > capacity:
        yield FlawKind.COUNT, f"{count(seen.committed, 'row')} committed", f"at most {capacity:,}"
    if seen.committed != seen.claimed and slot.state != ChunkState.LIVE:
        yield FlawKind.FIGURES, f"{count(seen.committed, 'row')} committed", f"{seen.claimed:,}, as feed.bin says"
    if seen.room < seen.claimed:
        yield FlawKind.MISSING, f"room for {count(seen.room, 'row')}", f"{seen.claimed:,}"
    if capacity is not None and slot.state == ChunkState.CLOSED and seen.head is not None:
        sizes = [layout.PAGE + rows * layout.ROW.itemsize for rows in (capacity, seen.claimed)]
        if len(seen.index) not in sizes:
            yield (
                FlawKind.COUNT,
                count(len(seen.index), "byte"),
                " or ".join(f"{size:,}" for size in sorted(set(sizes))),
            )
        sizes = [int(seen.head["heap_capacity"]), slot.heap_bytes]
        if len(seen.heap) not in sizes:
            expected = " or ".join(f"{size:,}" for size in sorted(set(sizes)))
            yield FlawKind.COUNT, f"{seen.heap.path.name} has {count(len(seen.heap), 'byte')}", expected


def runs_of(bad: Sequence[int]) -> list[tuple[int, int]]:
    """Bad rows as [start, stop) runs."""
    runs: list[tuple[int, int]] = []
    for row in bad:
        if runs and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs


def bad_rows(seen: ChunkEvidence) -> Iterator[tuple[FlawKind, str, str, str]]:
    """Rows that do not prove themselves, in runs: kind, found, expected, where."""
    runs = runs_of(seen.bad)
    for start, stop in runs[:MOST_RUNS]:
        rows = f"row {start}" if stop == start + 1 else f"rows {start} to {stop - 1}"
        what = "the checksum does not hold" if stop == start + 1 else f"{count(stop - start, 'checksum')} do not hold"
        yield FlawKind.CRC, what, "the bytes received", f"{seen.index.path} {rows}"
    if len(runs) > MOST_RUNS:
        more = sum(stop - start for start, stop in runs[MOST_RUNS:])
        yield (
            FlawKind.CRC,
            f"{count(more, 'more row')} whose checksum does not hold",
            "the bytes received",
            str(seen.index.path),
        )


def _figure_faults(slot: Slot, seen: ChunkEvidence) -> Iterator[tuple[FlawKind, str, str]]:
    found = figures(seen.rows[: seen.claimed])
    ordered = found.pop("ordered")
    said = {name: getattr(slot, name) for name in found}
    for name, value in found.items():
        if said[name] != value:
            yield FlawKind.FIGURES, f"feed.bin says {name} {said[name]}", f"{value}, as the rows do"
    if bool(slot.flags & ChunkFlag.ORDERED) != bool(ordered):
        yield FlawKind.FIGURES, "feed.bin is wrong on whether its times step back", "what the rows do"
    in_head = (found.get("min_ns", 0), found.get("max_ns", 0), int(not ordered))
    if seen.times != in_head and not slot.flags & ChunkFlag.UNCLEAN:
        # Killed between the times of a record and its count, a writer leaves those of one more.
        yield FlawKind.FIGURES, f"its head gives times {seen.times[0]} to {seen.times[1]}", "those of its rows"
    if seen.head is not None and int(seen.head["created_ns"]) != slot.created_ns:
        yield FlawKind.FIGURES, f"feed.bin says created_ns {slot.created_ns}", f"{int(seen.head['created_ns'])}"


def unnamed_streams(seen: ChunkEvidence, streams: int) -> int | None:
    """The highest stream id its good rows use beyond the feed's `streams` names."""
    rows = seen.good
    highest = int(rows["stream"].max()) if len(rows) else -1
    return highest if highest >= streams else None


def temporary(path: Path) -> bool:
    """Whether a name is that of a file being written aside."""
    return path.name.startswith(".") and (path.suffix[1:].isdigit() or path.suffix == ".sealing")


def being_written(path: Path) -> bool:
    """Whether a file written aside has a process, by the pid in its name, that may yet finish it."""
    return temporary(path) and Path("/proc", path.suffix[1:]).exists()

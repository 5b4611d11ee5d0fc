"""Writing a part: rows and payloads of closed chunks into the columns that `part` describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mdtool import arrow
from mdtool.errors import CorruptStore, StoreError
from mdtool.kernel.journal import Journal, crc32c, fill_crcs
from mdtool.model import NO_TIME, UNKNOWN
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.batch import Batch
from mdtool.storage.journal.chunk import Heap, OpenChunk, Rows
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo
from mdtool.storage.parts.part import SCHEMA, VERSION, GroupProof, Manifest, Numbers, Sealed

# Measured on the payloads of six minutes of a futures market (21.7 MB, gzip -9 of the text 3,503 kB), one core: level 9
# packs them into 2,805 kB at 65 MB/s, 10 2,772 at 49, 11 2,736 at 37, 12 the same at 27, 13 2,692 at 14, 19 2,339 at 2.
# The other columns add 350 kB, and 0.90 of gzip -9 is 3,153 kB. Stream by stream (a dictionary page in that order and
# the rows' numbers in it) would save 0.4 %: the numbers cost what the order gains.
LEVEL = 11
# Larger groups do not compress better (5 MB or 22 MB: the same to 0.1 %); this one is read and unpacked in some 10 ms.
GROUP_BYTES = 8 * 1024 * 1024
GROUP_ROWS = 256 * 1024
LARGEST_PAYLOAD = 1 << 30  # a page of a Parquet file is below 2 GiB
ONE_PAGE = 1 << 30  # a column of a group is one page: what compresses together lies together

REPEATING = ["kind", "stream", "session", "flags", "verdict"]
# Ids of several streams take turns in last_seq, so its deltas are large and plain numbers pack better.
ENCODINGS = {
    "recv_ns": "DELTA_BINARY_PACKED",
    "venue_ns": "DELTA_BINARY_PACKED",
    "first_seq": "DELTA_BINARY_PACKED",
    "last_seq": "PLAIN",
    "prev_seq": "DELTA_BINARY_PACKED",
    "payload": "PLAIN",
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a run of records says, one value a record. NO_TIME, UNKNOWN and verdict 0 become null."""

    venue_ns: Numbers
    first_seq: Numbers
    last_seq: Numbers
    prev_seq: Numbers
    verdict: npt.NDArray[np.uint8]


Decode = Callable[[Batch], Decoded]  # given the records of one part in order


@dataclass(frozen=True, slots=True)
class ClosedChunk:
    """A closed chunk about to be sealed: its rows as a part can tell them, and the heap they point into."""

    info: ChunkInfo
    rows: Rows
    heap: Heap

    def sealed(self) -> Sealed:
        info = self.info
        return Sealed(
            info.chunk_id, info.epoch, len(self.rows), int(self.rows["length"].sum(dtype=np.int64)), info.min_ns,
            info.max_ns, int(info.flags), info.created_ns, info.closed_ns, crc32c(self.rows),
        )  # fmt: skip


def closed_chunk(opened: OpenChunk) -> ClosedChunk:
    """Raises CorruptStore where a record's CRC does not hold: what is damaged is not sealed."""
    count = opened.committed
    bad = opened.journal.check(0, count)
    if bad is not None:
        opened.journal.record(bad)  # raises, naming file and row
    rows = opened.whole.rows(0, count)
    lengths = rows["length"].astype(np.uint64)
    offsets = np.cumsum(lengths) - lengths
    if np.array_equal(rows["offset"], offsets):
        return ClosedChunk(opened.info, rows, opened.heap)
    # A repaired chunk may have holes in its heap, which a part does not keep.
    spans = zip(rows["offset"].tolist(), rows["length"].tolist(), strict=True)
    heap = b"".join(opened.heap[start : start + length] for start, length in spans)
    rows = rows.copy()
    rows["offset"] = offsets
    fill_crcs(rows, heap)
    return ClosedChunk(opened.info, rows, heap)


def write_part(draft: Path, feed: FeedInfo, number: int, sources: Sequence[ClosedChunk], streams: Sequence[str],
               decode: Decode | None) -> Manifest:  # fmt: skip
    """Write a part to `draft`, which must not be there. Raises StoreError for what Parquet cannot hold."""
    for source in sources:
        if len(source.rows) and int(source.rows["length"].max()) > LARGEST_PAYLOAD:
            raise StoreError(f"{feed.name} chunk {source.info.chunk_id}: a payload beyond 1 GiB cannot be sealed")
        if len(source.rows) and int(source.rows["stream"].max()) >= len(streams):
            raise CorruptStore(f"{feed.name} chunk {source.info.chunk_id}: a stream without a name; run: mdtool verify")
    groups = list(_groups(sources))
    sealed = tuple(source.sealed() for source in sources)
    proofs = tuple(GroupProof.of(_rows(group)) for group in groups)
    manifest = Manifest(VERSION, feed.store_id, feed.name, feed.feed_id, number, tuple(streams), sealed, proofs)
    try:
        with (
            draft.open("xb") as file,
            pq.ParquetWriter(
                file,
                SCHEMA.with_metadata(manifest.metadata()),
                compression="zstd",
                compression_level=LEVEL,
                use_dictionary=REPEATING,
                column_encoding=ENCODINGS,
                write_statistics=[name for name in SCHEMA.names if name != "payload"],
                data_page_size=ONE_PAGE,
                write_batch_size=GROUP_ROWS,
                write_page_checksum=True,
            ) as writer,
        ):
            for table in _ahead(groups, lambda group: _table(group, list(streams), decode)):
                writer.write_table(table, row_group_size=GROUP_ROWS)
    except pa.ArrowException as error:
        raise StoreError(f"{draft}: {error}") from None
    return manifest


Piece = tuple[ClosedChunk, int, int]  # rows [first, stop) of a source


def _ahead(groups: Iterable[list[Piece]], make: Callable[[list[Piece]], Any]) -> Iterator[Any]:
    """`make` of each group in order, one ahead in a thread: a group is decoded while the one before is packed."""
    with ThreadPoolExecutor(1) as worker:
        before: Future[Any] | None = None
        for group in groups:
            after = worker.submit(make, group)
            if before is not None:
                yield before.result()
            before = after
        if before is not None:
            yield before.result()


def _groups(sources: Sequence[ClosedChunk]) -> Iterator[list[Piece]]:
    """The pieces of chunks that make up each row group."""
    group: list[Piece] = []
    rows = size = 0
    for source in sources:
        ends = np.cumsum(source.rows["length"], dtype=np.int64)
        first = 0
        while first < len(ends):
            before = int(ends[first - 1]) if first else 0
            stop = int(np.searchsorted(ends, before + GROUP_BYTES - size, "right"))
            stop = min(max(stop, first + (not group)), first + GROUP_ROWS - rows)
            if stop > first:
                group.append((source, first, stop))
                rows, size = rows + stop - first, size + int(ends[stop - 1]) - before
                first = stop
            if first < len(ends):
                yield group
                group, rows, size = [], 0, 0
    if group:
        yield group


def _table(group: Sequence[Piece], streams: list[str], decode: Decode | None) -> Any:
    rows = _rows(group)
    columns: dict[str, Any] = {
        name: arrow.array(rows[name], SCHEMA.field(name).type) for name in ("recv_ns", "kind", "session", "flags")
    }
    columns["stream"] = arrow.picked(rows["stream"], streams)
    columns["payload"] = pa.chunked_array([_payloads(*piece) for piece in group])
    if decode is None:
        for name in ("venue_ns", "first_seq", "last_seq", "prev_seq", "verdict"):
            columns[name] = pa.nulls(len(rows), SCHEMA.field(name).type)
    else:
        said = [decode(_batch(*piece, streams)) for piece in group]
        for name, missing in (("venue_ns", NO_TIME), ("first_seq", UNKNOWN), ("last_seq", UNKNOWN),
                              ("prev_seq", UNKNOWN), ("verdict", 0)):  # fmt: skip
            values = np.concatenate([getattr(one, name) for one in said])
            columns[name] = arrow.array(values, SCHEMA.field(name).type, values == missing)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _rows(group: Sequence[Piece]) -> Rows:
    """A group's rows as an index over its own payloads would have them."""
    pieces = []
    used = 0
    for source, first, stop in group:
        rows = source.rows[first:stop].copy()
        start, size = int(rows[0]["offset"]), int(rows["length"].sum(dtype=np.int64))
        rows["offset"] = rows["offset"] - np.uint64(start) + np.uint64(used)
        fill_crcs(rows, memoryview(source.heap)[start : start + size], used)
        pieces.append(rows)
        used += size
    return np.concatenate(pieces)


def _payloads(source: ClosedChunk, first: int, stop: int) -> Any:
    """Payloads as an Arrow array over the chunk's heap itself."""
    rows = source.rows[first:stop]
    start, end = int(rows[0]["offset"]), int(rows[-1]["offset"]) + int(rows[-1]["length"])
    offsets = np.zeros(len(rows) + 1, np.int32)
    offsets[:-1] = rows["offset"] - np.uint64(start)
    offsets[-1] = end - start
    heap = pa.py_buffer(memoryview(source.heap)[start:end])
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(offsets), heap])


def _batch(source: ClosedChunk, first: int, stop: int, streams: list[str]) -> Batch:
    base = source.info.chunk_id << ROW_BITS
    journal = Journal(source.rows, source.heap, base, False)
    return Batch(source.rows[first:stop], base + first, streams, journal, source.heap)

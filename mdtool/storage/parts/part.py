"""A part: closed chunks of one UTC day as one Parquet file. What it is, and reading it.

One row a record, in order of arrival. What a chunk's index and heap hold is there to the bit: rows number through the
part's chunks in order, a payload's offset in its chunk's heap is the sum of the lengths before it, and the CRC of a row
follows from these. The key-value metadata "mdtool" (JSON, see `Manifest`) says which chunks they are, "mdtool.legend"
what numbers stand for.

Parquet's own page checksums are written, and checked where the reader verifies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import IntEnum, IntFlag
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mdtool import arrow
from mdtool.errors import CorruptStore
from mdtool.kernel.journal import Journal, crc32c, fill_crcs
from mdtool.model import Flag, Kind, Verdict
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.chunk import Heap, Rows, Run
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo
from mdtool.storage.parts.archive import place_of
from mdtool.storage.parts.place import PartPlace, part_name
from mdtool.units import count

VERSION = 1
KEY = b"mdtool"
KEY_CRC = b"mdtool.crc32c"  # of what stands under KEY, 8 hex digits
KEY_LEGEND = b"mdtool.legend"  # JSON: what the numbers of kind, flags (bits) and verdict stand for
READ_BYTES = 8 * 1024 * 1024
RAW = ("recv_ns", "kind", "stream", "session", "flags", "payload")
TIME = pa.timestamp("ns", tz="UTC")  # int64 ns in parts of before, which are the same bits
SCHEMA = pa.schema(
    [
        pa.field("recv_ns", TIME, nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("stream", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("session", pa.uint32(), nullable=False),
        pa.field("flags", pa.uint8(), nullable=False),
        pa.field("venue_ns", TIME),
        pa.field("first_seq", pa.int64()),
        pa.field("last_seq", pa.int64()),
        pa.field("prev_seq", pa.int64()),
        pa.field("verdict", pa.uint8()),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A chunk as a part tells of it: its registry entry, and `crc32c` over its rows of 32 bytes one after another."""

    chunk_id: int
    epoch: int
    rows: int
    heap_bytes: int
    min_ns: int
    max_ns: int
    flags: int
    created_ns: int
    closed_ns: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class GroupProof:
    """What a row group has to be: its rows as an index over its own payloads would have them, and their recv_ns alone.
    Parquet's page checksums leave page headers and the footer unproven."""

    rows: int
    crc32c: int
    times_crc32c: int

    @classmethod
    def of(cls, rows: Rows) -> GroupProof:
        return cls(len(rows), crc32c(rows), crc32c(np.ascontiguousarray(rows["recv_ns"])))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a part says of itself. `streams`: the feed's names by id when it was sealed."""

    version: int
    store: str
    feed: str
    feed_id: int
    part: int
    streams: tuple[str, ...]
    chunks: tuple[Sealed, ...]
    groups: tuple[GroupProof, ...]

    def metadata(self) -> dict[bytes, bytes]:
        """As the file's key-value metadata, with the legend of its columns."""
        said = json.dumps(asdict(self), separators=(",", ":")).encode()
        return {KEY: said, KEY_CRC: b"%08x" % crc32c(said), KEY_LEGEND: _legend()}

    @classmethod
    def of(cls, metadata: dict[bytes, bytes] | None, where: str) -> Manifest:
        """Raises CorruptStore where a Parquet file is no part of ours."""
        said = (metadata or {}).get(KEY)
        if said is None:
            raise CorruptStore(f"{where}: a Parquet file without the metadata {KEY.decode()!r}: no part of a store")
        if (metadata or {}).get(KEY_CRC) != b"%08x" % crc32c(said):
            raise CorruptStore(f"{where}: the checksum of its metadata does not hold; run: mdtool verify")
        try:
            fields = json.loads(said)
            if fields["version"] != VERSION:
                raise CorruptStore(
                    f"{where}: part version {fields['version']}, this mdtool reads {VERSION}: use the one that wrote it"
                )
            chunks = tuple(Sealed(**chunk) for chunk in fields.pop("chunks"))
            groups = tuple(GroupProof(**group) for group in fields.pop("groups"))
            return cls(**fields | {"chunks": chunks, "groups": groups, "streams": tuple(fields["streams"])})
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptStore(f"{where}: its metadata does not parse ({error}); run: mdtool verify") from None


def _legend() -> bytes:
    meant: dict[str, Iterable[IntEnum | IntFlag]] = {"kind": Kind, "flags": Flag, "verdict": Verdict}
    named = {column: {int(one): one.name for one in words} for column, words in meant.items()}
    return json.dumps(named, separators=(",", ":")).encode()


class Part:
    """An open part. Row groups are read when asked for; the last one is kept. Raises CorruptStore where the file
    contradicts itself."""

    def __init__(self, source: Any, where: str, *, verify: bool = True) -> None:
        self.where = where
        self._source = source
        self._verify = verify
        with self._telling():
            self._file = pq.ParquetFile(source, read_dictionary=["stream"], page_checksum_verification=verify)
            metadata = self._file.metadata
            self.manifest = Manifest.of(metadata.metadata, where)
            names = set(self._file.schema_arrow.names)
            counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        if set(RAW) - names:
            raise CorruptStore(f"{where}: not the columns of a part; run: mdtool verify")
        if counts != [group.rows for group in self.manifest.groups]:
            raise CorruptStore(f"{where}: not the row groups that its metadata says; run: mdtool verify")
        self._starts = np.cumsum([0, *counts])  # of each row group, and the end
        self._firsts = np.cumsum([0, *(chunk.rows for chunk in self.manifest.chunks)])  # of each chunk, and the end
        if self._starts[-1] != self._firsts[-1]:
            raise CorruptStore(
                f"{where}: {count(self._starts[-1], 'row')}, its chunks have {self._firsts[-1]}; run: mdtool verify"
            )
        self._group: tuple[int, Rows, Heap] | None = None

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever a damaged file makes of its reader, as CorruptStore."""
        try:
            yield
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise CorruptStore(f"{self.where}: {why}; run: mdtool verify") from None

    def _read(self, number: int, columns: Sequence[str]) -> Any:
        with self._telling():
            return self._file.read_row_group(number, columns=list(columns), use_threads=False)

    def _proven(self, number: int, holds: bool) -> None:
        if not holds:
            raise CorruptStore(f"{self.where}: row group {number} is not what was sealed; run: mdtool verify")

    def group(self, number: int) -> tuple[Rows, Heap]:
        """A row group as rows and heap; stream ids are the manifest's."""
        if self._group is None or self._group[0] != number:
            table = self._read(number, RAW)
            with self._telling():
                rows, heap = self._rows_of(table)
            self._proven(number, not self._verify or GroupProof.of(rows) == self.manifest.groups[number])
            self._group = (number, rows, heap)
        return self._group[1:]

    def _rows_of(self, table: Any) -> tuple[Rows, Heap]:
        payload = table["payload"].combine_chunks()
        _, offsets, data = payload.buffers()
        bounds = np.frombuffer(offsets, np.int32)[payload.offset : payload.offset + len(payload) + 1]
        rows = np.zeros(len(payload), layout.ROW)
        for name in ("recv_ns", "kind", "session", "flags"):
            rows[name] = arrow.numbers(table[name], layout.ROW[name])
        column = table["stream"].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        names = {name: number for number, name in enumerate(self.manifest.streams)}
        ids = np.array([names[name] for name in column.dictionary.to_pylist()] or [0], np.uint16)
        rows["stream"] = ids[arrow.numbers(column.indices, np.int32)]
        rows["offset"], rows["length"] = bounds[:-1], np.diff(bounds)
        heap: Heap = memoryview(data) if data is not None else b""
        fill_crcs(rows, heap)
        return rows, heap

    def runs(self, chunk: int, first: int = 0) -> Iterator[tuple[int, Rows, Heap]]:
        """Of chunk number `chunk` of the part from row `first` on: (row, rows, heap) a row group."""
        start, end = int(self._firsts[chunk]), int(self._firsts[chunk + 1])
        at = start + first
        while at < end:
            number = int(np.searchsorted(self._starts, at, "right")) - 1
            base, stop = int(self._starts[number]), min(end, int(self._starts[number + 1]))
            rows, heap = self.group(number)
            begin = max(start, base)
            yield begin - start, rows[begin - base : stop - base], heap
            at = stop

    def times(self, chunk: int) -> Numbers:
        """Receive times of a chunk's rows, read without their payloads."""
        start, end = int(self._firsts[chunk]), int(self._firsts[chunk + 1])
        pieces: list[Numbers] = [np.zeros(0, np.int64)]
        for number, (base, stop) in enumerate(pairwise(self._starts.tolist())):
            if base < end and stop > start:
                read = self._read(number, ["recv_ns"])
                with self._telling():
                    times: Numbers = arrow.numbers(read["recv_ns"], np.int64)
                said = self.manifest.groups[number]
                proven = len(times) == said.rows and (not self._verify or crc32c(times) == said.times_crc32c)
                self._proven(number, proven)
                pieces.append(times[max(start - base, 0) : end - base])
        return np.concatenate(pieces)

    def rows(self, chunk: int) -> Rows:
        """A chunk's rows as they were in its index, offsets and CRCs made anew of what the part holds."""
        pieces: list[Rows] = [np.zeros(0, layout.ROW)]
        used = 0
        for _, rows, heap in self.runs(chunk):
            moved = rows.copy()
            shift = used - int(rows[0]["offset"])
            moved["offset"] = (rows["offset"].astype(np.int64) + shift).astype(np.uint64)
            start = int(rows[0]["offset"])
            fill_crcs(moved, memoryview(heap)[start:], used)
            used += int(rows["length"].sum(dtype=np.int64))
            pieces.append(moved)
        return np.concatenate(pieces)

    def pieces(self, chunk: int) -> list[tuple[int, int, Callable[[], tuple[Rows, Heap]]]]:
        """Of chunk number `chunk`: (first row, end, its rows and their heap when called) a row group, so that one that
        cannot be read does not hide the others."""

        def reader(number: int, start: int, stop: int) -> Callable[[], tuple[Rows, Heap]]:
            def read() -> tuple[Rows, Heap]:
                rows, heap = self.group(number)
                return rows[start:stop], heap

            return read

        start, end = int(self._firsts[chunk]), int(self._firsts[chunk + 1])
        found = []
        for number, (base, stop) in enumerate(pairwise(self._starts.tolist())):
            low, high = max(start, base), min(end, stop)
            if low < high:
                found.append((low - start, high - start, reader(number, low - base, high - base)))
        return found

    def highest_session(self) -> int:
        """The highest session number of its records."""
        read = (self._read(number, ["session"])["session"] for number in range(len(self._starts) - 1))
        found = (arrow.numbers(sessions, np.uint32) for sessions in read)
        return max((int(sessions.max()) for sessions in found if len(sessions)), default=0)

    def check_decoded(self) -> None:
        """Read the columns from decoding. Raises CorruptStore where a page of them does not hold."""
        for number in range(len(self._starts) - 1):
            self._read(number, [name for name in SCHEMA.names if name not in RAW])

    def damaged(self) -> list[int]:
        """Ids of the chunks whose rows are not those that were sealed; reads everything. Raises CorruptStore where
        a page cannot be read at all."""
        self.check_decoded()
        found = ((chunk, crc32c(self.rows(number))) for number, chunk in enumerate(self.manifest.chunks))
        return [chunk.chunk_id for chunk, crc in found if crc != chunk.crc32c]

    def close(self) -> None:
        """Let the file go; rows that were read stay readable."""
        self._file.close(force=True)
        self._source.close()


class PartChunk:
    """A chunk of a part, read as a live one is. `ids`: the feed's stream ids by those of the part."""

    def __init__(self, info: ChunkInfo, part: Part, number: int, ids: npt.NDArray[np.uint16] | None) -> None:
        self.info = info
        self.committed = part.manifest.chunks[number].rows
        self._part = part
        self._number = number
        self._ids = ids

    def times(self, count: int) -> Numbers:
        return self._part.times(self._number)[:count]

    def run(self, row: int) -> Run:
        """The run that `row` is in; an empty one behind the last."""
        for start, rows, heap in self._part.runs(self._number, row):
            if self._ids is not None:
                rows = rows.copy()
                rows["stream"] = self._ids[rows["stream"]]
                fill_crcs(rows, heap)
            return self._run(start, rows, heap)
        return self._run(self.committed, np.zeros(0, layout.ROW), b"")

    def _run(self, start: int, rows: Rows, heap: Heap) -> Run:
        return Run(start, Journal(rows, heap, (self.info.chunk_id << ROW_BITS) + start, False), rows, heap, True)


class PartShelf:
    """Opens the parts of a feed for one reader; keeps the last one open."""

    def __init__(self, feed: FeedInfo, *, verify: bool = True) -> None:
        self._feed = feed
        self._verify = verify
        self._place: PartPlace = place_of(feed)
        self._part: Part | None = None

    def chunk(self, info: ChunkInfo, streams: Sequence[str]) -> PartChunk:
        """A sealed chunk. Raises ChunkUnavailable where its part is not there, CorruptStore where it is another's."""
        part = self._part
        if part is None or part.manifest.part != info.part:
            # The one before is let go, not closed: a reader that peeks ahead still reads a chunk of it.
            part = self._part = open_part(self._feed, self._place, info, verify=self._verify)
        for number, chunk in enumerate(part.manifest.chunks):
            if chunk.chunk_id == info.chunk_id:
                if chunk.rows != info.rows:
                    break
                return PartChunk(info, part, number, _ids(part, streams))
        raise CorruptStore(
            f"{part.where}: has no chunk {info.chunk_id} of {count(info.rows, 'row')}, as the registry says; "
            "run: mdtool verify"
        )

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None


def open_part(feed: FeedInfo, place: PartPlace, info: ChunkInfo, *, verify: bool = True) -> Part:
    """The part that holds a sealed chunk. Raises ChunkUnavailable and CorruptStore."""
    name = part_name(info.part, info.min_ns)
    part = Part(place.open(name), place.where(name), verify=verify)
    said = part.manifest
    if (said.store, said.feed_id, said.part) != (feed.store_id, feed.feed_id, info.part):
        part.close()
        raise CorruptStore(f"{part.where}: is part {said.part} of {said.feed} of store {said.store}, not this feed's")
    return part


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the registry keeps of a published part: its size, CRC-32C of the whole file, and its manifest."""

    size: int
    crc32c: int
    manifest: Manifest

    def of(self, chunk_id: int) -> dict[str, object]:
        """The fields of a chunk's registry entry."""
        rows = next(chunk.crc32c for chunk in self.manifest.chunks if chunk.chunk_id == chunk_id)
        return {"part_bytes": self.size, "part_crc32c": self.crc32c, "rows_crc32c": rows}


def fingerprint(place: PartPlace, name: str) -> Fingerprint:
    """Read a part from its first byte to its last. Raises ChunkUnavailable, CorruptStore."""
    size, crc = file_checksum(place, name)
    part = Part(place.open(name), place.where(name))
    try:
        return Fingerprint(size, crc, part.manifest)
    finally:
        part.close()


def file_checksum(place: PartPlace, name: str) -> tuple[int, int]:
    """Size and CRC-32C of a part's file. Raises ChunkUnavailable, OSError."""
    size = crc = 0
    with place.open(name) as source:
        while block := source.read(READ_BYTES):
            size, crc = size + len(block), crc32c(block, crc)
    return size, crc


def _ids(part: Part, streams: Sequence[str]) -> npt.NDArray[np.uint16] | None:
    """The feed's id of each stream id of the part; None where they are the same, as always but after a rebuild."""
    names = part.manifest.streams
    if tuple(streams[: len(names)]) == names:
        return None
    known = {name: number for number, name in enumerate(streams)}
    missing = [name for name in names if name not in known]
    if missing:
        raise CorruptStore(f"{part.where}: the feed's registry does not know stream {missing[0]!r}; run: mdtool verify")
    return np.array([known[name] for name in names], np.uint16)

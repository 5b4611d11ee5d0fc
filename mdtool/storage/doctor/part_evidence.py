"""What one part says: its file against the registry, its metadata, and of a damaged one the records still proven.

A part's entry in feed.bin has the CRC of the whole file as it was read back and found right when it was sealed, so a
file that matches is proven without decoding it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdtool.errors import ChunkUnavailable, CorruptStore, StoreError
from mdtool.kernel.journal import crc32c, fill_crcs
from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, Progress
from mdtool.storage.doctor.flaws import Flaw, FlawKind
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.untrusted import Bytes, Rows
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.archive import is_ours, place_of, places_of
from mdtool.storage.parts.place import LocalPlace, PartPlace, part_name
from mdtool.units import count

if TYPE_CHECKING:
    from mdtool.storage.parts.part import Manifest, Part

# What a file that is no part makes its reader raise: Arrow's own exceptions are ValueError, OSError and the like, and
# metadata that parses as something else fails as Python does.
GARBAGE = (
    CorruptStore, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, MemoryError,
    NotImplementedError, UnicodeError,
)  # fmt: skip
_FIGURES = ("epoch", "rows", "heap_bytes", "min_ns", "max_ns", "created_ns", "closed_ns")


@dataclass(slots=True)
class PartEvidence:
    """What is known of one part that entries of feed.bin name."""

    number: int
    name: str
    where: str
    slots: list[Slot]
    missing: bool = False  # not there, or something of another's is there in its place
    another: bool = False  # which it says itself
    faults: list[tuple[FlawKind, str, str]] = field(default_factory=list)  # what, found, expected
    manifest: Manifest | None = None
    highest_session: int = 0


def parts_of(slots: Sequence[Slot | None]) -> dict[int, list[Slot]]:
    """The slots whose chunks are in parts, by part."""
    found: dict[int, list[Slot]] = {}
    for slot in slots:
        if slot is not None and slot.location == Location.PART and slot.state == ChunkState.SEALED:
            found.setdefault(slot.part, []).append(slot)
    return found


def examine_part(
    feed: FeedInfo, number: int, slots: list[Slot], streams: Sequence[str | None], progress: Progress
) -> PartEvidence:
    """One part, every byte of it. Raises nothing for what it holds."""
    seen = PartEvidence(number, part_name(number, slots[0].min_ns), "", slots)
    try:
        place = place_of(feed)
        seen.where = place.where(seen.name)
        if place.size(seen.name) is None:
            seen.missing = True
            rows = sum(slot.rows for slot in slots)
            seen.faults.append((FlawKind.MISSING, f"part {number} is not there", f"its {count(rows, 'record')}"))
            return seen
        whole = _compare_file(seen, place)
        with closing(_open(place, seen)) as part:
            seen.manifest = part.manifest
            _compare_manifest(seen, feed, streams)
            if seen.another:
                return seen
            seen.highest_session = part.highest_session()
            if not whole:
                _compare_rows(seen, part)
    except (ChunkUnavailable, StoreError) as error:
        kind = FlawKind.CRC if isinstance(error, CorruptStore) else FlawKind.UNREADABLE
        seen.faults.append((kind, _line(error), "a part that can be read"))
    except GARBAGE as error:
        seen.faults.append((FlawKind.CRC, f"it does not read as Parquet ({_line(error)[:100]})", "a part"))
    for slot in slots:
        progress(slot.rows, slot.heap_bytes)
    return seen


def _open(place: PartPlace, seen: PartEvidence) -> Part:
    from mdtool.storage.parts.part import Part

    return Part(place.open(seen.name), seen.where)


def _open_as_sealed(place: PartPlace, seen: PartEvidence) -> Part:
    """The part without what may have come behind it: a Parquet file is read from its end."""
    from pyarrow import BufferReader, OSFile

    from mdtool.storage.parts.part import Part

    size = max(slot.part_bytes for slot in seen.slots)
    if 0 < size < (place.size(seen.name) or 0) and Path(seen.where).is_file():
        with OSFile(seen.where) as file:
            return Part(BufferReader(file.read_buffer(size)), seen.where)
    return _open(place, seen)


def _compare_file(seen: PartEvidence, place: PartPlace) -> bool:
    """Whether the file is the one that was sealed; False too where its entry is from before that was kept."""
    from mdtool.storage.parts.part import file_checksum

    size, crc = file_checksum(place, seen.name)
    known = {(slot.part_bytes, slot.part_crc32c) for slot in seen.slots if slot.part_bytes}
    if not known:
        return False
    if known != {(size, crc)}:
        expected, expected_crc = min(known)
        seen.faults.append(
            (
                FlawKind.CRC,
                f"{count(size, 'byte')} with checksum {crc:08x}",
                f"{expected:,} with {expected_crc:08x}, as sealed",
            )
        )
        return False
    return True


def _compare_manifest(seen: PartEvidence, feed: FeedInfo, streams: Sequence[str | None]) -> None:
    said = seen.manifest
    assert said is not None
    if (said.store, said.feed_id) != (feed.store_id, feed.feed_id):
        seen.missing = seen.another = True
        found = f"is part {said.part} of {said.feed} of store {said.store}"
        seen.faults = [(FlawKind.FOREIGN, found, f"part {seen.number} of {feed.name}")]
        return
    if said.part != seen.number:
        seen.faults.append(
            (FlawKind.HEADER, f"is part {said.part} of {said.feed}", f"part {seen.number} of {feed.name}")
        )
    known = [name for name in said.streams if name not in streams]
    if known and None not in streams:
        seen.faults.append((FlawKind.FIGURES, f"has a stream {known[0]!r}", "streams that feed.bin names"))
    ours = [slot.chunk_id for slot in seen.slots]
    theirs = [chunk.chunk_id for chunk in said.chunks]
    if ours != theirs:
        seen.faults.append((FlawKind.FIGURES, f"holds chunks {theirs}", f"{ours}, as feed.bin says"))
        return
    for slot, chunk in zip(seen.slots, said.chunks, strict=True):
        for name in _FIGURES:
            if getattr(slot, name) != getattr(chunk, name):
                seen.faults.append(
                    (FlawKind.FIGURES, f"its chunk {slot.chunk_id} has {name} {getattr(chunk, name)}",
                     f"{getattr(slot, name)}, as feed.bin says")
                )  # fmt: skip
        if slot.rows_crc32c and slot.rows_crc32c != chunk.crc32c:
            seen.faults.append((FlawKind.FIGURES, f"its checksum of chunk {slot.chunk_id}", "the one feed.bin has"))


def _compare_rows(seen: PartEvidence, part: Part) -> None:
    if bad := part.damaged():
        seen.faults.append((FlawKind.CRC, f"chunks {bad} read other than they were sealed", "their records"))


def part_findings(feed: FeedInfo, seen: PartEvidence) -> Iterator[Flaw]:
    for what, found, expected in seen.faults:
        todo = f"run: mdtool repair {feed.name}"
        if what == FlawKind.UNREADABLE:
            todo = "see to its archive, then run it again"
        elif what in (FlawKind.MISSING, FlawKind.FOREIGN):
            todo = f"bring it back; if it is lost for good, run: mdtool repair --gone {feed.name}"
        yield Flaw(feed.name, seen.where, what, found, expected, todo)


def elsewhere(feed: FeedInfo, seen: PartEvidence) -> str | None:
    """Where a part that is not in its place is all the same: set aside, put away, or in another place of the feed's."""
    from mdtool.storage.parts.part import file_checksum

    known = {(slot.part_bytes, slot.part_crc32c) for slot in seen.slots}
    for place in places_of(feed):
        for name in place.like(seen.name):
            with suppress(*GARBAGE, StoreError):
                if place.size(name) in {size for size, _ in known} and file_checksum(place, name) in known:
                    return place.where(name)
    base = Path(seen.name).name
    own = LocalPlace(feed.directory)
    for folder in ("repaired", "trash"):
        for path in sorted((feed.directory / folder).rglob(f"{base}*")):
            with suppress(*GARBAGE, StoreError):
                if file_checksum(own, str(path.relative_to(feed.directory))) in known:
                    return str(path)
    return None


def salvage(feed: FeedInfo, seen: PartEvidence, streams: Sequence[str]) -> Iterator[tuple[Slot, ChunkEvidence]]:
    """Each chunk of a damaged part with the rows that are proven, the others bad: by the checksum of the chunk, or,
    where pages cannot be read, by those of the pages that can."""
    try:
        part = _open_as_sealed(place_of(feed), seen)
    except (*GARBAGE, StoreError):
        for slot in seen.slots:
            yield slot, _evidence(slot, np.zeros(slot.rows, layout.ROW), b"", list(range(slot.rows)))
        return
    with closing(part):
        numbers = {chunk.chunk_id: number for number, chunk in enumerate(part.manifest.chunks)}
        ids = {number: streams.index(name) for number, name in enumerate(part.manifest.streams) if name in streams}
        for slot in seen.slots:
            found = _chunk(part, slot, numbers.get(slot.chunk_id), ids)
            yield slot, found or _evidence(slot, np.zeros(slot.rows, layout.ROW), b"", list(range(slot.rows)))


def _chunk(part: Part, slot: Slot, number: int | None, ids: dict[int, int]) -> ChunkEvidence | None:
    """The rows of one chunk, those of unreadable row groups as zeros; None where nothing of it is proven."""
    if number is None or part.manifest.chunks[number].rows != slot.rows:
        return None
    rows = np.zeros(slot.rows, layout.ROW)
    heap = bytearray()
    bad: list[int] = []
    proof = 0
    for start, stop, read in part.pieces(number):
        try:
            own, payload = read()
        except GARBAGE:
            bad += range(start, stop)
            continue
        moved = own.copy()
        first = int(own[0]["offset"]) if len(own) else 0
        moved["offset"] = (own["offset"].astype(np.int64) - first + len(heap)).astype(np.uint64)
        length = int(own["length"].sum(dtype=np.int64))
        data = bytes(payload[first : first + length])
        fill_crcs(moved, memoryview(data), len(heap))
        proof = crc32c(moved, proof)
        heap += data
        rows[start:stop] = moved
    known = slot.rows_crc32c or part.manifest.chunks[number].crc32c
    if not bad and proof != known:
        return None
    missing = [number for number in np.unique(rows["stream"]).tolist() if number not in ids]
    if missing:
        return None
    if any(ids[number] != number for number in ids):
        rows["stream"] = np.array([ids.get(n, 0) for n in range(max(ids) + 1)], np.uint16)[rows["stream"]]
        fill_crcs(rows, memoryview(bytes(heap)), 0)
    return _evidence(slot, rows, bytes(heap), bad)


def _evidence(slot: Slot, rows: Rows, heap: bytes, bad: list[int]) -> ChunkEvidence:
    nowhere = Path("part")
    index = Bytes(nowhere, bytes(layout.PAGE) + rows.tobytes())
    return ChunkEvidence(
        slot.chunk_id, index, Bytes(nowhere, heap), None, "", True, count=len(rows), claimed=slot.rows, bad=bad
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split(";")[0].split())


def unnamed_parts(feed: FeedInfo, slots: Sequence[Slot | None]) -> list[str]:
    """Names of parts that no entry of feed.bin names. Raises StoreError where its archive cannot be looked at."""
    place = place_of(feed)
    named = {part_name(s.part, s.min_ns) for s in slots if s is not None and s.location == Location.PART}
    return [name for name in place.names() if name not in named]


def is_anothers(feed: FeedInfo, name: str) -> bool:
    """Whether what stands under a part's name says that it is another feed's or store's."""
    return is_ours(feed, place_of(feed), name) is False


def manifest_of(feed: FeedInfo, name: str) -> Manifest | None:
    """A part's metadata where it is this feed's; None where it is not, or cannot be read."""
    try:
        place = place_of(feed)
        from mdtool.storage.parts.part import Part

        with closing(Part(place.open(name), place.where(name))) as part:
            said = part.manifest
            mine = (said.store, said.feed_id) == (feed.store_id, feed.feed_id)
            return said if mine and part_name(said.part, said.chunks[0].min_ns) == name else None
    except (*GARBAGE, StoreError):
        return None


def fingerprint_of(feed: FeedInfo, name: str) -> tuple[int, int] | None:
    """Size and checksum of a part whose every record reads as it was sealed; None where one does not."""
    from mdtool.storage.parts.part import Part, file_checksum

    try:
        place = place_of(feed)
        with closing(Part(place.open(name), place.where(name))) as part:
            return None if part.damaged() else file_checksum(place, name)
    except (*GARBAGE, StoreError):
        return None


def highest_session_in(feed: FeedInfo, slots: Sequence[Slot]) -> int:
    """The highest session of the records in the feed's parts, as far as they can be read."""
    from mdtool.storage.parts.part import Part

    highest = 0
    for number, own in parts_of(slots).items():
        try:
            place = place_of(feed)
            name = part_name(number, own[0].min_ns)
            with closing(Part(place.open(name), place.where(name))) as part:
                highest = max(highest, part.highest_session())
        except (*GARBAGE, StoreError):
            continue
    return highest

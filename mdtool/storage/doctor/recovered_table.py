"""What feed.bin should hold: its chunk table and stream names worked out from the chunks and parts that are there.

Rule: what proves itself is taken as it is, what does not is put together from the files' own heads, and what nobody can
tell is said. Nothing is deleted; the damaged file is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mdtool.errors import StoreError
from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, Progress, examine_chunk, figures, no_progress
from mdtool.storage.doctor.feed_evidence import FeedEvidence
from mdtool.storage.doctor.part_evidence import fingerprint_of, manifest_of, parts_of, unnamed_parts
from mdtool.storage.doctor.registry_image import differs, image
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.spool_evidence import examine_spool, stands_for
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths
from mdtool.storage.journal.registry import FeedInfo
from mdtool.storage.parts.place import day_of, part_name
from mdtool.units import count

if TYPE_CHECKING:
    from mdtool.storage.parts.part import Manifest


@dataclass(frozen=True, slots=True)
class RepairAction:
    """One thing repair or a rebuild does, or leaves for a person to decide. `lost`: records that are gone, None where
    nobody knows how many."""

    feed: str
    where: str
    found: str
    does: str
    lost: int | None = 0
    left: bool = False  # nothing is done: `does` says why

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.does}"


@dataclass(slots=True)
class FeedTable:
    """What feed.bin is to hold."""

    slots: list[Slot]
    streams: list[str]
    seen: dict[int, ChunkEvidence]  # chunks with files of their own, by id
    spools: dict[int, ChunkEvidence] = field(default_factory=dict)  # copies of those whose shared memory is not there
    actions: list[RepairAction] = field(default_factory=list)
    adopted: set[int] = field(default_factory=set)
    part_streams: dict[int, str] = field(default_factory=dict)
    unreadable_parts: list[str] = field(default_factory=list)  # that no entry names


def recover_table(feed: FeedInfo, registry: FeedEvidence, progress: Progress = no_progress) -> FeedTable:
    """The feed's chunk table and stream names, from feed.bin as far as it proves itself and from the chunks besides.
    Reads every chunk."""
    where = str(registry.path)
    slots: dict[int, Slot] = {}
    broken: list[int] = []  # numbers of entries that are not to be had
    table = FeedTable([], [], {})
    for number, raw in enumerate([*registry.chunks.slots, *registry.chunks.behind]):
        slot = Slot.of(raw) if raw is not None else None
        if slot is None:
            broken.append(number)
        elif slot.chunk_id not in slots:
            slots[slot.chunk_id] = slot
    for slot in list(slots.values()):
        if slot.has_files:
            claimed = None if slot.state == ChunkState.LIVE else slot.rows
            seen = _examine(feed, slot.chunk_id, slot.location, claimed, progress)
            if seen.index.missing and (copy := _copy_of(feed, slot, progress)) is not None:
                slots[slot.chunk_id], seen = replace(slot, location=Location.DISK), copy
                found = f"chunk {slot.chunk_id} went with a boot of the machine"
                table.actions.append(RepairAction(feed.name, where, found, "its copy on disk is whole, and named now"))
            elif seen.index.missing or seen.heap.missing:
                spool = examine_spool(feed, slot, in_use=False, claimed=claimed)
                if spool is not None and stands_for(spool):
                    table.spools[slot.chunk_id] = spool
            table.seen[slot.chunk_id] = seen
    for number, raw in enumerate(registry.chunks.behind):
        slot = Slot.of(raw) if raw is not None else None
        if slot is None:
            continue
        alone = len(registry.chunks.behind) == 1 and slot.state == ChunkState.LIVE
        if alone and not len(table.seen[slot.chunk_id].good):
            slots.pop(slot.chunk_id)  # a writer died between the entry and its count: there is no record in it
            table.seen.pop(slot.chunk_id)
        else:
            table.actions.append(
                RepairAction(feed.name, f"{where} slot {len(registry.chunks.slots) + number}",
                       f"chunk {slot.chunk_id} stands behind the count", "counted")
            )  # fmt: skip
    _adopt_parts(feed, registry, slots, table)
    _adopt(feed, registry, slots, table, progress)
    _name_the_missing(feed, registry, slots, broken, table)
    table.slots = [slots[chunk_id] for chunk_id in sorted(slots)]
    table.streams = _streams(feed, registry, table)
    return table


def _examine(
    feed: FeedInfo, chunk_id: int, location: Location, claimed: int | None, progress: Progress
) -> ChunkEvidence:
    paths = chunk_paths(feed, chunk_id, location)
    return examine_chunk(feed.store_id, feed.feed_id, chunk_id, paths, claimed=claimed, in_use=False, progress=progress)


def _copy_of(feed: FeedInfo, slot: Slot, progress: Progress) -> ChunkEvidence | None:
    """The copy on disk of a chunk that was in shared memory, where it is whole and its entry alone was not renewed."""
    if slot.location != Location.SHM or slot.state != ChunkState.CLOSED or not slot.boot_is_over:
        return None
    seen = _examine(feed, slot.chunk_id, Location.DISK, slot.rows, progress)
    whole = seen.identity and not seen.heap.missing and not len(seen.bad) and len(seen.good) == slot.rows
    return seen if whole else None


def _adopt(
    feed: FeedInfo, registry: FeedEvidence, slots: dict[int, Slot], table: FeedTable, progress: Progress
) -> None:
    """Chunks that no entry names and that say themselves that they are this feed's."""
    found: dict[int, tuple[Location, ChunkEvidence]] = {}
    unproven: dict[int, tuple[Location, ChunkEvidence]] = {}  # something was written there; nothing says what
    for location in (Location.DISK, Location.SHM):
        folder = chunk_directory(feed, location)
        names = {path.stem for path in folder.glob("[0-9]*.*")} if folder.is_dir() else set()
        for name in sorted(names):
            if not name.isdecimal() or name != layout.chunk_name(int(name)) or int(name) in slots:
                continue
            seen = _examine(feed, int(name), location, None, progress)
            before = found.get(seen.chunk_id)
            holds = len(seen.good) or seen.claimed  # what it counts and cannot prove is a loss to be named
            if seen.identity and holds and (before is None or len(seen.good) > len(before[1].good)):
                found[seen.chunk_id] = (location, seen)
            elif seen.head is None and (len(seen.good) or _written(seen)):
                unproven[seen.chunk_id] = (location, seen)
    for chunk_id, (location, seen) in sorted(found.items()):
        slot = slot_of(seen, location)
        before_it = [slots[n].epoch for n in sorted(slots) if n < chunk_id][-1:]
        around = [*before_it, slot.epoch, *[slots[n].epoch for n in sorted(slots) if n > chunk_id][:1]]
        if around != sorted(around):
            table.actions.append(
                RepairAction(feed.name, str(seen.index.path),
                       f"{count(len(seen.good), 'record')} of epoch {slot.epoch}",
                       "left: its place among the other chunks cannot be told", left=True)
            )  # fmt: skip
            continue
        slots[chunk_id], table.seen[chunk_id] = slot, seen
        table.adopted.add(chunk_id)
        table.actions.append(
            RepairAction(feed.name, str(seen.index.path), f"{count(len(seen.good), 'record')} that no entry named",
                   f"entered in {registry.path.name} as chunk {chunk_id}")
        )  # fmt: skip

    if not _complete(registry):
        for chunk_id, (location, seen) in sorted(unproven.items()):
            if chunk_id not in slots and (near := _near(slots, chunk_id)) is not None:
                slots[chunk_id] = _unknown(near, chunk_id, location)
                table.seen[chunk_id] = seen
                table.actions.append(
                    RepairAction(feed.name, str(seen.index.path), "a chunk with a damaged head, and its entry lost",
                           f"entered in {registry.path.name} as chunk {chunk_id}")
                )  # fmt: skip
        _fill_gaps(feed, registry, slots, table)


def _fill_gaps(feed: FeedInfo, registry: FeedEvidence, slots: dict[int, Slot], table: FeedTable) -> None:
    """Entries for chunks that must have been, by the numbers around them or by a part that cannot be read."""
    where = str(registry.path)
    first = 1 if table.unreadable_parts else min(slots, default=0) + 1
    if first > 2:
        why = "removed by retention, or lost with their files: nothing tells"
        table.actions.append(RepairAction(feed.name, where, f"nothing names chunks 1 to {first - 2}", why, lost=None))
    gaps = [chunk_id for chunk_id in range(first, max(slots, default=0)) if chunk_id not in slots]
    for chunk_id in gaps:
        if (near := _near(slots, chunk_id)) is not None:
            _missing(feed, slots, table, near, chunk_id, where)
    if table.unreadable_parts and not gaps:
        # Nothing tells which chunks it held: they stand behind what is known, as one.
        day_ns = day_of(table.unreadable_parts[-1])
        last = max(slots, default=0)
        near = slots.get(last) or Slot(
            0, 1, ChunkState.LIVE, Location.DISK, ChunkFlag(0), 0, 0, 0, day_ns, day_ns, day_ns, day_ns, bytes(16)
        )
        _missing(feed, slots, table, replace(near, min_ns=day_ns, max_ns=day_ns), last + 1, where)


def _complete(registry: FeedEvidence) -> bool:
    """Whether feed.bin counts its entries and has as many: then what it does not name was never named."""
    return registry.head is not None and registry.chunks.count == len(registry.chunks.slots)


def _written(seen: ChunkEvidence) -> bool:
    """Whether anything was put into the heap: a chunk made and not yet used is blank."""
    data, block = seen.heap.data, 1 << 20
    return any(
        part.count(0) != len(part) for at in range(0, len(data), block) if (part := bytes(data[at : at + block]))
    )


def _near(slots: Mapping[int, Slot], chunk_id: int) -> Slot | None:
    """The entry before, else the one behind."""
    before = [n for n in slots if n < chunk_id]
    return slots[max(before)] if before else slots[min(slots)] if slots else None


def _unknown(near: Slot, chunk_id: int, location: Location) -> Slot:
    """An entry for a chunk of which nobody knows how many records it had."""
    at_ns = near.max_ns if near.chunk_id < chunk_id else near.min_ns
    return replace(
        near, chunk_id=chunk_id, state=ChunkState.LIVE, location=location, flags=ChunkFlag(0), part=0, rows=0,
        heap_bytes=0, min_ns=at_ns, max_ns=at_ns, boot=bytes(16), part_bytes=0, part_crc32c=0, rows_crc32c=0,
    )  # fmt: skip


def _missing(feed: FeedInfo, slots: dict[int, Slot], table: FeedTable, near: Slot, chunk_id: int, where: str) -> None:
    slots[chunk_id] = _unknown(near, chunk_id, Location.DISK)
    table.seen[chunk_id] = _examine(feed, chunk_id, Location.DISK, None, no_progress)
    table.actions.append(
        RepairAction(feed.name, where, f"no entry of chunk {chunk_id}, and no file of it", "entered as missing")
    )


def _adopt_parts(feed: FeedInfo, registry: FeedEvidence, slots: dict[int, Slot], table: FeedTable) -> None:
    """Chunks that no entry names, or whose entry names files that are gone, and that a part says it holds."""
    try:
        unnamed = unnamed_parts(feed, list(slots.values()))
    except StoreError as error:
        table.actions.append(
            RepairAction(feed.name, feed.archive, str(error), "left: its parts cannot be seen", left=True)
        )
        return
    strays = list(unnamed)
    damaged = any(name is None for name in registry.streams) or registry.head is None or not registry.streams
    for number, own in parts_of(list(slots.values())).items() if damaged or registry.chunks.damaged else []:
        strays.append(part_name(number, own[0].min_ns))  # named for some of its chunks, and perhaps not for all
    for name in strays:
        said = manifest_of(feed, name)
        if said is None:
            if name in unnamed:
                table.unreadable_parts.append(name)
            continue
        table.part_streams |= dict(enumerate(said.streams))
        if any(not one.index.missing for one in _files_of(said, slots, table)):
            continue  # a sealing that was cut short: the next one finishes it
        new = [one for one in said.chunks if one.chunk_id not in slots or slots[one.chunk_id].has_files]
        proof = fingerprint_of(feed, name) if new else None
        if proof is None and any(chunk.chunk_id in slots for chunk in new):
            continue  # damaged: what it holds of them is not proven
        for chunk in new:
            table.seen.pop(chunk.chunk_id, None)
            fields = asdict(chunk)
            fields |= {"flags": ChunkFlag(chunk.flags), "rows_crc32c": fields.pop("crc32c")}
            size, crc = proof or (0, 0)
            slots[chunk.chunk_id] = Slot(
                state=ChunkState.SEALED, location=Location.PART, part=said.part, boot=bytes(16),
                part_bytes=size, part_crc32c=crc, **fields,
            )  # fmt: skip
            table.adopted.add(chunk.chunk_id)
            table.actions.append(
                RepairAction(feed.name, name, f"{count(chunk.rows, 'record')} that no entry named",
                       f"entered in {registry.path.name} as chunk {chunk.chunk_id}")
            )  # fmt: skip


def _files_of(said: Manifest, slots: Mapping[int, Slot], table: FeedTable) -> list[ChunkEvidence]:
    """The files of those of a part's chunks that by their entry have some."""
    ids = (chunk.chunk_id for chunk in said.chunks)
    return [table.seen[chunk_id] for chunk_id in ids if chunk_id in slots and slots[chunk_id].has_files]


def slot_of(seen: ChunkEvidence, location: Location) -> Slot:
    """An entry for a chunk that has lost its own, from its head and rows."""
    assert seen.head is not None  # its identity has been proven
    closed = seen.state == ChunkState.CLOSED and seen.closed_ns == seen.heartbeat_ns
    found = figures(seen.good)
    flags = ChunkFlag.ORDERED if found.pop("ordered") else ChunkFlag(0)
    found["rows"] = seen.claimed
    found = {"min_ns": int(seen.head["created_ns"]), "max_ns": int(seen.head["created_ns"])} | found
    return Slot(
        state=ChunkState.CLOSED,
        location=location,
        flags=flags if closed else flags | ChunkFlag.UNCLEAN,
        chunk_id=seen.chunk_id,
        epoch=int(seen.head["epoch"]),
        part=0,
        created_ns=int(seen.head["created_ns"]),
        closed_ns=seen.closed_ns if closed else seen.heartbeat_ns & (1 << 63) - 1,
        boot=bytes(16),
        **found,
    )


def _name_the_missing(
    feed: FeedInfo, registry: FeedEvidence, slots: dict[int, Slot], broken: list[int], table: FeedTable
) -> None:
    """A damaged entry whose chunk has no file either: where the numbers around it leave one chunk only, it keeps an
    entry, so that readers stop there and repair can name the loss."""
    raws = [*registry.chunks.slots, *registry.chunks.behind]
    for number in broken:
        known = [slot for raw in raws[:number] if raw is not None and (slot := Slot.of(raw)) is not None]
        later = [slot for raw in raws[number + 1 :] if raw is not None and (slot := Slot.of(raw)) is not None]
        low = known[-1].chunk_id if known else 0
        high = later[0].chunk_id if later else max(slots, default=0) + 1
        between = [n for n in range(low + 1, min(high, low + 1000)) if n not in slots]
        if any(n in table.adopted for n in range(low + 1, min(high, low + 1000))) and len(between) != 1:
            continue  # adopted: the entry is that of a chunk that is there
        where = f"{registry.path} slot {number}"
        # What went without a record in it was made ready and not needed, and says nothing of what is older.
        went = next((slot.state == ChunkState.TRASHED for slot in later if slot.rows), False)
        if went:
            table.actions.append(RepairAction(feed.name, where, "damaged, and older than what is kept", "left out"))
        elif len(between) == 1:
            _missing(feed, slots, table, known[-1] if known else later[0], between[0], where)
        elif between or not table.adopted:
            table.actions.append(
                RepairAction(feed.name, where, "damaged, and no file tells which chunk it was", "left out", lost=None)
            )


def _streams(feed: FeedInfo, registry: FeedEvidence, table: FeedTable) -> list[str]:
    """Every stream's name: feed.bin's own, else as the chunks say, else by its number."""
    names: dict[int, str] = {n: name for n, name in enumerate(registry.streams) if name is not None}
    names |= {len(registry.streams) + n: name for n, name in enumerate(registry.streams_behind) if name is not None}
    highest = max(names, default=-1)
    from_chunks: dict[int, str] = dict(table.part_streams)
    from_damaged: dict[int, str] = {}  # each name proves itself, though the head beside it does not say whose it is
    for seen in (*table.seen.values(), *table.spools.values()):
        if seen.identity:
            from_chunks = {**seen.names.by_id, **from_chunks}
        elif seen.head is None:
            from_damaged = {**seen.names.by_id, **from_damaged}
        if len(rows := seen.good):
            highest = max(highest, int(rows["stream"].max()))
    from_chunks = {**from_damaged, **from_chunks}
    highest = min(max([highest, *from_chunks, len(registry.streams) - 1]), layout.MAX_STREAMS - 1)
    made = []
    for number in range(highest + 1):
        name = names.get(number)
        if name is None:
            name = from_chunks.get(number, f"stream-{number}")
            source = "its chunks say" if number in from_chunks else "nothing says: that is its number"
            table.actions.append(
                RepairAction(
                    feed.name, f"{registry.path} stream {number}", "its name is lost", f"called {name!r}, as {source}"
                )
            )
        made.append(name)
    return made


def renewed_image(feed: FeedInfo, registry: FeedEvidence, table: FeedTable) -> bytes | None:
    """feed.bin as it is to be; None where it is so already."""
    if registry.file.missing and not table.slots:
        return None  # known, and not written yet: its writer makes it
    created_ns = int(registry.head["created_ns"]) if registry.head is not None else feed.created_ns
    new = image(feed, created_ns, table.slots, table.streams)
    return new if differs(registry, new) else None


def put_right(feed: FeedInfo, registry: FeedEvidence) -> RepairAction:
    """What is said where entries and names are all there and the rest is not."""
    return RepairAction(
        feed.name, str(registry.path), registry.why or "its counts or settings are not whole", "put right"
    )


def names_of(streams: list[str]) -> Mapping[int, str]:
    return dict(enumerate(streams))


def highest_session(table: FeedTable) -> int:
    """The highest session a record of the feed carries."""
    every = (*table.seen.values(), *table.spools.values())
    found = (int(np.max(rows["session"])) for seen in every if len(rows := seen.good))
    return max(found, default=0)

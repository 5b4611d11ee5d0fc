"""One feed made whole again, keeping what is taken out of use: the only code that shortens anything.

Rule: every record that proves itself stays, byte for byte and where it was; what is lost is named in a NOTE record in
its place. A plan is made first and printed as it is, so that a dry run says exactly what the run then does. Done twice,
the second time finds nothing to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mdtool.clock import Clock, SystemClock
from mdtool.errors import FeedLocked, StoreError
from mdtool.model import SESSION_STREAM
from mdtool.storage.doctor.chunk_evidence import ChunkEvidence, Progress, examine_chunk, no_progress
from mdtool.storage.doctor.chunk_findings import chunk_findings, runs_of, temporary
from mdtool.storage.doctor.feed_evidence import FeedEvidence, examine_feed
from mdtool.storage.doctor.flaws import FlawKind
from mdtool.storage.doctor.mended_chunk import Mended, closed, lost_chunk, mend, write
from mdtool.storage.doctor.part_evidence import (
    PartEvidence,
    elsewhere,
    examine_part,
    is_anothers,
    parts_of,
    salvage,
    unnamed_parts,
)
from mdtool.storage.doctor.quarantine import Quarantine
from mdtool.storage.doctor.recovered_table import (
    FeedTable,
    RepairAction,
    names_of,
    put_right,
    recover_table,
    renewed_image,
)
from mdtool.storage.doctor.registry_image import keeps_numbers, write_image
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.spool_evidence import examine_spool, healed, stands_for
from mdtool.storage.doctor.verify import CHUNK_FILE, NOTHING_LOST, orphan_text
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkState, Location
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths, leave_shm
from mdtool.storage.journal.locks import is_written, lock_writer, maintaining
from mdtool.storage.journal.registry import FeedInfo, denied_of
from mdtool.storage.parts.archive import own_place, place_of
from mdtool.storage.reading import cursor
from mdtool.units import count

Step = Callable[[Quarantine], None]
MOST_NAMED = 5  # runs of lost rows that are named one by one


@dataclass(slots=True)
class RepairPlan:
    """What is to be done to one feed, in words and as steps."""

    feed: FeedInfo
    actions: list[RepairAction] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def add(self, where: Path | str, found: str, does: str, lost: int | None = 0, *, left: bool = False) -> None:
        self.actions.append(RepairAction(self.feed.name, str(where), found, does, lost, left))


def repair(
    feed: FeedInfo,
    *,
    gone: bool = False,
    dry_run: bool = False,
    clock: Clock | None = None,
    progress: Progress = no_progress,
) -> list[RepairAction]:
    """Make a feed whole, and say what that took. `gone`: files that are not there are taken for lost, and named so in
    the feed; without it they are left, as they may yet come back. `dry_run`: only say it. Raises FeedLocked while the
    feed is being written or maintained."""
    if (path := denied_of(feed)) is not None:
        return [RepairAction(feed.name, str(path), "permission denied", "left: this user may not read it", left=True)]
    if not feed.directory.is_dir():
        return []
    if dry_run:
        if is_written(feed.directory):
            raise FeedLocked(f"{feed.name} is being written: stop that first, or name other feeds")
        return plan(feed, gone=gone, progress=progress).actions
    with ExitStack() as held:
        held.callback(lock_writer(feed).release)
        held.enter_context(maintaining(feed, wait=False))
        made = plan(feed, gone=gone, progress=progress)
        if made.steps:
            quarantine = Quarantine(feed.directory, (clock or SystemClock()).now_ns())
            quarantine.open({"feed": feed.name, "actions": [asdict(action) for action in made.actions]})
            for step in made.steps:
                step(quarantine)
            leave_shm(feed)
    return made.actions


def plan(feed: FeedInfo, *, gone: bool = False, progress: Progress = no_progress) -> RepairPlan:
    """What there is to do. Changes nothing."""
    registry = examine_feed(feed.directory, in_use=False)
    table = recover_table(feed, registry, progress)
    made = RepairPlan(feed, list(table.actions))
    before = list(table.slots)
    mended: list[tuple[Slot, ChunkEvidence, Mended]] = []
    for number, slot in enumerate(table.slots):
        if slot.has_files and (new := _chunk(made, table, slot, gone=gone)) is not None:
            mended.append((slot, table.seen[slot.chunk_id], new))
            table.slots[number] = new.slot
    parts = _parts(made, table, gone=gone, progress=progress)
    streams = names_of(table.streams)
    made.steps += [_write_chunk(feed, old, seen, new, streams) for old, seen, new in mended if not new.untouched]
    made.steps += [_write_out(feed, new, streams) for _, news in parts for new in news if not new.untouched]
    _registry(made, registry, table, renewed=table.slots != before)
    made.steps += [_part_aside(feed, seen) for seen, _ in parts if not seen.missing]
    _leftovers(made, table, {seen.name for seen, _ in parts})
    _cursors(made, table)
    return made


def _chunk(made: RepairPlan, table: FeedTable, slot: Slot, *, gone: bool) -> Mended | None:
    """What a chunk is to become; None where it is as it should be, or has to be left as it is."""
    seen, spool = table.seen[slot.chunk_id], table.spools.get(slot.chunk_id)
    found = list(chunk_findings(made.feed, slot, seen, in_use=False, streams=table.streams, spool=spool))
    if not found:
        return None
    where = f"{made.feed.name} chunk {slot.chunk_id}"
    what = found[0].found if len(found) == 1 else f"{found[0].found}, and {count(len(found) - 1, 'more finding')}"
    if any(one.what == FlawKind.UNREADABLE for one in found):
        made.add(where, what, "left: it cannot be read", left=True)
        return None
    if all(one.what == FlawKind.UNFINISHED for one in found) and slot.location == Location.DISK and not seen.behind:
        made.add(where, what, f"closed with its {count(seen.count, 'record')}")
        return Mended(closed(slot, seen, seen.rows), seen.rows, seen.heap.data, 0, b"", False, 0, 0, untouched=True)
    another = seen.head is not None and not seen.identity
    missing = seen.index.missing or seen.heap.missing or another
    if missing and not (gone or (slot.location == Location.SHM and slot.boot_is_over)):
        made.add(where, what, "left: it may yet come back; if not, repair with --gone", left=True)
        return None
    known = SESSION_STREAM in table.streams
    stream = table.streams.index(SESSION_STREAM) if known else len(table.streams) % layout.MAX_STREAMS
    no_index = slot.state == ChunkState.LIVE and seen.head is None and not seen.count
    if spool is not None:
        table.seen[slot.chunk_id] = spool
        new = mend(slot, spool, stream, is_copy=True)
    elif seen.bad and (beside := examine_spool(made.feed, slot, in_use=False)) is not None and stands_for(beside):
        seen = healed(seen, beside)
        new = mend(slot, seen, stream)
    elif seen.index.missing or another or no_index:
        what_is_gone = "shared memory" if slot.location == Location.SHM else "file"
        new = lost_chunk(slot, stream, f"its {what_is_gone} is gone")
    else:
        new = mend(slot, seen, stream)
    if new.notes and not known and stream:
        table.streams.append(SESSION_STREAM)
    if new.lost is None and spool is not None:
        kept = count(len(new.rows) - new.notes, "record")
        made.add(where, what, f"the copy is the chunk now: {kept} kept, and a NOTE that what came behind is lost", None)
    elif new.lost is None:
        made.add(where, what, "replaced by a NOTE that its records are lost", None)
    elif new.lost:
        runs = [f"{start}" if stop == start + 1 else f"{start} to {stop - 1}" for start, stop in runs_of(seen.bad)]
        rows = f" (row {', '.join(runs[:MOST_NAMED])}{' ...' if len(runs) > MOST_NAMED else ''})" if runs else ""
        notes = f"{new.notes:,} NOTE; {len(new.rows) - new.notes:,} kept"
        made.add(where, what, f"{counted(new.lost)} lost{rows}, named in {notes}", new.lost)
    else:
        made.add(where, what, f"put right with all of its {count(len(new.rows), 'record')}")
    return new


def counted(records: int) -> str:
    return count(records, "record is", "records are")


def _write_chunk(feed: FeedInfo, old: Slot, seen: ChunkEvidence, new: Mended, streams: Mapping[int, str]) -> Step:
    def step(quarantine: Quarantine) -> None:
        for file in (seen.index, seen.heap):
            if not file.missing:
                quarantine.keep(file.path)
        if old.location == Location.SHM:
            for path in chunk_paths(feed, old.chunk_id, Location.DISK):
                if path.exists():
                    quarantine.keep(path)  # a copy that was not finished; it stands until it is replaced
        write(feed, new, streams)

    return step


def _parts(
    made: RepairPlan, table: FeedTable, *, gone: bool, progress: Progress
) -> list[tuple[PartEvidence, list[Mended]]]:
    """Damaged parts: what of them is proven becomes chunks again, to be sealed anew."""
    found = []
    for number, slots in parts_of(table.slots).items():
        seen = examine_part(made.feed, number, slots, table.streams, progress)
        if not seen.faults:
            continue
        where, what = f"{made.feed.name} part {number}", seen.faults[0][1]
        if any(fault[0] == FlawKind.UNREADABLE for fault in seen.faults):
            made.add(where, what, "left: it cannot be read", left=True)
            continue
        if seen.missing and (there := elsewhere(made.feed, seen)) is not None:
            made.add(where, what, f"left: its records are in {there}: bring that back to its place", left=True)
            continue
        kept_chunks = [_kept_chunk(made.feed, slot) for slot in slots] if seen.missing else []
        if seen.missing and not gone and None in kept_chunks:
            made.add(where, what, "left: it may yet come back; if not, repair with --gone", left=True)
            continue
        known = SESSION_STREAM in table.streams
        stream = table.streams.index(SESSION_STREAM) if known else len(table.streams) % layout.MAX_STREAMS
        if seen.missing:
            news = [whole or lost_chunk(slot, stream, "its part is gone")
                    for slot, whole in zip(slots, kept_chunks, strict=True)]  # fmt: skip
        else:
            news = [replace(mend(slot, chunk, stream), rewrite_heap=True)
                    for slot, chunk in salvage(made.feed, seen, table.streams)]  # fmt: skip
        if any(new.notes for new in news) and not known and stream:
            table.streams.append(SESSION_STREAM)
        lost = sum(new.lost or 0 for new in news)
        kept = sum(len(new.rows) - new.notes for new in news)
        text = f"{counted(lost)} lost, named in {sum(new.notes for new in news):,} NOTE; " if lost else ""
        chunks = f"{count(len(news), 'chunk')} again" if len(news) > 1 else "a chunk again"
        made.add(where, what, f"{text}{kept:,} are {chunks}, to be sealed anew", lost)
        entries = {slot.chunk_id: entry for entry, slot in enumerate(table.slots)}
        for slot, new in zip(slots, news, strict=True):
            table.slots[entries[slot.chunk_id]] = new.slot
        found.append((seen, news))
    return found


def _kept_chunk(feed: FeedInfo, slot: Slot) -> Mended | None:
    """The chunk a part was made of, where its files are still there and whole."""
    paths = chunk_paths(feed, slot.chunk_id, Location.DISK)
    seen = examine_chunk(feed.store_id, feed.feed_id, slot.chunk_id, paths, claimed=slot.rows, in_use=False)
    if not seen.identity or seen.heap.missing or seen.bad or len(seen.rows) != slot.rows:
        return None
    return Mended(closed(slot, seen, seen.rows), seen.rows, seen.heap.data, 0, b"", False, 0, 0, untouched=True)


def _write_out(feed: FeedInfo, new: Mended, streams: Mapping[int, str]) -> Step:
    def step(quarantine: Quarantine) -> None:
        for path in chunk_paths(feed, new.slot.chunk_id, Location.DISK):
            if os.path.lexists(path):
                quarantine.take(path)
        write(feed, new, streams)

    return step


def _part_aside(feed: FeedInfo, seen: PartEvidence) -> Step:
    """After the registry has stopped naming it."""

    def step(quarantine: Quarantine) -> None:
        own = own_place(feed).path(seen.name)
        if str(own) == seen.where:
            quarantine.take(own, seen.name)
        else:
            quarantine.kept.append(place_of(feed).set_aside(seen.name))

    return step


def _registry(made: RepairPlan, registry: FeedEvidence, table: FeedTable, *, renewed: bool) -> None:
    """feed.bin, where it is not as it is to be."""
    if (new := renewed_image(made.feed, registry, table)) is None:
        return
    if not renewed and not table.actions:
        made.actions.append(put_right(made.feed, registry))
    in_place = keeps_numbers(made.feed, registry, table.slots)
    made.steps.append(lambda quarantine: write_image(registry.path, new, quarantine, in_place=in_place))


def _leftovers(made: RepairPlan, table: FeedTable, dealt_with: set[str]) -> None:
    """Files that belong to nothing: what no record is lost with goes aside, the rest is left for a person."""
    feed = made.feed
    slots = {slot.chunk_id: slot for slot in table.slots}
    for location in (Location.DISK, Location.SHM):
        folder = chunk_directory(feed, location)
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            named = CHUNK_FILE.fullmatch(path.name)
            if temporary(path):
                _aside(made, path, "half written by a process that died")
            if named is None or (path.suffix != ".idx" and path.with_suffix(".idx").exists()):
                continue
            slot = slots.get(int(named[1]))
            pair = [other for suffix in (".idx", ".dat") if os.path.lexists(other := path.with_suffix(suffix))]
            if slot is None:
                text = orphan_text(feed, int(named[1]), location)
                if text in NOTHING_LOST and not any(other.is_symlink() for other in pair):
                    _aside(made, path, text, pair)
                elif not any(action.where == str(path) for action in made.actions):
                    made.add(path, text, "left: look at it, then move it away", left=True)
            elif not slot.has_files or location not in (slot.location, Location.DISK):
                _aside(made, path, f"left where chunk {slot.chunk_id} is not any more", pair)
    try:
        strays = unnamed_parts(feed, table.slots)
    except StoreError:
        strays = []  # said already
    for name in strays:
        if name in dealt_with:
            continue
        part = PartEvidence(0, name, place_of(feed).where(name), [])
        if is_anothers(feed, name):
            made.add(part.where, "another feed's part", "left: look at it, then move it away", left=True)
            continue
        made.add(part.where, "a part that nothing names; what it holds is elsewhere, or cannot be read", "moved aside")
        made.steps.append(_part_aside(feed, part))
    for path in sorted(feed.directory.iterdir()):
        if temporary(path):
            _aside(made, path, "half written by a process that died")


def _aside(made: RepairPlan, path: Path, found: str, pair: list[Path] | None = None) -> None:
    if path.is_symlink() or not path.is_file():
        made.add(path, "no regular file", "left: look at it, then move it away", left=True)
        return
    made.add(path, found, f"moved to {feed_folder(made.feed)}")

    def step(quarantine: Quarantine) -> None:
        for one in pair or [path]:
            if os.path.lexists(one):
                quarantine.take(one)

    made.steps.append(step)


def feed_folder(feed: FeedInfo) -> str:
    return f"{feed.directory.name}/repaired"


def _cursors(made: RepairPlan, table: FeedTable) -> None:
    """A damaged cursor goes aside, so its owner starts anew; one that points nowhere goes to the next record kept."""
    slots = {slot.chunk_id: slot for slot in table.slots if slot.state != ChunkState.TRASHED}
    for info in cursor.cursors(made.feed):
        path = made.feed.directory / cursor.DIRECTORY / info.name
        if info.damaged:
            _aside(made, path, "neither of the cursor's slots is whole")
            continue
        chunk_id, row = info.position >> 32, info.position & 0xFFFFFFFF
        slot = slots.get(chunk_id)
        if not info.position or (slot is not None and (slot.state == ChunkState.LIVE or row <= slot.rows)):
            continue
        if slot is not None:
            target = (chunk_id << 32) | slot.rows
        else:
            later = min((n for n in slots if n > chunk_id), default=None)
            last = max(slots, default=None)
            target = later << 32 if later is not None else (last << 32) | slots[last].rows if last is not None else 0
        made.add(path, f"stands at row {row:,} of chunk {chunk_id}, which is not kept",
                 f"moved to row {target & 0xFFFFFFFF:,} of chunk {target >> 32}")  # fmt: skip
        made.steps.append(_move_cursor(made.feed, path, info.name, target))


def _move_cursor(feed: FeedInfo, path: Path, name: str, target: int) -> Step:
    def step(quarantine: Quarantine) -> None:
        quarantine.keep(path, changing=True)
        with cursor.Cursor(feed, name, create=False, durable=True) as moved:
            moved.commit(target)

    return step

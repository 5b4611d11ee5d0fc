"""Every byte that can prove itself is asked to; every registry is held against the files it names.

Rule: only looks. What it finds are values; whatever the bytes, nothing is raised for them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from mdtool.errors import StoreError, UsageError
from mdtool.kernel.journal import crc32c
from mdtool.storage.doctor.chunk_evidence import Progress, examine_chunk, no_progress
from mdtool.storage.doctor.chunk_findings import (
    BLANK_IN_FEED,
    BLANK_IN_STORE,
    being_written,
    chunk_findings,
    stray,
    temporary,
    unnamed_streams,
)
from mdtool.storage.doctor.feed_evidence import FeedEvidence, examine_feed
from mdtool.storage.doctor.flaws import Checked, Flaw, FlawKind
from mdtool.storage.doctor.part_evidence import examine_part, is_anothers, part_findings, parts_of, unnamed_parts
from mdtool.storage.doctor.slot import Slot
from mdtool.storage.doctor.spool_evidence import examine_spool, spool_findings
from mdtool.storage.doctor.store_evidence import StoreEvidence, examine_store, parts_of_nobody
from mdtool.storage.doctor.untrusted import load
from mdtool.storage.format import layout
from mdtool.storage.format.layout import REGISTRY, ChunkFlag, ChunkState, Location
from mdtool.storage.journal.chunk import chunk_directory, chunk_paths
from mdtool.storage.journal.locks import can_be_undisturbed, is_written, undisturbed, wait_for_changes
from mdtool.storage.journal.registry import FeedInfo, denied_of, feed_info
from mdtool.storage.parts.archive import PARTS, own_place, place_of
from mdtool.storage.reading import cursor
from mdtool.units import count

REBUILD = "run: mdtool registry verify --rebuild"
STORE_NAMES = {REGISTRY, "feeds", PARTS, "trash", "repaired", "lost+found", layout.RUN}
FEED_NAMES = {"feed.bin", "writer.lock", "maintenance.lock", "live", "cursors", "trash", "repaired"}
DAY_FOLDER = re.compile(r"date=\d{4}-\d{2}-\d{2}")
CHUNK_FILE = re.compile(r"(\d{8,12})\.(idx|dat)")
SECOND_LOOK = 0.05  # seconds
MOVED = 5  # looks at a chunk that its writer was moving to disk


def verify(
    path: Path,
    names: Collection[str] | None = None,
    *,
    registries_only: bool = False,
    progress: Progress = no_progress,
) -> Checked:
    """Check the store in `path`: all of it, or the feeds called `names`.

    `registries_only`: the registries against themselves and each other, without reading chunks and parts.
    `progress(records, payload_bytes)` is called as it goes. Raises UsageError where there is no such feed.
    """
    checked = Checked()
    store = examine_store(path)
    if names is not None and (unknown := set(names) - {feed.name for feed in store.feeds}):
        raise UsageError(f"{path}: no feed {sorted(unknown)[0]!r} in its registry or below feeds/")
    if names is None:
        checked.findings += store_findings(store)
    highest = 0
    for feed in store.feeds:
        if names is None or feed.name in names:
            highest = max(highest, _check(feed, store, checked, registries_only, progress))
    next_session = examine_store(path).next_session  # sessions may have been given in the meantime
    if names is None and highest >= next_session and store.head is not None:
        checked.findings.append(
            Flaw("", str(store.file.path), FlawKind.FIGURES, f"next session {next_session}",
                    f"more than {highest}, which records carry", REBUILD)
        )  # fmt: skip
    return checked


def _check(feed: FeedInfo, store: StoreEvidence, checked: Checked, registries_only: bool, progress: Progress) -> int:
    """One feed; returns the highest session its records carry."""
    if (path := denied_of(feed)) is not None:
        checked.feeds += 1
        todo = "let this user read it, or run this as its owner"
        checked.findings.append(
            Flaw(feed.name, str(path), FlawKind.UNREADABLE, "permission denied", "to be read", todo)
        )
        return 0
    one, highest, held = _look(feed, store, registries_only, progress)
    if not held and can_be_undisturbed(feed.directory):  # somebody began to change it meanwhile
        one, highest, _ = _look(feed, store, registries_only, no_progress)
    checked.feeds += one.feeds
    checked.chunks += one.chunks
    checked.parts += one.parts
    checked.records += one.records
    checked.payload_bytes += one.payload_bytes
    checked.findings += one.findings
    return highest


def _look(feed: FeedInfo, store: StoreEvidence, registries_only: bool, progress: Progress) -> tuple[Checked, int, bool]:
    """What is found in one feed, the highest session of its records, and whether its closed chunks and parts were kept
    from changing meanwhile."""
    with undisturbed(feed.directory) as held:
        one, before = Checked(), _signs(feed)
        highest = _Feed(feed, store, one, progress).check(registries_only)
        if one.findings and (before[0] or before != _signs(feed)):
            # A second look tells damage, which stays, from what a writer, or who makes the feed known, was about to do.
            wait_for_changes(store.file.path)
            time.sleep(SECOND_LOOK)
            first, one = set(one.findings), Checked()
            highest = _Feed(feed, store, one, no_progress).check(registries_only)
            one.findings = [finding for finding in one.findings if finding in first]
    return one, highest, held


def _signs(feed: FeedInfo) -> tuple[bool, int]:
    """Whether the feed is being written, and what tells afterwards that it has been meanwhile."""
    return is_written(feed.directory), crc32c(load(feed.directory / "feed.bin").data)


def store_findings(store: StoreEvidence) -> Iterator[Flaw]:
    """What is wrong with registry.bin and with what lies beside it."""
    where = str(store.file.path)

    def finding(what: FlawKind, found: str, expected: str, at: str = where, todo: str = REBUILD) -> Flaw:
        return Flaw("", at, what, found, expected, todo)

    if store.file.error is not None:
        yield finding(FlawKind.MISSING, store.why, "the store's registry")
    elif store.head is None:
        yield finding(FlawKind.HEADER, store.why, "the head of a store's registry")
    else:
        if (at := stray(bytes(store.file.data[: layout.PAGE]), BLANK_IN_STORE)) is not None:
            yield finding(FlawKind.HEADER, f"byte {at} is set", "0")
        if store.next_session >> 32:
            yield finding(FlawKind.COUNT, f"next session {store.next_session}", "32 bits")
    if store.file.error is None:
        for number in store.table.damaged:
            yield finding(FlawKind.HEADER, "its checksum does not hold", "a feed", f"{where} slot {number}")
        for number in store.nonsense:
            yield finding(FlawKind.HEADER, "it says what cannot be", "a feed", f"{where} slot {number}")
        if store.table.count != len(store.table.slots):
            yield finding(FlawKind.COUNT, f"{count(store.table.count, 'feed')} counted", f"{len(store.table.slots):,}")
        if store.table.behind:
            yield finding(FlawKind.COUNT, f"{len(store.table.behind)} whole feed slots behind the count", "none")
    for directory in store.strays:
        yield finding(FlawKind.ORPHAN, "a feed that the registry does not name", "its entry", str(directory))
    for feed in store.lost:
        parts = str(own_place(feed).root)
        yield finding(FlawKind.ORPHAN, "parts of a feed that the registry does not name", "its entry", parts)
    for entry in sorted(store.path.iterdir()) if store.path.is_dir() else []:
        if entry.name not in STORE_NAMES and not being_written(entry) and os.path.lexists(entry):
            yield foreign("", entry)
    for entry in parts_of_nobody(store):
        yield finding(FlawKind.FOREIGN, "parts of no feed", "none", str(entry), "look at it, then move it away")


def foreign(feed: str, path: Path) -> Flaw:
    if temporary(path):
        todo = f"run: mdtool repair {feed}" if feed else "look at it, then remove it"
        return Flaw(feed, str(path), FlawKind.UNFINISHED, "a file half written by a process that died", "none", todo)
    return Flaw(feed, str(path), FlawKind.FOREIGN, "no file of a store", "none", "look at it, then move it away")


class _Feed:
    """The check of one feed."""

    def __init__(self, feed: FeedInfo, store: StoreEvidence, checked: Checked, progress: Progress) -> None:
        self.feed = feed
        self.store = store
        self.checked = checked
        self.progress = progress
        self.repair = f"run: mdtool repair {feed.name}"
        if not (feed.directory / "feed.bin").exists():
            wait_for_changes(store.file.path)  # who makes a feed known makes its registry in the same go
        self.in_use = is_written(feed.directory)
        self.seen: FeedEvidence = examine_feed(feed.directory, in_use=self.in_use)
        self.slots = [Slot.of(slot) if slot is not None else None for slot in self.seen.chunks.slots]
        self.highest_session = 0

    def add(self, where: Path | str, what: FlawKind, found: str, expected: str, todo: str = "") -> None:
        self.checked.findings.append(Flaw(self.feed.name, str(where), what, found, expected, todo or self.repair))

    def check(self, registries_only: bool) -> int:
        """All of it; returns the highest session its records carry."""
        self.checked.feeds += 1
        self.registry()
        if not registries_only:
            for number, slot in enumerate(self.slots):
                if slot is not None and slot.has_files:
                    self.chunk(number, slot)
            self.parts()
            self.removals()
            self.directory()
        self.cursors()
        return self.highest_session

    def registry(self) -> None:
        seen, path = self.seen, self.seen.path
        if seen.file.error is not None:
            empty = seen.file.missing and not any(self.feed.directory.glob("live/[0-9]*"))
            being_made = any(being_written(path) for path in self.feed.directory.glob(".feed.bin.*"))
            if not (empty and (being_made or not self.feed.directory.exists())):
                self.add(path, FlawKind.MISSING, seen.why, "the feed's registry", REBUILD)
            return
        if seen.head is None:
            self.add(path, FlawKind.HEADER, seen.why, "the head of a feed's registry", REBUILD)
        elif bytes(seen.head["store_id"]).hex() != self.feed.store_id or int(seen.head["feed_id"]) != self.feed.feed_id:
            self.add(path, FlawKind.HEADER, "belongs to another feed or store", f"feed {self.feed.feed_id}", REBUILD)
        if (at := stray(bytes(seen.file.data[: layout.PAGE]), BLANK_IN_FEED)) is not None:
            self.add(path, FlawKind.HEADER, f"byte {at} is set", "0", REBUILD)
        if not self._settings_agree():
            self.add(path, FlawKind.FIGURES, "its copy of the settings", "those of registry.bin", REBUILD)
        for number in seen.chunks.damaged:
            self.add(f"{path} slot {number}", FlawKind.HEADER, "its checksum does not hold", "a chunk", REBUILD)
        for number, (raw, slot) in enumerate(zip(seen.chunks.slots, self.slots, strict=True)):
            if raw is not None and slot is None:
                self.add(f"{path} slot {number}", FlawKind.HEADER, "it says what cannot be", "a chunk", REBUILD)
        for number, name in enumerate(seen.streams):
            if name is None:
                self.add(f"{path} stream {number}", FlawKind.HEADER, "its checksum does not hold", "a name", REBUILD)
        counts = (
            ("chunks", seen.chunks.count, len(seen.chunks.slots)),
            ("streams", seen.streams_count, len(seen.streams)),
        )
        for what, said, there in counts:
            if said != there:
                self.add(path, FlawKind.COUNT, f"{said:,} {what} counted", f"{there:,}", REBUILD)
        for what, behind in (("chunk", seen.chunks.behind), ("stream", seen.streams_behind)):
            if behind:
                self.add(path, FlawKind.COUNT, f"{len(behind)} whole {what} slots behind the count", "none", REBUILD)
        last: Slot | None = None
        for number, slot in enumerate(self.slots):
            if slot is None:
                continue
            if last is not None and (slot.chunk_id <= last.chunk_id or slot.epoch < last.epoch):
                found = f"chunk {slot.chunk_id} of epoch {slot.epoch}"
                self.add(f"{path} slot {number}", FlawKind.FIGURES, found, f"a later one than {last.chunk_id}", REBUILD)
            last = slot

    def _settings_agree(self) -> bool:
        seen = self.seen
        copy = bytes(seen.file.data[layout.SETTINGS_AT : layout.SETTINGS_AT + layout.FEED_SLOT.itemsize])
        if not any(copy):
            return True  # from before there was one
        try:
            said = feed_info(seen.settings, self.store.path, self.feed.store_id) if seen.settings is not None else None
        except ValueError:
            return False
        # They may have been set since the registry was read.
        return said == self.feed or said in examine_store(self.store.path).registered.values()

    def chunk(self, number: int, slot: Slot) -> None:
        self.checked.chunks += 1
        for attempt in range(MOVED):
            spool = examine_spool(self.feed, slot, in_use=self.in_use)  # before the chunk, which by then has no less
            found = examine_chunk(
                self.feed.store_id, self.feed.feed_id, slot.chunk_id,
                chunk_paths(self.feed, slot.chunk_id, slot.location),
                claimed=None if slot.state == ChunkState.LIVE else slot.rows,
                in_use=self.in_use,
                progress=self.progress if not attempt else no_progress,
            )  # fmt: skip
            if not self.in_use:
                break
            # A writer closes a chunk, or moves it to disk, while it is looked at.
            now = Slot.of(raw) if (raw := self._slot_now(number)) is not None else None
            if now is None or now == slot:
                break
            slot = now
            if not slot.has_files:
                return
            time.sleep(0.01)
        rows = (spool if spool is not None and found.index.missing else found).good
        self.checked.records += len(rows)
        self.checked.payload_bytes += int(rows["length"].sum(dtype="u8")) if len(rows) else 0
        if len(rows):
            self.highest_session = max(self.highest_session, int(rows["session"].max()))
        streams = examine_feed(self.feed.directory, in_use=True).streams if self.in_use else self.seen.streams
        self.checked.findings += chunk_findings(
            self.feed, slot, found, in_use=self.in_use, streams=streams, spool=spool
        )
        if spool is not None:
            self.checked.findings += spool_findings(self.feed, found, spool)
        if (stream := unnamed_streams(found, len(streams))) is not None:
            self.add(
                found.index.path,
                FlawKind.FIGURES,
                f"records of stream {stream}",
                f"{count(len(streams), 'stream')}, as feed.bin says",
                REBUILD,
            )

    def _slot_now(self, number: int) -> np.void | None:
        slots = examine_feed(self.feed.directory, in_use=True).chunks.slots
        return slots[number] if number < len(slots) else None

    def parts(self) -> None:
        for number, slots in parts_of(self.slots).items():
            self.checked.parts += 1
            self.checked.chunks += len(slots)
            found = examine_part(self.feed, number, slots, self.seen.streams, self.progress)
            if not found.missing:
                self.checked.records += sum(slot.rows for slot in slots)
                self.checked.payload_bytes += sum(slot.heap_bytes for slot in slots)
            self.highest_session = max(self.highest_session, found.highest_session)
            self.checked.findings += part_findings(self.feed, found)
        try:
            strays = unnamed_parts(self.feed, self.slots)
        except (StoreError, OSError) as error:
            self.add(self.feed.archive, FlawKind.UNREADABLE, str(error), "its archive", "see to its archive")
            return
        for name in strays:
            where = place_of(self.feed).where(name)
            if is_anothers(self.feed, name):
                self.add(where, FlawKind.FOREIGN, "another feed's part", "none", "look at it, then move it away")
            else:
                self.add(where, FlawKind.ORPHAN, "a part that nothing names", "an entry of feed.bin", REBUILD)

    def removals(self) -> None:
        """Parts that a retention run has marked, and died before it took them away."""
        gone = (slot for slot in self.slots if slot is not None and slot.state == ChunkState.TRASHED)
        half = {slot.part for slot in gone if slot.location == Location.PART and not slot.flags & ChunkFlag.REMOVED}
        for number in sorted(half):
            todo = f"run: mdtool clean {self.feed.name}"
            self.add(self.feed.directory, FlawKind.UNFINISHED, f"part {number} is half removed", "it to be gone", todo)

    def directory(self) -> None:
        """What lies in the feed's directories and is named by nobody."""
        slots = {slot.chunk_id: slot for slot in self.slots if slot is not None}
        last = max(slots, default=0)
        for location in (Location.DISK, Location.SHM):
            folder = chunk_directory(self.feed, location)
            for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
                named = CHUNK_FILE.fullmatch(entry.name)
                if named is None:
                    waiting = entry.name.startswith((f"{layout.NEXT_CHUNK}.", f".{layout.NEXT_CHUNK}."))
                    if not waiting and not being_written(entry) and os.path.lexists(entry):
                        self.checked.findings.append(foreign(self.feed.name, entry))
                    continue
                slot = slots.get(int(named[1]))
                if slot is not None and slot.has_files and location in (slot.location, Location.DISK):
                    continue  # the chunk, or beside one in shared memory its copy
                if self.in_use and (slot.has_files if slot is not None else int(named[1]) > last):
                    continue  # being made, or on its way to disk
                if slot is not None:
                    self.add(entry, FlawKind.UNFINISHED, f"left where chunk {slot.chunk_id} is not any more", "none")
                elif entry.suffix == ".idx" or not entry.with_suffix(".idx").exists():
                    self.add(
                        entry, FlawKind.ORPHAN, orphan_text(self.feed, int(named[1]), location), "an entry of feed.bin"
                    )
        for entry in sorted(self.feed.directory.iterdir()) if self.feed.directory.is_dir() else []:
            known = entry.name in FEED_NAMES or DAY_FOLDER.fullmatch(entry.name)
            if not known and not being_written(entry) and os.path.lexists(entry):
                self.checked.findings.append(foreign(self.feed.name, entry))

    def cursors(self) -> None:
        slots = {slot.chunk_id: slot for slot in self.slots if slot is not None}
        try:
            infos = cursor.cursors(self.feed)
        except (StoreError, OSError) as error:
            self.add(self.feed.directory / cursor.DIRECTORY, FlawKind.UNREADABLE, str(error), "the feed's cursors")
            return
        for info in infos:
            where = self.feed.directory / cursor.DIRECTORY / info.name
            chunk_id, row = info.position >> 32, info.position & 0xFFFFFFFF
            slot = slots.get(chunk_id)
            if info.damaged:
                self.add(where, FlawKind.CURSOR, "neither of its slots is whole", "a cursor of this feed")
            elif not info.position:
                continue
            elif slot is None or (slot.state == ChunkState.TRASHED and row < slot.rows):
                self.add(where, FlawKind.CURSOR, f"stands in chunk {chunk_id}", "a chunk that is kept")
            elif slot.state != ChunkState.LIVE and row > slot.rows:
                self.add(where, FlawKind.CURSOR, f"stands at row {row:,} of chunk {chunk_id}", f"at most {slot.rows:,}")


HEAP_ALONE = "a heap without its index"
EMPTY = "a chunk without records"
NOTHING_LOST = (HEAP_ALONE, EMPTY)


def orphan_text(feed: FeedInfo, chunk_id: int, location: Location) -> str:
    """What a chunk is that no entry names."""
    paths = chunk_paths(feed, chunk_id, location)
    found = examine_chunk(feed.store_id, feed.feed_id, chunk_id, paths, claimed=None, in_use=False)
    if found.index.missing:
        return HEAP_ALONE
    if not found.identity:
        page = bytes(found.index.data[: layout.PAGE])
        return "a chunk file that is not of this feed" if any(page) or found.index.error is not None else EMPTY
    records = max(len(found.good), found.claimed)
    return f"a chunk with {count(records, 'record')} that nothing names" if records else EMPTY

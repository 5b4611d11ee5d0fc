"""Carrying out what retention has planned.

Rule: what goes is marked in the registry, on disk, before its files are touched. So a run that dies is finished by the
next, and readers pass by what is half gone. What has changed since the plan was made is left alone and said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mdtool.errors import CorruptStore, FeedLocked, StoreError
from mdtool.storage import files
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.locks import maintaining
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo, FeedRegistry
from mdtool.storage.parts.archive import place_of
from mdtool.storage.parts.place import part_name
from mdtool.storage.reading.cursor import cursors
from mdtool.storage.upkeep.retention import (
    FeedPlan,
    Needs,
    RemovalPlan,
    RemovalUnit,
    RetentionLimits,
    cursor_text,
    plan,
)

TRASH = "trash"
BATCH = 8  # files removed at once: freeing the blocks of many large files in a row stalls a file system for seconds
OURS = re.compile(r"\d+\.(idx|dat|parquet)")


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a plan named and was left alone, since things had changed."""

    unit: RemovalUnit
    why: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What was done in one feed."""

    feed: FeedInfo
    removed: tuple[RemovalUnit, ...]
    skipped: tuple[Skipped, ...]

    @property
    def freed_bytes(self) -> int:
        return sum(unit.bytes for unit in self.removed)


def execute(made: RemovalPlan, *, pause: float = 0.0, batch: int = BATCH) -> Iterator[Effect]:
    """Carry the plan out, feed by feed. What has changed since it was made (another chunk state, a new lease) is left
    alone and said. `pause`: seconds to wait after each `batch` files, for a worker that shares the disk with a
    recorder. Waits for a process that seals or repairs a feed. Raises StoreError; what was not reached stays."""
    for feed_plan in made.feeds:
        if feed_plan.removals:
            with maintaining(feed_plan.feed):
                yield _execute(feed_plan, made, pause, batch)


def finish(feed: FeedInfo, *, pause: float = 0.0, batch: int = BATCH) -> int:
    """Complete what a run that died has begun; the number of chunks this was. Raises FeedLocked while another process
    seals, cleans or repairs the feed."""
    if not (feed.directory / "feed.bin").exists():
        return 0
    with maintaining(feed, wait=False), _registry(feed) as registry:
        return _finish(feed, registry, pause, batch)


def unfinished(feed: FeedInfo) -> int:
    """How many chunks a run that died has marked and not taken away."""
    try:
        registry = FeedRegistry(feed.directory / "feed.bin")
    except FileNotFoundError:
        return 0
    try:
        return sum(map(_half_gone, registry.chunks()))
    finally:
        registry.close()


def apply_policies(
    feeds: Iterable[FeedInfo], now_ns: int, needs: Needs | None = None, *, pause: float = 0.0
) -> Iterator[tuple[FeedPlan, Effect | None]]:
    """The worker's round: each feed's own policy, planned and carried out. Feeds without one, and feeds that another
    process maintains just now, are left for the next round."""
    for feed in feeds:
        limits = RetentionLimits.of(feed)
        if not limits:
            continue
        try:
            finish(feed, pause=pause)
            made = plan([feed], limits, now_ns, needs)
            yield made.feeds[0], next(execute(made, pause=pause), None)
        except FeedLocked:
            continue


def _execute(feed_plan: FeedPlan, made: RemovalPlan, pause: float, batch: int) -> Effect:
    feed = feed_plan.feed
    removed, skipped = [], []
    with _registry(feed) as registry:
        _finish(feed, registry, pause, batch)
        leases = [cursor for cursor in cursors(feed) if cursor.leased(made.now_ns)]
        for removal in feed_plan.removals:
            unit = removal.unit
            if (changed := _changed(registry, unit)) is not None:
                skipped.append(Skipped(unit, changed))
            elif wanting := [one for one in leases if one.damaged or one.position < unit.end]:
                skipped.append(Skipped(unit, cursor_text(wanting[0])))
            else:
                removed.append(unit)
        entries = [entry for unit in removed for entry in unit.entries]
        for entry in entries:
            registry.update_chunk(entry, {"state": ChunkState.TRASHED})
        registry.sync()  # before any file moves: a crash from here on leaves what the next run finishes
        _discard(feed, registry, entries, pause, batch)
    return Effect(feed, tuple(removed), tuple(skipped))


def _changed(registry: FeedRegistry, unit: RemovalUnit) -> str | None:
    """What is other than when the plan was made; None where nothing is."""
    for entry, chunk_id in zip(unit.entries, unit.chunks, strict=True):
        info = registry.chunk(entry)
        if info.chunk_id != chunk_id:
            raise CorruptStore(f"{registry.path} slot {entry}: chunk {info.chunk_id}, expected {chunk_id}")
        expected = (ChunkState.SEALED, unit.part) if unit.part else (ChunkState.CLOSED, info.part)
        if (info.state, info.part) != expected:
            return f"chunk {chunk_id} is {info.state.name.lower()} by now"
    return None


def _finish(feed: FeedInfo, registry: FeedRegistry, pause: float, batch: int) -> int:
    infos = registry.chunks()
    begun = {info.part for info in infos if _half_gone(info) and info.location == Location.PART}
    for entry, info in enumerate(infos):
        if info.state == ChunkState.SEALED and info.part in begun:  # a part goes whole
            registry.update_chunk(entry, {"state": ChunkState.TRASHED})
    entries = [entry for entry, info in enumerate(registry.chunks()) if _half_gone(info)]
    if entries:
        registry.sync(anew=True)  # the run that marked them may have failed at just that
    _discard(feed, registry, entries, pause, batch)
    return len(entries)


def _half_gone(info: ChunkInfo) -> bool:
    return info.state == ChunkState.TRASHED and not info.flags & ChunkFlag.REMOVED


def _discard(feed: FeedInfo, registry: FeedRegistry, entries: Sequence[int], pause: float, batch: int) -> None:
    """Take the files of chunks marked TRASHED away: out of sight first, then off the disk."""
    infos = [(entry, registry.chunk(entry)) for entry in entries]
    parts = {info.part: info for _, info in infos if info.location == Location.PART}
    trashes = [feed.directory / TRASH]
    if parts:
        place = place_of(feed)
        for number, (part, info) in enumerate(parts.items(), 1):
            place.discard(part_name(part, info.min_ns))
            if number % batch == 0:
                time.sleep(pause)
        trashes = list(dict.fromkeys([*trashes, *place.trashes]))
    for _, info in infos:
        if info.location != Location.PART:
            for path in chunk_paths(feed, info.chunk_id, info.location):
                files.move_into(path, trashes[0])
    for trash in trashes:
        _empty(trash, pause, batch)
    for entry, info in infos:
        registry.update_chunk(entry, {"flags": info.flags | ChunkFlag.REMOVED})


def _empty(trash: Path, pause: float, batch: int) -> None:
    """Remove what is in the trash and ours."""
    if not trash.is_dir() or trash.is_symlink():
        return
    ours = sorted(path for path in trash.iterdir() if OURS.fullmatch(path.name))
    for number, path in enumerate(ours, 1):
        try:
            path.unlink()
        except OSError as error:
            raise StoreError(f"{path}: cannot be removed: {error.strerror}") from None
        if number % batch == 0:
            time.sleep(pause)


@contextmanager
def _registry(feed: FeedInfo) -> Iterator[FeedRegistry]:
    try:
        registry = FeedRegistry(feed.directory / "feed.bin", writable=True)
    except FileNotFoundError:
        raise StoreError(f"{feed.directory}: has no feed.bin; run: mdtool registry verify") from None
    try:
        yield registry
    finally:
        registry.close()

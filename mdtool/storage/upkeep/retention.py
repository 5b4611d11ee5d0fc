"""What may go: whole sealed parts (and closed chunks, where asked for), oldest first.

Rule: planning changes nothing, and what is then done (removal.py) is the plan.

Kept whatever the limits say: what is being written, what a cursor with a lease has yet to read, the last parts that
`keep_last` names, and what the caller's `needs` asks for. Storage knows no venue: `needs(reader, position)` answers
from which position on records are needed so that those kept from `position` on make sense, None where nothing before
is. A book's updates need the snapshot before them and every update in between, so all from that snapshot on stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from mdtool.storage.format.layout import ROW_BITS, ChunkState, Location
from mdtool.storage.journal.chunk import chunk_paths
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo, FeedRegistry
from mdtool.storage.parts.archive import place_of
from mdtool.storage.parts.place import PartPlace, part_name
from mdtool.storage.reading.cursor import CursorInfo, cursors
from mdtool.storage.reading.reader import Reader
from mdtool.units import format_time

Needs = Callable[[Reader, int], int | None]


class Why(StrEnum):
    """The limit a part is beyond."""

    AGE = "age"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """What to keep. 0: no such limit."""

    older_than_ns: int = 0  # what was received longer ago than this may go
    max_bytes: int = 0  # the oldest may go until no more than this is left, over all feeds of the plan
    keep_last: int = 0  # parts of each feed that stay whatever the limits say
    closed_chunks: bool = False  # chunks that are closed and not sealed count as parts

    def __bool__(self) -> bool:
        return bool(self.older_than_ns or self.max_bytes)

    @classmethod
    def of(cls, feed: FeedInfo) -> RetentionLimits:
        """The feed's own policy."""
        return cls(feed.retain_ns, feed.retain_bytes, feed.keep_last)


@dataclass(frozen=True, slots=True)
class RemovalUnit:
    """What goes as a whole: a part with its chunks, or (`part` 0) one closed chunk. `bytes`: what it takes up."""

    feed: str
    part: int
    entries: tuple[int, ...]  # in the chunk table
    chunks: tuple[int, ...]  # their ids
    rows: int
    bytes: int
    first_ns: int
    last_ns: int
    end: int  # the position behind its last record
    path: str

    @property
    def start(self) -> int:
        """The position of its first record."""
        return self.chunks[0] << ROW_BITS

    @property
    def name(self) -> str:
        return f"part {self.part}" if self.part else f"chunk {self.chunks[0]}"


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes, and why."""

    unit: RemovalUnit
    why: Why


@dataclass(frozen=True, slots=True)
class Held:
    """What a limit would have go and something else keeps."""

    unit: RemovalUnit
    why: Why
    by: str


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """What one feed would lose."""

    feed: FeedInfo
    removals: tuple[Removal, ...]
    held: tuple[Held, ...]
    kept_bytes: int  # what its chunks and parts take up afterwards

    @property
    def freed_bytes(self) -> int:
        return sum(removal.unit.bytes for removal in self.removals)


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What would go, feed by feed. `over_bytes`: by how much the size limit is missed all the same."""

    limits: RetentionLimits
    now_ns: int
    feeds: tuple[FeedPlan, ...]
    over_bytes: int

    @property
    def removals(self) -> tuple[Removal, ...]:
        return tuple(removal for feed in self.feeds for removal in feed.removals)


@dataclass(slots=True)
class _Candidate:
    """One unit and what has been decided of it so far."""

    unit: RemovalUnit
    removable: bool  # a sealed part, or a closed chunk where these are asked for
    why: Why | None = None
    by: str = ""

    @property
    def goes(self) -> bool:
        return self.why is not None and not self.by


def plan(feeds: Sequence[FeedInfo], limits: RetentionLimits, now_ns: int, needs: Needs | None = None) -> RemovalPlan:
    """What the limits would have go now. Changes nothing. Raises StoreError where a registry or an archive cannot be
    asked."""
    candidates = {feed.name: _candidates(feed, limits) for feed in feeds}
    for feed in feeds:
        _hold(candidates[feed.name], limits, feed, now_ns)
    if limits.older_than_ns:
        for one in _each(candidates):
            if one.removable and one.unit.last_ns < now_ns - limits.older_than_ns:
                one.why = Why.AGE
    if limits.max_bytes:
        _mark_beyond(candidates, limits.max_bytes)
    for feed in feeds:
        if needs is not None:
            _hold_needed(feed, candidates[feed.name], needs)
    planned = tuple(_feed_plan(feed, candidates[feed.name]) for feed in feeds)
    left = sum(one.kept_bytes for one in planned)
    return RemovalPlan(limits, now_ns, planned, max(0, left - limits.max_bytes) if limits.max_bytes else 0)


def _each(candidates: dict[str, list[_Candidate]]) -> Iterator[_Candidate]:
    for ones in candidates.values():
        yield from ones


def _feed_plan(feed: FeedInfo, candidates: Sequence[_Candidate]) -> FeedPlan:
    going = tuple(Removal(one.unit, one.why) for one in candidates if one.goes and one.why is not None)
    held = tuple(Held(one.unit, one.why, one.by) for one in candidates if one.why is not None and one.by)
    return FeedPlan(feed, going, held, sum(one.unit.bytes for one in candidates if not one.goes))


def _candidates(feed: FeedInfo, limits: RetentionLimits) -> list[_Candidate]:
    """Every chunk and part of the feed that is kept, in order."""
    try:
        registry = FeedRegistry(feed.directory / "feed.bin")
    except FileNotFoundError:
        return []  # known to the store, and not yet written
    try:
        entries = [(entry, info) for entry, info in enumerate(registry.chunks()) if info.state != ChunkState.TRASHED]
        sizes = registry.table()["part_bytes"]
    finally:
        registry.close()
    place = place_of(feed) if any(info.state == ChunkState.SEALED for _, info in entries) else None
    made = []
    for (part, _), group in groupby(entries, _belongs):
        members = list(group)
        sealed = bool(part)
        if place is not None and sealed:
            unit = _part_unit(feed, place, members, int(sizes[members[0][0]]))
        else:
            unit = _chunk_unit(feed, members)
        closed = members[0][1].state == ChunkState.CLOSED and members[0][1].location == Location.DISK
        made.append(_Candidate(unit, sealed or (closed and limits.closed_chunks)))
    return made


def _belongs(entry: tuple[int, ChunkInfo]) -> tuple[int, int]:
    """Equal for the chunks of one part; different for all others."""
    number, info = entry
    return (info.part, 0) if info.state == ChunkState.SEALED else (0, number)


def _unit(feed: FeedInfo, members: Sequence[tuple[int, ChunkInfo]], part: int, size: int, path: str) -> RemovalUnit:
    infos = [info for _, info in members]
    return RemovalUnit(
        feed=feed.name,
        part=part,
        entries=tuple(entry for entry, _ in members),
        chunks=tuple(info.chunk_id for info in infos),
        rows=sum(info.rows for info in infos),
        bytes=size,
        first_ns=min(info.min_ns for info in infos),
        last_ns=max(info.max_ns for info in infos),
        end=infos[-1].chunk_id << ROW_BITS | infos[-1].rows,
        path=path,
    )


def _part_unit(feed: FeedInfo, place: PartPlace, members: Sequence[tuple[int, ChunkInfo]], size: int) -> RemovalUnit:
    info = members[0][1]
    name = part_name(info.part, info.min_ns)
    # The registry knows the size, so that an archive far away is not asked for each of 10,000 parts.
    return _unit(feed, members, info.part, size or place.size(name) or 0, place.where(name))


def _chunk_unit(feed: FeedInfo, members: Sequence[tuple[int, ChunkInfo]]) -> RemovalUnit:
    info = members[0][1]
    paths = chunk_paths(feed, info.chunk_id, info.location)
    return _unit(feed, members, 0, sum(_allocated(path) for path in paths), str(paths[0]))


def _allocated(path: Path) -> int:
    """Bytes a file takes up: chunk files are sparse."""
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def _hold(candidates: Sequence[_Candidate], limits: RetentionLimits, feed: FeedInfo, now_ns: int) -> None:
    """Mark what cursors and `keep_last` keep, and what would go only if it were asked for."""
    for one in [one for one in candidates if one.removable][-limits.keep_last :] if limits.keep_last else []:
        one.by = f"keep-last {limits.keep_last}"
    for cursor in cursors(feed):
        if cursor.leased(now_ns):
            for one in candidates:
                if not one.by and (cursor.damaged or cursor.position < one.unit.end):
                    one.by = cursor_text(cursor)


def cursor_text(cursor: CursorInfo) -> str:
    if cursor.damaged:
        return f"cursor {cursor.name}, which is damaged: nobody knows what it needs"
    return f"cursor {cursor.name}, leased until {format_time(cursor.lease_until_ns)}"


def _mark_beyond(candidates: dict[str, list[_Candidate]], max_bytes: int) -> None:
    """Mark the oldest over all feeds, until what is left is within the limit."""
    left = sum(one.unit.bytes for one in _each(candidates) if not one.goes)
    order: list[tuple[int, str, int, _Candidate]] = []
    for name, ones in candidates.items():
        reached = -(1 << 63)
        for number, one in enumerate(ones):
            reached = max(reached, one.unit.last_ns)  # a clock that stepped back does not change a feed's order
            if one.removable and one.why is None:
                order.append((reached, name, number, one))
    for _, _, _, one in sorted(order, key=lambda item: item[:3]):
        if left <= max_bytes:
            return
        one.why = Why.SIZE
        if one.goes:
            left -= one.unit.bytes


def _hold_needed(feed: FeedInfo, candidates: Sequence[_Candidate], needs: Needs) -> None:
    """Hold what the records kept behind each cut need. What is held for them has no needs of its own: the records that
    the limits keep are the ones that must make sense."""
    cuts = [n for n in range(1, len(candidates)) if candidates[n - 1].goes and not candidates[n].goes]
    if not cuts:
        return
    with Reader(feed, verify=False) as reader:
        for cut in reversed(cuts):
            needed = needs(reader, candidates[cut].unit.start)
            for one in reversed(candidates[:cut]):
                if needed is None or one.unit.end <= needed:
                    break
                if one.goes:
                    one.by = "the book updates kept behind it, which need its snapshot"

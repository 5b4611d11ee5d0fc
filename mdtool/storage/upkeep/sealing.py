"""Sealing: closed chunks become parts, and not a byte is given up before its part is proven.

Rule: at every moment either the chunk's files or a part that has been read back hold a record, and the registry names
one that does. The steps of one part, each of which may be the last before a crash:

    draft       the part is written under a name nobody reads, and synced
    verified    it is read back: every row, every payload, against the chunks
    published   it stands under its own name, which was free
    registered  its chunks' entries name it, and the registry is synced
    removed     the chunks' files are gone; who has them open reads on

A second run finishes what one began: drafts go, a published part that holds just what the chunks hold is adopted, one
that does not stays as it is and is told of, files of chunks that are in a part are removed. What stands under a part's
name and is none of ours is never moved: the part gets the next number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdtool.clock import DAY
from mdtool.errors import ChunkUnavailable, CorruptStore, MdtoolError
from mdtool.storage import files
from mdtool.storage.format.layout import ChunkState, Location, chunk_name
from mdtool.storage.journal.chunk import chunk_paths, open_chunk
from mdtool.storage.journal.locks import maintaining
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo, FeedRegistry
from mdtool.storage.parts.archive import place_of
from mdtool.storage.parts.place import PartPlace, part_name
from mdtool.units import count

if TYPE_CHECKING:
    from mdtool.storage.parts.part_writer import ClosedChunk, Decode

LARGEST_PART = 4 * 1024**3  # payload bytes: a day of more becomes several parts, so a crash loses minutes of work

Step = Callable[[str], None]  # told after each step; what it raises ends the run there


def _no_step(step: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part of one run. `part_bytes` and `part` are 0 where it was only planned."""

    feed: str
    part: int
    where: str
    first_chunk: int
    chunks: int
    records: int
    payload_bytes: int
    part_bytes: int
    adopted: bool  # an earlier run had written it

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SealReport:
    """What sealing did to one feed, or (`dry_run`) would do. `waiting`: closed chunks whose time has not come;
    `foreign`: what stands under a part's name and is no part of this feed's, or none that can be read; `error`: why it
    stopped."""

    feed: str
    dry_run: bool
    parts: tuple[PartReport, ...]
    waiting: int
    foreign: tuple[str, ...]
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def seal_feed(
    feed: FeedInfo,
    now_ns: int,
    *,
    decoding: Callable[[], Decode] | None = None,
    everything: bool = False,
    dry_run: bool = False,
    step: Step = _no_step,
) -> SealReport:
    """Seal the feed's closed chunks of days that are over and of which the live window has passed; `everything`: every
    closed chunk. `decoding` makes, for each part, the function that fills its decoded columns; without one they are
    null. Damage and full disks end it with `error`, and nothing is lost. Raises FeedLocked while another process
    seals, cleans or repairs the feed."""
    if not (feed.directory / "feed.bin").exists():
        return SealReport(feed.name, dry_run, (), 0, ())
    if dry_run:
        registry = FeedRegistry(feed.directory / "feed.bin")
        try:
            due, waiting = plan(registry.chunks(), feed.live_window_ns, now_ns, everything)
        finally:
            registry.close()
        return SealReport(feed.name, True, tuple(_planned(feed, chunks) for chunks in due), waiting, ())
    with maintaining(feed):
        registry = FeedRegistry(feed.directory / "feed.bin", writable=True)
        try:
            return _Sealing(feed, registry, decoding, step).run(now_ns, everything)
        finally:
            registry.close()


def plan(
    chunks: Sequence[ChunkInfo], live_window_ns: int, now_ns: int, everything: bool
) -> tuple[list[list[ChunkInfo]], int]:
    """The chunks of each part that is due, in order, and how many closed chunks have to wait. A part's chunks follow
    each other in the table and are of one UTC day."""
    due: list[list[ChunkInfo]] = []
    waiting = size = 0
    previous = False  # whether the entry before is the last of due[-1]
    for chunk in chunks:
        closed = chunk.state == ChunkState.CLOSED and chunk.location == Location.DISK
        day_over = now_ns >= (chunk.max_ns // DAY + 1) * DAY
        ripe = everything or (day_over and now_ns - chunk.closed_ns >= live_window_ns)
        if not (closed and ripe):
            waiting += closed
            previous = False
            continue
        size += chunk.heap_bytes
        if previous and due[-1][-1].min_ns // DAY == chunk.min_ns // DAY and size <= LARGEST_PART:
            due[-1].append(chunk)
        else:
            due.append([chunk])
            size = chunk.heap_bytes
        previous = True
    return due, waiting


def _planned(feed: FeedInfo, chunks: Sequence[ChunkInfo]) -> PartReport:
    return PartReport(
        feed.name, 0, "", chunks[0].chunk_id, len(chunks), sum(one.rows for one in chunks),
        sum(one.heap_bytes for one in chunks), 0, False,
    )  # fmt: skip


class _Sealing:
    """One run over one feed, its maintenance lock held."""

    def __init__(
        self, feed: FeedInfo, registry: FeedRegistry, decoding: Callable[[], Decode] | None, step: Step
    ) -> None:
        self._feed = feed
        self._registry = registry
        self._decoding = decoding
        self._step = step
        self._chunks = registry.chunks()  # as of now; who changes closed ones has to wait for the lock
        self._parts: list[PartReport] = []
        self._errors: list[str] = []
        self._foreign: list[str] = []
        self._proven: dict[int, set[int]] = {}  # part -> chunks it has, whole

    @cached_property
    def _place(self) -> PartPlace:
        return place_of(self._feed)

    def run(self, now_ns: int, everything: bool) -> SealReport:
        waiting = 0
        try:
            for draft in self._place.drafts():
                draft.unlink()
            self._remove_sealed_files()
            self._finish_begun()
            due, waiting = plan(self._chunks, self._feed.live_window_ns, now_ns, everything)
            for chunks in due:
                try:
                    self._seal(chunks)
                except (ChunkUnavailable, CorruptStore) as failure:  # which the chunks of other days need not share
                    self._errors.append(str(failure))
        except MdtoolError as failure:
            self._errors.append(str(failure))
        except OSError as failure:
            self._errors.append(f"{failure.filename or self._feed.directory}: {failure.strerror or failure}")
        error = "; ".join(self._errors) or None
        return SealReport(self._feed.name, False, tuple(self._parts), waiting, tuple(self._foreign), error)

    def _next_number(self) -> int:
        return max((chunk.part for chunk in self._chunks), default=0) + 1

    def _seal(self, chunks: Sequence[ChunkInfo]) -> None:
        from mdtool.storage.parts.part_writer import write_part

        number = self._next_number()
        name = part_name(number, chunks[0].min_ns)
        while self._place.size(name) is not None:
            self._leave(name)
            number += 1
            name = part_name(number, chunks[0].min_ns)
        draft = self._place.draft(number)
        sources = [self._source(chunk) for chunk in chunks]
        try:
            decode = self._decoding() if self._decoding else None
            write_part(draft, self._feed, number, sources, self._registry.streams, decode)
            _sync(draft)
            self._step("draft")
            self._prove(draft, sources)
            self._step("verified")
            size = draft.stat().st_size
            self._place.publish(draft, name)
        except (MdtoolError, OSError):
            draft.unlink(missing_ok=True)
            raise
        self._step("published")
        self._adopt(number, chunks, size, adopted=False)

    def _source(self, chunk: ChunkInfo) -> ClosedChunk:
        from mdtool.storage.parts.part_writer import closed_chunk

        source = closed_chunk(open_chunk(self._feed, chunk))
        if len(source.rows) != chunk.rows:
            raise CorruptStore(
                f"{self._feed.name} chunk {chunk.chunk_id}: {count(len(source.rows), 'row')}, "
                f"the registry says {chunk.rows}; run: mdtool verify {self._feed.name}"
            )
        return source

    def _prove(self, draft: Path, sources: Sequence[ClosedChunk]) -> None:
        """Raises CorruptStore unless the draft reads back as the chunks read."""
        import numpy as np
        import pyarrow as pa

        from mdtool.storage.parts.part import Part

        part = Part(pa.OSFile(str(draft)), str(draft))
        try:
            part.check_decoded()
            for number, source in enumerate(sources):
                if not np.array_equal(part.rows(number), source.rows):
                    raise CorruptStore(
                        f"{draft}: chunk {source.info.chunk_id} of {self._feed.name} reads back otherwise than it was "
                        "written; its files are kept"
                    )
        finally:
            part.close()

    def _adopt(self, number: int, chunks: Sequence[ChunkInfo], size: int, *, adopted: bool) -> None:
        """Have the registry name the published part, then let the chunks' files go."""
        from mdtool.storage.parts.part import fingerprint

        entries = {chunk.chunk_id: entry for entry, chunk in enumerate(self._chunks)}
        name = part_name(number, chunks[0].min_ns)
        proof = fingerprint(self._place, name)
        for chunk in chunks:
            self._registry.update_chunk(
                entries[chunk.chunk_id],
                {"state": ChunkState.SEALED, "location": Location.PART, "part": number} | proof.of(chunk.chunk_id),
            )
            self._chunks[entries[chunk.chunk_id]] = self._registry.chunk(entries[chunk.chunk_id])
            self._step("entry")
        self._registry.sync()
        self._step("registered")
        for chunk in chunks:
            self._remove_files(chunk)
            self._step("removed")
        files.sync_directory(self._feed.directory / "live")
        where = self._place.where(part_name(number, chunks[0].min_ns))
        records, payload = sum(one.rows for one in chunks), sum(one.heap_bytes for one in chunks)
        first = chunks[0].chunk_id
        self._parts.append(
            PartReport(self._feed.name, number, where, first, len(chunks), records, payload, size, adopted)
        )

    def _remove_files(self, chunk: ChunkInfo) -> None:
        for path in chunk_paths(self._feed, chunk.chunk_id, Location.DISK):
            path.unlink(missing_ok=True)

    # -- what an earlier run left ---------------------------------------------------------------------------------

    def _remove_sealed_files(self) -> None:
        """The files of chunks that a part has; a crash fell between the registry and them."""
        live = self._feed.directory / "live"
        names = {path.stem for path in live.iterdir()} if live.is_dir() else set()
        left = [one for one in self._chunks if one.location == Location.PART and chunk_name(one.chunk_id) in names]
        if left:
            self._registry.sync(anew=True)  # an earlier run may have failed at just that
        for chunk in left:
            paths = chunk_paths(self._feed, chunk.chunk_id, Location.DISK)
            if chunk.state == ChunkState.SEALED and not self._holds(chunk):
                self._errors.append(
                    f"{paths[0]}: the registry says that a part has this chunk, and the part does not; its files are "
                    f"kept; run: mdtool verify {self._feed.name}"
                )
                continue
            self._remove_files(chunk)

    def _holds(self, chunk: ChunkInfo) -> bool:
        """Whether the part that is named for a chunk has it, whole."""
        from mdtool.storage.parts.part import open_part

        if chunk.part not in self._proven:
            try:
                part = open_part(self._feed, self._place, chunk)
                with closing(part):
                    damaged = part.damaged()
                    whole = {one.chunk_id for one in part.manifest.chunks}.difference(damaged)
            except (ChunkUnavailable, CorruptStore):
                whole = set()
            self._proven[chunk.part] = whole
        return chunk.chunk_id in self._proven[chunk.part]

    def _finish_begun(self) -> None:
        """Adopt the part whose run was ended between its publishing and its last registry entry. It is the newest
        one named, or the next."""
        days = sorted({chunk.min_ns // DAY * DAY for chunk in self._chunks if self._closed(chunk)})
        number = newest = self._next_number() - 1
        while True:
            names = [part_name(number, day_ns) for day_ns in days if number]
            there = [name for name in names if self._place.size(name) is not None]
            for name in there:
                self._adopt_if_ours(number, name)
            if not there and number > newest:
                return
            number += 1

    @staticmethod
    def _closed(chunk: ChunkInfo) -> bool:
        return chunk.state == ChunkState.CLOSED and chunk.location == Location.DISK

    def _adopt_if_ours(self, number: int, name: str) -> None:
        from mdtool.storage.parts.part import Part

        begun: list[ChunkInfo] = []
        try:
            with closing(Part(self._place.open(name), self._place.where(name))) as part:
                said = part.manifest
                held = {one.chunk_id: place for place, one in enumerate(said.chunks)}
                mine = [chunk for chunk in self._chunks if chunk.chunk_id in held]
                begun = [chunk for chunk in mine if self._closed(chunk)]
                if not begun and any(chunk.part == number for chunk in mine):
                    return  # a whole part of an earlier run
                ours = (said.store, said.feed_id, said.part) == (self._feed.store_id, self._feed.feed_id, number)
                ours = ours and len(mine) == len(held) and bool(begun)
                ours = ours and all(chunk.part == number for chunk in mine if not self._closed(chunk))
                ours = ours and all(self._same(chunk, part.rows(held[chunk.chunk_id])) for chunk in begun)
                if ours:
                    part.check_decoded()
        except CorruptStore:
            ours = False
        if ours:
            self._place.settle(name)
            self._adopt(number, begun, self._place.size(name) or 0, adopted=True)
        elif not self._is_named(name):  # one that is, and is damaged, is for verify to tell
            self._leave(name)

    def _leave(self, name: str) -> None:
        if (where := self._place.where(name)) not in self._foreign:
            self._foreign.append(where)

    def _same(self, chunk: ChunkInfo, rows: Any) -> bool:
        """Whether these rows of a part are the chunk's. Its index alone can tell, CRCs and all, though a payload has
        been damaged since."""
        import numpy as np

        opened = open_chunk(self._feed, chunk)
        if np.array_equal(opened.whole.rows(0, opened.committed), rows):
            return True
        return bool(np.array_equal(self._source(chunk).rows, rows))

    def _is_named(self, name: str) -> bool:
        return any(chunk.part and part_name(chunk.part, chunk.min_ns) == name for chunk in self._chunks)


def _sync(path: Path) -> None:
    fd = files.open_existing(path)
    try:
        files.sync(fd, path)
    finally:
        os.close(fd)

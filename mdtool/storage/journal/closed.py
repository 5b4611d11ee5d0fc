"""Chunks that are closed and not yet where they are to stay: on disk, and in shared memory no more.

Rule: off the hot path. A file goes once what is to be had instead is on the device, with the entry that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mdtool.errors import ChunkUnavailable, StoreError, StoreFull, SyncFailed
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ChunkFlag, ChunkState, Location
from mdtool.storage.journal import chunk
from mdtool.storage.journal.live import LiveChunk
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo, FeedRegistry
from mdtool.storage.journal.spool import Spool

Sync = Literal["none", "1s", "chunk"]


class Closed:
    """Those of one writer, in order. `distrust(chunk, failure)`: what the disk refused of a chunk; returns what there
    is to say."""

    def __init__(
        self,
        feed: FeedInfo,
        registry: FeedRegistry,
        sync_policy: Sync,
        distrust: Callable[[LiveChunk, StoreError], str],
    ) -> None:
        self._feed = feed
        self._registry = registry
        self._sync_policy = sync_policy
        self._distrust = distrust
        self._waiting: list[tuple[int, LiveChunk | None]] = []

    def add(self, entry: int, chunk: LiveChunk | None) -> None:
        """A chunk by its entry; None: a dead writer's."""
        self._waiting.append((entry, chunk))

    def sync_registry(self, refused: list[str]) -> bool:
        """Have what the entries say on disk; False where that was refused."""
        try:
            self._registry.sync()
        except SyncFailed as failure:  # what it was to bring to disk is written anew with the next one
            refused.append(str(failure))
        return not self._registry.unsure

    def finish(self, refused: list[str]) -> None:
        """Have them where they are to stay, as far as the disk takes them; what it refuses is said."""
        while self._waiting:
            try:
                if not self._finish(*self._waiting[0], refused):
                    return  # a full disk may end it for this time
            except ChunkUnavailable:
                pass  # a dead writer's, gone meanwhile: readers are told so
            del self._waiting[0]

    def follow(self, refused: list[str]) -> bool:
        """Have on disk what is closed and in shared memory, before what came behind it."""
        try:
            for entry, closed in self._waiting:
                info = self._registry.chunk(entry)
                if closed is not None and closed.spool is not None and info.state == ChunkState.CLOSED:
                    closed.sync(info.rows, closed.page)
        except StoreError as failure:
            refused.append(str(failure))
            return False
        return True

    def _finish(self, entry: int, finished: LiveChunk | None, refused: list[str]) -> bool:
        """One of them; False where that has to be tried again."""
        info = self._registry.chunk(entry)
        if finished is not None and info.state == ChunkState.TRASHED:
            finished.discard()
            self._registry.update_chunk(entry, {"flags": ChunkFlag.REMOVED})
            return True
        if info.location == Location.SHM:
            if not self._copied(info, finished, refused):
                return False
            self._registry.update_chunk(entry, {"location": Location.DISK})
            # Else a power loss leaves an entry that says memory, and a copy nobody looks for.
            if not self.sync_registry(refused):
                self._registry.update_chunk(entry, {"location": Location.SHM})
                return False
        elif finished is not None and info.location == Location.DISK and self._sync_policy != "none":
            if not finished.distrusted:
                try:
                    finished.sync(info.rows, finished.page)
                except SyncFailed as failure:
                    refused.append(self._distrust(finished, failure))
            if not self.sync_registry(refused):
                return False
        if finished is not None:
            finished.close()  # idempotent, as all of this is
        if info.location == Location.SHM:
            chunk.remove_shm(self._feed, info.chunk_id)
        return True

    def _copied(self, info: ChunkInfo, finished: LiveChunk | None, refused: list[str]) -> bool:
        """Whether all of a closed chunk in shared memory is on disk, too. A dead writer's is copied anew, whatever of
        it has been before."""
        try:
            if finished is not None and finished.spool is not None:
                finished.spool.finish(info.rows, finished.page)
            else:
                left = chunk.open_chunk(self._feed, info)
                spool = Spool(self._feed, info.chunk_id, left.index, left.heap, replaces=True)
                spool.finish(info.rows, bytes(left.index[: layout.PAGE]))
        except (SyncFailed, StoreFull) as failure:
            refused.append(str(failure))
            return False
        return True

"""What a reader gets in place of a closed chunk whose files are gone: one NOTE, as repair would leave it there.

Rule: nothing is written and nothing is given up. A chunk that comes back is read as it was.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdtool.errors import ChunkUnavailable
from mdtool.kernel.journal import Journal
from mdtool.model import SESSION_STREAM
from mdtool.storage.format import layout
from mdtool.storage.format.layout import ROW_BITS, ChunkState, Location
from mdtool.storage.format.loss_note import loss, put
from mdtool.storage.journal.chunk import Run, chunk_paths
from mdtool.storage.journal.registry import ChunkInfo, FeedInfo


class Hole:
    """A chunk that is not there, read as a part's is. From whichever row it is asked, the NOTE is that row, and what it
    says is lost is from there on."""

    def __init__(self, info: ChunkInfo, why: str, streams: list[str]) -> None:
        self.info = info
        self.committed = 1
        self._why = why
        self._stream = streams.index(SESSION_STREAM) if SESSION_STREAM in streams else 0
        self._told: int | None = None  # the row that is the NOTE

    def times(self, count: int) -> npt.NDArray[np.int64]:
        """One time, that no seek for what was in it passes by."""
        return np.array([self.info.max_ns], np.int64)

    def run(self, row: int) -> Run:
        """The NOTE at `row`; nothing behind it."""
        if row >= self.info.rows or (self._told is not None and row == self._told + 1):
            self.committed = row
            return note_run(self.info, row, np.zeros(0, layout.ROW), b"")
        self._told, self.committed = row, row + 1
        rows = np.zeros(1, layout.ROW)
        note = loss(self.info.chunk_id, row, max(0, self.info.rows - row), self._why)
        return note_run(self.info, row, rows, put(rows, 0, note, self.info.min_ns, self._stream, 0))


def note_run(info: ChunkInfo, row: int, rows: npt.NDArray[np.void], heap: bytes) -> Run:
    """Rows made here, one or none, that stand at `row` of a chunk."""
    return Run(row, Journal(rows, heap, (info.chunk_id << ROW_BITS) + row, False), rows, heap, True)


def hole(feed: FeedInfo, info: ChunkInfo, error: ChunkUnavailable, streams: list[str]) -> Hole | None:
    """The hole that a chunk which could not be opened leaves; None where it may be somewhere else, or not be looked
    at."""
    if info.state != ChunkState.CLOSED or info.location != Location.DISK or not info.rows:
        return None
    try:
        for path in chunk_paths(feed, info.chunk_id, info.location):
            path.lstat()
    except FileNotFoundError:
        return Hole(info, str(error), streams)
    except OSError:
        return None
    return None

"""What a reader gets in place of a chunk whose shared memory is not to be seen: its copy on disk, which a writer at
work brings up to date at each sync, and where none will any more, one NOTE of what is lost, as repair would leave it.

Rule: nothing is written and nothing is given up. Where the rest may yet come, it is waited for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mdtool.model import SESSION_STREAM
from mdtool.storage.format import layout
from mdtool.storage.format.loss_note import loss, put
from mdtool.storage.journal.chunk import OpenChunk, Run, index_rows
from mdtool.storage.journal.registry import ChunkInfo
from mdtool.storage.journal.remains import LOST_BEHIND, lost_behind
from mdtool.storage.reading.hole import note_run
from mdtool.units import count


class Spooled:
    """The copy, read as a part's chunk is. `coming()`: whether more of it may come, or it is elsewhere by now."""

    def __init__(self, info: ChunkInfo, copy: OpenChunk, streams: list[str], coming: Callable[[], bool]) -> None:
        self.info = info
        self.copy = copy
        self._stream = streams.index(SESSION_STREAM) if SESSION_STREAM in streams else 0
        self._coming = coming
        self._over = False  # no more will come
        self._lost: int | None = 0

    @property
    def committed(self) -> int:
        """Rows that can be read now, the NOTE among them."""
        noted = self.lost != 0
        return self.copy.committed + noted

    @property
    def lost(self) -> int | None:
        """Records that are lost behind the copy; None: nobody knows how many. 0 while more may come."""
        if not self._over and not self._coming():  # asked first: it may just have come
            self._over, self._lost = True, lost_behind(self.info, self.copy)
        return self._lost

    @property
    def awaited(self) -> bool:
        """Whether more of it may come."""
        return not self._over and self._coming() and lost_behind(self.info, self.copy) != 0

    def times(self, count: int) -> npt.NDArray[np.int64]:
        """Receive times of the copy's first rows."""
        return self.copy.times(min(count, self.copy.committed))

    def run(self, row: int) -> Run:
        """What can be read from `row` on: the copy's rows, or the NOTE behind them."""
        lost = self.lost
        have = self.copy.committed
        if row < have:
            return self.copy.whole
        if row > have or lost == 0:
            return note_run(self.info, row, np.zeros(0, layout.ROW), b"")
        rows = np.zeros(1, layout.ROW)
        at_ns = int(index_rows(self.copy.index, have)["recv_ns"][-1]) if have else self.info.min_ns
        payload = put(rows, 0, loss(self.info.chunk_id, row, lost, LOST_BEHIND), at_ns, self._stream, 0)
        return note_run(self.info, row, rows, payload)

    def text(self, feed: str) -> str | None:
        """What is to be said of it; None while more may come, and where nothing is lost."""
        if (lost := self.lost) == 0:
            return None
        behind = f"{lost:,} behind them are lost" if lost else "what came after the last sync is lost"
        return (
            f"chunk {self.info.chunk_id} of {feed} is in shared memory that is not visible here; its copy on disk has "
            f"{count(self.copy.committed, 'record')}, and where that memory is gone {behind}; run: mdtool verify {feed}"
        )

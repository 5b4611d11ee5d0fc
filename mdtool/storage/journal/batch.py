"""A run of records as numpy sees them: their rows, and the heap their payloads lie in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mdtool.kernel.journal import Journal, Record
from mdtool.storage.journal.chunk import Heap, Rows


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records of one chunk. `rows`: (records,) of layout.ROW (recv_ns, offset, length, crc32c, stream, kind,
    flags, session), a view of the mapping or made of a part's columns; `position` is that of its first row.

    >>> batch = next(store.reader("sim/ALPHA_USDT").batches())
    >>> trades = batch.rows["stream"] == batch.streams.index("trade")
    >>> print(len(batch), batch.rows["length"][trades], [batch.payload(n) for n in trades.nonzero()[0]])
    4 [20 20] [b'{"p":"64.2","q":"1"}', b'{"p":"64.3","q":"2"}']
    """

    rows: Rows
    position: int
    streams: list[str]
    _journal: Journal
    _heap: Heap

    def __len__(self) -> int:
        return len(self.rows)

    def payload(self, number: int) -> bytes:
        """The payload of row `number` of this batch."""
        row = self.rows[number]
        start = int(row["offset"])
        return bytes(self._heap[start : start + int(row["length"])])

    def records(self) -> Iterator[Record]:
        start = self.position - self._journal.base_position
        return self._journal.records(start, start + len(self.rows), False)

"""How much there is to do, and how much of it is done: what a progress line is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mdtool.replay.replayer import Encoder
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.reading.reader import Reader, Record

Told = Callable[[int, int | None], None]  # done, and of how much


class Sum:
    """Adds up what is done. `total`: of how much, about; None: nobody knows."""

    def __init__(self, told: Told, total: int | None) -> None:
        self._told = told
        self._total = total
        self._done = 0

    def __call__(self, amount: int) -> None:
        self._done += amount
        self._told(self._done, None if self._total is None else max(self._total, self._done))


def bytes_between(readers: Sequence[Reader], from_ns: int | None = None, to_ns: int | None = None) -> int:
    """Payload bytes of records of a stretch of receive time, about: of a chunk at its edge as much as lies in it, as if
    it had been received evenly."""
    return sum(_within(reader, from_ns, to_ns) for reader in readers)


def _within(reader: Reader, from_ns: int | None, to_ns: int | None) -> int:
    total = 0
    for chunk in reader.chunks():
        if not chunk.rows:
            continue
        first = max(chunk.min_ns, chunk.min_ns if from_ns is None else from_ns)
        last = min(chunk.max_ns, chunk.max_ns if to_ns is None else to_ns)
        lasts = max(chunk.max_ns - chunk.min_ns, 1)
        if last >= first:
            total += chunk.heap_bytes * (last - first) // lasts if last - first < lasts else chunk.heap_bytes
    return total


def records_between(reader: Reader, begin: int, end: int) -> int:
    """Records from one position to another."""
    return _records_before(reader, end) - _records_before(reader, begin)


def _records_before(reader: Reader, position: int) -> int:
    chunk_id, row = position >> ROW_BITS, position & ((1 << ROW_BITS) - 1)
    return sum(
        chunk.rows if chunk.chunk_id < chunk_id else min(row, chunk.rows)
        for chunk in reader.chunks()
        if chunk.chunk_id <= chunk_id
    )


def measured(encode: Encoder, total: int, told: Told) -> Encoder:
    """`encode`, telling what has gone through it."""
    done = Sum(told, total)

    def through(records: Sequence[tuple[Reader, Record]]) -> bytes:
        done(sum(record.length for _, record in records))
        return encode(records)

    return through

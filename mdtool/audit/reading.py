"""The records an audit reads: a chunk at a time, and one by one from where something is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from mdtool.errors import CorruptStore
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.reading.reader import Reader, Record

MAX_DAMAGED = 1_000  # damaged records in a row before the rest is given up

Progress = Callable[[int], None]  # gets payload bytes, as they are read


def no_progress(payload_bytes: int) -> None:
    """Nobody wants to know."""


def runs(
    reader: Reader, corrupt: Callable[[int, CorruptStore], None], progress: Progress
) -> Iterator[tuple[int, Iterable[Record]]]:
    """The records from the reader's position on by chunk id. A record whose checksum does not hold is told and left
    out: from the first one on records are checked one by one, not a chunk at a time."""
    at = reader.position
    try:
        for batch in reader.batches():
            yield batch.position >> ROW_BITS, batch.records()
            at = reader.position
            progress(int(batch.rows["length"].sum()))
    except CorruptStore:
        reader.move_to(at)
        yield from groupby(_undamaged(reader, corrupt), lambda record: record.position >> ROW_BITS)


def _undamaged(reader: Reader, corrupt: Callable[[int, CorruptStore], None]) -> Iterator[Record]:
    records = reader.records()
    failures = 0
    while True:
        try:
            record = next(records, None)
        except CorruptStore as error:
            failures += 1
            if failures > MAX_DAMAGED:
                raise
            position = reader.position
            corrupt(position, error)
            reader.move_to(position + 1)
            records = reader.records()
            continue
        if record is None:
            return
        failures = 0
        yield record

"""Where what brings a stream's messages gives way to something else, and why nobody was listening in between.

Rule: between two connections, writers or imports nothing is recorded, unless the numbers behind the seam follow those
before it. The audit's ledger, a book of the past and a replay say so in the words that stand here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from mdtool.errors import StoreError, WireError
from mdtool.history.wholes import batches_of, rows_of
from mdtool.model import Flag, Kind, Update
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.batch import Batch
from mdtool.storage.reading.reader import Reader
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Venue

LOOKED = 100  # messages behind a seam that may be repeats of what came before it


class Change(Enum):
    """How what brought the messages gave way to what brings them now."""

    RECONNECT = "reconnect"  # another connection of the same writer
    STOPPED = "stop"  # another writer, by intention: what was missed meanwhile is no defect
    DIED = "writer died"
    IMPORTED = "import"  # one import ended and another began: nobody says that nothing was meant to be between


WHY = {
    Change.RECONNECT: "the connection was another one behind it",
    Change.STOPPED: "the recording was stopped and resumed",
    Change.DIED: "the writer died and another began",
    Change.IMPORTED: "between two imports",
}


class Seam(NamedTuple):
    """A stretch of a stream, between two of its messages, in which nothing was recorded."""

    from_ns: int
    to_ns: int
    change: Change

    @property
    def why(self) -> str:
        return WHY[self.change]


class _Message(NamedTuple):
    """Where a message of the stream stands."""

    position: int
    recv_ns: int
    session: int
    batch: Batch
    row: int


def change_of_writer(last_kind: int, last_flags: int) -> Change:
    """What another epoch is, by the last record before it."""
    if last_kind != Kind.END:
        return Change.DIED
    return Change.IMPORTED if last_flags & Flag.IMPORTED else Change.STOPPED


def resumes(kind: int, flags: int, payload: bytes) -> bool:
    """Whether an import goes on with that record with what an earlier go at the same files had begun: it found all that
    stands before, and what follows is what follows in the files."""
    if kind != Kind.NOTE or not flags & Flag.IMPORTED:
        return False
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("note") == "import resumed"


def seam_at(reader: Reader, venue: Venue, stream: str, position: int, rule: Rule | None) -> Seam | None:
    """The seam of a stream that lies around a position; None where its messages go on there, or none are on one side.
    `rule`: as of the last message before it; what follows by its numbers is no seam. Moves the reader."""
    if stream not in reader.streams:
        return None
    number = reader.streams.index(stream)
    before = next(_backward(reader, number, position), None)
    behind = _forward(reader, number, position)
    after = next(behind, None)
    if before is None or after is None:
        return None
    follows = rule is not None and _follows(venue, stream, rule, chain([after], islice(behind, LOOKED)))
    change = None if follows else _change(reader, before, after)
    if change is None:
        return None
    return Seam(before.recv_ns, after.recv_ns, change)


def between_writers(reader: Reader, from_ns: int | None = None, to_ns: int | None = None) -> list[Seam]:
    """The seams between two writers or imports of a feed that a stretch of time touches, by its chunk table. Moves the
    reader."""
    found = []
    for one, other in pairwise([chunk for chunk in reader.chunks() if chunk.rows]):
        outside = (from_ns is not None and other.min_ns <= from_ns) or (to_ns is not None and one.max_ns >= to_ns)
        if one.epoch == other.epoch or outside:
            continue
        with suppress(StoreError):  # what cannot be read says itself so to who reads on
            reader.move_to(other.chunk_id << ROW_BITS)
            begins = next(reader.records())
            if not resumes(begins.kind, begins.flags, begins.payload):
                reader.move_to((one.chunk_id << ROW_BITS) + one.rows - 1)
                ends = next(reader.records())
                found.append(Seam(one.max_ns, other.min_ns, change_of_writer(ends.kind, ends.flags)))
    return found


def _backward(reader: Reader, number: int, position: int) -> Iterator[_Message]:
    for chunk in reversed(reader.chunks()):
        if chunk.rows and chunk.chunk_id << ROW_BITS < position:
            for batch in reversed(list(batches_of(reader, chunk.chunk_id))):
                for row in rows_of(batch, number)[::-1].tolist():
                    if batch.position + row < position:
                        yield _message(batch, row)


def _forward(reader: Reader, number: int, position: int) -> Iterator[_Message]:
    reader.move_to(position)
    for batch in reader.batches():
        for row in rows_of(batch, number).tolist():
            yield _message(batch, row)


def _message(batch: Batch, row: int) -> _Message:
    at: Any = batch.rows[row]
    return _Message(batch.position + row, int(at["recv_ns"]), int(at["session"]), batch, row)


def _change(reader: Reader, before: _Message, after: _Message) -> Change | None:
    """How what brought one message gave way to what brings the other."""
    first, last = before.position >> ROW_BITS, after.position >> ROW_BITS
    chunks = [chunk for chunk in reader.chunks() if first <= chunk.chunk_id <= last and chunk.rows]
    for one, other in pairwise(chunks):
        if one.epoch == other.epoch:
            continue
        ends = list(batches_of(reader, one.chunk_id))[-1]
        begins = next(batches_of(reader, other.chunk_id))
        if not resumes(int(begins.rows["kind"][0]), int(begins.rows["flags"][0]), begins.payload(0)):
            return change_of_writer(int(ends.rows["kind"][-1]), int(ends.rows["flags"][-1]))
    if before.session == after.session:
        return None
    for chunk in chunks:
        for batch in batches_of(reader, chunk.chunk_id):
            at = batch.position + np.arange(len(batch.rows))
            kind, session = batch.rows["kind"], batch.rows["session"]
            turns = ((kind == Kind.CLOSE) & (session == before.session)) | (
                (kind == Kind.OPEN) & (session == after.session)
            )
            if bool(np.any(turns & (at > before.position) & (at < after.position))):
                return Change.RECONNECT
    return None


def _follows(venue: Venue, stream: str, rule: Rule, behind: Iterable[_Message]) -> bool:
    """Whether the numbers of the first message behind the seam that is no repeat prove that none is missing before."""
    if not rule.complete:
        return False
    decode, rule = venue.decoder(stream), rule.copy()
    for message in behind:
        try:
            updates = [one for one in decode(message.batch.payload(message.row)) if isinstance(one, Update)]
        except WireError:
            return False
        for update in updates:
            verdict = Verdict.UNVERIFIABLE if update.snapshot else rule.judge(update)
            if verdict is not Verdict.STALE:
                return verdict is Verdict.APPLY
    return False

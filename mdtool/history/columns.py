"""What a venue makes of records, as columns: the part of a sealed file that an audit of history scans.

Rule: a record's numbers are those its sequence rule chains by, so that `prev_seq` against the `last_seq` before it
proves a stream whole without a payload being read; where a rule only says that ids rise, the verdict tells all and
the numbers stay in the payload (they cost 3 % of a part on a capture that is mostly quotes).

A part is judged by itself: the first message of each stream in it is APPLY, and what lies between two parts shows in
their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mdtool.books.engine import FeedEngine, RecordLike, Said
from mdtool.books.sync import BookSync
from mdtool.errors import UnknownVenue
from mdtool.model import NO_TIME, UNKNOWN, Kind, Message, Other, Scale, Trade, Update
from mdtool.storage.journal.batch import Batch
from mdtool.storage.parts.part_writer import Decode, Decoded
from mdtool.storage.reading.reader import Record
from mdtool.venues import catalog
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Venue

Cells = tuple[int, int, int, int, int]  # venue_ns, first_seq, last_seq, prev_seq, verdict
NOTHING: Cells = (NO_TIME, UNKNOWN, UNKNOWN, UNKNOWN, 0)


def decoding(venue: Venue) -> Callable[[], Decode]:
    """What sealing asks for: a maker of functions from the batches of one part to their columns."""
    return lambda: _Columns(venue)


def decoding_of(name: str) -> Callable[[], Decode] | None:
    """The same of the venue called so; None for one without an adapter, whose parts have no decoded columns."""
    try:
        return decoding(catalog.get(name))
    except UnknownVenue:
        return None


class _Names:
    """A part's streams as an engine asks for them; more become known from batch to batch."""

    def __init__(self, venue: str) -> None:
        self.feed = _Feed(venue, None)
        self.streams: Sequence[str] = ()

    def stream_name(self, number: int, /) -> str:
        return self.streams[number]

    def records(self) -> Iterator[RecordLike]:
        return iter(())


class _Feed(NamedTuple):
    venue: str
    scale: Scale | None


def _no_book(venue: Venue, stream: str, scale: Scale | None) -> BookSync | None:
    """Columns are of the sequence alone."""
    return None


class _Columns:
    """One part's streams under their rules."""

    def __init__(self, venue: Venue) -> None:
        self._names = _Names(venue.name)
        self._engine = FeedEngine(venue, self._names, every_book=True, opens=_no_book)

    def __call__(self, batch: Batch) -> Decoded:
        self._names.streams = batch.streams
        lines = [self._line(record) for record in batch.records()]
        table = np.array(lines, np.int64).reshape(len(lines), len(NOTHING))
        venue_ns, first, last, prev, verdict = (np.ascontiguousarray(column) for column in table.T)
        return Decoded(venue_ns, first, last, prev, verdict.astype(np.uint8))

    def _line(self, record: Record) -> Cells:
        taken = self._engine.on_record(record)
        if record.kind == Kind.RESPONSE:
            return _whole([said.message for said in taken.said])
        return _joined([_of(said, taken.line.rule) for said in taken.said if type(said.message) is not Other])


def _joined(lines: list[Cells]) -> Cells:
    """The one line of a record. Several messages in it count as one, from the first to the last; its verdict is the
    first that is not APPLY."""
    if len(lines) < 2:
        return lines[0] if lines else NOTHING
    venue_ns, first, last, prev, _ = lines[0]
    verdicts = [line[4] for line in lines]
    verdict = next((one for one in verdicts if one not in (0, Verdict.APPLY)), max(verdicts))
    return venue_ns, last if first == UNKNOWN else first, lines[-1][2], prev, verdict


def _of(said: Said, rule: Rule | None) -> Cells:
    message = said.message
    verdict = 0 if said.verdict is None else int(said.verdict)
    if isinstance(message, Update):
        return message.venue_ns, message.first_seq, message.last_seq, message.prev_seq, verdict
    venue_ns = getattr(message, "venue_ns", NO_TIME)
    if isinstance(message, Trade) and rule is not None and rule.complete:
        # One id is all there is: the one before it is one less.
        return venue_ns, UNKNOWN, message.trade_id, UNKNOWN, verdict
    return venue_ns, UNKNOWN, UNKNOWN, UNKNOWN, verdict


def _whole(messages: Sequence[Message]) -> Cells:
    """Of a REST answer: the whole book in it, which no rule judges."""
    for message in messages:
        if isinstance(message, Update):
            return message.venue_ns, UNKNOWN, message.last_seq, UNKNOWN, 0
    return NOTHING

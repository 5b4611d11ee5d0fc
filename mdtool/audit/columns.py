"""What a venue makes of records, as columns: the part of a sealed file that an audit of history scans.

Rule: a record's numbers are those its sequence rule chains by, so that `prev_seq` against the `last_seq` before it
proves a stream whole without a payload being read; where a rule only says that ids rise, the verdict tells all and
the numbers stay in the payload (they cost 3 % of a part on a capture that is mostly quotes).

A part is judged by itself: the first message of each stream in it is APPLY, and what lies between two parts shows in
their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, Flag, Kind, Message, Other, Trade, Update
from mdtool.storage.journal.batch import Batch
from mdtool.storage.parts.part_writer import Decode, Decoded
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Decoder, Venue

Line = tuple[int, int, int, int, int]  # venue_ns, first_seq, last_seq, prev_seq, verdict
NOTHING: Line = (NO_TIME, UNKNOWN, UNKNOWN, UNKNOWN, 0)


def decoding(venue: Venue) -> Callable[[], Decode]:
    """What sealing asks for: a maker of functions from the batches of one part to their columns."""
    return lambda: _Columns(venue)


class _Columns:
    """The decoders and rules of one part's streams."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._streams: dict[int, _Stream] = {}

    def __call__(self, batch: Batch) -> Decoded:
        lines = [self._line(record.kind, record.flags, record.stream, record.payload, batch.streams)
                 for record in batch.records()]  # fmt: skip
        table = np.array(lines, np.int64).reshape(len(lines), len(NOTHING))
        venue_ns, first, last, prev, verdict = (np.ascontiguousarray(column) for column in table.T)
        return Decoded(venue_ns, first, last, prev, verdict.astype(np.uint8))

    def _line(self, kind: int, flags: int, number: int, payload: bytes, names: list[str]) -> Line:
        if kind != Kind.DATA and (kind != Kind.RESPONSE or flags & Flag.FAILED):
            return NOTHING
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = _Stream(self._venue, names[number])
        try:
            messages = stream.decode(payload)
        except WireError:
            return NOTHING
        if kind == Kind.RESPONSE:
            return _whole(messages)
        return stream.line(messages)


class _Stream:
    def __init__(self, venue: Venue, name: str) -> None:
        self.decode: Decoder = venue.decoder(name)
        self._rule: Rule | None = venue.rule(name)

    def line(self, messages: Sequence[Message]) -> Line:
        """The one line of a record. Several messages in it count as one, from the first to the last; its verdict is the
        first that is not APPLY."""
        lines = [self._one(message) for message in messages if type(message) is not Other]
        if len(lines) < 2:
            return lines[0] if lines else NOTHING
        venue_ns, first, last, prev, _ = lines[0]
        verdicts = [line[4] for line in lines]
        verdict = next((one for one in verdicts if one not in (0, Verdict.APPLY)), max(verdicts))
        return venue_ns, last if first == UNKNOWN else first, lines[-1][2], prev, verdict

    def _one(self, message: Message) -> Line:
        rule = self._rule
        verdict = int(rule.judge(message)) if rule is not None else 0
        if isinstance(message, Update):
            return message.venue_ns, message.first_seq, message.last_seq, message.prev_seq, verdict
        venue_ns = getattr(message, "venue_ns", NO_TIME)
        if isinstance(message, Trade) and rule is not None and rule.complete:
            # One id is all there is: the one before it is one less.
            return venue_ns, UNKNOWN, message.trade_id, UNKNOWN, verdict
        return venue_ns, UNKNOWN, UNKNOWN, UNKNOWN, verdict


def _whole(messages: Sequence[Message]) -> Line:
    """Of a REST answer: the whole book in it, which no rule judges."""
    for message in messages:
        if isinstance(message, Update):
            return message.venue_ns, UNKNOWN, message.last_seq, UNKNOWN, 0
    return NOTHING

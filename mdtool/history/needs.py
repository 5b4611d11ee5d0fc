"""What the book updates that are kept need of what stands before them: storage's retention asks, and leaves it.

Rule: a book update that is kept keeps the snapshot its book is built from, and every update in between. Where a
snapshot cannot be told cheaply from an update, the one before it counts: too much is kept, never too little.
"""

from __future__ import annotations

from mdtool.errors import UnknownVenue, WireError
from mdtool.history.wholes import answers, batches_of, rows_of, whole_books
from mdtool.model import Update
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.batch import Batch
from mdtool.storage.reading.reader import Reader
from mdtool.venues import catalog
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Decoder, Venue


def needs(reader: Reader, position: int) -> int | None:
    """From which position on records are needed so that the book updates from `position` on can be applied; None where
    nothing before it is. As storage.upkeep.retention asks.

    Judged by the first book message of each book stream from `position` on, within the first chunk that has any: an
    update that comes before any snapshot needs the newest snapshot before `position`, unless its numbers show that it
    does not follow what stands there. Where there is none (nothing was ever whole, or the venue has no adapter),
    nothing can be kept for it.
    """
    try:
        venue = catalog.get(reader.feed.venue)
    except UnknownVenue:
        return None
    decoders = {number: venue.decoder(name) for number, name in enumerate(reader.streams) if venue.is_book(name)}
    needed = []
    for number, update in (_orphans(reader, position, decoders) if decoders else {}).items():
        name = reader.stream_name(number)
        if _goes_on(reader, venue, position, number, decoders[number], update):
            newest = next(whole_books(reader, venue, before=position, stream=name), None)
            if newest is not None:
                needed.append(newest.start)
    return min(needed, default=None)


def _orphans(reader: Reader, position: int, decoders: dict[int, Decoder]) -> dict[int, Update]:
    """By book stream: its first message from `position` on, where that is an update that no snapshot precedes."""
    undecided, orphans = set(decoders), dict[int, Update]()
    reader.move_to(position)
    chunk = position >> ROW_BITS
    for batch in reader.batches():
        if batch.position >> ROW_BITS != chunk:
            if undecided != set(decoders):
                break  # a stream that does not appear in the first chunk has nothing to go on with
            chunk = batch.position >> ROW_BITS
        asked = answers(batch)
        until = int(asked[0]) if len(asked) else len(batch)
        for stream in sorted(undecided):
            rows = rows_of(batch, stream)
            for row in rows[rows < until].tolist():
                if (update := _update(decoders[stream], batch, row)) is not None:
                    undecided.discard(stream)
                    if not update.snapshot:
                        orphans[stream] = update
                    break
        if len(asked) or not undecided:
            break
    return orphans


def _goes_on(reader: Reader, venue: Venue, position: int, stream: int, decoder: Decoder, update: Update) -> bool:
    """Whether `update` may follow the last one before `position`; a stream without numbers does not tell."""
    rule = venue.rule(reader.stream_name(stream))
    before = None if rule is None else _last_update(reader, position, stream, decoder)
    if rule is None or before is None:
        return True
    rule.judge(before)
    return rule.judge(update) not in (Verdict.GAP, Verdict.RESET)


def _last_update(reader: Reader, position: int, stream: int, decoder: Decoder) -> Update | None:
    for chunk in reversed([one for one in reader.chunks() if one.chunk_id << ROW_BITS < position and one.rows]):
        for batch in reversed(list(batches_of(reader, chunk.chunk_id))):
            for row in rows_of(batch, stream)[::-1].tolist():
                if batch.position + row < position and (found := _update(decoder, batch, row)) is not None:
                    return found
    return None


def _update(decoder: Decoder, batch: Batch, row: int) -> Update | None:
    """The first change of the book in a record, if it holds one that decodes."""
    try:
        return next((message for message in decoder(batch.payload(row)) if isinstance(message, Update)), None)
    except WireError:
        return None

"""Where the whole books of a feed stand, so that a book can be built from the nearest one before a moment.

Rule: newest first, chunk by chunk, and no further than asked. Kinds, streams, sessions and lengths are columns; only
messages that may be whole books are decoded: those asked for, the first of a session, and the longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mdtool.clock import SECOND
from mdtool.errors import UnknownSymbol, WireError
from mdtool.model import SNAPSHOT_STREAM, Flag, Kind, Update
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.batch import Batch
from mdtool.storage.reading.reader import Reader
from mdtool.venues.venue import Venue, book_stream

LEAD_NS = 10 * SECOND  # how long before a whole book the update that connects to it may have been received
OPENERS = 3  # book messages at the start of a session among which a whole book is looked for
LARGE = 0.999  # quantile of length above which a message within a session may be one

Rows = npt.NDArray[Any]


class WholeBook(NamedTuple):
    """Where a whole book stands."""

    position: int
    start: int  # position from which reading gives it, with the update that connects to it


def whole_books(
    reader: Reader, venue: Venue, *, until_ns: int | None = None, before: int | None = None, stream: str | None = None
) -> Iterator[WholeBook]:
    """The whole books received no later than `until_ns` and recorded before a position, newest first, of one book
    stream (None: the feed's book). Moves the reader."""
    stream = stream or book_stream(venue, reader.streams)
    for chunk in reversed(reader.chunks()):
        begins = chunk.chunk_id << ROW_BITS
        too_late = until_ns is not None and chunk.min_ns > until_ns
        if not chunk.rows or too_late or (before is not None and begins >= before):
            continue
        for batch in reversed(list(batches_of(reader, chunk.chunk_id))):
            for number, asked in _wholes(
                batch, venue, reader.feed.symbol, _rows_before(batch, until_ns, before), stream
            ):
                position = start = batch.position + number
                if asked:  # the update it connects to may stand before it
                    reader.seek(int(batch.rows["recv_ns"][number]) - LEAD_NS)
                    start = min(reader.position, position)
                yield WholeBook(position, start)


def batches_of(reader: Reader, chunk_id: int) -> Iterator[Batch]:
    """The batches of one chunk. Moves the reader."""
    reader.move_to(chunk_id << ROW_BITS)
    for batch in reader.batches():
        if batch.position >> ROW_BITS != chunk_id:
            return
        yield batch


def rows_of(batch: Batch, stream: int) -> npt.NDArray[np.intp]:
    """Rows that are messages of a stream."""
    return np.flatnonzero((batch.rows["kind"] == Kind.DATA) & (batch.rows["stream"] == stream))


def answers(batch: Batch) -> npt.NDArray[np.intp]:
    """Rows that are whole books fetched by REST."""
    if SNAPSHOT_STREAM not in batch.streams:
        return np.zeros(0, np.intp)
    rows = batch.rows
    good = (rows["kind"] == Kind.RESPONSE) & (rows["flags"] & Flag.FAILED == 0)
    return np.flatnonzero(good & (rows["stream"] == batch.streams.index(SNAPSHOT_STREAM)))


def _rows_before(batch: Batch, until_ns: int | None, before: int | None) -> Rows:
    """For each row whether it is early enough."""
    early: Rows = np.ones(len(batch.rows), np.bool_) if until_ns is None else batch.rows["recv_ns"] <= until_ns
    return early if before is None else early & (batch.position + np.arange(len(early)) < before)


def _wholes(batch: Batch, venue: Venue, symbol: str, early: Rows, stream: str | None) -> Iterator[tuple[int, bool]]:
    """(row, whether it was asked for) of a batch's whole books, last first within each kind."""
    found = answers(batch)
    for number in found[early[found]][::-1].tolist():
        yield number, True
    for number, name in enumerate(batch.streams):
        if name == stream and _sends_wholes(venue, symbol, name):
            of_book = rows_of(batch, number)
            for row in _in_stream(batch, venue, name, of_book[early[of_book]]):
                yield row, False


def _sends_wholes(venue: Venue, symbol: str, stream: str) -> bool:
    try:
        return venue.snapshot_request(symbol, stream) is None
    except UnknownSymbol:
        return True


def _in_stream(batch: Batch, venue: Venue, stream: str, of_book: npt.NDArray[np.intp]) -> Iterator[int]:
    """Rows of the whole books among those of a book stream, last first; of one that comes in parts, the first."""
    if not len(of_book):
        return
    sessions = batch.rows["session"][of_book]
    begins = np.flatnonzero(np.concatenate(([True], sessions[1:] != sessions[:-1])))
    openers = (begins[:, None] + np.arange(OPENERS)).ravel()
    lengths = batch.rows["length"][of_book]
    large = np.flatnonzero(lengths >= np.quantile(lengths, LARGE))
    decode = venue.decoder(stream)

    def whole(at: int) -> Update | None:
        try:
            messages = decode(batch.payload(int(of_book[at])))
        except WireError:
            return None
        return next((one for one in messages if isinstance(one, Update) and one.snapshot), None)

    beyond = len(of_book)
    for at in np.unique(np.concatenate((openers[openers < len(of_book)], large)))[::-1].tolist():
        if at >= beyond or (found := whole(at)) is None:
            continue
        while at and found.prev_seq == found.last_seq and (before := whole(at - 1)) is not None:
            if before.last_seq != found.last_seq:
                break
            at, found = at - 1, before
        beyond = at
        yield int(of_book[at])

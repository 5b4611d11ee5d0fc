"""A feed's records as messages, and which of its streams the book is made of.

Rule: two book streams of one feed tell the same story twice; the first that comes is the one, unless one is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from mdtool.errors import UsageError, WireError
from mdtool.model import SNAPSHOT_STREAM, Flag, Kind, Message, Scale
from mdtool.venues.venue import Decoder, Venue


class RecordLike(Protocol):
    """A record, wherever it comes from."""

    @property
    def recv_ns(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def stream(self) -> int: ...
    @property
    def payload(self) -> bytes: ...


class FeedLike(Protocol):
    """Whose records they are."""

    @property
    def venue(self) -> str: ...
    @property
    def scale(self) -> Scale | None: ...


class Source(Protocol):
    """Where records come from, one feed's, in order: a storage Reader is one."""

    @property
    def feed(self) -> FeedLike: ...
    @property
    def streams(self) -> Sequence[str]:
        """Names by number, as far as they are known now."""
        ...

    def stream_name(self, number: int, /) -> str: ...
    def records(self) -> Iterator[RecordLike]: ...


class FeedMessages:
    """Decodes the records of one feed."""

    def __init__(
        self,
        venue: Venue,
        source: Source,
        *,
        book_stream: str | None = None,
        book_only: bool = False,
    ) -> None:
        if book_stream is not None and not venue.is_book(book_stream):
            raise UsageError(f"{venue.name}: {book_stream!r} is no stream that a book is built of")
        known = (name for name in source.streams if venue.is_book(name))
        self.book_stream = book_stream or next(known, None)  # None: not seen yet
        self.unwanted: set[int] = set()  # streams, by number, whose records need not be shown
        self.lost = False  # whether the last record was of the book stream and could not be read
        self.missed = False  # whether the last record is a NOTE of records lost here, of nobody knows which stream
        self.undecodable = 0  # records that were not what their stream says
        self._venue = venue
        self._stream_name = source.stream_name
        self._book_only = book_only
        self._decoders: dict[int, tuple[str, Decoder | None]] = {}

    def of(self, record: RecordLike) -> tuple[str, Sequence[Message]]:
        """The record's stream and the messages in it; none of records that carry none, are not wanted or cannot be
        read."""
        self.lost = self.missed = False
        stream = record.stream
        found = self._decoders.get(stream)
        kind = record.kind
        if kind != Kind.DATA and (kind != Kind.RESPONSE or record.flags & Flag.FAILED):
            self.missed = kind == Kind.NOTE and _is_of_loss(record.payload)
            return self._stream_name(stream), ()
        name, decode = found or self._choose(stream)
        if decode is None:
            return name, ()
        try:
            return name, decode(record.payload)
        except WireError:
            self.undecodable += 1
            self.lost = name == self.book_stream
            return name, ()

    def _choose(self, stream: int) -> tuple[str, Decoder | None]:
        name = self._stream_name(stream)
        wanted = name == SNAPSHOT_STREAM or not self._book_only
        if self._venue.is_book(name):
            self.book_stream = self.book_stream or name
            wanted = name == self.book_stream
        if not wanted:
            self.unwanted.add(stream)
        self._decoders[stream] = name, self._venue.decoder(name) if wanted else None
        return self._decoders[stream]


def _is_of_loss(note: bytes) -> bool:
    """Whether a NOTE stands for records that repair could not save."""
    try:
        said = json.loads(note)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("note") == "lost"

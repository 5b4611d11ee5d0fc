"""A feed's records to what they say and to its books: decode, judge, apply. Whoever reads a feed does it here.

Rule: whatever the bytes, and whatever a venue's code does with them, nothing is raised. A record that cannot be read is
said to be so, and a book that it may have changed is whole no more.

Two book streams of one feed tell the same story twice: the deepest is the feed's book, unless one is named; of those
alike it is the first that comes. One that tells of the best level only is a stream of quotes beside it. `every_book`
keeps one of each, for whoever has to judge them all.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from mdtool.books.sync import BookSync, Step, open_book
from mdtool.books.wire import texts
from mdtool.errors import UsageError, WireError
from mdtool.model import (
    OTHER_STREAM,
    SESSION_STREAM,
    SNAPSHOT_STREAM,
    UNKNOWN,
    BookUpdate,
    Flag,
    Kind,
    Message,
    Other,
    Quote,
    Scale,
    Update,
)
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Decoder, Venue, book_stream, reach

MISSED = "missed"  # what a NOTE of frames that a connection's numbers show to be missing is called
MAX_EARLY = 100  # whole books kept before the first update tells which stream they are of
_DATA, _RESPONSE, _NOTE = int(Kind.DATA), int(Kind.RESPONSE), int(Kind.NOTE)
_FAILED, _BINARY = int(Flag.FAILED), int(Flag.BINARY)


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


class RecordSource(Protocol):
    """Where records come from, one feed's, in order: a storage Reader is one."""

    @property
    def feed(self) -> FeedLike: ...
    @property
    def streams(self) -> Sequence[str]:
        """Names by number, as far as they are known now."""
        ...

    def stream_name(self, number: int, /) -> str: ...
    def records(self) -> Iterator[RecordLike]: ...


class Line:
    """One stream of a feed. `decode`: None where its records are not wanted; `book`: None where it builds none."""

    __slots__ = ("book", "decode", "name", "rule")

    def __init__(self, name: str, decode: Decoder | None, rule: Rule | None, book: BookSync | None) -> None:
        self.name = name
        self.decode = decode
        self.rule = rule
        self.book = book


class Said(NamedTuple):
    """One message of a record. Of a whole book that was asked for there is one of each book it went to."""

    message: Message
    verdict: Verdict | None  # the stream's rule's; None where it has none, and of what was asked for
    before: int | None  # the last id the rule had accepted
    step: Step | None  # what it did to a book; None: it does not concern one
    line: Line | None  # whose book that is


class Taken(NamedTuple):
    """What a record came to."""

    line: Line
    said: Sequence[Said]
    fault: str | None = None  # why it cannot be read
    losses: Sequence[tuple[Line, Step]] = ()  # books that are whole no more, as it may have changed them


Opener = Callable[[Venue, str, Scale | None], BookSync | None]


class FeedEngine:
    """One feed. `stream` names the book stream; `book_only` leaves all other streams alone; `opens` makes the books."""

    def __init__(
        self, venue: Venue, source: RecordSource, *, stream: str | None = None, book_only: bool = False,
        every_book: bool = False, opens: Opener = open_book,
    ) -> None:  # fmt: skip
        if stream is not None and not venue.is_book(stream):
            raise UsageError(f"{venue.name}: {stream!r} is no stream that a book is built of")
        self.venue = venue
        self.book_stream = stream or book_stream(venue, source.streams)  # None: not seen yet
        self.unwanted: set[int] = set()  # streams, by number, whose records need not be shown
        self.undecodable = 0  # records that cannot be read
        self._source = source
        self._is_named = stream is not None
        self._book_only = book_only
        self._every_book = every_book
        self._opens = opens
        self._lines: dict[int, Line] = {}
        self._books: dict[str, Line] = {}  # by stream
        self._early: deque[tuple[Update, int]] = deque(maxlen=MAX_EARLY)

    @property
    def sync(self) -> BookSync | None:
        """The feed's book; None until a record has come, and its stream is known."""
        line = self._books.get(self.book_stream) if self.book_stream is not None else None
        return None if line is None else line.book

    def resume(self, sync: BookSync) -> None:
        """Go on with a book that was kept."""
        if self.book_stream is None:
            raise UsageError("a kept book goes on where its stream is known")
        (self._books.get(self.book_stream) or self._open(self.book_stream)).book = sync

    def line(self, number: int) -> Line:
        """The stream of a number."""
        found = self._lines.get(number)
        return self._meet(number) if found is None else found

    def is_of_quotes(self, line: Line) -> bool:
        """Whether a stream tells of the best level of a book that another one tells more of."""
        name = line.name
        return self.book_stream not in (None, name) and self.venue.is_book(name) and reach(self.venue, name) == 1

    def on_record(self, record: RecordLike) -> Taken:
        """Take the next record."""
        return self.take(record.kind, record.flags, record.stream, record.payload, record.recv_ns)

    def take(self, kind: int, flags: int, stream: int, payload: bytes, recv_ns: int) -> Taken:
        """The same for a record in pieces."""
        line = self._lines.get(stream) or self._meet(stream)
        try:
            if kind == _DATA:
                return Taken(line, self._data(line, flags, payload, recv_ns))
            if kind == _RESPONSE and not flags & _FAILED:
                return Taken(line, self._answer(line, payload, recv_ns))
        except WireError as error:
            return self._unreadable(line, str(error), recv_ns)
        except Exception as error:  # noqa: BLE001  a venue's code is not to be trusted with a recording
            return self._unreadable(line, f"{type(error).__name__}: {error}", recv_ns)
        if kind == _NOTE and (loss := _loss(payload)) is not None:
            return Taken(line, (), None, list(self._lost(loss, recv_ns)))
        return Taken(line, ())

    def _lost(self, note: dict[str, Any], recv_ns: int) -> Iterator[tuple[Line, Step]]:
        """The books that are whole no more by what a NOTE says is lost."""
        for line in self._books.values():
            if line.book is None:
                continue
            if note["note"] == MISSED:
                step = line.book.unsure(note["since_ns"], recv_ns)
            else:
                step = line.book.miss(recv_ns)
            if step is not None:
                yield line, step

    def _data(self, line: Line, flags: int, payload: bytes, recv_ns: int) -> Sequence[Said]:
        """A message received."""
        if line.decode is None:
            return ()
        if not payload.isascii() and not flags & _BINARY:
            _check_text(payload)
        messages = line.decode(payload)
        rule, book = line.rule, line.book
        if rule is None:
            return [Said(message, None, None, None, None) for message in messages]
        said = []
        for message in messages:
            if type(message) is Other:
                said.append(Said(message, None, None, None, None))
                continue
            before = rule.last
            verdict = rule.judge(message)
            if book is not None and isinstance(message, Update):
                said.append(Said(message, verdict, before, book.on_judged(message, verdict, recv_ns), line))
            else:
                said.append(Said(message, verdict, before, None, None))
        return said

    def _answer(self, line: Line, payload: bytes, recv_ns: int) -> Sequence[Said]:
        """The answer to a request for a whole book."""
        if line.decode is None:
            return ()
        said = []
        for message in line.decode(payload):
            lines = [one for one in self._books.values() if one.book is not None]
            if isinstance(message, Update) and lines:
                for one in lines:
                    assert one.book is not None
                    said.append(Said(message, None, None, one.book.on_message(message, recv_ns), one))
                continue
            if isinstance(message, Update):
                self._early.append((message, recv_ns))
            said.append(Said(message, None, None, None, None))
        return said

    def _unreadable(self, line: Line, fault: str, recv_ns: int) -> Taken:
        self.undecodable += 1
        losses = [] if line.book is None else [(line, line.book.lose(recv_ns))]
        return Taken(line, (), fault, losses)

    def _meet(self, number: int) -> Line:
        """A stream that was not seen yet."""
        name = self._source.stream_name(number)
        if self.book_stream is not None and self.book_stream not in self._books:
            self._open(self.book_stream)  # known from before: whole books of it may come first
        if self._is_deeper(name):
            self._retire()
        if self.venue.is_book(name) and (self._every_book or self.book_stream in (None, name)):
            self.book_stream = self.book_stream or name
            line = self._books.get(name) or self._open(name)
        else:
            line = self._beside(name)
        if line.decode is None and name != SESSION_STREAM:  # where NOTEs stand, of losses too
            self.unwanted.add(number)
        self._lines[number] = line
        return line

    def _beside(self, name: str) -> Line:
        """A stream that is not the book's."""
        if self._book_only and name != SNAPSHOT_STREAM:
            return Line(name, None, None, None)
        decode = self.venue.decoder(name)
        if self.venue.is_book(name):  # it is told twice, and shown once
            return Line(name, _quotes(decode) if reach(self.venue, name) == 1 else None, None, None)
        return Line(name, _of_json(decode) if name == OTHER_STREAM else decode, self.venue.rule(name), None)

    def _is_deeper(self, name: str) -> bool:
        """Whether a stream that is new is the feed's book from now on."""
        if self.book_stream is None or self._is_named or self._every_book or not self.venue.is_book(name):
            return False
        return reach(self.venue, name) > reach(self.venue, self.book_stream)

    def _retire(self) -> None:
        """What was the feed's book so far is a stream beside it, and is met anew."""
        assert self.book_stream is not None
        old, self.book_stream = self._books.pop(self.book_stream), None
        self._lines = {number: line for number, line in self._lines.items() if line is not old}

    def _open(self, name: str) -> Line:
        """A book stream, with its book."""
        book = self._opens(self.venue, name, self._source.feed.scale)
        rule = book.rule if book is not None else self.venue.rule(name)
        line = self._books[name] = Line(name, self.venue.decoder(name), rule, book)
        if book is not None:
            for update, recv_ns in self._early:
                book.on_message(update, recv_ns)
        return line


def as_quote(update: Message) -> Quote | None:
    """A whole book of one level as the quote it is; None of a change of one, which may name one side only. Raises
    WireError."""
    if not isinstance(update, BookUpdate) or not update.snapshot:
        return None
    try:
        bid, ask = (next(iter(texts(side, update.shape)), ("0", "0")) for side in (update.bids, update.asks))
    except (msgspec.MsgspecError, ValueError, LookupError) as error:
        raise WireError(f"no level: {error}") from error
    return Quote(update.venue_ns, UNKNOWN, *bid, *ask)  # its number is of its own stream, and of no other's book


def _quotes(decode: Decoder) -> Decoder:
    """Of a book stream that tells of the best level, the quotes."""
    return lambda payload: [quote for quote in map(as_quote, decode(payload)) if quote is not None]


def _check_text(payload: bytes) -> None:
    """A text frame is UTF-8, whatever else is in it. Raises WireError."""
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"no text: not UTF-8 at byte {error.start}") from error


def _of_json(decode: Decoder) -> Decoder:
    """The decoder of what no venue's adapter knows a place for: that it is JSON is the least that can be asked."""

    def checked(payload: bytes) -> Sequence[Message]:
        try:
            msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise WireError(f"not JSON: {error}") from error
        return decode(payload)

    return checked


def _loss(note: bytes) -> dict[str, Any] | None:
    """A NOTE that stands for records repair could not save, or for frames that a connection's numbers show to be
    missing; None of any other."""
    try:
        said = json.loads(note)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    missed = said.get("note") == MISSED and isinstance(said.get("since_ns"), int)
    return said if missed or said.get("note") == "lost" else None

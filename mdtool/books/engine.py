"""A feed's records to what they say and to its books: decode, judge, apply. Whoever reads a feed does it here.

Rule: whatever the bytes, and whatever a venue's code does with them, nothing is raised. A record that cannot be read is
said to be so, and a book that it may have changed is whole no more.

Two book streams of one feed tell the same story twice: the first that comes is the feed's book, unless one is named.
`every_book` keeps one of each, for whoever has to judge them all.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from mdtool.books.sync import BookSync, Step, open_book
from mdtool.errors import UsageError, WireError
from mdtool.model import OTHER_STREAM, SESSION_STREAM, SNAPSHOT_STREAM, Flag, Kind, Message, Other, Scale, Update
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import Decoder, Venue

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
        known = (name for name in source.streams if venue.is_book(name))
        self.venue = venue
        self.book_stream = stream or next(known, None)  # None: not seen yet
        self.unwanted: set[int] = set()  # streams, by number, whose records need not be shown
        self.undecodable = 0  # records that cannot be read
        self._source = source
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
        if self.venue.is_book(name) and (self._every_book or self.book_stream in (None, name)):
            self.book_stream = self.book_stream or name
            line = self._books.get(name) or self._open(name)
        else:
            wanted = name == SNAPSHOT_STREAM or not self._book_only
            is_other_book = self.venue.is_book(name)  # it is told twice, and shown once
            decode = self.venue.decoder(name) if wanted and not is_other_book else None
            if decode is not None and name == OTHER_STREAM:
                decode = _of_json(decode)
            line = Line(name, decode, self.venue.rule(name) if decode is not None else None, None)
        if line.decode is None and name != SESSION_STREAM:  # where NOTEs stand, of losses too
            self.unwanted.add(number)
        self._lines[number] = line
        return line

    def _open(self, name: str) -> Line:
        """A book stream, with its book."""
        book = self._opens(self.venue, name, self._source.feed.scale)
        rule = book.rule if book is not None else self.venue.rule(name)
        line = self._books[name] = Line(name, self.venue.decoder(name), rule, book)
        if book is not None:
            for update, recv_ns in self._early:
                book.on_message(update, recv_ns)
        return line


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

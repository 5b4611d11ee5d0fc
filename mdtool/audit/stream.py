"""One stream of a feed under its venue's sequence rule: this is where an audit spends its time.

Rule: `data` does the least that each message needs; whatever is rare lives in the methods below it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from mdtool.audit.anchors import Anchors
from mdtool.audit.findings import Duplicate, Finding, Gap, OutOfOrder, Unanchored, Undecodable, WrongChecksum
from mdtool.audit.ledger import Ledger, Validity
from mdtool.audit.report import StreamReport
from mdtool.books.sync import BookState, open_book
from mdtool.errors import WireError
from mdtool.model import (
    NO_TIME,
    SESSION_SYMBOL,
    UNKNOWN,
    BookUpdate,
    Funding,
    Kind,
    Liquidation,
    Message,
    OrderUpdate,
    Other,
    Quote,
    Status,
    Trade,
    Update,
)
from mdtool.storage.reading.reader import Record
from mdtool.venues.sequence import Verdict
from mdtool.venues.venue import Venue

WHOLE = "every message follows the one before"
UNSEEN = "the venue's numbers do not show a loss here"
ELSEWHERE = f"a loss shows in the connection's numbers, in the audit of {SESSION_SYMBOL}"
MAX_REASONS = 16  # kinds of undecodable message told apart in one stream
_DIGITS = re.compile(r"\d+")
_NAMES: dict[type, str] = {
    BookUpdate: "book_update",
    OrderUpdate: "order_update",
    Trade: "trade",
    Quote: "quote",
    Funding: "funding",
    Liquidation: "liquidation",
    Status: "status",
}


@dataclass(slots=True)
class _Undecodable:
    at_ns: int
    position: int
    reason: str
    count: int = 0


class Change(Enum):
    """How one writer of a feed gave way to the next."""

    STOPPED = "stop"  # by intention: what was missed meanwhile is no defect
    DIED = "writer died"
    IMPORTED = "import"  # one import ended and another began: nobody says that nothing was meant to be between


class StreamObserver(Protocol):
    """Who is told what a stream meets."""

    def found(self, finding: Finding) -> None:
        """Something is wrong."""
        ...

    def begins_whole(self, stream: str, session: int) -> bool:
        """Whether the feed has this connection from its beginning, where the stream begins with the whole book."""
        ...

    def session_began(self, stream: StreamAudit, session: int, recv_ns: int) -> None:
        """The stream's first message from this connection; the stream still has the session and time of the one
        before."""
        ...


class StreamAudit:
    """The state of one stream. `add_offset` takes receive time minus venue time, ns."""

    def __init__(self, name: str, venue: Venue, watcher: StreamObserver, add_offset: Callable[[int], None]) -> None:
        self.name = name
        self.session = -1  # of the last message; -1 before the first
        self.last_ns = 0  # of the last message
        rule = venue.rule(name)
        self.anchors = Anchors(name, rule) if rule is not None and venue.is_book(name) else None
        self._wrong_since: tuple[int, str] | None = None  # when and how a checksum was wrong, till the next whole book
        self._proven = False  # by checksums, where there are no numbers
        self._checked = open_book(venue, name) if rule is not None and venue.traits(name).checksum else None
        self._decode = venue.decoder(name)
        self._rule = rule
        self._watcher = watcher
        self._add_offset = add_offset
        self._messages = 0  # DATA records
        self._first_ns: int | None = None  # of the first of them
        self._others: Counter[int] = Counter()  # records of other kinds
        self._others_ns: tuple[int, int] | None = None  # first and last of them
        self._decoded: Counter[type] = Counter()
        self._named: Counter[str] = Counter()  # what has a word of its own
        self._odd: Counter[Verdict] = Counter()  # verdicts other than APPLY, which is the rest
        self._change: Change | None = None  # how the writer of the last message gave way to this one's
        self._bad: dict[str, _Undecodable] = {}
        complete = rule is not None and rule.complete
        self._ledger = Ledger(
            name,
            Validity.WHOLE if complete else Validity.UNPROVABLE,
            WHOLE if complete else ELSEWHERE if venue.connection_rule() is not None else UNSEEN,
        )

    def data(self, record: Record) -> None:
        """A message received."""
        recv_ns = record.recv_ns
        self._messages += 1
        try:
            messages = self._decode(record.payload)
        except WireError as error:
            self._undecodable(record, error)
            if self._checked is not None and self._checked.state is BookState.SYNCED:
                self._checked.lose(recv_ns)  # what it changed is not known: the next checksum would only say so again
                self._wrong_since = (self.last_ns or recv_ns, str(error))
            return
        rule = self._rule
        for message in messages:
            kind = type(message)
            if kind is Other:
                self._named[message.what] += 1  # type: ignore[union-attr]
                continue
            self._decoded[kind] += 1
            if venue_ns := message.venue_ns:  # type: ignore[union-attr]  # NO_TIME is 0
                self._add_offset(recv_ns - venue_ns)
            if rule is None:
                continue
            before = rule.last
            verdict = rule.judge(message)
            if verdict is not Verdict.APPLY:
                self._judged(verdict, message, before, record)
            if kind is BookUpdate or kind is OrderUpdate:
                if self.anchors is not None:
                    self._anchor(message, record)  # type: ignore[arg-type]
                if self._checked is not None:
                    self._check(message, recv_ns)
        if record.session != self.session or self._change is not None:
            self._connected(record)
        self.last_ns = recv_ns

    def whole_book(self, record: Record) -> list[Update]:
        """A REST answer with the whole book, for the streams it anchors."""
        try:
            messages = self._decode(record.payload)
        except WireError as error:
            self._undecodable(record, error)
            return []
        books = [message for message in messages if isinstance(message, Update)]
        self._named["snapshot"] += len(books)
        for book in books:
            if book.venue_ns != NO_TIME:
                self._add_offset(record.recv_ns - book.venue_ns)
        return books

    def other(self, record: Record) -> None:
        """A record that is no message received."""
        recv_ns = record.recv_ns
        self._others[record.kind] += 1
        self._others_ns = (self._others_ns[0] if self._others_ns else recv_ns, recv_ns)

    @property
    def interrupted(self) -> bool:
        """The last message was another writer's."""
        return self._change is not None

    def writer_changed(self, change: Change) -> None:
        """Another epoch begins."""
        if self.session >= 0:
            self._change = change

    def finish(self) -> StreamReport:
        """Nothing more comes."""
        if self.anchors is not None:
            self.anchors.finish(self.last_ns)
            for finding in self.anchors.findings:
                self._watcher.found(finding)
        for bad in self._bad.values():
            self._watcher.found(
                Undecodable(
                    stream=self.name, at_ns=bad.at_ns, reason=bad.reason, count=bad.count, position=bad.position
                )
            )
        if self._wrong_since is not None:
            self._ledger.hole(self._wrong_since[0], self.last_ns, Validity.BROKEN, self._wrong_since[1])
        self._ledger.close(self.last_ns)
        bounds = [*(self._others_ns or ()), *(bad.at_ns for bad in self._bad.values())]
        if self._first_ns is not None:
            bounds += (self._first_ns, self.last_ns)
        kinds = {Kind.DATA: self._messages, **self._others}
        return StreamReport(
            stream=self.name,
            records=sum(kinds.values()),
            kinds={Kind(kind).name.lower(): count for kind, count in sorted(kinds.items()) if count},
            decoded={_NAMES[kind]: count for kind, count in self._decoded.items()} | dict(self._named),
            verdicts=self._verdicts(),
            first_ns=min(bounds),
            last_ns=max(bounds),
            intervals=tuple(self._ledger.intervals),
            checksums=self._checksums(),
        )

    def _checksums(self) -> dict[str, int]:
        check = self._checked.check if self._checked is not None else None
        return {} if check is None else {"match": check.matched, "mismatch": check.mismatched}

    def _verdicts(self) -> dict[str, int]:
        if self._rule is None:
            return {}
        counts = {verdict.name.lower(): count for verdict, count in sorted(self._odd.items())}
        return {"apply": self._decoded.total() - self._odd.total()} | counts

    def _check(self, message: Message, recv_ns: int) -> None:
        assert self._checked is not None
        step = self._checked.on_message(message, recv_ns)
        if step.mismatch is not None:
            self._watcher.found(
                WrongChecksum(stream=self.name, at_ns=recv_ns, reason=step.mismatch, last_seq=_ids(message)[1])
            )
            self._wrong_since = (self.last_ns or recv_ns, step.mismatch)
        elif self._wrong_since is not None and step.state is BookState.SYNCED:
            self._ledger.hole(self._wrong_since[0], recv_ns, Validity.BROKEN, self._wrong_since[1])
            self._wrong_since = None
        elif not self._proven and self._checked.check is not None and self._checked.check.matched:
            self._proven = True
            self._ledger.become(Validity.WHOLE, "the book has the checksums the venue says")

    def _anchor(self, update: Update, record: Record) -> None:
        anchors = self.anchors
        assert anchors is not None
        if update.snapshot:
            anchors.on_stream()
            return
        if record.session != self.session and self._watcher.begins_whole(self.name, record.session):
            self._watcher.found(Unanchored(stream=self.name, at_ns=record.recv_ns, session=record.session))
        anchors.held.append(update)
        if anchors.pending:
            anchors.update(update)

    def _judged(self, verdict: Verdict, message: Message, before: int | None, record: Record) -> None:
        """Anything but the next message in order."""
        self._odd[verdict] += 1
        first, last, prev = _ids(message)
        changed = self.session not in (-1, record.session)
        if verdict is Verdict.GAP:
            self._hole(first, prev, before, record.recv_ns, changed)
        elif verdict is Verdict.STALE and changed:
            pass  # to who subscribes anew venues send the latest again: counted as stale, and nothing is wrong
        elif verdict is Verdict.STALE or verdict is Verdict.OUT_OF_ORDER:
            kind = Duplicate if verdict is Verdict.STALE else OutOfOrder
            self._watcher.found(
                kind(
                    stream=self.name,
                    at_ns=record.recv_ns,
                    first_seq=first,
                    last_seq=last,
                    after_seq=before,
                    session_changed=changed,
                )
            )
        elif verdict is Verdict.RESET:
            if self.anchors is not None:
                self.anchors.end_run()
        elif verdict is Verdict.UNVERIFIABLE and not self._proven and not getattr(message, "snapshot", False):
            self._ledger.become(Validity.UNPROVABLE, "a message carries no numbers to prove it by")

    def _hole(self, first: int | None, prev: int | None, before: int | None, recv_ns: int, changed: bool) -> None:
        """Messages are missing; a finding, unless nobody was meant to record them."""
        if self.anchors is not None:
            self.anchors.end_run()
        if self._change is Change.STOPPED:
            why = f"the recording was stopped after id {before} and resumed at {first}"
            self._ledger.hole(self.last_ns, recv_ns, Validity.NOT_RECORDED, why)
            return
        gap = Gap(
            stream=self.name,
            at_ns=recv_ns,
            after_seq=before,
            next_first_seq=first,
            next_prev_seq=prev,
            after_ns=self.last_ns,
            next_ns=recv_ns,
            session_changed=changed,
            cause=self._change.value if self._change else "reconnect" if changed else "",
        )
        self._watcher.found(gap)
        self._ledger.hole(self.last_ns, recv_ns, Validity.BROKEN, gap.text)

    def _connected(self, record: Record) -> None:
        """The first message, of another connection, or of another writer."""
        recv_ns = record.recv_ns
        if self._first_ns is None:
            self._first_ns = recv_ns
            self._ledger.begin(recv_ns)
        if record.session != self.session:
            self._watcher.session_began(self, record.session, recv_ns)
            self.session = record.session
        if self.interrupted and (self._rule is None or not self._rule.complete):
            # Where the numbers cannot tell of a hole, the stop itself does.
            if self._change is Change.STOPPED:
                self._ledger.hole(self.last_ns, recv_ns, Validity.NOT_RECORDED, "the recording was stopped and resumed")
            elif self._change is Change.DIED:
                self._ledger.hole(self.last_ns, recv_ns, Validity.BROKEN, "the writer died and another began")
        self._change = None

    def _undecodable(self, record: Record, error: WireError) -> None:
        # Kinds are told apart by their text without its numbers, which are offsets and values of one message. What a
        # venue quotes of the message behind a semicolon is none of the kind either.
        kind = _DIGITS.sub("#", str(error).partition(";")[0])
        bad = self._bad.get(kind)
        if bad is None:
            if len(self._bad) >= MAX_REASONS:
                kind = next(reversed(self._bad))
            else:
                self._bad[kind] = _Undecodable(record.recv_ns, record.position, str(error))
            bad = self._bad[kind]
        bad.count += 1


def _ids(message: Message) -> tuple[int | None, int | None, int | None]:
    """First, last and previous id of a message, None where it gives none."""
    if isinstance(message, Update):
        found = (message.first_seq, message.last_seq, message.prev_seq)
    elif isinstance(message, Trade):
        found = (message.trade_id, message.trade_id, message.trade_id - 1)
    elif isinstance(message, Quote):
        found = (message.seq, message.seq, UNKNOWN)
    else:
        return None, None, None
    first, last, prev = (None if number == UNKNOWN else number for number in found)
    return first, last, prev

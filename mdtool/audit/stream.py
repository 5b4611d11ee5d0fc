"""One stream of a feed: what its messages came to under its venue's rule, as findings, counts and a ledger.

Rule: `data` does the least that each message needs; whatever is rare lives in the methods below it. Decoding, judging
and the book are the engine's; here is only what follows from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from mdtool.audit.anchors import Anchors
from mdtool.audit.connection import Break
from mdtool.audit.findings import Crossed, Duplicate, Gap, OutOfOrder, Unanchored, WrongChecksum
from mdtool.audit.ledger import Ledger, Validity
from mdtool.audit.observer import StreamObserver, ids_of
from mdtool.audit.report import Note, StreamReport
from mdtool.audit.seams import BETWEEN, Change
from mdtool.audit.tally import Tally
from mdtool.audit.times import Times
from mdtool.audit.unreadable import Unreadable
from mdtool.books.checks import crossed
from mdtool.books.engine import Line, Said, Taken
from mdtool.books.sync import BookState, Step
from mdtool.model import (
    SESSION_SYMBOL,
    Kind,
    Message,
    Other,
    Quote,
    Update,
)
from mdtool.storage.reading.reader import Record
from mdtool.units import count
from mdtool.venues.sequence import MAX_HOLES, Verdict
from mdtool.venues.venue import Venue

WHOLE = "every message follows the one before"
UNSEEN = "the venue's numbers do not show a loss here"
ELSEWHERE = f"a loss shows in the connection's numbers, in the audit of {SESSION_SYMBOL}"
BEFORE_WHOLE = "a whole book follows: it proves nothing of the time before it"


class StreamAudit:
    """The state of one stream. `add_offset` takes receive time minus venue time, ns; `asked`: its whole books have to
    be asked for."""

    def __init__(
        self, line: Line, venue: Venue, observer: StreamObserver, add_offset: Callable[[int], None],
        breaks: Mapping[int, Sequence[Break]], *, asked: bool,
    ) -> None:  # fmt: skip
        self.name = line.name
        self.line = line
        self.session = -1  # of the last message; -1 before the first
        self.last_ns = 0  # of the last message
        self.tally = Tally(line.name)
        self.anchors = Anchors(line.name, asked=asked) if line.book is not None else None
        of_it = {session: deque(one for one in some if one.is_of(line.name)) for session, some in breaks.items()}
        self._breaks = {session: some for session, some in of_it.items() if some and line.book is not None}
        self._gaps: deque[Gap] = deque(maxlen=MAX_HOLES)  # found, and not filled since
        self._observer = observer
        self._sessions: set[int] = set()  # those it has had
        self._advanced = -1  # the session that brought the last message which was new
        self._switched = False  # the last message is of another session than the one before it
        self._change: Change | None = None  # what the last messages are parted by from those before, unproven so far
        self._wrong_since: tuple[int, str] | None = None  # when and how the book became wrong, till the next whole one
        self._crossed = False
        self._unnumbered = False  # a message came whose numbers prove nothing, though the rule could
        self._first_ns: int | None = None  # of the first message
        self._bad = Unreadable()
        self._times = Times(add_offset)
        self._complete = line.rule is not None and line.rule.complete
        self._ledger = Ledger(
            line.name,
            Validity.WHOLE if self._complete else Validity.UNPROVABLE,
            WHOLE if self._complete else ELSEWHERE if venue.connection_rule() is not None else UNSEEN,
        )

    @property
    def unreadable(self) -> int:
        """Messages that are not what the venue documents."""
        return self._bad.count if self.tally.messages else 0

    def data(self, record: Record, taken: Taken) -> None:
        """A message received, and what it came to."""
        tally = self.tally
        tally.messages += 1
        recv_ns = record.recv_ns
        if taken.fault is not None:
            self._unreadable(record, taken.fault)
            return
        if record.session != self.session or self._switched:
            self._connected(record)
        if self._breaks:
            self._break(record, taken)
        for said in taken.said:
            message, verdict, _, step, _ = said
            kind = type(message)
            if kind is Other:
                tally.named[message.what] += 1  # type: ignore[union-attr]
                if not message.known:  # type: ignore[union-attr]
                    tally.strange.add(message.what)  # type: ignore[union-attr]
                continue
            if step is not None and step.error is not None:
                self._unreadable(record, step.error)
            else:
                tally.decoded[kind] += 1
            self._times.take(message, recv_ns)
            if kind is Quote:
                self._observer.quoted(message, recv_ns)  # type: ignore[arg-type]
            if verdict is None:
                if self._change is not None:
                    self._parted(recv_ns)
                continue
            tally.judged += 1
            if verdict is not Verdict.APPLY or self._change is not None or record.session != self._advanced:
                self._judged(said, record)
            if step is not None:
                self._booked(message, step, record)
        self.last_ns = recv_ns

    def whole_book(self, record: Record, book: Update, step: Step) -> None:
        """A whole book that was asked for, and what it did to this stream's."""
        assert self.anchors is not None  # it is a book's stream
        self.anchors.asked_for(book, step, record.recv_ns)
        self._healed(record.recv_ns)

    def other(self, record: Record, taken: Taken) -> None:
        """A record that is no message received."""
        self.tally.other(record)
        if taken.fault is not None:
            self._unreadable(record, taken.fault)

    def lost(self, record: Record, why: str) -> None:
        """Something is lost here that may have been the stream's, and nothing else in it would show it."""
        self._wrong_since = self._wrong_since or (self.last_ns or record.recv_ns, why)

    @property
    def interrupted(self) -> bool:
        """The last message was another writer's."""
        return self._change is not None and self._change is not Change.RECONNECT

    def writer_changed(self, change: Change) -> None:
        """Another epoch begins."""
        if self.session >= 0:
            self._change = change

    @property
    def notes(self) -> Sequence[Note]:
        """What is worth knowing of the stream, behind its end."""
        found = [] if self.anchors is None or not self.tally.messages else list(self.anchors.notes)
        skipped = 0 if self.line.rule is None else self.line.rule.skipped
        if skipped:
            text = (
                f"{count(skipped, 'execution is', 'executions are')} in no aggregate: the venue leaves out those by "
                "its insurance fund and by deleveraging, so whether any is missing cannot be proven"
            )
            found.append(Note("left_out", self.name, self.last_ns, text))
        return found

    def finish(self, refusals: int) -> StreamReport:
        """Nothing more comes. `refusals`: requests for the feed's whole book that were answered with none."""
        if self.anchors is not None:
            self.anchors.finish(self.last_ns, refusals)
            self._say_proven()
            for finding in self.anchors.findings:
                self._observer.found(finding)
        for bad in (*self._bad.findings(self.name), *self._times.findings(self.name)):
            self._observer.found(bad)
        if self._wrong_since is not None:
            self._ledger.hole(self._wrong_since[0], self.last_ns, Validity.BROKEN, self._wrong_since[1])
        self._ledger.close(self.last_ns)
        bounds = [*self.tally.times(), *self._bad.times]
        if self._first_ns is not None:
            bounds += (self._first_ns, self.last_ns)
        kinds = self.tally.kinds()
        return StreamReport(
            stream=self.name,
            records=sum(kinds.values()),
            kinds=kinds,
            decoded=self.tally.words(),
            verdicts={} if self.line.rule is None else self.tally.verdicts(),
            first_ns=min(bounds, default=0),
            last_ns=max(bounds, default=0),
            intervals=tuple(self._ledger.intervals),
            checksums=self._checksums(),
            undecodable=self._bad.count,
            anchored=None if self.anchors is None or not self.anchors.updates else not self.anchors.adrift,
        )

    def _checksums(self) -> dict[str, int]:
        check = self.line.book.check if self.line.book is not None else None
        return {} if check is None else {"match": check.matched, "mismatch": check.mismatched}

    # -- the book -----------------------------------------------------------------------------------------------

    def _booked(self, message: Message, step: Step, record: Record) -> None:
        """An update, or a whole book that came on the stream."""
        assert self.anchors is not None
        recv_ns = record.recv_ns
        whole: bool = message.snapshot  # type: ignore[union-attr]
        if whole:
            self.anchors.came_whole()
        else:
            if self.anchors.fresh and self._observer.begins_whole(self.name, record.session):
                self._observer.found(Unanchored(stream=self.name, at_ns=recv_ns, session=record.session))
            self.anchors.update(message, step, recv_ns)  # type: ignore[arg-type]
        if step.mismatch is not None:
            self._observer.found(
                WrongChecksum(stream=self.name, at_ns=recv_ns, reason=step.mismatch, last_seq=ids_of(message)[1])
            )
            self._wrong_since = self._wrong_since or (self.last_ns or recv_ns, step.mismatch)
            return
        if step.error is not None:
            self._wrong_since = self._wrong_since or (self.last_ns or recv_ns, step.error)
            return
        self._healed(recv_ns)
        if step.applied:
            self._check_crossed(recv_ns)

    def _break(self, record: Record, taken: Taken) -> None:
        """Frames of its connection are missing, and one of them may have been the book's: it is no book until the next
        whole one, be that this very message."""
        book = self.line.book
        breaks = self._breaks.get(record.session)
        while book is not None and breaks and breaks[0].next_ns <= record.recv_ns:
            gone = breaks.popleft()
            if gone.after_ns < (self._first_ns or 0):
                continue
            self._wrong_since = self._wrong_since or (self.last_ns, gone.why)
            if not any(isinstance(said.message, Update) and said.message.snapshot for said in taken.said):
                book.lose(record.recv_ns)

    def _healed(self, recv_ns: int) -> None:
        """A whole book ends what was wrong with the one before."""
        book = self.line.book
        if self._wrong_since is not None and book is not None and book.state is BookState.SYNCED:
            self._say_proven()
            self._ledger.hole(self._wrong_since[0], recv_ns, Validity.BROKEN, self._wrong_since[1])
            self._wrong_since = None

    def _check_crossed(self, recv_ns: int) -> None:
        """A book that stands crossed is told once, until it does no more."""
        book = self.line.book
        assert book is not None
        found = crossed(book.book) if book.state is BookState.SYNCED else []
        if found and not self._crossed:
            text = f"{found[0].found}, expected {found[0].expected}"
            self._observer.found(Crossed(stream=self.name, at_ns=recv_ns, found=text, last_seq=book.last_seq))
        self._crossed = bool(found)

    def _say_proven(self) -> None:
        """What the stretch up to here is, beyond its sequence."""
        book = self.line.book
        if book is None or self.anchors is None:
            return
        if self._complete and not self._unnumbered:
            why = WHOLE if self.anchors.anchored else f"{WHOLE}; no whole book anchors them"
            self._ledger.become(Validity.WHOLE, why)
        elif book.check is not None and book.check.matched:
            times = f"the venue's checksum {count(book.check.matched, 'time')}"
            if book.proven_depth is None:
                self._ledger.become(Validity.WHOLE, f"the book had {times}")
            else:
                why = f"the best {count(book.proven_depth, 'level')} had {times}; below them nothing is proven"
                self._ledger.become(Validity.TOP, why)

    # -- the sequence -------------------------------------------------------------------------------------------

    def _judged(self, said: Said, record: Record) -> None:
        """Anything but the next message in order, and what comes first behind a seam."""
        message, verdict, before, _, _ = said
        assert verdict is not None
        if verdict is not Verdict.APPLY:
            self.tally.odd[verdict] += 1
        first, last, prev = ids_of(message)
        recv_ns = record.recv_ns
        seam = self._change
        # A whole book that does not say what it follows: it proves nothing of what was before it.
        whole = isinstance(message, Update) and message.snapshot and prev in (None, last)
        if verdict is Verdict.GAP:
            jump = self.line.rule.jump if self.line.rule is not None else None
            if jump is not None:
                before, first, prev = jump[0], jump[1], jump[1] - 1
            self._hole(first, prev, before, recv_ns)
        elif verdict is Verdict.STALE or verdict is Verdict.OUT_OF_ORDER:
            # To who subscribes anew venues send the latest again, and two connections that overlap bring all twice,
            # the one a little later than the other: counted, and nothing is wrong.
            if verdict is Verdict.OUT_OF_ORDER and last is not None:
                self._came_late(first, last, before)
            if self._observer.is_told(record.position):
                return
            if record.session == self._advanced or (verdict is Verdict.OUT_OF_ORDER and not self._overlaps(record)):
                self._repeated(verdict, first, last, before, recv_ns)
            return
        elif seam is not None and (whole or not self._complete or verdict is Verdict.UNVERIFIABLE):
            self._parted(recv_ns)
        elif whole and self._complete and before is not None and last != before:
            self._end_run()
            self._ledger.hole(
                self.last_ns,
                recv_ns,
                Validity.UNPROVABLE,
                "a whole book follows: it proves nothing of what was before it",
            )
        elif verdict is Verdict.RESET:
            self._end_run()
            self._change = None
        elif verdict is Verdict.UNVERIFIABLE and self._complete and not whole:
            self._unnumbered = True
            self._ledger.become(Validity.UNPROVABLE, "a message carries no numbers to prove it by")
        elif verdict is Verdict.APPLY:
            self._change = None  # its numbers follow those before the seam: nothing is missing
        self._advanced = record.session

    def _overlaps(self, record: Record) -> bool:
        """Whether the message is of another connection than the one that is ahead, and both are up. What it brings late
        has come by the other: ids that only rise do not tell a repeat from a late one."""
        return self._observer.is_open(record.session) and self._observer.is_open(self._advanced)

    def _repeated(
        self, verdict: Verdict, first: int | None, last: int | None, before: int | None, recv_ns: int
    ) -> None:
        kind = Duplicate if verdict is Verdict.STALE else OutOfOrder
        self._observer.found(
            kind(
                stream=self.name, at_ns=recv_ns, first_seq=first, last_seq=last, after_seq=before,
                session_changed=self._switched,
            )
        )  # fmt: skip

    def _came_late(self, first: int | None, last: int, before: int | None) -> None:
        """What a gap was of has come after all: messages changed places, and none is missing."""
        rule = self.line.rule
        assert rule is not None  # it has judged
        for gap in [*self._gaps]:
            after, up_to = gap.after_seq, gap.next_prev_seq
            if after is not None and up_to is not None and after < last <= up_to and rule.is_filled(after, up_to):
                self._gaps.remove(gap)
                self._observer.withdrawn(gap)
                self._ledger.explain(gap.text, f"ids {first} to {last} came late, after {before}")

    def _parted(self, recv_ns: int) -> None:
        """What lies between two connections, writers or imports, where no number behind it proves that nothing does."""
        change, self._change = self._change, None
        if change is not None:
            self._end_run()
            self._ledger.hole(self.last_ns, recv_ns, *BETWEEN[change])

    def _hole(self, first: int | None, prev: int | None, before: int | None, recv_ns: int) -> None:
        """Messages are missing; a finding, unless nobody was meant to record them."""
        self._end_run()
        change, self._change = self._change, None
        if change is Change.STOPPED:
            why = f"the recording was stopped after id {before} and resumed at {first}"
            self._ledger.hole(self.last_ns, recv_ns, Validity.NOT_RECORDED, why)
            return
        gap = Gap(
            stream=self.name, at_ns=recv_ns, after_seq=before, next_first_seq=first, next_prev_seq=prev,
            after_ns=self.last_ns, next_ns=recv_ns, session_changed=self._switched,
            cause=change.value if change else "",
        )  # fmt: skip
        self._observer.found(gap)
        self._gaps.append(gap)
        self._ledger.hole(self.last_ns, recv_ns, Validity.BROKEN, gap.text)

    def _end_run(self) -> None:
        if self.anchors is not None:
            self.anchors.end_run(self.last_ns)
            self._say_proven()
            self.anchors.begin_run()

    def _connected(self, record: Record) -> None:
        """The first message, of another connection, or of another writer."""
        recv_ns = record.recv_ns
        if self._first_ns is None:
            self._first_ns = recv_ns
            self._ledger.begin(recv_ns)
        self._switched = self.session not in (-1, record.session)
        if record.session == self.session:
            return
        old, is_new = self.session, record.session not in self._sessions
        self._observer.session_began(self, record.session, recv_ns)
        self.session = record.session
        if not is_new:
            return
        self._sessions.add(record.session)
        if self.anchors is not None:
            self.anchors.fresh = True
        if old >= 0 and self._change is None and not self._observer.is_open(old):
            self._change = Change.RECONNECT

    def _unreadable(self, record: Record, reason: str) -> None:
        self._bad.add(record, reason)
        if record.kind == Kind.DATA and self.line.book is not None and not self._complete:
            self._wrong_since = self._wrong_since or (self.last_ns or record.recv_ns, reason)

"""A feed from its first record to its last under its venue's rules."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from mdtool.audit.connection import Break, Connections
from mdtool.audit.findings import (
    Absent,
    ClockStep,
    Corrupt,
    Empty,
    Finding,
    Lost,
    NotUnderstood,
    QuoteMismatch,
    UncleanEnd,
)
from mdtool.audit.offset import OffsetMeter
from mdtool.audit.reading import Progress, no_progress, runs
from mdtool.audit.report import FeedReport, Note, Reconnection, failed
from mdtool.audit.stream import StreamAudit
from mdtool.audit.words import close_reason, loss, words
from mdtool.books.checks import top
from mdtool.books.engine import FeedEngine, Line, Taken
from mdtool.books.sync import BookState
from mdtool.errors import CorruptStore, MdtoolError, UnknownSymbol
from mdtool.history.seams import Change, change_of_writer, resumes
from mdtool.model import NO_TIME, UNKNOWN, Flag, Kind, Quote, Update, is_session
from mdtool.storage.journal.presence import WRITER_TTL_NS
from mdtool.storage.reading.reader import Reader, Record, WriterStatus
from mdtool.storage.store import Store
from mdtool.units import count
from mdtool.venues.venue import Venue

MAX_FINDINGS = 10_000  # listed; all are counted
MAX_RECONNECTS = 10_000
NO_BREAKS: Mapping[int, Sequence[Break]] = {}
MAX_NAMES = 8  # of unknown messages, told in a finding


def audit_feed(
    reader: Reader,
    venue: Venue,
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    now_ns: int | None = None,
    breaks: Mapping[int, Sequence[Break]] = NO_BREAKS,
    told: Collection[int] = (),
    progress: Progress = no_progress,
) -> FeedReport:
    """Every stream of the feed under its sequence rule, from `from_ns` up to the first record at or after `to_ns`.

    `breaks`: where frames of its connections are missing, by session. `told`: the positions of records that their
    connection's numbers tell to be late or there again. `now_ns` decides whether a writer without an END
    is still at work (None: the system's clock). Whether checksums are compared is the reader's choice. Raises
    StoreError where chunks cannot be read at all.
    """
    reader.to_start()
    if from_ns is not None:
        reader.seek(from_ns)
    audit = _FeedAudit(reader, venue, breaks, told, whole=from_ns is None)
    audit.run(to_ns, progress)
    return audit.finish(time.time_ns() if now_ns is None else now_ns)


def audit_store(
    store: Store,
    venue_lookup: Callable[[str], Venue],
    names: Sequence[str],
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    verify: bool = True,
    now_ns: int | None = None,
    progress: Progress = no_progress,
) -> Iterator[FeedReport]:
    """One report a feed, in the order of `names`. A feed that cannot be audited (no adapter for its venue, a chunk
    that is gone) is a report with `error`; the others go on."""
    known: dict[str, Connections] = {}  # by venue
    for name in names:
        try:
            venue = venue_lookup(store.feed(name).venue)
            if venue.name not in known:
                known[venue.name] = Connections(store, venue, from_ns=from_ns, to_ns=to_ns)
            connections = known[venue.name]
            with store.reader(name, verify=verify) as reader:
                report = audit_feed(
                    reader,
                    venue,
                    from_ns=from_ns,
                    to_ns=to_ns,
                    now_ns=now_ns,
                    breaks=connections.breaks_of(name),
                    told=connections.told_of(name),
                    progress=progress,
                )
            yield connections.beside(report)
        except MdtoolError as error:
            yield failed(name, str(error))


class _FeedAudit:
    """The state of one run over a feed; the observer of its streams. `whole`: the run begins where the feed does."""

    def __init__(
        self, reader: Reader, venue: Venue, breaks: Mapping[int, Sequence[Break]], told: Collection[int], *, whole: bool
    ) -> None:  # fmt: skip
        self._breaks = breaks
        self._told = told
        self._reader = reader
        self._venue = venue
        self._whole = whole
        self._engine = FeedEngine(venue, reader, every_book=True)
        self._streams: dict[str, StreamAudit] = {}
        self._numbered: dict[int, StreamAudit] = {}  # the same, by the stream's number
        self._meter = OffsetMeter()
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._notes: list[Note] = []
        self._reconnects: dict[tuple[int, int], Reconnection] = {}
        self._closes: dict[int, str] = {}  # session -> what its CLOSE says
        self._sessions: set[int] = set()
        self._opened: set[int] = set()  # those whose OPEN stands in this stretch
        self._refusals = 0  # requests for a whole book that were answered with none
        self._planned: dict[str, None] = {}  # streams that the recorder said it would record
        self._epoch_of: dict[int, int] = {}  # chunk id -> epoch
        self._epoch: int | None = None
        self._epochs = 0
        self._records = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._last_kind = 0
        self._imported = False  # whether the last END was an import's
        self._reached_end = True

    def run(self, to_ns: int | None, progress: Progress) -> None:
        """Through to the end, or the first record at or after `to_ns`."""
        for chunk_id, records in runs(self._reader, self._corrupt, progress):
            if not self._chunk(chunk_id, records, to_ns):
                self._reached_end = False
                break
            self._meter.settle()

    def finish(self, now_ns: int) -> FeedReport:
        """The report. `now_ns` judges the heartbeat of a writer that has not ended."""
        if self._records and self._reached_end and self._last_kind != Kind.END:
            if self._reader.writer_status(WRITER_TTL_NS, now_ns) is WriterStatus.ALIVE:
                self._note("being_written", "a writer is at work: this is the feed as of now")
            else:
                self._unclean(None)
        streams = sorted(self._streams.values(), key=lambda stream: stream.name)
        reports = tuple(report for report in (stream.finish(self._refusals) for stream in streams) if report.records)
        for stream in streams:
            self._notes.extend(stream.notes)
        self._judge_evidence(streams)
        if self._counts.total() > len(self._findings):
            self._note("findings_cut", f"of the findings only the first {len(self._findings):,} are listed")
        return FeedReport(
            feed=self._reader.feed.name,
            from_ns=self._first_ns,
            to_ns=self._last_ns if self._records else None,
            records=self._records,
            epochs=self._epochs,
            sessions=len(self._sessions),
            streams=reports,
            findings=tuple(sorted(self._findings, key=lambda finding: finding.at_ns)),
            finding_counts=dict(sorted((+self._counts).items())),
            notes=tuple(self._notes),
            reconnects=tuple(self._reconnects.values()),
            offset=self._meter.result(),
        )

    # -- what the streams tell ----------------------------------------------------------------------------------

    def found(self, finding: Finding) -> None:
        self._counts[finding.kind] += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)

    def withdrawn(self, finding: Finding) -> None:
        self._counts[finding.kind] -= 1
        if finding in self._findings:
            self._findings.remove(finding)

    def is_told(self, position: int) -> bool:
        return position in self._told

    def begins_whole(self, stream: str, session: int) -> bool:
        return session in self._opened and not self._asks_for_books(stream)

    def is_open(self, session: int) -> bool:
        return session in self._opened and session not in self._closes

    def quoted(self, quote: Quote, recv_ns: int) -> None:
        for stream in self._streams.values():
            book = stream.line.book
            if book is None or book.last_seq != quote.seq or quote.seq == UNKNOWN or book.state is not BookState.SYNCED:
                continue
            for wrong in top(book.book, quote):
                self.found(
                    QuoteMismatch(
                        stream=stream.name, at_ns=recv_ns, found=wrong.found, expected=wrong.expected, seq=quote.seq
                    )
                )

    def session_began(self, stream: StreamAudit, session: int, recv_ns: int) -> None:
        self._sessions.add(session)
        old = stream.session
        known = (old, session) in self._reconnects or len(self._reconnects) >= MAX_RECONNECTS
        if old < 0 or stream.interrupted or known:
            return
        self._reconnects[old, session] = Reconnection(stream.last_ns, recv_ns, old, session, self._closes.get(old, ""))

    # -- the records --------------------------------------------------------------------------------------------

    def _chunk(self, chunk_id: int, records: Iterable[Record], to_ns: int | None) -> bool:
        """The records of one chunk; False where `to_ns` was reached."""
        streams = self._numbered
        take = self._engine.take
        data = int(Kind.DATA)
        last_ns, kind = self._last_ns, self._last_kind
        count = 0
        fresh = True
        finished = True
        for record in records:
            recv_ns = record.recv_ns
            if to_ns is not None and recv_ns >= to_ns:
                finished = False
                break
            if fresh:
                fresh = False
                self._last_ns, self._last_kind = last_ns, kind
                self._enter_chunk(chunk_id, record)
            elif recv_ns < last_ns:
                self._step(recv_ns, last_ns)
            last_ns = recv_ns
            kind = record.kind
            count += 1
            number = record.stream
            taken = take(kind, record.flags, number, record.payload, recv_ns)
            stream = streams.get(number)
            if stream is None:
                stream = streams[number] = self._stream(taken.line)
            if kind == data:
                stream.data(record, taken)
            else:
                self._other(stream, record, kind, taken)
        self._last_ns, self._last_kind = last_ns, kind
        self._records += count
        return finished

    def _enter_chunk(self, chunk_id: int, record: Record) -> None:
        """Before the first record of a chunk: the writer may be another one."""
        recv_ns = record.recv_ns
        if chunk_id not in self._epoch_of:
            self._epoch_of = {chunk.chunk_id: chunk.epoch for chunk in self._reader.chunks()}
        epoch = self._epoch_of.get(chunk_id)
        if self._first_ns is None:
            self._first_ns = recv_ns
        else:
            same = epoch == self._epoch
            if recv_ns < self._last_ns and (same or not is_session(self._reader.feed.symbol)):
                # The session feed is a log of unrelated connections: imports may lie beside each other there.
                self._step(recv_ns, self._last_ns, writer_changed=not same)
            if same or resumes(record.kind, record.flags, record.payload):
                self._epochs += not same
                self._epoch = epoch
                return
            change = change_of_writer(self._last_kind, Flag.IMPORTED if self._imported else 0)
            if change is Change.DIED:
                self._unclean(recv_ns)
            for stream in self._streams.values():
                stream.writer_changed(change)
        self._epoch = epoch
        self._epochs += 1

    def _stream(self, line: Line) -> StreamAudit:
        made = self._streams.get(line.name)
        if made is None:
            asked = line.book is not None and self._asks_for_books(line.name)
            made = StreamAudit(line, self._venue, self, self._meter.values.append, self._breaks, asked=asked)
            self._streams[line.name] = made
        return made

    def _other(self, stream: StreamAudit, record: Record, kind: int, taken: Taken) -> None:
        """A record that is no message received."""
        stream.other(record, taken)
        if kind == Kind.RESPONSE:
            self._answered(stream, record, taken)
        elif kind == Kind.END:
            self._imported = bool(record.flags & Flag.IMPORTED)
        elif kind == Kind.OPEN:
            self._opened.add(record.session)
        elif kind == Kind.CLOSE:
            self._closes[record.session] = close_reason(record.payload)
        elif kind == Kind.NOTE:
            self._noted(record)
        for line, _ in taken.losses if kind == Kind.NOTE else ():
            self._stream(line).lost(record, loss(record.payload))

    def _answered(self, stream: StreamAudit, record: Record, taken: Taken) -> None:
        """A whole book, to each book it went to; or none."""
        books = {id(said.message): said.message for said in taken.said if isinstance(said.message, Update)}
        stream.tally.named["snapshot"] += len(books)
        for book in books.values():
            if book.venue_ns != NO_TIME:
                self._meter.values.append(record.recv_ns - book.venue_ns)
        for said in taken.said:
            if said.step is not None and said.line is not None and isinstance(said.message, Update):
                self._stream(said.line).whole_book(record, said.message, said.step)
        if not books:
            self._refusals += 1

    def _noted(self, record: Record) -> None:
        """A NOTE of what repair could not save: numbers may not show it, and it is known all the same. Or one of what
        the recorder set out to record."""
        note = words(record.payload)
        if note.get("note") == "lost":
            rows, why = note.get("rows"), str(note.get("why", ""))
            lost = rows if isinstance(rows, int) else None
            self.found(Lost(stream="", at_ns=record.recv_ns, rows=lost, reason=why, position=record.position))
        elif note.get("note") == "plan" and isinstance(streams := note.get("streams"), list):
            self._planned |= dict.fromkeys(name for name in streams if isinstance(name, str))

    # -- what it comes to ---------------------------------------------------------------------------------------

    def _judge_evidence(self, streams: Sequence[StreamAudit]) -> None:
        """A verdict needs evidence: nothing, and what nobody understood, are none."""
        at_ns = self._last_ns if self._records else 0
        if is_session(self._reader.feed.symbol):
            if not self._records:
                self.found(Empty(stream="", at_ns=at_ns, reason="no record in this stretch of time"))
            return
        messages = sum(stream.tally.messages for stream in streams)
        books = sum(stream.tally.named["snapshot"] for stream in streams)
        if not self._records:
            self.found(Empty(stream="", at_ns=at_ns, reason="no record in this stretch of time"))
        elif not (messages or books) and self._whole and self._reached_end:
            self.found(
                Empty(stream="", at_ns=at_ns, reason=f"{count(self._records, 'record')}, and no message among them")
            )
        elif not (messages or books):
            self.found(Empty(stream="", at_ns=at_ns, reason="no message in this stretch of time"))
        understood = sum(stream.tally.understood for stream in streams)
        what = sum((stream.tally.unknown for stream in streams), Counter[str]())
        if unreadable := sum(stream.unreadable for stream in streams):
            what["undecodable"] = unreadable
        if what.total() > understood:
            named = dict(what.most_common(MAX_NAMES))
            self.found(NotUnderstood(stream="", at_ns=at_ns, count=what.total(), of=messages, what=named))
        there = {stream.name for stream in streams if stream.tally.messages}
        for name in self._planned if self._whole and self._reached_end else ():
            if name not in there and self._venue.is_book(name):
                reason = "it was to be recorded, and no message of it is there"
                self.found(Absent(stream=name, at_ns=at_ns, reason=reason))
            elif name not in there:
                self._notes.append(Note("silent", name, at_ns, f"{name} was to be recorded, and no message of it came"))

    def _asks_for_books(self, stream: str) -> bool:
        """Whether the stream's whole books have to be asked for."""
        try:
            return self._venue.snapshot_request(self._reader.feed.symbol, stream) is not None
        except UnknownSymbol:
            return False

    def _step(self, recv_ns: int, before_ns: int, *, writer_changed: bool = False) -> None:
        self.found(ClockStep(stream="", at_ns=recv_ns, before_ns=before_ns, writer_changed=writer_changed))

    def _unclean(self, next_ns: int | None) -> None:
        self.found(UncleanEnd(stream="", at_ns=self._last_ns, epoch=self._epoch or 0, next_ns=next_ns))

    def _corrupt(self, position: int, error: CorruptStore) -> None:
        self.found(Corrupt(stream="", at_ns=self._last_ns, reason=str(error), position=position))

    def _note(self, kind: str, text: str) -> None:
        self._notes.append(Note(kind, "", self._last_ns if self._records else None, text))

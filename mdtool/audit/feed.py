"""A feed from its first record to its last under its venue's rules."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from mdtool.audit.connection import with_connections
from mdtool.audit.findings import ClockStep, Corrupt, Finding, Lost, UncleanEnd
from mdtool.audit.offset import OffsetMeter
from mdtool.audit.report import FeedReport, Note, Reconnection, failed
from mdtool.audit.stream import Change, StreamAudit
from mdtool.errors import CorruptStore, MdtoolError, UnknownSymbol
from mdtool.model import SESSION_SYMBOL, Flag, Kind, Update
from mdtool.storage.format.layout import ROW_BITS
from mdtool.storage.journal.presence import WRITER_TTL_NS
from mdtool.storage.reading.reader import Reader, Record, WriterStatus
from mdtool.storage.store import Store
from mdtool.venues.venue import Venue

MAX_FINDINGS = 10_000  # listed; all are counted
MAX_RECONNECTS = 10_000
MAX_DAMAGED = 1_000  # damaged records in a row before the rest is given up


def audit_feed(
    reader: Reader,
    venue: Venue,
    *,
    from_ns: int | None = None,
    to_ns: int | None = None,
    now_ns: int | None = None,
) -> FeedReport:
    """Every stream of the feed under its sequence rule, from `from_ns` up to the first record at or after `to_ns`.

    `now_ns` decides whether a writer without an END is still at work (None: the system's clock). Whether checksums
    are compared is the reader's choice. Raises StoreError where chunks cannot be read at all.
    """
    reader.to_start()
    if from_ns is not None:
        reader.seek(from_ns)
    audit = _FeedAudit(reader, venue)
    audit.run(to_ns)
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
) -> Iterator[FeedReport]:
    """One report a feed, in the order of `names`. A feed that cannot be audited (no adapter for its venue, a chunk
    that is gone) is a report with `error`; the others go on."""
    for name in names:
        try:
            venue = venue_lookup(store.feed(name).venue)
            with store.reader(name, verify=verify) as reader:
                report = audit_feed(reader, venue, from_ns=from_ns, to_ns=to_ns, now_ns=now_ns)
            if reader.feed.symbol == SESSION_SYMBOL:
                report = with_connections(report, store, venue, from_ns=from_ns, to_ns=to_ns)
            yield report
        except MdtoolError as error:
            yield failed(name, str(error))


def _runs(reader: Reader, corrupt: Callable[[int, CorruptStore], None]) -> Iterator[tuple[int, Iterable[Record]]]:
    """The records from the reader's position on by chunk id. A record whose checksum does not hold is told and left
    out: from the first one on records are checked one by one, not a chunk at a time."""
    at = reader.position
    try:
        for batch in reader.batches():
            yield batch.position >> ROW_BITS, batch.records()
            at = reader.position
    except CorruptStore:
        reader.move_to(at)
        yield from groupby(_undamaged(reader, corrupt), lambda record: record.position >> ROW_BITS)


def _undamaged(reader: Reader, corrupt: Callable[[int, CorruptStore], None]) -> Iterator[Record]:
    records = reader.records()
    failures = 0
    while True:
        try:
            record = next(records, None)
        except CorruptStore as error:
            failures += 1
            if failures > MAX_DAMAGED:
                raise
            position = reader.position
            corrupt(position, error)
            reader.move_to(position + 1)
            records = reader.records()
            continue
        if record is None:
            return
        failures = 0
        yield record


class _FeedAudit:
    """The state of one run over a feed; the Watcher of its streams."""

    def __init__(self, reader: Reader, venue: Venue) -> None:
        self._reader = reader
        self._venue = venue
        self._streams: dict[int, StreamAudit] = {}
        self._books: list[StreamAudit] = []
        self._early: deque[tuple[Update, int]] = deque(maxlen=100)  # before there was a stream for them
        self._meter = OffsetMeter()
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._notes: list[Note] = []
        self._reconnects: dict[tuple[int, int], Reconnection] = {}
        self._closes: dict[int, str] = {}  # session -> what its CLOSE says
        self._sessions: set[int] = set()
        self._opened: set[int] = set()  # those whose OPEN stands in this stretch
        self._epoch_of: dict[int, int] = {}  # chunk id -> epoch
        self._epoch: int | None = None
        self._epochs = 0
        self._records = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._last_kind = 0
        self._imported = False  # whether the last END was an import's
        self._reached_end = True

    def run(self, to_ns: int | None) -> None:
        """Through to the end, or the first record at or after `to_ns`."""
        for chunk_id, records in _runs(self._reader, self._corrupt):
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
        reports = tuple(stream.finish() for stream in streams)
        for stream in streams:
            if stream.anchors is not None and (stream.anchors.seen or self._asks_for_books(stream.name)):
                self._notes.extend(stream.anchors.notes)
        if not self._records:
            self._note("empty", "no record in this stretch of time")
        if self._counts.total() > len(self._findings):
            self._note("findings_cut", f"only the first {len(self._findings):,} findings are listed")
        return FeedReport(
            feed=self._reader.feed.name,
            from_ns=self._first_ns,
            to_ns=self._last_ns if self._records else None,
            records=self._records,
            epochs=self._epochs,
            sessions=len(self._sessions),
            streams=reports,
            findings=tuple(sorted(self._findings, key=lambda finding: finding.at_ns)),
            finding_counts=dict(sorted(self._counts.items())),
            notes=tuple(self._notes),
            reconnects=tuple(self._reconnects.values()),
            offset=self._meter.result(),
        )

    def found(self, finding: Finding) -> None:
        self._counts[finding.kind] += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)

    def begins_whole(self, stream: str, session: int) -> bool:
        return session in self._opened and not self._asks_for_books(stream)

    def session_began(self, stream: StreamAudit, session: int, recv_ns: int) -> None:
        self._sessions.add(session)
        old = stream.session
        known = (old, session) in self._reconnects or len(self._reconnects) >= MAX_RECONNECTS
        if old < 0 or stream.interrupted or known:
            return
        self._reconnects[old, session] = Reconnection(stream.last_ns, recv_ns, old, session, self._closes.get(old, ""))

    def _chunk(self, chunk_id: int, records: Iterable[Record], to_ns: int | None) -> bool:
        """The records of one chunk; False where `to_ns` was reached."""
        streams = self._streams
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
                self._enter_chunk(chunk_id, recv_ns)
            elif recv_ns < last_ns:
                self._step(recv_ns, last_ns)
            last_ns = recv_ns
            kind = record.kind
            count += 1
            stream = streams.get(record.stream)
            if stream is None:
                stream = self._stream(record.stream)
            if kind == data:
                stream.data(record)
            else:
                self._other(stream, record, kind)
        self._last_ns, self._last_kind = last_ns, kind
        self._records += count
        return finished

    def _enter_chunk(self, chunk_id: int, recv_ns: int) -> None:
        """Before the first record of a chunk: the writer may be another one."""
        if chunk_id not in self._epoch_of:
            self._epoch_of = {chunk.chunk_id: chunk.epoch for chunk in self._reader.chunks()}
        epoch = self._epoch_of.get(chunk_id)
        if self._first_ns is None:
            self._first_ns = recv_ns
        else:
            same = epoch == self._epoch
            if recv_ns < self._last_ns and (same or self._reader.feed.symbol != SESSION_SYMBOL):
                # The session feed is a log of unrelated connections: imports may lie beside each other there.
                self._step(recv_ns, self._last_ns, writer_changed=not same)
            if same:
                return
            change = Change.DIED
            if self._last_kind == Kind.END:
                change = Change.IMPORTED if self._imported else Change.STOPPED
            else:
                self._unclean(recv_ns)
            for stream in self._streams.values():
                stream.writer_changed(change)
        self._epoch = epoch
        self._epochs += 1

    def _stream(self, number: int) -> StreamAudit:
        name = self._reader.stream_name(number)
        made = StreamAudit(name, self._venue, self, self._meter.values.append)
        self._streams[number] = made
        if made.anchors is not None:
            self._books.append(made)
            for book, recv_ns in self._early:
                made.anchors.snapshot(book, recv_ns)
        return made

    def _other(self, stream: StreamAudit, record: Record, kind: int) -> None:
        """A record that is no message received."""
        stream.other(record)
        if kind == Kind.RESPONSE:
            if not record.flags & Flag.FAILED:
                for book in stream.whole_book(record):
                    for other in self._books:
                        assert other.anchors is not None  # that is what makes it one of _books
                        other.anchors.snapshot(book, record.recv_ns)
                    if not self._books:
                        self._early.append((book, record.recv_ns))
        elif kind == Kind.END:
            self._imported = bool(record.flags & Flag.IMPORTED)
        elif kind == Kind.OPEN:
            self._opened.add(record.session)
        elif kind == Kind.CLOSE:
            self._closes[record.session] = _close_reason(record.payload)
        elif kind == Kind.NOTE:
            self._noted(record)

    def _noted(self, record: Record) -> None:
        """A NOTE of what repair could not save: numbers may not show it, and it is known all the same."""
        note = _object(record.payload)
        if note.get("note") == "lost":
            rows, why = note.get("rows"), str(note.get("why", ""))
            lost = rows if isinstance(rows, int) else None
            self.found(Lost(stream="", at_ns=record.recv_ns, rows=lost, reason=why, position=record.position))

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


def _close_reason(payload: bytes) -> str:
    """What a CLOSE record says, in a few words."""
    said = _object(payload)
    return " ".join(str(said[key]) for key in ("code", "reason") if said.get(key))


def _object(payload: bytes) -> dict[str, Any]:
    """A record's JSON object; an empty one where it is none."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

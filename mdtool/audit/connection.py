"""Connections whose frames are numbered across everything they carry: judged over all feeds of the venue at once.

Rule: a number tells whether a frame of the connection is missing, not which feed's. So it is a report of the
connections themselves, beside the session feed's streams; and every book of the connection is broken from there to its
next whole one, as the frame may have been its. A frame that comes late, or again, is its own feed's, and told there
once; one that came late was not missing, and breaks no book but its own stream's.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mdtool.audit.findings import Duplicate, Finding, Gap, OutOfOrder
from mdtool.audit.ledger import Interval, Ledger, Validity
from mdtool.audit.report import FeedReport, StreamReport
from mdtool.errors import CorruptStore
from mdtool.model import SESSION_SYMBOL, Kind
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues.sequence import MAX_HOLES, ConnectionRule, Verdict
from mdtool.venues.venue import Venue

STREAM = "connection"
_WHY = "every frame of the connection follows the one before"


class Break(NamedTuple):
    """Frames of a connection are missing between two receive times, or came late."""

    after_ns: int
    next_ns: int
    why: str
    streams: Collection[str] | None = None  # of a feed, that they were of; None: nobody knows

    def is_of(self, stream: str) -> bool:
        """Whether one of them may have been the stream's."""
        return self.streams is None or stream in self.streams


class _Frame(NamedTuple):
    """A numbered frame, and where it stands."""

    recv_ns: int
    number: int
    session: int
    feed: str
    stream: str
    position: int


@dataclass(slots=True)
class _Hole:
    """Frames that are missing, until they come."""

    gap: Gap
    session: int
    why: str
    late: list[_Frame] = field(default_factory=list)  # that were in it
    is_filled: bool = False

    def of_feed(self, feed: str) -> Break | None:
        """What it is to a feed; None where it is nothing."""
        gap = self.gap
        if not self.is_filled:
            return Break(gap.after_ns, gap.next_ns, self.why)
        streams = {frame.stream for frame in self.late if frame.feed == feed}
        return Break(gap.after_ns, gap.next_ns, f"{self.why}, and came late", streams) if streams else None


class _Connection:
    """One session."""

    def __init__(self, rule: ConnectionRule) -> None:
        self.rule = rule
        self.ledger = Ledger(STREAM, Validity.WHOLE, _WHY)
        self.last_ns = 0
        self.holes: deque[_Hole] = deque(maxlen=MAX_HOLES)  # that may be filled yet


class Connections:
    """What the numbers of a venue's connections show, over all its feeds in a store. Nothing where the venue does not
    number them."""

    def __init__(self, store: Store, venue: Venue, *, from_ns: int | None, to_ns: int | None) -> None:
        self._holes: list[_Hole] = []
        self._told: defaultdict[str, dict[int, Finding]] = defaultdict(dict)  # by feed and position
        self._verdicts: Counter[Verdict] = Counter()
        self._connections: dict[int, _Connection] = {}
        self._begin_ns: int | None = None
        self._end_ns = 0
        first = venue.connection_rule()
        if first is not None:
            for frame in _numbered(store, venue, first, from_ns, to_ns):
                self._take(frame, venue)

    def breaks_of(self, feed: str) -> Mapping[int, Sequence[Break]]:
        """Where frames are missing that may have been a feed's, by session, in order."""
        found: defaultdict[int, list[Break]] = defaultdict(list)
        for hole in self._holes:
            one = hole.of_feed(feed)
            if one is not None:
                found[hole.session].append(one)
        return found

    def told_of(self, feed: str) -> Collection[int]:
        """Positions of a feed's records that came late or again on their connection."""
        return self._told[feed]

    def beside(self, report: FeedReport) -> FeedReport:
        """A feed's report, and in it what its connections show of it. Of all connections of the venue, whichever
        recorder had them, what they show as a whole: told once, beside the first one's log."""
        findings = list(self._told[report.feed].values())
        if self._begin_ns is not None and report.feed.endswith(f"/{SESSION_SYMBOL}"):
            findings += [hole.gap for hole in self._holes if not hole.is_filled]
            report = replace(
                report, streams=tuple(sorted((*report.streams, self._report()), key=lambda known: known.stream))
            )
        if not findings:
            return report
        counts = Counter(report.finding_counts) + Counter(finding.kind for finding in findings)
        return replace(
            report,
            findings=tuple(sorted((*report.findings, *findings), key=lambda finding: finding.at_ns)),
            finding_counts=dict(sorted(counts.items())),
        )

    def _report(self) -> StreamReport:
        """The connections as a stream of their own."""
        assert self._begin_ns is not None
        intervals: list[Interval] = []
        for connection in self._connections.values():
            connection.ledger.close(connection.last_ns)
            intervals += connection.ledger.intervals
        odd = {verdict.name.lower(): n for verdict, n in sorted(self._verdicts.items()) if verdict is not Verdict.APPLY}
        return StreamReport(
            stream=STREAM,
            records=0,  # they are counted in their own feeds
            kinds={},
            decoded={},
            verdicts={"apply": self._verdicts[Verdict.APPLY]} | odd,
            first_ns=self._begin_ns,
            last_ns=self._end_ns,
            intervals=tuple(sorted(intervals, key=lambda interval: interval.from_ns)),
        )

    def _take(self, frame: _Frame, venue: Venue) -> None:
        recv_ns, number, session = frame.recv_ns, frame.number, frame.session
        self._begin_ns = recv_ns if self._begin_ns is None else self._begin_ns
        self._end_ns = recv_ns
        connection = self._connections.get(session)
        if connection is None:
            rule = venue.connection_rule()
            assert rule is not None  # it was one before
            connection = self._connections[session] = _Connection(rule)
            connection.ledger.begin(recv_ns)
        before = connection.rule.last
        verdict = connection.rule.judge_number(number)
        self._verdicts[verdict] += 1
        if verdict is Verdict.GAP:
            gap = Gap(
                stream=STREAM, at_ns=recv_ns, after_seq=before, next_first_seq=number, next_prev_seq=number - 1,
                after_ns=connection.last_ns, next_ns=recv_ns, session_changed=False, cause="",
            )  # fmt: skip
            connection.ledger.hole(connection.last_ns, recv_ns, Validity.BROKEN, gap.text)
            hole = _Hole(gap, session, missing(before, number))
            self._holes.append(hole)
            connection.holes.append(hole)
        elif verdict is Verdict.STALE or verdict is Verdict.OUT_OF_ORDER:
            kind = Duplicate if verdict is Verdict.STALE else OutOfOrder
            finding = kind(
                stream=STREAM, at_ns=recv_ns, first_seq=number, last_seq=number, after_seq=before, session_changed=False
            )
            self._told[frame.feed][frame.position] = finding
            if verdict is Verdict.OUT_OF_ORDER:
                _fill(connection, frame, finding)
        connection.last_ns = recv_ns


def missing(after: object, number: object) -> str:
    """What makes a book of the connection be no book any more."""
    return f"a frame of its connection is missing between {after} and {number}"


def _fill(connection: _Connection, frame: _Frame, finding: Finding) -> None:
    """A frame that came late was missing so far; where it was the last one, nothing is."""
    for hole in [*connection.holes]:
        after, up_to = hole.gap.after_seq, hole.gap.next_prev_seq
        if after is not None and up_to is not None and after < frame.number <= up_to:
            hole.late.append(frame)
            if connection.rule.is_filled(after, up_to):
                hole.is_filled = True
                connection.holes.remove(hole)
                connection.ledger.explain(hole.gap.text, finding.text)


def _numbered(
    store: Store, venue: Venue, rule: ConnectionRule, from_ns: int | None, to_ns: int | None
) -> Iterator[_Frame]:
    """Every numbered frame of the venue, over all its feeds in order of arrival. Frames of different feeds with one
    receive time are ordered by their numbers: which came first is not recorded."""
    readers = [store.reader(info.name) for info in store.feeds() if info.venue == venue.name]
    try:
        yield from heapq.merge(
            *(_of_feed(reader, rule, from_ns, to_ns) for reader in readers), key=lambda item: item[:2]
        )
    finally:
        for reader in readers:
            reader.close()


def _of_feed(reader: Reader, rule: ConnectionRule, from_ns: int | None, to_ns: int | None) -> Iterator[_Frame]:
    feed = reader.feed.name
    if from_ns is not None:
        reader.seek(from_ns)
    records = reader.records()
    while True:
        try:
            record = next(records, None)
        except CorruptStore:  # the feed's own report tells of it; here the number is missing, as it is
            reader.move_to(reader.position + 1)
            records = reader.records()
            continue
        if record is None or (to_ns is not None and record.recv_ns >= to_ns):
            return
        if record.kind == Kind.DATA:
            number = rule.number(record.payload)
            if number is not None:
                stream = reader.stream_name(record.stream)
                yield _Frame(record.recv_ns, number, record.session, feed, stream, record.position)

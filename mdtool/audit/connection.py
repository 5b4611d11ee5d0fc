"""Connections whose frames are numbered across everything they carry: judged over all feeds of the venue at once.

Rule: a number tells whether a frame of the connection is missing, not which feed's. So it is a report of the
connections themselves, beside the session feed's streams; and every book of the connection is broken from there to its
next whole one, as the frame may have been its.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from mdtool.audit.findings import Duplicate, Finding, Gap, OutOfOrder
from mdtool.audit.ledger import Interval, Ledger, Validity
from mdtool.audit.report import FeedReport, StreamReport
from mdtool.errors import CorruptStore
from mdtool.model import Kind
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues.sequence import ConnectionRule, Verdict
from mdtool.venues.venue import Venue

STREAM = "connection"
_WHY = "every frame of the connection follows the one before"


class _Connection:
    """One session."""

    def __init__(self, rule: ConnectionRule) -> None:
        self.rule = rule
        self.ledger = Ledger(STREAM, Validity.WHOLE, _WHY)
        self.last_ns = 0


class Break(NamedTuple):
    """Frames of a connection are missing between two receive times: nobody knows of which feed."""

    after_ns: int
    next_ns: int
    why: str


class Connections:
    """What the numbers of a venue's connections show, over all its feeds in a store. Nothing where the venue does not
    number them."""

    def __init__(self, store: Store, venue: Venue, *, from_ns: int | None, to_ns: int | None) -> None:
        self.breaks: dict[int, list[Break]] = {}  # by session, in order
        self._findings: list[Finding] = []
        self._verdicts: Counter[Verdict] = Counter()
        self._connections: dict[int, _Connection] = {}
        self._begin_ns: int | None = None
        self._end_ns = 0
        first = venue.connection_rule()
        if first is not None:
            for recv_ns, number, session in _numbered(store, venue, first, from_ns, to_ns):
                self._take(recv_ns, number, session, venue)

    def beside(self, report: FeedReport) -> FeedReport:
        """The session feed's report, and in it what the connections as a whole show."""
        if self._begin_ns is None:
            return report
        intervals: list[Interval] = []
        for connection in self._connections.values():
            connection.ledger.close(connection.last_ns)
            intervals += connection.ledger.intervals
        odd = {verdict.name.lower(): n for verdict, n in sorted(self._verdicts.items()) if verdict is not Verdict.APPLY}
        stream = StreamReport(
            stream=STREAM,
            records=0,  # they are counted in their own feeds
            kinds={},
            decoded={},
            verdicts={"apply": self._verdicts[Verdict.APPLY]} | odd,
            first_ns=self._begin_ns,
            last_ns=self._end_ns,
            intervals=tuple(sorted(intervals, key=lambda interval: interval.from_ns)),
        )
        counts = Counter(report.finding_counts) + Counter(finding.kind for finding in self._findings)
        return replace(
            report,
            streams=tuple(sorted((*report.streams, stream), key=lambda known: known.stream)),
            findings=tuple(sorted((*report.findings, *self._findings), key=lambda finding: finding.at_ns)),
            finding_counts=dict(sorted(counts.items())),
        )

    def _take(self, recv_ns: int, number: int, session: int, venue: Venue) -> None:
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
            self._findings.append(gap)
            connection.ledger.hole(connection.last_ns, recv_ns, Validity.BROKEN, gap.text)
            self.breaks.setdefault(session, []).append(Break(connection.last_ns, recv_ns, missing(before, number)))
        elif verdict is Verdict.STALE or verdict is Verdict.OUT_OF_ORDER:
            kind = Duplicate if verdict is Verdict.STALE else OutOfOrder
            self._findings.append(
                kind(
                    stream=STREAM, at_ns=recv_ns, first_seq=number, last_seq=number, after_seq=before,
                    session_changed=False,
                )
            )  # fmt: skip
        connection.last_ns = recv_ns


def missing(after: object, number: object) -> str:
    """What makes a book of the connection be no book any more."""
    return f"a frame of its connection is missing between {after} and {number}"


def _numbered(
    store: Store, venue: Venue, rule: ConnectionRule, from_ns: int | None, to_ns: int | None
) -> Iterator[tuple[int, int, int]]:
    """(receive time, number, session) of every numbered frame of the venue, over all its feeds in order of arrival.
    Frames of different feeds with one receive time are ordered by their numbers: which came first is not recorded."""
    readers = [store.reader(info.name) for info in store.feeds() if info.venue == venue.name]
    try:
        yield from heapq.merge(
            *(_of_feed(reader, rule, from_ns, to_ns) for reader in readers), key=lambda item: item[:2]
        )
    finally:
        for reader in readers:
            reader.close()


def _of_feed(
    reader: Reader, rule: ConnectionRule, from_ns: int | None, to_ns: int | None
) -> Iterator[tuple[int, int, int]]:
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
                yield record.recv_ns, number, record.session

"""What an audit says: values for people (view draws them) and, through to_json, for programs.

JSON keys are stable. Times are int nanoseconds since the epoch, UTC; a key says whose clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mdtool.audit.findings import Finding
from mdtool.audit.ledger import Interval, Validity
from mdtool.model import is_session


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream of a feed."""

    stream: str
    records: int
    kinds: Mapping[str, int]  # records by kind: "data", "response", "open", ...
    decoded: Mapping[str, int]  # messages: "book_update", "snapshot", "trade", "quote", and what others call themselves
    verdicts: Mapping[str, int]  # of the sequence rule, "apply", "gap", ...; empty where there is no rule
    first_ns: int
    last_ns: int
    intervals: tuple[Interval, ...]
    checksums: Mapping[str, int] = field(default_factory=dict)  # compared: "match", "mismatch"; empty where none are
    undecodable: int = 0  # messages that are not what the venue documents
    anchored: bool | None = None  # whether a whole book anchors all its updates; None where it has none

    def to_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "kinds": dict(self.kinds),
            "decoded": dict(self.decoded),
            "verdicts": dict(self.verdicts),
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "undecodable": self.undecodable,
            "anchored": self.anchored,
        } | ({"checksums": dict(self.checksums)} if self.checksums else {})


@dataclass(frozen=True, slots=True)
class Offset:
    """Receive time minus the venue's own event time, ns. Negative: the receive clock ran behind the venue's, so these
    are no latencies. `sample` of `count` messages, evenly spaced, make the median."""

    min_ns: int
    median_ns: int
    max_ns: int
    count: int
    sample: int

    def to_json(self) -> dict[str, int]:
        return {
            "min_ns": self.min_ns,
            "median_ns": self.median_ns,
            "max_ns": self.max_ns,
            "count": self.count,
            "sample": self.sample,
        }


@dataclass(frozen=True, slots=True)
class Reconnection:
    """A connection replaced by another while the writer ran."""

    before_ns: int  # last message of the old one
    after_ns: int  # first message of the new one
    old_session: int
    new_session: int
    reason: str  # what the CLOSE record says, "" where there is none

    def to_json(self) -> dict[str, Any]:
        return {
            "before_ns": self.before_ns,
            "after_ns": self.after_ns,
            "old_session": self.old_session,
            "new_session": self.new_session,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing that is no defect of the recording: `kind` for programs, `text` for people."""

    kind: str
    stream: str
    at_ns: int | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "stream": self.stream, "at_ns": self.at_ns, "text": self.text}


class Verdict(StrEnum):
    """What an audit comes to, in a word. Only CLEAN says that all is well, and only of what was proven."""

    CLEAN = "clean"  # nothing found, and what there is has been proven
    NOT_ANCHORED = "not_anchored"  # nothing found: a book's updates are contiguous, and no whole book anchors them
    UNPROVEN = "unproven"  # nothing found, and nothing that could prove it
    LOG = "log"  # nothing found in what the recorder keeps of its connections; there is nothing in it to prove
    FINDINGS = "findings"
    FAILED = "failed"  # not audited


@dataclass(frozen=True, slots=True)
class FeedReport:
    """The audit of one feed. `findings` holds the first ones, `finding_counts` the number of each kind in all."""

    feed: str
    from_ns: int | None  # receive time of the first and last record looked at; None where there was none
    to_ns: int | None
    records: int
    epochs: int
    sessions: int
    streams: tuple[StreamReport, ...]  # by name
    findings: tuple[Finding, ...]  # in order of the feed
    finding_counts: Mapping[str, int]
    notes: tuple[Note, ...]
    reconnects: tuple[Reconnection, ...]
    offset: Offset | None  # None where no message carries a venue time
    error: str | None = None  # why the feed could not be audited; everything else is empty then

    @property
    def clean(self) -> bool:
        """Nothing found, and the feed could be audited."""
        return self.error is None and not self.finding_counts

    @property
    def verdict(self) -> Verdict:
        if self.error is not None:
            return Verdict.FAILED
        if self.finding_counts:
            return Verdict.FINDINGS
        if any(stream.anchored is False for stream in self.streams):
            return Verdict.NOT_ANCHORED
        proven = any(interval.state in (Validity.WHOLE, Validity.TOP) for interval in self.intervals)
        if proven:
            return Verdict.CLEAN
        return Verdict.LOG if is_session(self.feed.rpartition("/")[2]) else Verdict.UNPROVEN

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The ledger: every stream's intervals, by stream and time."""
        return tuple(interval for stream in self.streams for interval in stream.intervals)

    @property
    def totals(self) -> dict[str, int]:
        """Messages over all streams: depth_updates, trades, quotes, snapshots, other."""
        names = {"book_update": "depth_updates", "trade": "trades", "quote": "quotes", "snapshot": "snapshots"}
        totals = dict.fromkeys((*names.values(), "other"), 0)
        for stream in self.streams:
            for decoded, count in stream.decoded.items():
                totals[names.get(decoded, "other")] += count
        return totals

    def to_json(self) -> dict[str, Any]:
        return {
            "feed": self.feed,
            "from_ns": self.from_ns,
            "to_ns": self.to_ns,
            "records": self.records,
            "epochs": self.epochs,
            "sessions": self.sessions,
            "streams": {stream.stream: stream.to_json() for stream in self.streams},
            "totals": self.totals,
            "findings": [finding.to_json() for finding in self.findings],
            "finding_counts": dict(self.finding_counts),
            "intervals": [interval.to_json() for interval in self.intervals],
            "notes": [note.to_json() for note in self.notes],
            "reconnects": [reconnect.to_json() for reconnect in self.reconnects],
            "recv_minus_venue": self.offset.to_json() if self.offset else None,
            "clean": self.clean,
            "verdict": self.verdict.value,
            "error": self.error,
        }


def failed(feed: str, error: str) -> FeedReport:
    """The report of a feed that could not be audited."""
    return FeedReport(feed, None, None, 0, 0, 0, (), (), {}, (), (), None, error)

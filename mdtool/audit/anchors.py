"""Whether a stream of book changes is anchored: whether a whole book is recorded that its updates continue.

Rule: a whole book that does not fit is a finding only where no other one anchors the same run of updates; a recorder
that asks too early asks again, and nothing is lost by that. The whole book may stand before or behind the update that
bridges it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mdtool.audit.findings import UnbridgedSnapshot
from mdtool.audit.report import Note
from mdtool.model import Update
from mdtool.venues.sequence import Rule, Verdict

HELD = 2_000  # updates kept for a whole book yet to come; ~3 min at 100 ms, more than any request takes


@dataclass(frozen=True, slots=True)
class _Misfit:
    snapshot_seq: int
    next_first_seq: int
    at_ns: int


class Anchors:
    """One book stream's whole books. A run is what lies between two holes."""

    def __init__(self, stream: str, rule: Rule) -> None:
        self.findings: list[UnbridgedSnapshot] = []
        self.notes: list[Note] = []
        self.seen = 0  # whole books
        self.held: deque[Update] = deque(maxlen=HELD)  # the run's last updates; the caller appends
        self.pending: list[tuple[Update, int]] = []  # whole books newer than every update so far
        self._stream = stream
        self._bridge = rule.bridge
        self._anchored = False
        self._misfits: list[_Misfit] = []

    def snapshot(self, snapshot: Update, recv_ns: int) -> None:
        """A whole book, received now."""
        self.seen += 1
        for update in self.held:
            if self._settled(snapshot, recv_ns, update):
                return
        self.pending.append((snapshot, recv_ns))

    def on_stream(self) -> None:
        """A whole book that came as a message of the stream itself: it needs no bridge."""
        self.seen += 1
        self._anchored = True

    def update(self, update: Update) -> None:
        """An update while whole books are pending."""
        self.pending = [entry for entry in self.pending if not self._settled(*entry, update)]

    def end_run(self) -> None:
        """A hole: what follows needs a whole book of its own. One that is newer than all of this run may be it."""
        if not self._anchored:
            self.findings.extend(
                UnbridgedSnapshot(
                    stream=self._stream,
                    at_ns=misfit.at_ns,
                    snapshot_seq=misfit.snapshot_seq,
                    next_first_seq=misfit.next_first_seq,
                )
                for misfit in self._misfits
            )
        else:
            self.notes.extend(
                Note(
                    "superseded_snapshot",
                    self._stream,
                    misfit.at_ns,
                    f"the snapshot of id {misfit.snapshot_seq} came too early; another one anchors the updates",
                )
                for misfit in self._misfits
            )
        self._misfits.clear()
        self._anchored = False
        self.held.clear()

    def finish(self, last_ns: int) -> None:
        """The end of what is looked at."""
        self.end_run()
        for snapshot, recv_ns in self.pending:
            self.notes.append(
                Note(
                    "unused_snapshot",
                    self._stream,
                    recv_ns,
                    f"no update newer than the snapshot of id {snapshot.last_seq} is recorded",
                )
            )
        if not self.seen:
            self.notes.append(
                Note("no_snapshot", self._stream, last_ns, "no whole book is in this stretch: only changes are known")
            )

    def _settled(self, snapshot: Update, recv_ns: int, update: Update) -> bool:
        verdict = self._bridge(snapshot, update)
        if verdict == Verdict.STALE:
            return False
        if verdict == Verdict.GAP:
            self._misfits.append(_Misfit(snapshot.last_seq, update.first_seq, recv_ns))
        else:
            self._anchored = True
        return True

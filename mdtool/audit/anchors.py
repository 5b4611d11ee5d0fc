"""Whether a stream of book changes is anchored: whether a whole book is recorded that its updates continue.

Rule: a whole book that does not fit is a finding only where no other one anchors the same run of updates, and the run
is not over at once: a recorder that asks too early asks again, and nothing is lost by that. The whole book may stand
before or behind the update that bridges it; that is the book's own doing, here it is only watched.
"""

from __future__ import annotations

from dataclasses import dataclass

from mdtool.audit.findings import Finding, NotAnchored, UnbridgedSnapshot
from mdtool.audit.report import Note
from mdtool.books.sync import Step
from mdtool.model import Update
from mdtool.venues.sequence import Verdict

LONG_NS = 60 * 10**9  # a run that goes on for so long without a whole book has not merely been asked for too early


@dataclass(frozen=True, slots=True)
class _Misfit:
    snapshot_seq: int
    next_first_seq: int
    at_ns: int


class Anchors:
    """One book stream's whole books. A run is what lies between two holes. `asked`: they have to be asked for."""

    def __init__(self, stream: str, *, asked: bool) -> None:
        self.findings: list[Finding] = []
        self.notes: list[Note] = []
        self.anchored = False  # this run
        self.fresh = True  # no update of this connection has come yet
        self._stream = stream
        self._asked = asked
        self._seen = 0  # whole books
        self.updates = 0  # in all
        self.adrift = 0  # those of runs that no whole book anchors
        self._updates = 0  # of this run
        self._since_ns = 0  # of its first one
        self._misfits: list[_Misfit] = []
        self._last_misfits: list[_Misfit] = []  # of the run that ended last, where that says nothing yet
        self._refusals = 0  # whole books that cannot be read
        self._ahead: _Misfit | None = None  # a whole book newer than every update so far
        self._next = 0  # first id of the first update that is held for a whole book

    def asked_for(self, book: Update, step: Step, recv_ns: int) -> None:
        """A whole book that was asked for, and what it did."""
        self._seen += 1
        if step.error is not None:
            self._refusals += 1
        elif step.verdict is Verdict.GAP:
            self._misfits.append(_Misfit(book.last_seq, self._next, recv_ns))
        else:  # the chain goes on from it, or holds without it
            self.anchored = True
            self._ahead = _Misfit(book.last_seq, 0, recv_ns)

    def came_whole(self) -> None:
        """A whole book that came as a message of the stream itself: it needs no bridge."""
        self._seen += 1
        self.fresh = False
        self.anchored = True

    def update(self, update: Update, step: Step, recv_ns: int) -> None:
        """An update, and what it did."""
        self.fresh = False
        if not self._updates:
            self._since_ns = recv_ns
        self._updates += 1
        self.updates += 1
        if step.needs_snapshot:
            self._next = update.first_seq
        ahead = self._ahead
        if ahead is None:
            return
        if step.verdict is Verdict.GAP and not step.applied:  # the whole book before it was too old
            self.anchored = False
            self._misfits.append(_Misfit(ahead.snapshot_seq, update.first_seq, ahead.at_ns))
            self._ahead = None
        elif update.last_seq > ahead.snapshot_seq:
            self._ahead = None

    def begin_run(self) -> None:
        """Behind a hole, which needs a whole book of its own; one that is newer than all before it may be it."""
        self.anchored = self._ahead is not None
        self._updates = 0

    def end_run(self, last_ns: int) -> None:
        """A hole, or the end."""
        misfits, self._misfits = self._misfits, []
        self.adrift += 0 if self.anchored else self._updates
        if self.anchored:
            self.notes.extend(
                Note(
                    "superseded_snapshot", self._stream, misfit.at_ns,
                    f"the snapshot of id {misfit.snapshot_seq} came too early; another one anchors the updates",
                )
                for misfit in misfits
            )  # fmt: skip
        elif self._updates and last_ns - self._since_ns > LONG_NS:
            self._unbridged(misfits)
        else:
            self._last_misfits = misfits

    def finish(self, last_ns: int, refusals: int) -> None:
        """The end of what is looked at."""
        self._last_misfits = []
        self.end_run(last_ns)
        if not self.anchored and self._updates:
            self._unbridged(self._last_misfits)
            if (refusals + self._refusals) and not self.findings:
                self.findings.append(
                    NotAnchored(
                        stream=self._stream, at_ns=self._since_ns, until_ns=last_ns, updates=self._updates,
                        refusals=refusals + self._refusals,
                    )
                )  # fmt: skip
        if not self._asked and not self._seen:
            return
        if self._ahead is not None and self._updates:
            self.notes.append(
                Note(
                    "unused_snapshot", self._stream, self._ahead.at_ns,
                    f"no update newer than the snapshot of id {self._ahead.snapshot_seq} is recorded",
                )
            )  # fmt: skip
        if not self._seen:
            text = "no whole book is in this stretch: only changes are known"
            self.notes.append(Note("no_snapshot", self._stream, last_ns, text))

    def _unbridged(self, misfits: list[_Misfit]) -> None:
        self.findings.extend(
            UnbridgedSnapshot(
                stream=self._stream, at_ns=misfit.at_ns, snapshot_seq=misfit.snapshot_seq,
                next_first_seq=misfit.next_first_seq,
            )
            for misfit in misfits
        )  # fmt: skip

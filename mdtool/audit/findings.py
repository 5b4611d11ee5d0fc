"""What an audit can find. A finding is a value: it says where, between which ids and which times, and is never raised.

Times are receive times in ns unless a name says otherwise; ids are the venue's, None where it gives none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from mdtool.units import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Base: `kind` names it in JSON, `at_ns` is the receive time of the record that shows it, `text` is one line."""

    kind: ClassVar[str] = "finding"
    stream: str  # "" where it is of the whole feed
    at_ns: int

    @property
    def text(self) -> str:
        return self.kind

    def to_json(self) -> dict[str, Any]:
        """Every field under its own name, and `kind` and `text`."""
        return {"kind": self.kind, **asdict(self), "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Finding):
    """Messages are missing between two that were recorded, and did not come late either. at_ns == next_ns."""

    kind: ClassVar[str] = "gap"
    after_seq: int | None  # last id before the hole
    next_first_seq: int | None  # first id of the message behind it
    next_prev_seq: int | None  # the id that message says it follows
    after_ns: int
    next_ns: int
    session_changed: bool  # the connection is another one behind it
    cause: str  # "reconnect", "writer died", "import" (between two imports), "" where nothing of the kind happened

    @property
    def text(self) -> str:
        causes = {
            "reconnect": ", across a reconnect",
            "writer died": ", where the writer died",
            "import": ", between two imports",
        }
        cause = causes.get(self.cause, "")
        return (
            f"gap after id {self.after_seq}: the next message begins at {self.next_first_seq} and follows "
            f"{self.next_prev_seq}{cause}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Finding):
    """A message whose ids had been there before."""

    kind: ClassVar[str] = "duplicate"
    first_seq: int | None
    last_seq: int | None
    after_seq: int | None  # the id the stream had reached
    session_changed: bool

    @property
    def text(self) -> str:
        return f"ids {self.first_seq} to {self.last_seq} again, after {self.after_seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfOrder(Finding):
    """A message that came later than ones that follow it, and had not been there before. It is no gap then: where two
    messages change places, this is all there is to find."""

    kind: ClassVar[str] = "out_of_order"
    first_seq: int | None
    last_seq: int | None
    after_seq: int | None
    session_changed: bool

    @property
    def text(self) -> str:
        return f"ids {self.first_seq} to {self.last_seq} came late, after {self.after_seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongChecksum(Finding):
    """The book built of the recorded messages does not have the checksum the venue says. What follows is not compared
    until the next whole book."""

    kind: ClassVar[str] = "checksum"
    reason: str
    last_seq: int | None

    @property
    def text(self) -> str:
        return f"{self.reason}: a message is missing, altered or out of place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanchored(Finding):
    """A connection's first message of a book is a change, where the venue sends the whole book first: it is missing."""

    kind: ClassVar[str] = "unanchored"
    session: int

    @property
    def text(self) -> str:
        return f"session {self.session} begins with a change: the whole book before it is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable(Finding):
    """Messages that are not what the venue documents. at_ns and position are the first one's."""

    kind: ClassVar[str] = "undecodable"
    reason: str  # of the first one
    count: int
    position: int  # in the feed, as Reader.move_to takes it

    @property
    def text(self) -> str:
        return f"{count(self.count, 'message does', 'messages do')} not decode; the first: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OddTime(Finding):
    """Messages whose time cannot be meant, or is missing where the ones before it had one. Nothing else is wrong with
    them: at_ns is the first one's."""

    kind: ClassVar[str] = "odd_time"
    count: int

    @property
    def text(self) -> str:
        tell = count(self.count, "message tells", "messages tell")
        return f"{tell} no time, or one that cannot be meant; all else of them is read"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbridgedSnapshot(Finding):
    """A whole book that the recorded updates do not continue, where no other one anchors them."""

    kind: ClassVar[str] = "unbridged_snapshot"
    snapshot_seq: int | None  # the id of the whole book
    next_first_seq: int | None  # the first id of the first update that is not contained in it

    @property
    def text(self) -> str:
        return f"the snapshot of id {self.snapshot_seq} is older than the update that begins at {self.next_first_seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnchored(Finding):
    """Changes of a book without a whole one, though it was asked for: what stood in the book is known only where a
    change has shown it. `at_ns` is the first change's, `until_ns` the last one's."""

    kind: ClassVar[str] = "not_anchored"
    until_ns: int
    updates: int
    refusals: int  # requests for a whole book that were answered with none

    @property
    def text(self) -> str:
        return (
            f"{count(self.updates, 'update')} that no whole book anchors: "
            f"{count(self.refusals, 'request for one was', 'requests for one were')} answered with none; "
            "contiguous, not anchored"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed(Finding):
    """The best bid is not below the best ask, from this update until one that mends it."""

    kind: ClassVar[str] = "crossed"
    found: str
    last_seq: int

    @property
    def text(self) -> str:
        return f"the book stands crossed as of id {self.last_seq}: {self.found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteMismatch(Finding):
    """The best bid and ask that the venue says of an update's id are not those of the book at that id."""

    kind: ClassVar[str] = "quote_mismatch"
    found: str
    expected: str
    seq: int

    @property
    def text(self) -> str:
        return f"at id {self.seq} the book has {self.found}, the venue's quote says {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(Finding):
    """Nothing is there that could be judged."""

    kind: ClassVar[str] = "empty"
    reason: str

    @property
    def text(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NotUnderstood(Finding):
    """Most of what was received is nothing that the venue's adapter knows."""

    kind: ClassVar[str] = "not_understood"
    count: int
    of: int  # messages
    what: dict[str, int]  # by name, the most first

    @property
    def text(self) -> str:
        verb = "is" if self.count == 1 else "are"
        names = ", ".join(f"{number:,} {name}" for name, number in self.what.items())
        return f"{self.count:,} of {count(self.of, 'message')} {verb} none that this venue is known to send ({names})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent(Finding):
    """A stream that was to be recorded, and of which no message is there."""

    kind: ClassVar[str] = "absent"
    reason: str

    @property
    def text(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(Finding):
    """A record whose bytes contradict their checksum. It is left out of everything else."""

    kind: ClassVar[str] = "corrupt"
    reason: str
    position: int

    @property
    def text(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Finding):
    """Records that were damaged or gone when the feed was repaired; a NOTE names them in their place."""

    kind: ClassVar[str] = "lost"
    rows: int | None  # None: nobody knows how many
    reason: str
    position: int  # of the NOTE

    @property
    def text(self) -> str:
        what = "records are" if self.rows is None else count(self.rows, "record is", "records are")
        return f"{what} lost, as repair has noted: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep(Finding):
    """Receive times step back: the recorder's clock was set, or an import was mixed into what was there."""

    kind: ClassVar[str] = "clock_step"
    before_ns: int  # receive time of the record before; later than at_ns
    writer_changed: bool

    @property
    def text(self) -> str:
        return f"the receive time steps back by {self.before_ns - self.at_ns:,} ns"


@dataclass(frozen=True, slots=True, kw_only=True)
class UncleanEnd(Finding):
    """A writer's records stop without its END: it died. at_ns is its last record's."""

    kind: ClassVar[str] = "unclean_end"
    epoch: int
    next_ns: int | None  # the first record of the writer after it, None where there was none

    @property
    def text(self) -> str:
        return f"epoch {self.epoch} ends without an END record: its writer died"

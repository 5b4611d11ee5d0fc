"""Sequence rules: what a venue's numbers promise, and the verdict on one update.

Rule: only this file, and the adapters that instantiate its classes, decide whether an update may be applied.

How one disturbed message shows, so that an audit can tell them apart (A B C D in order):

    B removed     A C D     APPLY GAP APPLY
    B duplicated  A B B C   APPLY APPLY STALE APPLY
    B swapped     A C B D   APPLY GAP OUT_OF_ORDER APPLY

OUT_OF_ORDER is a message that fills a hole found before, or the place before the first message seen; STALE is one whose
content was there already, however late it comes. Ids that go back while the venue's time goes on, or below all that was
seen while it does not go back, are of numbers that begin anew: GAP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from mdtool.model import NO_TIME, UNKNOWN, Message, Quote, Trade, Update
from mdtool.model import Verdict as Verdict  # what is said here, and kept in parts

MAX_HOLES = 64  # holes remembered to tell a late message from a repeat; late ones come within a message or two
MAX_RECENT = 1_024  # trades remembered to tell a repeat: venues send up to some dozens again when asked anew
FAR = 24 * 3600 * 10**9  # ns between two times of a stream that are hardly both meant


class Rule(Protocol):
    """The state of one stream's sequence. `judge` advances it; a GAP advances it too, so one hole is one GAP."""

    complete: bool  # whether APPLY proves that nothing is missing, not only that the order holds
    skipped: int  # executions that the venue leaves out of its aggregates
    jump: tuple[int, int] | None  # of the message judged last: a GAP is between these two executions, not by its id

    @property
    def last(self) -> int | None:
        """The last id accepted; None before the first."""
        ...

    def judge(self, message: Message) -> Verdict:
        """The verdict on the next message of the stream."""
        ...

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        """How `update` stands to a whole book: STALE (contained in it: drop), APPLY (first to apply on top),
        GAP (the snapshot is too old: ask again). Changes no state."""
        ...

    def is_filled(self, after: int, up_to: int) -> bool:
        """Whether what was missing behind one id, up to another, has come late, all of it."""
        ...

    def reset(self) -> None:
        """Forget the last id."""
        ...

    def copy(self) -> Self:
        """Another in the same state, from here on going its own way."""
        ...


class Copied:
    """How a rule is copied. What it holds is immutable (numbers, messages), but for the attributes a class names in
    `_own`: of those a copy has one of its own."""

    _own: ClassVar[tuple[str, ...]] = ()
    skipped = 0
    jump: tuple[int, int] | None = None

    def copy(self) -> Self:
        other = copy(self)
        for name in self._own:
            setattr(other, name, getattr(self, name).copy())
        return other

    def is_filled(self, after: int, up_to: int) -> bool:
        return False


class _Chain(Copied):
    """Numbers of which each message names the one before: (prev, last]."""

    complete = True
    _own: ClassVar[tuple[str, ...]] = ("_holes",)

    def __init__(self, *, overlap: bool) -> None:
        self._overlap = overlap
        self.reset()

    def reset(self) -> None:
        self.last: int | None = None
        self._holes: list[tuple[int, int]] = []  # (after, up to and including), never seen
        self._begin = 0  # what is at or below was never seen either
        self._ns = NO_TIME  # the venue's time of the last message
        self._whole: Update | None = None  # the last whole book on the stream

    def _judge_whole(self, whole: Update) -> Verdict:
        """A whole book that came on the stream: it follows nothing, and all after it follows it."""
        if whole.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        fresh = self.last is None
        if self._whole == whole and self.last == whole.last_seq:
            return Verdict.STALE
        self.reset()
        self.last = whole.last_seq
        self._whole = whole
        return Verdict.APPLY if fresh else Verdict.RESET

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        return Verdict.UNVERIFIABLE

    def is_filled(self, after: int, up_to: int) -> bool:
        return not any(begin < up_to and after < end for begin, end in self._holes)

    def _advance(self, prev: int, last: int, venue_ns: int = NO_TIME) -> Verdict:
        before = self.last
        if before is None:
            self.last = last
            self._begin = prev
            self._ns = venue_ns
            return Verdict.APPLY
        if last <= before:
            return self._behind(prev, last, venue_ns)
        self.last = last
        self._ns = venue_ns
        if prev == before or (self._overlap and prev < before):
            return Verdict.APPLY
        if prev > before:
            self._holes.append((before, prev))
            del self._holes[:-MAX_HOLES]
        return Verdict.GAP

    def _behind(self, prev: int, last: int, venue_ns: int) -> Verdict:
        """A message at or before the last one: late, a repeat, or of numbers that have begun anew. That they have is
        told by the venue's own time, which goes on where ids go back, or by ids that never were there; never by how
        many repeats have come."""
        for i, (after, up_to) in enumerate(self._holes):
            if after < last <= up_to:
                left = [(after, prev)] if prev > after else []
                right = [(last, up_to)] if last < up_to else []
                self._holes[i : i + 1] = left + right
                return Verdict.OUT_OF_ORDER
        is_newer = last != self.last and NO_TIME < self._ns < venue_ns
        if last > self._begin and not is_newer:
            return Verdict.STALE
        if last == self._begin or NO_TIME < venue_ns < self._ns:  # late: it was sent before what came first
            self._begin = min(prev, self._begin)
            return Verdict.OUT_OF_ORDER
        self.reset()
        self.last = last
        self._begin = prev
        self._ns = venue_ns
        return Verdict.GAP


@dataclass(frozen=True, slots=True)
class BookSteps:
    """Where venues' published steps differ."""

    drops_equal: bool  # an update whose last id equals the snapshot's is dropped (else it is the first applied)
    overlap: bool  # an update may begin at or before the last id, if it ends after it


class ContiguousRule(_Chain):
    """Book updates, each following the last one's id. Numbers in comments: the venues' published steps.

    A whole book that comes on the stream begins the chain anew: APPLY for the first, RESET for a later one.
    """

    def __init__(self, steps: BookSteps) -> None:
        super().__init__(overlap=steps.overlap)
        self._steps = steps

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, Update):
            return Verdict.UNVERIFIABLE
        if message.snapshot:
            return self._judge_whole(message) if message.in_stream else Verdict.UNVERIFIABLE
        if message.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        # Spot 7: U == previous u + 1. USD-M 6: pu == previous u.
        return self._advance(message.prev_seq, message.last_seq, message.venue_ns)

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        base = snapshot.last_seq
        if base == UNKNOWN or update.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        if update.last_seq < base or (self._steps.drops_equal and update.last_seq == base):
            return Verdict.STALE  # spot 5: u <= lastUpdateId; USD-M 4: u < lastUpdateId
        # Spot 6: U <= lastUpdateId + 1, and U - 1 is prev_seq. USD-M 5: U <= lastUpdateId, or the snapshot fell between
        # two updates, pu <= lastUpdateId < U. As pu < U both are this:
        if update.prev_seq <= base:
            return Verdict.APPLY
        return Verdict.GAP  # spot 4: lastUpdateId < U - 1, get the snapshot again; USD-M 5 likewise


class RestartRule(ContiguousRule):
    """A chain that legally begins again where an update has the id `first`: the service behind it was restarted."""

    def __init__(self, steps: BookSteps, first: int = 1) -> None:
        super().__init__(steps)
        self._first = first

    def judge(self, message: Message) -> Verdict:
        if isinstance(message, Update) and message.last_seq == self._first and self.last not in (None, self._first):
            self.reset()
            super().judge(message)
            return Verdict.RESET
        return super().judge(message)


class LinkedRule(ContiguousRule):
    """Updates that name the id they follow. Two forms are no gap: one that names the last id as its own changes nothing
    (KEEPALIVE), and one that follows the last id with a smaller one of its own restarts the numbers (RESET)."""

    def judge(self, message: Message) -> Verdict:
        before = self.last
        if (
            before is not None
            and isinstance(message, Update)
            and message.prev_seq == before
            and UNKNOWN < message.last_seq <= before
        ):
            if message.last_seq == before:
                return Verdict.KEEPALIVE
            self.reset()
            self.last = message.last_seq
            self._begin = UNKNOWN  # what came before had other numbers: nothing below was missed
            return Verdict.RESET
        return super().judge(message)


class IdRule(_Chain):
    """Trade ids (of trades or of the venue's aggregates): each one more than the last."""

    def __init__(self) -> None:
        super().__init__(overlap=False)

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, Trade) or message.trade_id == UNKNOWN:
            return Verdict.UNVERIFIABLE
        return self._advance(message.trade_id - message.count, message.trade_id, message.venue_ns)


class ConnectionRule(_Chain):
    """The messages of one connection, numbered across everything it carries. `number` reads a frame's number, None
    where it has none; it never raises."""

    def __init__(self, number: Callable[[bytes], int | None]) -> None:
        super().__init__(overlap=False)
        self.number = number

    def judge(self, message: Message) -> Verdict:
        return Verdict.UNVERIFIABLE

    def judge_number(self, number: int) -> Verdict:
        """The verdict on the connection's next numbered frame."""
        return self._advance(number - 1, number)


class RisingRule(Copied):
    """Ids that only rise, of quotes, trades or updates. APPLY says the order holds; a missing one cannot be seen."""

    complete = False

    def __init__(self) -> None:
        self.last: int | None = None

    def judge(self, message: Message) -> Verdict:
        number = _number(message)
        if number == UNKNOWN:
            return Verdict.UNVERIFIABLE
        begins = isinstance(message, Update) and message.in_stream  # another connection's numbers may be its own
        if self.last is None or number > self.last or (begins and number != self.last):
            self.last = number
            return Verdict.APPLY
        return Verdict.STALE if number == self.last else Verdict.OUT_OF_ORDER

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        if snapshot.last_seq == UNKNOWN or update.last_seq == UNKNOWN:
            return Verdict.UNVERIFIABLE
        return Verdict.STALE if update.last_seq <= snapshot.last_seq else Verdict.UNVERIFIABLE

    def reset(self) -> None:
        self.last = None


def _number(message: Message) -> int:
    if isinstance(message, Quote):
        return message.seq
    if isinstance(message, Trade):
        return message.trade_id
    return message.last_seq if isinstance(message, Update) else UNKNOWN


class VenueClock:
    """The venue's times of messages of one kind, of which one may be silly: a time further than `FAR` from the one
    before it says nothing of the order, unless the next one is near it. `odd`: how many were, or were missing."""

    def __init__(self) -> None:
        self.last = NO_TIME
        self.odd = 0
        self._far = NO_TIME

    def is_late(self, ns: int) -> bool:
        """Whether a time lies before the last one; else it is the last one from now on, where it can be."""
        if ns == NO_TIME:
            self.odd += self.last != NO_TIME
            return False
        if self.last == NO_TIME or abs(ns - self.last) <= FAR:
            if ns < self.last:
                return True
            self.last, self._far = ns, NO_TIME
        elif self._far != NO_TIME and abs(ns - self._far) <= FAR:
            self.odd -= 1  # the one before was meant after all
            self.last, self._far = ns, NO_TIME
        else:
            self.odd += 1
            self._far = ns
        return False

    def copy(self) -> VenueClock:
        return copy(self)


class TimeRule(Copied):
    """Updates without ids. UNVERIFIABLE is the best there is; one that repeats the one before it to the byte is STALE,
    one whose venue time lies before the last one's OUT_OF_ORDER. `last` is a time, in ns."""

    complete = False
    _own: ClassVar[tuple[str, ...]] = ("_clock",)
    _begins: ClassVar[bool] = True  # a whole book on the stream begins anew, and is never late

    def __init__(self) -> None:
        self._before: Message | None = None
        self.reset()

    @property
    def last(self) -> int | None:
        return None if self._clock.last == NO_TIME else self._clock.last

    def judge(self, message: Message) -> Verdict:
        before, self._before = self._before, message
        ns = getattr(message, "venue_ns", NO_TIME)
        if ns != NO_TIME and message == before:
            return Verdict.STALE
        if self._clock.is_late(ns):
            if not (self._begins and getattr(message, "in_stream", False)):
                return Verdict.OUT_OF_ORDER
            self._clock.last = ns
        return Verdict.UNVERIFIABLE

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        is_told = NO_TIME not in (snapshot.venue_ns, update.venue_ns)
        if is_told and 0 <= snapshot.venue_ns - update.venue_ns <= FAR:
            return Verdict.STALE
        return Verdict.UNVERIFIABLE

    def reset(self) -> None:
        self._clock = VenueClock()
        self._before = None


class RecentRule(Copied):
    """Trades whose ids tell them apart and say nothing of their order. UNVERIFIABLE is the best there is; one that was
    there lately is STALE, another whose venue time lies before the last one's OUT_OF_ORDER."""

    complete = False
    _own: ClassVar[tuple[str, ...]] = ("_order", "_seen", "_clock")

    def __init__(self) -> None:
        self.last: int | None = None
        self._clock = VenueClock()
        self._order: deque[tuple[int, int]] = deque()
        self._seen: set[tuple[int, int]] = set()

    def judge(self, message: Message) -> Verdict:
        if not isinstance(message, Trade):
            return Verdict.UNVERIFIABLE
        this = (message.venue_ns, message.trade_id)
        if this in self._seen:
            return Verdict.STALE
        if len(self._order) == MAX_RECENT:
            self._seen.discard(self._order.popleft())
        self._order.append(this)
        self._seen.add(this)
        if self._clock.is_late(message.venue_ns):
            return Verdict.OUT_OF_ORDER
        self.last = message.trade_id
        return Verdict.UNVERIFIABLE

    def bridge(self, snapshot: Update, update: Update) -> Verdict:
        return Verdict.UNVERIFIABLE

    def reset(self) -> None:
        self.last = None
        self._clock = VenueClock()
        self._order.clear()
        self._seen.clear()

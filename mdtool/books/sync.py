"""A whole book and the updates after it, joined: the state machine every book is built by.

Rule: the book is only said to be SYNCED while every update since its snapshot is in it, by the venue's own sequence
rule.

    WAITING --snapshot that bridges--> SYNCED --gap, or an update that does not parse--> DIRTY --snapshot--> SYNCED

1. An update is judged by the rule first, whatever the state; what is late or repeated changes nothing.
2. Without a whole book it is held. A gap drops what is held before it: no snapshot bridges over a hole.
3. A snapshot drops the held updates it contains, becomes the book, and takes the rest on top, if the first of them
   bridges. In captures the snapshot often stands after the update that bridges it; even the newest may be the bridge.
4. If none is left, the next update must bridge; a hole before it does not matter if the snapshot reaches over it.
5. A snapshot older than what is held, or a bridge that fails, asks for another.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

from mdtool.books.l2 import L2Book
from mdtool.books.ladders import LevelParser
from mdtool.errors import WireError
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message
from mdtool.venues.sequence import Rule, Verdict

# Updates kept while a snapshot is in flight: 200 s at 100 ms, 100 s of the busiest feed measured (20 a second). Beyond
# it the oldest go, and a snapshot older than the rest asks for another.
MAX_HELD = 2_000


class State(Enum):
    """What the book is worth."""

    WAITING = "waiting"  # no snapshot yet: no book
    SYNCED = "synced"  # whole
    DIRTY = "dirty"  # something is missing since; the levels are those of before


class Step(NamedTuple):
    """What one message did."""

    verdict: Verdict
    state: State  # after it
    applied: int  # updates that went into the book, a snapshot among them
    needs_snapshot: bool  # ask for a whole book now; said once, when the need arises
    error: str | None = None  # why a ladder could not be read


class BookSync:
    """One feed's book. Feed it every message of the book stream and every snapshot, in order of arrival."""

    def __init__(self, rule: Rule, book: L2Book, parser: LevelParser) -> None:
        common = book.scale.finest(parser.scale)
        book.rescale(common)
        parser.scale = common
        self.book = book
        self.state = State.WAITING
        self.last_seq = UNKNOWN  # id the book is at
        self.venue_ns = NO_TIME  # the venue's time of it
        self.recv_ns = 0  # receive time of the last message that changed the book
        self.state_since_ns = 0  # receive time of the message that led to `state`
        self.gaps = 0  # holes seen, and updates that did not parse
        self._rule = rule
        self._parser = parser
        self._held: deque[BookUpdate] = deque(maxlen=MAX_HELD)
        self._base: BookUpdate | None = None  # the snapshot that is the book, until an update bridges it
        self._asked = False

    @property
    def needs_snapshot(self) -> bool:
        """Whether only a snapshot can make the book whole, as of now."""
        return self.state is not State.SYNCED

    def on_message(self, message: Message, recv_ns: int) -> Step:
        """Take the next message. Others than BookUpdate change nothing: UNVERIFIABLE."""
        if not isinstance(message, BookUpdate):
            return Step(Verdict.UNVERIFIABLE, self.state, 0, False)
        if message.snapshot:
            return self._on_snapshot(message, recv_ns)
        return self._on_update(message, recv_ns)

    def _on_update(self, update: BookUpdate, recv_ns: int) -> Step:
        verdict = self._rule.judge(update)  # step 1
        if verdict is Verdict.GAP:
            self.gaps += 1
        elif verdict not in (Verdict.APPLY, Verdict.RESET, Verdict.UNVERIFIABLE):
            return Step(verdict, self.state, 0, False)
        if self._base is not None:  # step 4
            bridge = self._rule.bridge(self._base, update)
            if bridge is Verdict.STALE:
                return Step(Verdict.STALE if verdict is Verdict.APPLY else verdict, self.state, 0, False)
            if bridge is Verdict.GAP:
                self.gaps += verdict is not Verdict.GAP
                return self._lose(Verdict.GAP, update, recv_ns)
            self._base = None
            return self._apply(verdict, update, recv_ns)
        if verdict is Verdict.GAP:  # step 2
            return self._lose(verdict, update, recv_ns)
        if self.state is State.SYNCED:
            return self._apply(verdict, update, recv_ns)
        self._held.append(update)
        return Step(verdict, self.state, 0, self._ask())

    def _on_snapshot(self, snapshot: BookUpdate, recv_ns: int) -> Step:
        if self.state is State.SYNCED and (self._base is None or snapshot.last_seq <= self._base.last_seq):
            return Step(Verdict.STALE, self.state, 0, False)  # the chain holds: nothing to mend
        waiting = list(self._held)  # step 3
        while waiting and self._rule.bridge(snapshot, waiting[0]) is Verdict.STALE:
            del waiting[0]
        newest = self._rule.last
        if waiting:  # step 5
            too_old = self._rule.bridge(snapshot, waiting[0]) is Verdict.GAP
        else:  # an update after the snapshot was there and is not held, as it could not be read
            too_old = newest is not None and newest > snapshot.last_seq != UNKNOWN
        if too_old:
            self._asked = True
            return Step(Verdict.GAP, self.state, 0, True)
        try:
            ladders = self._parser.parse_update(snapshot)
        except WireError as error:
            self._asked = True
            return Step(Verdict.UNVERIFIABLE, self.state, 0, True, str(error))
        self.book.clear()
        if ladders.scale != self.book.scale:
            self.book.rescale(ladders.scale)
        self.book.replace(*ladders[1:])
        self._held.clear()
        self._asked = False
        self._enter(State.SYNCED, recv_ns)
        self._advance(snapshot, recv_ns)
        self._base = None if waiting else snapshot
        applied = 1
        for index, update in enumerate(waiting):
            step = self._apply(Verdict.APPLY, update, recv_ns)
            if step.error is not None:
                self._held.extend(waiting[index + 1 :])
                return step._replace(applied=applied)
            applied += 1
        return Step(Verdict.APPLY, self.state, applied, False)

    def _apply(self, verdict: Verdict, update: BookUpdate, recv_ns: int) -> Step:
        try:
            ladders = self._parser.parse_update(update)
        except WireError as error:
            self.gaps += 1
            return self._lose(verdict, None, recv_ns)._replace(error=str(error))
        if ladders.scale != self.book.scale:
            self.book.rescale(ladders.scale)
        self.book.apply(*ladders[1:])
        self._advance(update, recv_ns)
        return Step(verdict, self.state, 1, False)

    def _lose(self, verdict: Verdict, update: BookUpdate | None, recv_ns: int) -> Step:
        """The chain is broken before `update` (None: at an update that cannot be read)."""
        self._held.clear()
        if update is not None:
            self._held.append(update)
        self._base = None
        if self.state is State.SYNCED:
            self._asked = False
            self._enter(State.DIRTY, recv_ns)
        return Step(verdict, self.state, 0, self._ask())

    def _ask(self) -> bool:
        """True the first time since the need arose."""
        asked, self._asked = self._asked, True
        return not asked

    def _enter(self, state: State, recv_ns: int) -> None:
        if self.state is not state:
            self.state = state
            self.state_since_ns = recv_ns

    def _advance(self, update: BookUpdate, recv_ns: int) -> None:
        self.last_seq = update.last_seq
        self.venue_ns = update.venue_ns
        self.recv_ns = recv_ns

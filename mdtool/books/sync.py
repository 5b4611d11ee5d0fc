"""A whole book and the updates after it, joined: what every book is built by.

Rule: the book is only said to be SYNCED while every update since its snapshot is in it, by the venue's own sequence
rule. phases.py says what leads to what; here is what is done about it.

1. An update is judged by the rule first, whatever the phase; what is late or repeated changes nothing.
2. Without a whole book it is held. A gap drops what is held before it: no snapshot bridges over a hole. What is held is
   shown meanwhile, as the PARTIAL book it is.
3. A snapshot drops the held updates it contains, becomes the book, and takes the rest on top, if the first of them
   bridges. In captures the snapshot often stands after the update that bridges it; even the newest may be the bridge.
4. If none is left, the next update must bridge; a hole before it does not matter if the snapshot reaches over it.
5. A snapshot older than what is held, or a bridge that fails, asks for another.
6. A whole book that comes on the stream replaces everything before it, at once. It may come in parts, each with the
   same id, which it names as the one before it too: the later ones are added to the first. One that comes late, or
   again, is not what the book is now.
7. A checksum that the book does not have is as bad as a gap, and so is an update that cannot be read.
8. Where the venue's numbers show no loss, updates are kept after they were applied too: a whole book that is fetched
   while the book is SYNCED replaces it, with the updates that are younger on top.
"""

from __future__ import annotations

from collections import deque
from copy import copy, deepcopy
from typing import Any, NamedTuple, Protocol

from mdtool.books.l2 import L2Book
from mdtool.books.l3 import L3Book, OrderParser
from mdtool.books.ladders import LevelParser
from mdtool.books.phases import WANTING, BookState, Phase, Signal, turn
from mdtool.books.wire import WireCheck
from mdtool.errors import WireError
from mdtool.kernel.book import Levels
from mdtool.model import NO_TIME, UNKNOWN, BookUpdate, Message, OrderUpdate, Scale, Update
from mdtool.venues.sequence import Rule, Verdict
from mdtool.venues.venue import BookTraits, Venue

__all__ = ["BookState", "BookSync", "Observer", "Step", "open_book"]

# Updates kept while a snapshot is in flight: 200 s at 100 ms, 100 s of the busiest feed measured (20 a second). Beyond
# it the oldest go, and a snapshot older than the rest asks for another.
MAX_HELD = 2_000
_OLD = frozenset({Verdict.STALE, Verdict.OUT_OF_ORDER, Verdict.KEEPALIVE})  # a whole book that tells nothing new


class Step(NamedTuple):
    """What one message did."""

    verdict: Verdict
    state: BookState  # after it
    applied: int  # updates that went into the book, a snapshot among them
    needs_snapshot: bool  # ask for a whole book now; said once, when the need arises
    error: str | None = None  # why a ladder could not be read
    mismatch: str | None = None  # how the book's checksum differs from the venue's


class Observer(Protocol):
    """Told of the book after each update that went into it, several of one message too."""

    def __call__(self, update: Update, book: Levels, *, whole: bool) -> None: ...


class BookSync:
    """One feed's book, by price level or by order. Feed it every message of the book stream and every snapshot, in
    order of arrival. Book and parser are of one kind; see `open_book`. `partial`: without a whole book, show what the
    changes alone have told."""

    def __init__(
        self, rule: Rule, book: L2Book, parser: LevelParser | OrderParser, traits: BookTraits | None = None,
        *, partial: bool = True,
    ) -> None:  # fmt: skip
        common = book.scale.finest(parser.scale)
        parser.scale = common
        self.book = book.at_scale(common)
        self.phase = Phase.EMPTY
        self.state = BookState.WAITING
        self.last_seq = UNKNOWN  # id the book is at
        self.venue_ns = NO_TIME  # the venue's time of it
        self.recv_ns = 0  # receive time of the last message that changed the book
        self.state_since_ns = 0  # receive time of the message that led to `state`
        self.gaps = 0  # holes seen, and updates that did not parse
        self.whole_ns = 0  # receive time of the last whole book that became the book
        self.taken_ns = 0  # receive time of the message that is being taken, or was last
        self.rule = rule
        self.check = WireCheck(traits.checksum) if traits is not None and traits.checksum else None
        self.observer: Observer | None = None
        self._kind: type[Update] = OrderUpdate if traits is not None and traits.by_order else BookUpdate
        self._parser: Any = parser
        self._depth = traits.depth if traits is not None else None
        self._depths = traits.depths if traits is not None else ()
        self._partial = partial
        self._held: deque[Update] = deque(maxlen=MAX_HELD)
        self._base: Update | None = None  # the snapshot that is the book, while ANCHORED
        self._unnumbered = False  # an update went in whose numbers prove nothing, though the rule could

    @property
    def needs_snapshot(self) -> bool:
        """Whether only a snapshot can make the book whole, as of now."""
        return self.phase in WANTING

    @property
    def proven_depth(self) -> int | None:
        """Levels a side that the venue's checksum vouches for, where nothing vouches for those below; None: all."""
        if self.check is None or (self.rule.complete and not self._unnumbered):
            return None
        return None if self._depth is not None and self._depth <= self.check.depth else self.check.depth

    def on_message(self, message: Message, recv_ns: int) -> Step:
        """Take the next message. Others than updates of the book's kind change nothing: UNVERIFIABLE."""
        if isinstance(message, Update) and message.snapshot and not message.in_stream:
            return self.on_judged(message, Verdict.UNVERIFIABLE, recv_ns)  # no rule judges what was asked for
        return self.on_judged(message, self.rule.judge(message), recv_ns)

    def on_judged(self, message: Message, verdict: Verdict, recv_ns: int) -> Step:
        """The same for a message that `rule` has judged already (step 1)."""
        self.taken_ns = recv_ns
        if not isinstance(message, self._kind):
            return Step(Verdict.UNVERIFIABLE, self.state, 0, False)
        if not message.snapshot:
            return self._on_update(message, verdict, recv_ns)
        return self._on_whole(message, verdict, recv_ns) if message.in_stream else self._on_snapshot(message, recv_ns)

    def copy(self) -> BookSync:
        """The same as of now, from here on going its own way. An observer is not taken along."""
        other = copy(self)
        other.book = self.book.copy()
        other.check = deepcopy(self.check)
        other.observer = None
        other.rule = self.rule.copy()
        other._parser = type(self._parser)(self._parser.scale)
        other._held = self._held.copy()
        return other

    def lose(self, recv_ns: int) -> Step:
        """A message of the book stream could not be read: something is missing."""
        self.gaps += 1
        return self._lose(Verdict.GAP, None, recv_ns)

    def miss(self, recv_ns: int) -> Step | None:
        """A record is lost that may have been the book's. Numbers or a checksum tell whether it was; without them the
        book is whole no more."""
        return None if self.rule.complete or self.check is not None else self.lose(recv_ns)

    def unsure(self, since_ns: int, recv_ns: int) -> Step | None:
        """A frame of its connection is missing, which may have been the book's, before what was received at `since_ns`:
        only a whole book from then on is one."""
        return None if self.whole_ns >= since_ns else self.lose(recv_ns)

    # -- whole books --------------------------------------------------------------------------------------------

    def _on_whole(self, whole: Update, verdict: Verdict, recv_ns: int) -> Step:
        """Step 6."""
        if whole.prev_seq == whole.last_seq == self.last_seq != UNKNOWN and self.state is BookState.SYNCED:
            return self._apply(verdict, whole, recv_ns)
        if verdict in _OLD and self.state is BookState.SYNCED:
            return Step(verdict, self.state, 0, False)
        self._held.clear()
        error = self._replace(whole)
        if error is not None:
            self.gaps += 1
            return self._lose(verdict, None, recv_ns)._replace(error=error)
        self._base = None
        self.whole_ns = recv_ns
        self._signal(Signal.WHOLE, recv_ns)
        self._advance(whole, recv_ns)
        return self._checked(verdict, whole, recv_ns)

    def _on_snapshot(self, snapshot: Update, recv_ns: int) -> Step:
        is_older = self._base is not None and UNKNOWN < snapshot.last_seq <= self._base.last_seq
        if self.phase is Phase.CHAINED or is_older:
            return Step(Verdict.STALE, self.state, 0, False)  # the chain holds: nothing to mend
        waiting = list(self._held)  # step 3
        while waiting and self.rule.bridge(snapshot, waiting[0]) is Verdict.STALE:
            del waiting[0]
        newest = self.rule.last
        if waiting:  # step 5
            too_old = self.rule.bridge(snapshot, waiting[0]) is Verdict.GAP
        else:  # an update after the snapshot was there and is not held, as it could not be read
            too_old = self.rule.complete and newest is not None and newest > snapshot.last_seq != UNKNOWN
        if too_old:
            return Step(Verdict.GAP, self.state, 0, self._signal(Signal.REFUSED, recv_ns))
        error = self._replace(snapshot)
        if error is not None:
            return Step(Verdict.UNVERIFIABLE, self.state, 0, self._signal(Signal.REFUSED, recv_ns), error)
        self._held.clear()
        self._base = snapshot
        self.whole_ns = recv_ns
        self._signal(Signal.SNAPSHOT, recv_ns)
        self._advance(snapshot, recv_ns)
        applied = 1
        for index, update in enumerate(waiting):
            step = self._apply(Verdict.APPLY, update, recv_ns)
            if step.error is not None or step.mismatch is not None:
                self._held.extend(waiting[index + 1 :])
                return step._replace(applied=applied)
            applied += 1
        return Step(Verdict.APPLY, self.state, applied, False)

    def _replace(self, whole: Update) -> str | None:
        """The book becomes this one; why it cannot."""
        try:
            self.book = self._parser.put(whole, self.book, whole=True)
        except WireError as error:
            return str(error)
        if self.check is not None and isinstance(whole, BookUpdate):
            self.check.replace(whole, self._parser.parse_update(whole))
        if self._depths:
            most = max(self.book.counts())
            self._depth = most if most in self._depths else None
        self._settled(whole, whole=True)
        return None

    # -- updates ------------------------------------------------------------------------------------------------

    def _on_update(self, update: Update, verdict: Verdict, recv_ns: int) -> Step:
        if verdict is Verdict.GAP:
            self.gaps += 1
        elif verdict not in (Verdict.APPLY, Verdict.RESET, Verdict.UNVERIFIABLE):
            return Step(verdict, self.state, 0, False)
        if self._base is not None:  # step 4
            bridge = self.rule.bridge(self._base, update)
            if bridge is Verdict.STALE:
                return Step(Verdict.STALE if verdict is Verdict.APPLY else verdict, self.state, 0, False)
            if bridge is Verdict.GAP:
                self.gaps += verdict is not Verdict.GAP
                return self._lose(Verdict.GAP, update, recv_ns)
            return self._apply(verdict, update, recv_ns)
        if verdict is Verdict.GAP:  # step 2
            return self._lose(verdict, update, recv_ns)
        if self.state is BookState.SYNCED:
            return self._apply(verdict, update, recv_ns)
        return self._hold(verdict, update, recv_ns)

    def _hold(self, verdict: Verdict, update: Update, recv_ns: int) -> Step:
        """Step 2."""
        if self.phase is not Phase.LOST and self._partial:
            try:
                self.book = self._parser.put(update, self.book)
            except WireError as error:
                self.gaps += 1
                return self._lose(verdict, None, recv_ns)._replace(error=str(error))
            self._advance(update, recv_ns)
        self._held.append(update)
        asks = self._signal(Signal.HELD, recv_ns)
        return Step(verdict, self.state, 0, asks)

    def _apply(self, verdict: Verdict, update: Update, recv_ns: int) -> Step:
        try:
            self.book = self._parser.put(update, self.book)
        except WireError as error:
            self.gaps += 1
            return self._lose(verdict, None, recv_ns)._replace(error=str(error))
        if self.check is not None and isinstance(update, BookUpdate):
            self.check.apply(update, self._parser.parse_update(update))
        self._settled(update, whole=False)
        self._base = None
        self._unnumbered |= verdict is Verdict.UNVERIFIABLE
        proves = self.rule.complete and verdict is not Verdict.UNVERIFIABLE
        self._signal(Signal.LINKED if proves else Signal.FOLLOWED, recv_ns)
        self._advance(update, recv_ns)
        if self.phase is Phase.KEPT:  # step 8
            self._held.append(update)
        return self._checked(verdict, update, recv_ns)

    def _settled(self, update: Update, *, whole: bool) -> None:
        """The book has taken the update."""
        if self._depth is not None:
            gone = self.book.truncate(self._depth)
            if self.check is not None:
                self.check.forget(*gone)
        if self.observer is not None:
            self.observer(update, self.book, whole=whole)

    def _checked(self, verdict: Verdict, update: Update, recv_ns: int) -> Step:
        """Step 7, after the book took the update."""
        if self.check is not None and update.checksum is not None:
            mismatch = self.check.compare(self.book, update.checksum)
            if mismatch is not None:
                self.gaps += 1
                return self._lose(verdict, None, recv_ns)._replace(applied=1, mismatch=mismatch)
        return Step(verdict, self.state, 1, False)

    def _lose(self, verdict: Verdict, update: Update | None, recv_ns: int) -> Step:
        """The chain is broken before `update` (None: at an update that cannot be read)."""
        self._held.clear()
        self._base = None
        if self.state is BookState.PARTIAL:
            self.book = self.book.emptied()
        asks = self._signal(Signal.LOSS, recv_ns)
        if update is None:
            return Step(verdict, self.state, 0, asks)
        step = self._hold(verdict, update, recv_ns)
        return step._replace(needs_snapshot=asks or step.needs_snapshot)

    # -- the phase ----------------------------------------------------------------------------------------------

    def _signal(self, signal: Signal, recv_ns: int) -> bool:
        """Whether a whole book is to be asked for now."""
        self.phase, asks = turn(self.phase, signal)
        state = self._worth()
        if state is not self.state:
            self.state = state
            self.state_since_ns = recv_ns
        return asks

    def _worth(self) -> BookState:
        if self.phase is Phase.LOST:
            return BookState.DIRTY
        if self.phase not in WANTING:
            return BookState.SYNCED
        return BookState.PARTIAL if self._held else BookState.WAITING

    def _advance(self, update: Update, recv_ns: int) -> None:
        self.last_seq = update.last_seq
        self.venue_ns = update.venue_ns
        self.recv_ns = recv_ns


def open_book(
    venue: Venue, stream: str, scale: Scale | None = None, parser: LevelParser | None = None, *, partial: bool = True
) -> BookSync | None:
    """A fresh book of one of the venue's book streams; None where the stream has no rule to keep one by. `parser`
    replaces the kind's own."""
    rule = venue.rule(stream) if venue.is_book(stream) else None
    if rule is None:
        return None
    traits = venue.traits(stream)
    if traits.by_order:
        book: Any = L3Book(scale)
        return BookSync(rule, book, parser or OrderParser(scale), traits, partial=partial)
    return BookSync(rule, L2Book(scale), parser or LevelParser(scale), traits, partial=partial)

"""The phases a book goes through, and what takes it from one to the next: a table, and nothing that acts.

Rule: a phase changes by a signal of this table only; one that is not in a phase's row cannot happen in it.

    EMPTY ---> ASKED ---> ANCHORED ---> CHAINED ---> LOST ---> ANCHORED ...
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class BookState(Enum):
    """What the book is worth."""

    WAITING = "waiting"  # no snapshot yet: no book
    PARTIAL = "partial"  # no snapshot yet: the levels that changes alone have shown since the last hole
    SYNCED = "synced"  # whole
    DIRTY = "dirty"  # something is missing since; the levels are those of before


NO_WHOLE_YET = frozenset({BookState.WAITING, BookState.PARTIAL})


class Phase(Enum):
    """Where a book stands. Behind it: what is held of the updates."""

    EMPTY = "empty"  # nothing came: nothing held
    ASKED = "asked"  # a whole book is wanted: updates without a hole between them are held
    ANCHORED = "anchored"  # the book is a snapshot that no update has bridged yet: nothing held
    CHAINED = "chained"  # each update follows the one before: nothing held
    KEPT = "kept"  # the same where numbers do not show a loss: those applied are held, for a snapshot that is fetched
    LOST = "lost"  # a hole: updates from behind it are held, a whole book is wanted


class Signal(Enum):
    """What happens to a book."""

    HELD = "held"  # an update came that cannot be applied yet
    WHOLE = "whole"  # a whole book that came on the stream is the book
    SNAPSHOT = "snapshot"  # a whole book that was asked for is the book
    LINKED = "linked"  # an update is on top of it, whose numbers prove that it follows
    FOLLOWED = "followed"  # an update is on top of it, whose numbers prove nothing
    LOSS = "loss"  # something is missing, altered or cannot be read
    REFUSED = "refused"  # a whole book that was asked for is none, or too old


_WANTING = {Signal.WHOLE: Phase.CHAINED, Signal.SNAPSHOT: Phase.ANCHORED}
_HAVING = {Signal.WHOLE: Phase.CHAINED, Signal.LOSS: Phase.LOST}

NEXT: dict[Phase, dict[Signal, Phase]] = {
    Phase.EMPTY: _WANTING | {Signal.HELD: Phase.ASKED, Signal.LOSS: Phase.ASKED, Signal.REFUSED: Phase.ASKED},
    Phase.ASKED: _WANTING | {Signal.HELD: Phase.ASKED, Signal.LOSS: Phase.ASKED, Signal.REFUSED: Phase.ASKED},
    Phase.ANCHORED: _HAVING
    | {Signal.SNAPSHOT: Phase.ANCHORED, Signal.LINKED: Phase.CHAINED, Signal.FOLLOWED: Phase.KEPT}
    | {Signal.REFUSED: Phase.ANCHORED},
    Phase.CHAINED: _HAVING | {Signal.LINKED: Phase.CHAINED, Signal.FOLLOWED: Phase.CHAINED},
    Phase.KEPT: _HAVING
    | {Signal.SNAPSHOT: Phase.ANCHORED, Signal.LINKED: Phase.KEPT, Signal.FOLLOWED: Phase.KEPT}
    | {Signal.REFUSED: Phase.KEPT},
    Phase.LOST: _WANTING | {Signal.HELD: Phase.LOST, Signal.LOSS: Phase.LOST, Signal.REFUSED: Phase.LOST},
}
WANTING = frozenset({Phase.EMPTY, Phase.ASKED, Phase.LOST})  # no whole book, or none any more
HOLDING = frozenset({Phase.ASKED, Phase.KEPT, Phase.LOST})  # updates are held


class Turn(NamedTuple):
    """What a signal leads to."""

    phase: Phase
    asks: bool  # a whole book is to be asked for now: when the need arises, and when what was asked for does not do


def turn(phase: Phase, signal: Signal) -> Turn:
    """The next phase. Raises KeyError for a signal that cannot happen in this one."""
    after = NEXT[phase][signal]
    needed = after in (Phase.ASKED, Phase.LOST) and after is not phase
    return Turn(after, needed or signal is Signal.REFUSED)

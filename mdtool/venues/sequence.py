"""Sequence rules: what a venue's numbers promise, and the verdict on one update.

Rule: only this file, and the adapters that instantiate its classes, decide whether an update may be applied.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from mdtool.model import BookUpdate, Message


class Verdict(IntEnum):
    """What the venue's sequence rule says of one update."""

    APPLY = 1  # follows the last one
    STALE = 2  # already contained in what came before: drop
    GAP = 3  # something between is missing
    RESET = 4  # the venue legally restarted its numbers: continue from here
    KEEPALIVE = 5  # no change, only a sign of life
    OUT_OF_ORDER = 6  # older than the last one and not a repeat of it
    UNVERIFIABLE = 7  # the venue gives nothing to check


class Rule(Protocol):
    """The state of one stream's sequence. `judge` advances it; a GAP advances it too, so one hole is one GAP."""

    last: int | None  # the last id accepted; None before the first

    def judge(self, message: Message) -> Verdict:
        """The verdict on the next message of the stream."""
        ...

    def bridge(self, snapshot: BookUpdate, update: BookUpdate) -> Verdict:
        """How `update` stands to a whole book: STALE (contained in it: drop), APPLY (first to apply on top),
        GAP (the snapshot is too old: ask again). Changes no state."""
        ...

    def reset(self) -> None:
        """Forget the last id."""
        ...

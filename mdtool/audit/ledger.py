"""The ledger of one stream: which stretches of time are proven whole, proven broken, or cannot be proven."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

MAX_INTERVALS = 20_000  # a feed with more holes than this is one hole


class Validity(StrEnum):
    """What is known of an interval."""

    WHOLE = "whole"  # the venue's numbers prove that no message is missing
    TOP = "top"  # the venue's checksum proves the best levels, and nothing of those below
    BROKEN = "broken"  # they prove that some are, or stand where they do not belong
    UNPROVABLE = "unprovable"  # the venue gives no numbers to prove it by
    NOT_RECORDED = "not_recorded"  # between two connections, writers or imports: nobody was listening


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of a stream between two receive times, both ends included. Neighbours may share an end."""

    stream: str
    state: Validity
    from_ns: int
    to_ns: int
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "state": self.state.value,
            "from_ns": self.from_ns,
            "to_ns": self.to_ns,
            "why": self.why,
        }


class Ledger:
    """Built in order: `hole` where something is missing, `close` at the end. What is between is `state`."""

    def __init__(self, stream: str, state: Validity, why: str) -> None:
        self.intervals: list[Interval] = []
        self._stream = stream
        self._state = state
        self._why = why
        self._from_ns: int | None = None

    def begin(self, ns: int) -> None:
        """The first message."""
        self._from_ns = ns

    def become(self, state: Validity, why: str) -> None:
        """What the stretch is that ends at the next hole, from its beginning."""
        self._state, self._why = state, why

    def hole(self, from_ns: int, to_ns: int, state: Validity, why: str) -> None:
        """Nothing, or not everything, was recorded between these two messages."""
        self.close(from_ns)
        self._add(state, from_ns, to_ns, why)
        self._from_ns = to_ns

    def explain(self, why: str, better: str) -> None:
        """Of the last hole there that is said to be for `why`: what it is in truth."""
        for at in reversed(range(len(self.intervals))):
            if self.intervals[at].why == why:
                self.intervals[at] = replace(self.intervals[at], why=better)
                return

    def close(self, ns: int) -> None:
        """The last message before a hole, or of all."""
        if self._from_ns is not None:
            self._add(self._state, self._from_ns, ns, self._why)
            self._from_ns = None

    def _add(self, state: Validity, from_ns: int, to_ns: int, why: str) -> None:
        if len(self.intervals) >= MAX_INTERVALS:
            since_ns = self.intervals.pop().from_ns
            state, from_ns, why = Validity.BROKEN, since_ns, "more holes than are listed"
        self.intervals.append(Interval(self._stream, state, from_ns, to_ns, why))

"""The venue's times in one stream: how far behind they are received, and those that cannot be meant.

Rule: a time that cannot be meant costs its message nothing else: it is counted, and says nothing of clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mdtool.audit.findings import OddTime
from mdtool.model import NO_TIME, Message
from mdtool.venues.sequence import VenueClock

Key = tuple[type, bool]  # the kind of a message, and whether it is a whole book: some tell no time where others do


class Times:
    """The state of it. `add_offset` takes receive time minus venue time, ns."""

    def __init__(self, add_offset: Callable[[int], None]) -> None:
        self._add_offset = add_offset
        self._clocks: dict[Key, VenueClock] = {}
        self._first_ns: dict[Key, int] = {}  # when the first odd time was received

    def take(self, message: Message, recv_ns: int) -> None:
        """The next message."""
        key = type(message), getattr(message, "snapshot", False)
        clock = self._clocks.get(key)
        if clock is None:
            clock = self._clocks[key] = VenueClock()
        venue_ns = message.venue_ns  # type: ignore[union-attr]
        odd = clock.odd
        clock.is_late(venue_ns)
        if clock.odd > odd:
            self._first_ns.setdefault(key, recv_ns)
        elif venue_ns != NO_TIME:
            self._add_offset(recv_ns - venue_ns)

    def findings(self, stream: str) -> Iterator[OddTime]:
        """One of all of them."""
        odd = {key: clock.odd for key, clock in self._clocks.items() if clock.odd}
        if odd:
            first_ns = min(self._first_ns[key] for key in odd)
            yield OddTime(stream=stream, at_ns=first_ns, count=sum(odd.values()))

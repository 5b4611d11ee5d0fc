"""Which streams of the plan are there now, as far as anything proves.

Rule: a stream is there where a connection that is open carries it, and the venue has acknowledged it on that very
connection or, where nothing more is known, a message of it has come in this run. A connection that is open proves none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mdtool.capture.options import RecordStatus

Stream = tuple[str, str]  # symbol and stream, as it is recorded


class Coverage:
    """Of one run; it keeps `connected` and `missing` of each feed's counters."""

    def __init__(self, status: RecordStatus) -> None:
        self._status = status
        self._plan: dict[str, frozenset[str]] = {}
        self._carried: dict[int, frozenset[Stream]] = {}  # by session
        self._acknowledged: dict[int, set[Stream]] = {}
        self._changed = True

    def plan(self, streams: Mapping[str, Iterable[str]]) -> None:
        """What is to be recorded from now on, by symbol."""
        self._plan = {symbol: frozenset(names) for symbol, names in streams.items()}
        self._changed = True

    def opened(self, session: int, streams: Mapping[str, Iterable[str]]) -> None:
        """A connection is open that is to carry these."""
        self._carried[session] = frozenset((symbol, name) for symbol, names in streams.items() for name in names)
        self._acknowledged[session] = set()
        self._changed = True

    def acknowledged(self, session: int, stream: Stream) -> None:
        """The venue sends it on that connection."""
        if session in self._acknowledged:
            self._acknowledged[session].add(stream)
            self._changed = True

    def heard(self) -> None:
        """The first message of a stream has come."""
        self._changed = True

    def closed(self, session: int) -> None:
        """A connection has gone."""
        self._carried.pop(session, None)
        self._acknowledged.pop(session, None)
        self._changed = True

    def look(self, heard: set[tuple[str | None, str]]) -> None:
        """Bring the counters up to date. `heard`: of what a message has come in this run."""
        if not self._changed:
            return
        self._changed = False
        there = {stream for streams in self._acknowledged.values() for stream in streams}
        connected = dict.fromkeys(self._plan, 0)
        for carried in self._carried.values():
            there |= carried & heard
            for symbol in {symbol for symbol, _ in carried} & connected.keys():
                connected[symbol] += 1
        for symbol, names in self._plan.items():
            missing = sum((symbol, name) not in there for name in names)
            feed = self._status.feeds.get(symbol)
            if feed is None or (feed.connected, feed.missing) != (connected[symbol], missing):
                feed = self._status.of(symbol)
                feed.connected, feed.missing = connected[symbol], missing

"""How a whole book is had again: a REST snapshot where the venue has one, else a subscription made anew, else a new
connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mdtool.capture.connection import Link
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.venues.venue import Venue

PAUSE = 10.0  # seconds between two repairs of one symbol: venues limit subscriptions an hour
LONGEST_PAUSE = 600.0


class Mender:
    """Takes requests for whole books, one symbol at a time."""

    def __init__(
        self, venue: Venue, streams: Sequence[str], links: Sequence[Link], fetch: Callable[[str], None], notify: Notify
    ) -> None:
        self._venue = venue
        self._streams = [stream for stream in streams if venue.is_book(stream)]
        self._links = links
        self._fetch = fetch
        self._notify = notify
        self._waiting: dict[str, None] = {}
        self._wanted = asyncio.Event()
        self._next: dict[str, tuple[float, float]] = {}  # symbol -> not before, and the pause that led to it

    def request(self, symbol: str) -> None:
        """Have the whole book of a symbol soon."""
        if self._streams and self._venue.snapshot_request(symbol, self._streams[0]) is not None:
            self._fetch(symbol)
            return
        self._waiting[symbol] = None
        self._wanted.set()

    async def run(self) -> None:
        """Serve the requests until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            while not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            symbol = min(self._waiting, key=lambda waiting: self._next.get(waiting, (0.0, 0.0))[0])
            not_before, pause = self._next.get(symbol, (0.0, PAUSE / 2))
            now = clock()
            if now < not_before:
                await asyncio.sleep(min(not_before - now, 1.0))
                continue
            del self._waiting[symbol]
            # A venue that keeps sending books that do not hold must not be asked ever faster.
            pause = PAUSE if now - not_before > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            self._next[symbol] = (now + pause, pause)
            await self._mend(symbol)

    async def _mend(self, symbol: str) -> None:
        for link in self._links:
            if symbol not in link.symbols:
                continue
            frames = [frame for stream in self._streams for frame in self._venue.resubscribe(symbol, stream)]
            if frames:
                self._notify(RecorderEvent.SNAPSHOT, f"{symbol}: subscribing anew for a whole book")
                await link.say(tuple(frames))
            else:
                self._notify(RecorderEvent.SNAPSHOT, f"{symbol}: connecting anew for a whole book")
                await link.renew("a whole book is needed")

"""How a whole book is had again: a REST snapshot where the venue has one, else a subscription made anew, else a new
connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mdtool.capture.link import Link
from mdtool.capture.options import Notify, RecorderEvent
from mdtool.capture.snapshot import Snapshots
from mdtool.capture.tending import Failed
from mdtool.venues.venue import Venue, book_stream

PAUSE = 10.0  # seconds between two repairs of one symbol: venues limit subscriptions an hour
LONGEST_PAUSE = 600.0


class Mender:
    """Takes requests for whole books, one symbol at a time."""

    def __init__(
        self, venue: Venue, streams: Sequence[str], links: Callable[[], Sequence[Link]], snapshots: Snapshots,
        notify: Notify, failed: Failed,
    ) -> None:  # fmt: skip
        self._venue = venue
        self._stream = book_stream(venue, streams)  # whose book is kept whole
        self._links = links
        self._snapshots = snapshots
        self._notify = notify
        self._failed = failed
        self._waiting: dict[str, None] = {}
        self._wanted = asyncio.Event()
        self._next: dict[str, tuple[float, float]] = {}  # symbol -> not before, and the pause that led to it

    def request(self, symbol: str) -> None:
        """Have the whole book of a symbol soon."""
        if self._stream is not None and self._venue.snapshot_request(symbol, self._stream) is not None:
            self._snapshots.request(symbol)
            return
        self._waiting[symbol] = None
        self._wanted.set()

    def had(self, symbol: str) -> None:
        """The book of a symbol is whole, by whatever brought it: there is nothing to mend."""
        self._waiting.pop(symbol, None)
        self._snapshots.had(symbol)

    def forget(self, symbols: Sequence[str]) -> None:
        """These symbols are not recorded any more."""
        for symbol in symbols:
            self._waiting.pop(symbol, None)
        self._snapshots.forget(symbols)

    def refused(self, symbol: str, why: str) -> None:
        """What was fetched for a symbol is no whole book."""
        self._snapshots.refused(symbol, why)

    async def run(self) -> None:
        """Serve the requests until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            while not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            symbol = min(self._waiting, key=lambda waiting: self._next.get(waiting, (0.0, 0.0))[0])
            not_before, _ = self._next.get(symbol, (0.0, 0.0))
            now = clock()
            if now < not_before:
                await asyncio.sleep(min(not_before - now, 1.0))
                continue
            del self._waiting[symbol]
            pause = self._served(symbol, now)
            try:
                await self._mend(symbol)
            except Exception as error:  # noqa: BLE001 - the venue's code: the others have their turn
                self._failed(f"mending {symbol}", error, pause)
                self._waiting[symbol] = None

    def _served(self, symbol: str, now: float) -> float:
        """How long the symbol waits for its next turn from now on: a venue that keeps sending books that do not hold
        must not be asked ever faster."""
        not_before, pause = self._next.get(symbol, (0.0, PAUSE / 2))
        pause = PAUSE if now - not_before > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
        self._next[symbol] = (now + pause, pause)
        return pause

    async def _mend(self, symbol: str) -> None:
        for link in self._links():
            if symbol not in link.symbols:
                continue
            frames = () if self._stream is None else self._venue.resubscribe(symbol, self._stream)
            if frames:
                self._notify(RecorderEvent.SNAPSHOT, f"{symbol}: subscribing anew for a whole book")
                await link.say(frames)
            else:
                self._notify(RecorderEvent.SNAPSHOT, f"{symbol}: connecting anew for a whole book")
                for beside in link.symbols:  # which it brings all of them
                    if beside != symbol:
                        self._served(beside, asyncio.get_running_loop().time())
                link.renew("a whole book is needed")

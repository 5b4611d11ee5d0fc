"""Recorded feeds as an exchange: played back in their own rhythm, byte for byte.

Rule: what is published is what was received, in the order and (divided by the speed) at the pace it was received. A
client cannot tell it from the venue, except that it begins when somebody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from mdtool.clock import Clock, SystemClock
from mdtool.errors import UnknownSymbol, UsageError
from mdtool.exchange.recorded import RecordedFeed
from mdtool.exchange.source import BookView, Instrument, OrdersView, Outlet
from mdtool.history.lists import recorded, venue_in
from mdtool.model import Kind, is_session
from mdtool.replay.merge import merge
from mdtool.replay.pacing import Pacer
from mdtool.storage.store import Store

MILLISECOND = 1_000_000
AtEnd = Literal["stay", "close"]
SETTLE = 0.3  # seconds after the latest subscription: a client with many streams asks for them in several frames
BURST = 256  # messages published without letting the clients' writers run, when playback is late
ROOM = 64  # the same when playback waits for its clients


class StoredSource:
    """Feeds of one venue. `speed` None plays as fast as the slowest client takes it.

    Playback begins when the first client has subscribed (and `settle` seconds passed without another subscription), or
    at once with `wait=False`. At the end of what is stored the exchange stays open and silent, or closes.
    UsageError where the feeds are of several venues or hold nothing.
    """

    recorded = True

    def __init__(
        self,
        store: Store,
        names: Sequence[str],
        *,
        speed: float | None = 1.0,
        wait: bool = True,
        settle: float = SETTLE,
        at_end: AtEnd = "stay",
        from_ns: int | None = None,
        until_ns: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        names = [name for name in dict.fromkeys(names) if not is_session(name.rpartition("/")[2])]
        venues = sorted({store.feed(name).venue for name in names})
        if len(venues) != 1:
            found = ", ".join(venues) or "no feed"
            raise UsageError(f"one server speaks for one venue, and these feeds are of {found}: name feeds of one")
        self.venue = venue_in(store, venues[0])
        self._lists = recorded(store, self.venue)
        self._clock: Clock = clock or SystemClock()
        self._pacer = Pacer(speed, self._clock)
        self._settle = settle
        self._wait = wait
        self._at_end = at_end
        self._until_ns = until_ns
        self._feeds: dict[str, RecordedFeed] = {}
        for name in names:
            feed = RecordedFeed(store, name, self.venue)
            self._feeds[feed.symbol] = feed
        starts = [ns for feed in self._feeds.values() if (ns := feed.reader.first_ns) is not None]
        if not starts:
            self.close()
            raise UsageError(f"nothing is recorded in {', '.join(names)}: there is nothing to serve")
        self._now_ns = min(starts)
        if from_ns is not None:
            self._now_ns = max(self._now_ns, from_ns)
            for feed in self._feeds.values():
                feed.start_at(from_ns)
        self.instruments: Sequence[Instrument] = tuple(feed.instrument for feed in self._feeds.values())
        self.ended = asyncio.Event()  # all that is stored has been published
        self._listened = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the store. After this it cannot be served any more."""
        for feed in self._feeds.values():
            feed.close()

    async def run(self, outlet: Outlet) -> None:
        if self._wait:
            await self._subscriptions()
        await self._play(outlet)
        self.ended.set()
        if self._at_end == "stay":
            await asyncio.Event().wait()  # a quiet exchange, until the server is stopped

    def listened(self) -> None:
        self._listened.set()

    def depth(self, symbol: str, limit: int) -> BookView | bytes | None:
        feed = self._feeds.get(symbol)
        if feed is None:
            raise UnknownSymbol(f"no feed of {symbol} is served")
        return feed.depth(limit)

    def orders(self, symbol: str) -> OrdersView | bytes | None:
        feed = self._feeds.get(symbol)
        if feed is None:
            raise UnknownSymbol(f"no feed of {symbol} is served")
        return feed.orders()

    def first(self, symbol: str, stream: str) -> bytes | None:
        feed = self._feeds.get(symbol)
        return None if feed is None else feed.first(stream)

    def whole(self, symbol: str, stream: str) -> bytes | None:
        return None  # it is among what is recorded; playback waits for the first who subscribes

    def lists(self) -> Mapping[str, bytes]:
        return self._lists

    def streams(self, symbol: str) -> Sequence[str]:
        feed = self._feeds.get(symbol)
        return () if feed is None else feed.published

    def now_ms(self) -> int:
        return self._now_ns // MILLISECOND

    async def _subscriptions(self) -> None:
        """Until somebody listens and has finished asking."""
        await self._listened.wait()
        while self._listened.is_set():
            self._listened.clear()
            await asyncio.sleep(self._settle)

    async def _play(self, outlet: Outlet) -> None:
        by_reader = {id(feed.reader): feed for feed in self._feeds.values()}
        pacer = self._pacer
        in_a_row = 0
        for reader, record in merge([feed.reader for feed in self._feeds.values()], self._until_ns):
            feed, recv_ns = by_reader[id(reader)], record.recv_ns
            if pacer.speed is None:
                in_a_row += 1
                if in_a_row >= ROOM:
                    in_a_row = 0
                    await outlet.drain()
            elif pacer.wait_ns(recv_ns):
                in_a_row = 0
                # Never spinning: a millisecond late is nothing to a client, a busy core would be to its neighbours.
                await pacer.wait_async(recv_ns, spin_ns=0)
            else:
                in_a_row += 1
                if in_a_row >= BURST:
                    in_a_row = 0
                    await asyncio.sleep(0)
            payload = record.payload
            self._now_ns = recv_ns
            feed.play(record.kind, record.flags, record.stream, payload, recv_ns, record.position)
            if record.kind == Kind.DATA:
                stream = feed.stream(record.stream)
                if stream is not None:
                    outlet.publish(feed.symbol, stream, payload)
        if pacer.speed is None:
            await outlet.drain()

"""The synthetic exchange in real time.

Rule: virtual time is computed from the start (start + elapsed x speed), never from the tick before, so a late tick
is made up for and nothing drifts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mdtool.clock import Clock, SystemClock
from mdtool.errors import UsageError
from mdtool.exchange.simulator import MILLISECOND, Simulator
from mdtool.exchange.source import BookView, Instrument, OrdersView, Outlet

TICK = 0.005  # seconds between two looks at the clock: how late a message may be
SLICE = 50 * MILLISECOND  # virtual ns simulated at once, so that catching up never holds the event loop for long


class SimulatedSource:
    """A source whose messages happen as time passes, `speed` times as fast; None: as fast as clients take them.

    An exchange does not wait for listeners; with `wait` it does, so that the first one misses nothing. With `for_ns`
    it closes after that much virtual time.
    """

    recorded = False

    def __init__(
        self,
        simulator: Simulator,
        *,
        speed: float | None = 1.0,
        wait: bool = False,
        for_ns: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        if speed is not None and not speed > 0:
            raise UsageError(f"speed {speed}: expected a number above 0, or max")
        self.simulator = simulator
        self._speed = speed
        self._clock: Clock = clock or SystemClock()
        self._end_ns = None if for_ns is None else simulator.now_ns + for_ns
        self._listened = asyncio.Event()
        if not wait:
            self._listened.set()

    @property
    def instruments(self) -> Sequence[Instrument]:
        return self.simulator.instruments

    async def run(self, outlet: Outlet) -> None:
        await self._listened.wait()
        simulator = self.simulator
        first_ns, began_ns = simulator.now_ns, self._clock.monotonic_ns()
        end_ns = self._end_ns
        while end_ns is None or simulator.now_ns < end_ns:
            if self._speed is None:
                target = simulator.now_ns + SLICE
            else:
                target = first_ns + int((self._clock.monotonic_ns() - began_ns) * self._speed)
            if end_ns is not None:
                target = min(target, end_ns)
            while simulator.now_ns < target:
                for message in simulator.step(min(target, simulator.now_ns + SLICE)):
                    outlet.publish(message.symbol, message.stream, message.payload)
                if self._speed is None:
                    await outlet.drain()
                else:
                    await asyncio.sleep(0)
            if self._speed is not None:
                await asyncio.sleep(TICK)

    def listened(self) -> None:
        self._listened.set()

    def depth(self, symbol: str, limit: int) -> BookView:
        book = self.simulator.book(symbol)
        scale = next(i.scale for i in self.instruments if i.symbol == symbol)
        bids, asks = list(book.bids.items())[:limit], list(book.asks.items())[:limit]
        return BookView(book.update_id, self.simulator.now_ns, scale, bids, asks)

    def orders(self, symbol: str) -> OrdersView | None:
        return self.simulator.by_order(symbol)

    def first(self, symbol: str, stream: str) -> bytes | None:
        return None

    def whole(self, symbol: str, stream: str) -> bytes | None:
        return self.simulator.whole(symbol, stream)

    def lists(self) -> Mapping[str, bytes]:
        return {}

    def streams(self, symbol: str) -> Sequence[str]:
        return self.simulator.streams

    def now_ms(self) -> int:
        return self.simulator.now_ns // MILLISECOND

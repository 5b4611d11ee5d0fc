"""The links of a plan: started, replaced and ended as the plan changes, and waited for as one.

Rule: a plan that changes disturbs no connection that is the same in both; one that differs is replaced as any other
is, once the new one streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mdtool.capture.link import Link
from mdtool.venues.venue import Connection

LAST_RECORDS = 3.0  # seconds for links that were stopped to write their CLOSE records


class Fleet:
    """`make` makes the link of a connection."""

    def __init__(self, make: Callable[[Connection], Link]) -> None:
        self._make = make
        self._running: dict[Link, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def links(self) -> list[Link]:
        """Those of the plan as it is."""
        return list(self._running)

    def follow(self, plan: Sequence[Connection]) -> None:
        """From now on the connections of this plan."""
        wanted = list(plan)
        free = []
        for link in self._running:
            if link.connection in wanted:
                wanted.remove(link.connection)
            else:
                free.append(link)
        for link, connection in zip(free, wanted, strict=False):
            link.replan(connection)
        for link in free[len(wanted) :]:
            task = self._running.pop(link)
            self._leaving.add(task)
            stopping = asyncio.ensure_future(link.stop())
            self._leaving.add(stopping)
        for connection in wanted[len(free) :]:
            link = self._make(connection)
            self._running[link] = asyncio.create_task(link.run())
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. Raises what a link fails with: ConnectError, StoreFull."""
        while True:
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                done, _ = await asyncio.wait(
                    (changed, *self._running.values(), *self._leaving), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                changed.cancel()
            for task in done - {changed}:
                self._leaving.discard(task)
                task.result()  # a link of the plan only ends by failing: fail with it

    async def settled(self) -> None:
        """Until every link stands on the connection that the plan gives it, for at most as long as a link takes to be
        replaced."""
        await asyncio.gather(*(link.settled() for link in self._running))

    async def end(self) -> None:
        """Close all; each writes its CLOSE record."""
        await asyncio.gather(*(link.stop() for link in self._running), return_exceptions=True)
        tasks = [*self._running.values(), *self._leaving]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_RECORDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The links of a plan: started and ended as the plan changes, and waited for as one.

Rule: a plan that changes disturbs no connection that is the same in both. Any other stands until those that carry its
symbols from now on stand: whichever of them a symbol goes to, it is received without a break.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdtool.capture.link import Link
from mdtool.venues.venue import Connection

LAST_RECORDS = 3.0  # seconds for links that were stopped to write their CLOSE records


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A link that is of the plan no more."""

    running: asyncio.Task[None]
    parting: asyncio.Task[None]  # waits for those that carry its symbols now, and stops it


class Fleet:
    """`make` makes the link of a connection."""

    def __init__(self, make: Callable[[Connection], Link]) -> None:
        self._make = make
        self._running: dict[Link, asyncio.Task[None]] = {}
        self._leaving: dict[Link, _Leaving] = {}
        self._changed = asyncio.Event()

    def links(self) -> list[Link]:
        """Those of the plan as it is."""
        return list(self._running)

    def follow(self, plan: Sequence[Connection]) -> None:
        """From now on the connections of this plan."""
        wanted = list(plan)
        there = self._running
        for link, leaving in self._leaving.items():  # anew: who is waited for may have changed
            leaving.parting.cancel()
            there[link] = leaving.running
        self._running, going = {}, {}
        for link, task in there.items():
            if link.connection in wanted and not link.stopping:
                wanted.remove(link.connection)
                self._running[link] = task
            else:
                going[link] = task
        for connection in wanted:
            link = self._make(connection)
            self._running[link] = asyncio.create_task(link.run())
        self._leaving = {link: _Leaving(task, asyncio.create_task(self._part(link))) for link, task in going.items()}
        self._changed.set()

    async def _part(self, link: Link) -> None:
        """Stop a link once nothing is lost by it."""
        mine = set(link.symbols)
        heirs = [one for one in self._running if not mine or not one.symbols or mine.intersection(one.symbols)]
        await asyncio.gather(*(heir.stands() for heir in heirs))
        await link.stop("the plan has changed")

    async def run(self) -> None:
        """Until cancelled. Raises what a link fails with: ConnectError, StoreFull."""
        while True:
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            leaving = [one.running for one in self._leaving.values()]
            try:
                done, _ = await asyncio.wait(
                    (changed, *self._running.values(), *leaving), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                changed.cancel()
            for task in done - {changed}:
                task.result()  # a link of the plan only ends by failing: fail with it
            self._leaving = {link: one for link, one in self._leaving.items() if not one.running.done()}

    async def settled(self) -> None:
        """Until no link is left that is of an earlier plan, and each of this one stands."""
        gone = [one.running for one in self._leaving.values()]
        await asyncio.gather(*(link.stands() for link in self._running))
        if gone:
            await asyncio.wait(gone)

    async def end(self) -> None:
        """Close all; each writes its CLOSE record."""
        for one in self._leaving.values():
            one.parting.cancel()
        tasks = [*self._running.values(), *(one.running for one in self._leaving.values())]
        await asyncio.gather(*(link.stop() for link in (*self._running, *self._leaving)), return_exceptions=True)
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_RECORDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

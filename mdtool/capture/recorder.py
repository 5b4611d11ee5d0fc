"""One run of the recorder: the links of the plan, the ports they write to, the sidecar that watches, the snapshots, the
housekeeping.

What each may do to the others: links and snapshots write through the ports; the sidecar reads the store in a process of
its own and asks for snapshots; housekeeping blocks in a thread of its own. Nothing waits for the disk on the event
loop, and of all of it only the links and a full store can end the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any

import aiohttp
from typing_extensions import Buffer

from mdtool.capture.backoff import Backoff
from mdtool.capture.budget import Budget
from mdtool.capture.client import client
from mdtool.capture.fleet import Fleet
from mdtool.capture.keeping import Keeper
from mdtool.capture.link import Link
from mdtool.capture.lists import Lists
from mdtool.capture.mender import Mender
from mdtool.capture.options import TIME_IS_OVER, Notify, RecorderEvent, RecordOptions, RecordStatus, record_options
from mdtool.capture.ports import Ports
from mdtool.capture.room import Room, room_of
from mdtool.capture.snapshot import Snapshots
from mdtool.capture.supervisor import Supervisor
from mdtool.capture.tending import tended
from mdtool.capture.timekeeping import Timekeeper
from mdtool.clock import Clock, SystemClock
from mdtool.errors import ConnectError, MdtoolError, UsageError
from mdtool.storage.format import layout
from mdtool.storage.format.layout import RUN
from mdtool.storage.store import Store
from mdtool.units import count
from mdtool.venues.venue import Connection

__all__ = ["RecordOptions", "RecordStatus", "Recorder", "RecorderEvent", "record", "record_options"]

TICK = 1.0  # seconds between two heartbeats, and between two syncs
RENEW_EARLY = 600.0  # seconds before the venue would cut a connection anyway
SETTLE = 60.0  # seconds that connections of another plan have to come up before symbols that go are let go all the same


class Recorder:
    """Records one venue into a store. `run()` once; `stop()` from a signal handler or another task."""

    def __init__(
        self, store: Store, options: RecordOptions, notify: Notify, clock: Clock | None = None,
        beat: Callable[[], None] | None = None, histogram: Buffer | None = None, ports: type[Ports] = Ports,
    ) -> None:  # fmt: skip
        """`beat` is called with each heartbeat, to show `status` to whoever looks. `histogram`: as of `Ports`. Frames
        go through `ports`."""
        self._store = store
        self._beat = beat
        self._options = options
        self._notify = notify
        self._clock = clock or SystemClock()
        self._random = Random(options.seed)
        self._stop = asyncio.Event()
        self._why = "stopped"
        self._plan = _plan(options)
        self._replanning = asyncio.Lock()
        self._refused = ""  # what the venue would not send, where that ends the run
        self._ports = ports(
            store, options, self._clock, notify, self._give_up if options.fail_fast else None, histogram
        )
        self._budget = Budget(store.path / RUN, options.venue.name, options.rest_url)
        self._fleet: Fleet | None = None  # while it runs
        self._in_memory = options.live == "shm"
        self.status = self._ports.status

    def stop(self, why: str = "stopped") -> None:
        """Ask for a graceful end: sockets closed, END records written."""
        if not self._stop.is_set():
            self._why = why
            self._notify(RecorderEvent.STOPPING, f"stopping: {why}")
        self._stop.set()

    async def run(self) -> RecordStatus:
        """Record until stopped or the duration is over. Raises ConnectError (fail_fast: also of a stream that is
        refused) and StoreFull; whatever ends it, what was committed stays and the feeds are closed."""
        options = self._options
        seconds = 1e9 if options.duration is None else options.duration
        timer = asyncio.get_running_loop().call_later(seconds, self.stop, TIME_IS_OVER)
        graceful = False
        try:
            async with client(options.ca) as http:
                self._ports.begin(self._plan)
                await self._record(http)
            if self._refused:
                raise ConnectError(f"{options.venue.name}: {self._refused}")
            graceful = True
        finally:
            timer.cancel()
            try:
                if graceful:
                    self._ports.end(self._why)
            finally:
                self._ports.close()
        return self.status

    async def _record(self, http: aiohttp.ClientSession) -> None:
        options = self._options
        snapshots = Snapshots(
            http, options.venue, options.rest_url, self._ports, self._budget, self._notify, self._backoff,
            options.streams,
        )  # fmt: skip
        fleet = self._fleet = Fleet(lambda connection: self._link(http, connection))
        fleet.follow(self._plan)
        mender = self._mender = Mender(
            options.venue, options.streams, fleet.links, snapshots, self._notify, self._ports.failed
        )
        supervisor = self._supervisor = Supervisor(
            self._store, options, self.status, mender, self._notify, self._ports, self._backoff()
        )
        keeper = self._keeper = Keeper(
            self._store, options.venue, (self._ports.session_feed, *options.symbols), options.streams, mender.request,
            self._retained, self._clock,
        )  # fmt: skip
        room = self._room = Room(
            self._clock, free=self._free, recorded=self._recorded_bytes, feeds=lambda: self._options.symbols,
            only=self._only, hurry=keeper.hurry, tell=self._tell_room,
        )  # fmt: skip
        beside = {
            "watching": supervisor.run,  # goes last: it reads what the others have recorded
            "fetching snapshots": snapshots.run,
            "mending": mender.run,
            "retention": keeper.run,
            "room": room.run,
            "housekeeping": self._keep_house,
        }
        if options.instruments:
            lists = Lists(http, options.venue, options.rest_url, self._ports, self._budget, self._notify, self._backoff)
            beside["fetching lists of instruments"] = lists.run
        workers = [
            asyncio.create_task(tended(name, work, self._ports.failed, self._backoff()))
            for name, work in beside.items()
        ]
        receiving = asyncio.create_task(fleet.run())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait((stopping, receiving, *workers), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a worker only ends by failing: fail with it
        finally:
            stopping.cancel()
            self._stop.set()  # whatever the reason: a plan that is being changed is not waited for
            async with self._replanning:
                self._fleet = None
            receiving.cancel()
            await fleet.end()
            for task in workers[1:]:
                task.cancel()
            self.status.behind = not await supervisor.finish()
            workers[0].cancel()
            await asyncio.gather(receiving, *workers, return_exceptions=True)

    # -- orders, while it runs -----------------------------------------------------------------------------------------

    def request_books(self, symbols: Sequence[str] = ()) -> tuple[str, ...]:
        """Have the whole book of each symbol, or of all, soon; of which it will be had."""
        asked = self._named(symbols)
        for symbol in asked:
            self._mender.request(symbol)
        return asked

    def reconnect(self, symbols: Sequence[str] = ()) -> tuple[str, ...]:
        """Replace the connections that carry these symbols, or all; the symbols on them."""
        asked = set(self._named(symbols))
        touched = [link for link in self._up().links() if asked.intersection(link.symbols)]
        for link in touched:
            link.renew("told to reconnect")
        return tuple(symbol for link in touched for symbol in link.symbols)

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is recorded."""
        return self._options.symbols

    async def replan(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Record these symbols from now on, and no others: those that come get a feed, those that go an END, and of
        the rest nothing is lost. Returns them. Raises UsageError and what opening a feed raises; then nothing has
        changed. StoreFull too: then the change stands, and not all of it may be on record."""
        async with self._replanning:
            self._up()
            self._room.forget()
            await self._replan(symbols)
            return self._options.symbols

    async def leave(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Record all but these symbols from now on; returns what is left. Raises as `replan`."""
        async with self._replanning:
            going = self._named(symbols)
            self._room.forget(going)
            await self._replan([symbol for symbol in self._options.symbols if symbol not in going])
            return self._options.symbols

    def note(self, what: dict[str, object]) -> None:
        """Put on record what whoever runs this recorder has to say."""
        self._ports.note(what)

    async def _replan(self, symbols: Sequence[str], why: str = "no longer asked for") -> None:
        before, fleet = self._options, self._up()
        wanted = dict.fromkeys(before.venue.canonical(symbol) for symbol in symbols)
        if not wanted:
            raise UsageError("no symbol is left to record; to end all of it: mdtool stop")
        gone = [symbol for symbol in before.symbols if symbol not in wanted]
        come = [symbol for symbol in wanted if symbol not in before.symbols]
        if not come and not gone:
            return
        # What stays keeps its place: a plan is cut along the order, and what is cut as before is not touched.
        options = replace(before, symbols=(*(symbol for symbol in before.symbols if symbol in wanted), *come))
        plan = _plan(options)
        await self._ports.admit(come)
        await self._supervisor.watch(come)
        self._up()  # still
        self._options, self._plan = options, plan
        self._ports.replan(options, plan, come)
        self._keeper.watch((self._ports.session_feed, *options.symbols))
        fleet.follow(plan)
        await self._first(fleet.settled(), self._stop.wait())
        self._supervisor.unwatch(gone)
        self._mender.forget(gone)
        await self._ports.dismiss(gone, why)

    # -- room ----------------------------------------------------------------------------------------------------------

    def _free(self) -> tuple[int, int]:
        return room_of([self._store.path, self._store.shared_memory] if self._in_memory else [self._store.path])

    def _recorded_bytes(self) -> int:
        return self.status.payload_bytes + self.status.records * layout.ROW.itemsize

    async def _only(self, symbols: Sequence[str], why: str) -> None:
        """Record these for now: what is let go is still wanted."""
        async with self._replanning:
            before = self._options.symbols
            await self._replan(symbols, why)
            for symbol in {*before, *symbols}:
                self.status.of(symbol).parked = symbol not in symbols

    def _tell_room(self, note: dict[str, object], text: str) -> None:
        self._ports.note(note)
        self._notify(RecorderEvent.ROOM, text)

    async def _first(self, *work: Coroutine[Any, Any, object]) -> None:
        """Until one of these is done, or SETTLE is over."""
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.wait(tasks, timeout=SETTLE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _up(self) -> Fleet:
        """The connections, while there are any. Raises UsageError."""
        if self._stop.is_set():
            raise UsageError("the recorder is ending")
        if self._fleet is None:
            raise UsageError("the recorder is starting: try again")
        return self._fleet

    def _named(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Those, or all. Raises UsageError of one that is not recorded, or where nothing is yet."""
        self._up()
        venue = self._options.venue
        named = tuple(venue.canonical(symbol) for symbol in symbols)
        for symbol in named:
            if symbol not in self._options.symbols and symbol not in self._room.let_go:
                raise UsageError(f"{venue.name}/{symbol} is not recorded by this recorder")
        return named or self._options.symbols

    def _give_up(self, refused: str) -> None:
        self._refused = self._refused or refused
        self._stop.set()

    def _link(self, http: aiohttp.ClientSession, connection: Connection) -> Link:
        lifetime = self._options.venue.reconnect_after
        if lifetime:
            lifetime = max(60.0, lifetime - RENEW_EARLY * self._random.uniform(1.0, 2.0))
        return Link(
            http,
            connection,
            self._options.ws_url,
            self._ports,
            self._backoff(),
            lifetime=lifetime,
            fail_fast=self._options.fail_fast,
            rest_url=self._options.rest_url,
            endpoint=self._options.venue.endpoint,
            deflate=self._options.deflate,
            budget=self._budget,
        )

    def _backoff(self) -> Backoff:
        return Backoff(Random(self._random.random()))

    async def _keep_house(self) -> None:
        """Heartbeats, syncs, and an eye on the clock."""
        timekeeper = Timekeeper(self._clock)
        loop, troubles = asyncio.get_running_loop(), dict[str, str]()
        # A thread of its own: a disk that hangs holds up nothing else that is done in threads, and nothing else it.
        disk = ThreadPoolExecutor(1, "housekeeping")
        try:
            while True:
                began = time.monotonic()
                await self._ports.heartbeat()
                if self._beat is not None:
                    self._beat()
                for said in timekeeper.look():
                    self._ports.note(said)
                found = await loop.run_in_executor(disk, self._ports.maintain)
                for symbol in sorted(found.keys() - troubles.keys()):
                    # Early: what is reserved still takes records. The append that finds no room ends the run.
                    self._notify(RecorderEvent.STORE_FULL, f"{symbol}: {found[symbol]}; trying again")
                troubles = found
                await asyncio.sleep(max(0.0, TICK - (time.monotonic() - began)))
        finally:
            disk.shutdown(wait=False)

    def _retained(self, said: dict[str, Any]) -> None:
        """Put on record what was sealed and what retention removed, and tell what it held."""
        if "sealed" in said:
            self._ports.note({"note": "sealed", **said})
            parts = ", ".join(f"part {part['part']} of {count(part['records'], 'record')}" for part in said["sealed"])
            self._notify(RecorderEvent.SEALED, f"sealed {said['feed']}: {parts}")
            return
        self._ports.note({"note": "retention", **said})
        if "error" in said:
            self._notify(RecorderEvent.RETENTION, f"retention: {said['error']}; trying again")
            return
        removed = f"removed {', '.join(said['removed'])}" if said["removed"] else "removed nothing"
        held = f"; held: {'; '.join(said['held'])}" if said["held"] else ""
        self._notify(RecorderEvent.RETENTION, f"retention: {said['feed']}: {removed}{held}")


def _plan(options: RecordOptions) -> tuple[Connection, ...]:
    """The venue's plan. Raises UsageError where its code fails at what was asked for."""
    try:
        return options.venue.plan(options.symbols, options.streams)
    except MdtoolError:
        raise
    except Exception as error:
        what = f"{', '.join(options.streams)} of {', '.join(options.symbols)}"
        raise UsageError(f"{options.venue.name}: cannot plan {what}: {type(error).__name__}: {error}") from error


async def record(store: Store, options: RecordOptions, notify: Notify, clock: Clock | None = None) -> RecordStatus:
    """Record one venue until the duration is over or the task is cancelled. See `Recorder`."""
    return await Recorder(store, options, notify, clock).run()

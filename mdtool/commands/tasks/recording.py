"""A run of the recorder with the process around it: what was asked for becomes its options, signals stop it gracefully,
and its counters are looked at."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from msgspec import structs

from mdtool.capture.lists import asked, reads
from mdtool.capture.options import RecordOptions, RecordStatus, base_urls, record_options
from mdtool.clock import SECOND, SystemClock
from mdtool.commands.options import Live, Sync
from mdtool.commands.tasks import minutes
from mdtool.config import RecordDefaults
from mdtool.config.tables import cpu_numbers
from mdtool.errors import UsageError
from mdtool.history.lists import venue_at
from mdtool.service.assignment import assignment
from mdtool.service.attending import Attendant
from mdtool.service.readings import Reading, Readings
from mdtool.service.roster import Roster
from mdtool.service.shards import Shards, Work
from mdtool.service.spreading import loads, spread
from mdtool.service.taking import free_name, take_over
from mdtool.storage.store import Store
from mdtool.units import parse_duration, parse_size
from mdtool.venues import catalog

LOOK_EVERY = 1.0  # seconds between two readings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for, as it was given. None: it does not say."""

    venue: str
    symbols: tuple[str, ...]
    url: str | None
    rest: str | None
    duration: str | None
    streams: str | None
    fail_fast: bool
    live: Live | None
    sync: Sync | None
    chunk_size: str | None
    instruments: bool = True
    ca: str | None = None
    deflate: bool | None = None

    def options(self, settings: RecordDefaults, store: Path | None = None) -> RecordOptions:
        """The command line over the settings over the venue's own defaults. What nobody has set is left to the feed,
        which may have been given it before. Names are read as the venue listed them to whoever recorded into `store`,
        and by what it lists now where that reads one of them not at all. Raises UsageError."""
        ca = str(Path.cwd() / self.ca) if self.ca is not None else settings.ca
        adapter = catalog.get(self.venue) if store is None else venue_at(store, self.venue)
        if self.instruments and not all(reads(adapter, symbol) for symbol in self.symbols):
            adapter = asyncio.run(asked(adapter, base_urls(adapter, self.url, self.rest)[1], ca))
        named = settings.streams.get(adapter.name, ())
        if self.streams is not None:
            named = tuple(name.strip() for name in self.streams.split(",") if name.strip())
            if not named:
                known = ",".join(adapter.default_streams)
                raise UsageError(f"--streams {self.streams!r}: expected names, as in {known}")
        live, sync = self.live or settings.live, self.sync or settings.sync or Sync.SECOND
        return record_options(
            adapter,
            self.symbols,
            streams=named,
            ws_url=self.url,
            rest_url=self.rest,
            duration=parse_duration(self.duration) / SECOND if self.duration is not None else None,
            fail_fast=self.fail_fast,
            live=Live(live).value if live is not None else None,
            chunk_bytes=parse_size(self.chunk_size) if self.chunk_size is not None else settings.chunk_bytes,
            sync=Sync(sync).value,
            instruments=self.instruments,
            ca=ca,
            deflate=bool(settings.deflate) if self.deflate is None else self.deflate,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """How a run ended."""

    status: RecordStatus
    interrupted: bool  # by SIGINT: by the person at the keyboard
    venue: str | None  # None: what a file of settings asks for
    symbols: tuple[str, ...]
    seconds: float
    feeds: tuple[str, ...] = ()  # where there is no one venue

    def to_json(self) -> dict[str, Any]:
        """What `record --json` prints at the end."""
        status = self.status
        return {
            "venue": self.venue,
            "symbols": list(self.symbols),
            **({"feeds": list(self.feeds)} if self.venue is None else {}),
            "seconds": round(self.seconds, 3),
            "records": status.records,
            "payload_bytes": status.payload_bytes,
            "sessions": status.sessions,
            "failures": status.failures,
            "snapshots": status.snapshots,
            "gaps": status.gaps,
            "refused": status.refused,
            "undecodable": status.undecodable,
            "behind": status.behind,
            "interrupted": self.interrupted,
        }


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told of a run: of an event and a line about it, of how it goes once a second, of a minute in a line. From
    `listening` it is served how it goes."""

    notify: Callable[[str, str], None]
    look: Callable[[Reading], None] | None = None
    minutely: Callable[[str], None] | None = None
    listening: socket.socket | None = None


def record(
    store: Store, options: RecordOptions, watching: Watching, *, shards: int = 1, cpus: tuple[int, ...] = ()
) -> Recorded:
    """Record until the time asked for is over or a signal comes. Raises ShardFailed, FeedLocked."""
    return asyncio.run(_record(store, assignments(store, options, shards, cpus), options, watching))


def parse_cpus(text: str | None) -> tuple[int, ...]:
    """The CPUs in a list such as `2,3` or `4-7`. Raises UsageError."""
    try:
        cpus = cpu_numbers(text) if text is not None else ()
    except ValueError:
        raise UsageError(f"--cpu {text!r}: expected numbers of CPUs, as in 2,3 or 4-7") from None
    usable = os.sched_getaffinity(0)
    for cpu in cpus:
        if cpu not in usable:
            raise UsageError(f"--cpu {text!r}: no CPU {cpu} here; there are {','.join(map(str, sorted(usable)))}")
    return cpus


def assignments(store: Store, options: RecordOptions, shards: int, cpus: tuple[int, ...]) -> list[Work]:
    """What each recorder of a run is given. Those that run already and do part of it are taken over as they are, and
    the rest is spread over so many more as are wanted, over one at least. Raises FeedLocked where one has somebody
    else, UsageError."""
    roster = Roster(store.path)
    wanted = assignment("new", str(store.path), options)
    there = take_over(roster, wanted)
    works = [Work(structs.replace(one.duty.assignment, seconds=wanted.seconds), one.duty.pid) for one in there]
    done = {symbol for work in works for symbol in work.assignment.symbols}
    rest = [symbol for symbol in options.symbols if symbol not in done]
    weights = loads(store, options.venue.name, rest) if shards > 1 else [1.0] * len(rest)
    taken: set[str] = set()
    for symbols in spread(rest, weights, max(1, shards - len(works))):
        pinned = (cpus[len(works) % len(cpus)],) if cpus else ()
        name = free_name(roster, options.venue.name, taken)
        works.append(Work(structs.replace(wanted, name=name, symbols=symbols, cpus=pinned)))
    return works


async def _record(store: Store, works: Sequence[Work], options: RecordOptions, watching: Watching) -> Recorded:
    clock = asyncio.get_running_loop().time
    began = clock()

    def told(name: str, event: str, text: str) -> None:
        watching.notify(event, f"{name}: {text}" if name and len(works) > 1 else text)

    shards = Shards(Roster(store.path), works, told, Random())
    interrupted = stop_on_signals(shards, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    for work in works:
        if work.pid:
            told(work.assignment.name, "recorder", f"the recorder {work.assignment.name} runs already: taken over")
    feeds = [f"{options.venue.name}/{symbol}" for symbol in options.symbols]
    async with looked_at(store, shards, feeds, watching):
        await shards.run()
    return Recorded(status(shards), interrupted.is_set(), options.venue.name, options.symbols, clock() - began)


def stop_on_signals(shards: Shards, numbers: Sequence[signal.Signals]) -> asyncio.Event:
    """Have these signals end a run gracefully, and one of them that comes again at once. Set where it was the person at
    the keyboard."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()

    def stop(number: int) -> None:
        if number == signal.SIGINT:
            interrupted.set()
        shards.stop("interrupted" if number == signal.SIGINT else "terminated")
        loop.remove_signal_handler(number)  # a second one is meant
        loop.add_signal_handler(number, shards.kill)

    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    return interrupted


@asynccontextmanager
async def looked_at(store: Store, shards: Shards, feeds: Sequence[str], watching: Watching) -> AsyncIterator[None]:
    """A context in which recorders and these feeds, of which there may be others by then, are looked at."""
    beside: list[asyncio.Task[None]] = []
    if watching.look is not None:
        beside.append(asyncio.create_task(_look(store, shards.names, watching.look)))
    if watching.listening is not None:
        attendant = Attendant(store.path, watching.listening, lambda line: watching.notify("http", line), Random())
        beside.append(asyncio.create_task(attendant.run()))
    if watching.minutely is not None:
        beside.append(asyncio.create_task(_tell(store, feeds, shards, watching.minutely)))
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def status(shards: Shards) -> RecordStatus:
    totals = shards.totals()
    return RecordStatus(**{**totals, "behind": bool(totals["behind"])})  # type: ignore[arg-type]


async def _look(store: Store, names: Callable[[], Sequence[str]], look: Callable[[Reading], None]) -> None:
    """A reading a second, taken in a thread."""
    clock = SystemClock()
    with Readings(store, names) as readings:
        while True:
            look(await asyncio.to_thread(readings.take, clock.now_ns()))
            await asyncio.sleep(LOOK_EVERY)


async def _tell(store: Store, feeds: Sequence[str], shards: Shards, say: Callable[[str], None]) -> None:
    """A line a minute; what it takes to know what to say is done in a thread."""
    clock = SystemClock()
    with minutes.Minutes(store, feeds, clock.now_ns()) as lately:
        while True:
            await asyncio.sleep(minutes.EVERY_NS / SECOND)
            say(await asyncio.to_thread(lately.line, status(shards), clock.now_ns()))

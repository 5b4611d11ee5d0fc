"""A storm from its start to its end: a synthetic exchange in this process, a recorder in processes of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ledger import Ledger
from patience import LONGEST, until

from mdtool.books.engine import FeedEngine
from mdtool.books.sync import BookState, BookSync
from mdtool.capture.child import command, environment
from mdtool.clock import SystemClock
from mdtool.exchange.catalog import protocol_for
from mdtool.exchange.server import Server
from mdtool.exchange.simulated import SimulatedSource
from mdtool.exchange.simulator import Simulator, symbol_names
from mdtool.exchange.storm import Shares, Storm
from mdtool.storage.reading.reader import Reader
from mdtool.storage.store import Store
from mdtool.venues import catalog

MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Weather:
    """What is asked for."""

    venue: str
    symbols: int
    rate: float  # order events a second and symbol
    seconds: float  # of storm
    shares: Shares
    seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return symbol_names(self.symbols)

    def exchange(self, start_ns: int, *, keep_truth: bool = False) -> Simulator:
        """The exchange, as often as it is asked for the very same."""
        return Simulator(
            self.names, seed=self.seed, rate=self.rate, start_ns=start_ns, venue=self.venue, keep_truth=keep_truth
        )


@dataclass
class Storming:
    """What came of it."""

    start_ns: int  # of the exchange's time
    end_ns: int = 0  # how far it came
    ledger: Ledger = field(default_factory=Ledger)
    seconds: float = 0.0  # from the first subscription to the end
    calm: float = 0.0  # of them without faults
    published: int = 0
    exit_code: int | None = None
    said: str = ""  # by the recorder
    memory: dict[str, dict[str, int]] = field(default_factory=dict)  # process -> peaks of what /proc tells, in KiB


async def storm(store: Path, weather: Weather) -> Storming:
    """Record an exchange through a storm and until all books are whole again."""
    now_ns = SystemClock().now_ns()
    came = Storming(now_ns - now_ns % (1000 * MILLISECOND))
    simulator = weather.exchange(came.start_ns)
    faults = Storm(weather.shares, came.ledger.done, seed=weather.seed)
    source = SimulatedSource(simulator, wait=True)
    async with Server(source, protocol_for(weather.venue), faults=faults, sent=came.ledger.handed) as server:
        arguments = ("--store", str(store), "record", weather.venue, *weather.names)
        with (store.parent / "recorder.txt").open("wb") as said:
            recorder = await asyncio.create_subprocess_exec(
                *command("mdtool", *arguments, "--url", server.url, "--rest", server.rest, "--sync", "1s"),
                env=environment(), stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        over = asyncio.create_task(recorder.wait())
        measuring = asyncio.create_task(_measure(recorder.pid, came.memory))
        try:
            await until(lambda: sum(server.counts.sent.values()) > 0, over)
            began = time.monotonic()
            await asyncio.wait([over], timeout=weather.seconds)
            assert not over.done(), "the recorder ended in the storm"
            faults.stop()
            stopped = time.monotonic()
            await _calm(Books(store, weather), weather, over)
            came.calm = time.monotonic() - stopped
            came.published = sum(server.counts.published.values())
            came.seconds = time.monotonic() - began
            await server.close()
            came.end_ns = simulator.now_ns
            recorder.send_signal(signal.SIGTERM)
            async with asyncio.timeout(LONGEST):
                came.exit_code = await over
        finally:
            measuring.cancel()
            if recorder.returncode is None:
                recorder.kill()
                await over
    came.said = (store.parent / "recorder.txt").read_text()
    return came


async def _calm(books: Books, weather: Weather, over: asyncio.Task[int]) -> None:
    """Until all books are whole as of now, as long as it takes while it goes on: the venue's limit decides that."""
    since_ns, whole, last = SystemClock().now_ns(), 0, time.monotonic()
    while whole < weather.symbols:
        await asyncio.sleep(1.0)
        assert not over.done(), "the recorder ended in the calm"
        if (now := books.whole(since_ns)) > whole:
            whole, last = now, time.monotonic()
        assert time.monotonic() - last < LONGEST, f"{now} books are whole, and no more become so"


class Books:
    """The books of a recording, by a reading of its records that goes on where it stopped."""

    def __init__(self, path: Path, weather: Weather) -> None:
        venue = catalog.get(weather.venue)
        self._store = Store.open(path)
        self._feeds: list[tuple[Reader, FeedEngine]] = []
        for name in weather.names:
            reader = self._store.reader(f"{weather.venue}/{name}")
            self._feeds.append((reader, FeedEngine(venue, reader, book_only=True)))

    def whole(self, since_ns: int) -> int:
        """How many are, by updates received since."""
        books = self.read().values()
        return sum(book.state is BookState.SYNCED and book.recv_ns > since_ns for book in books if book is not None)

    def read(self) -> dict[str, BookSync | None]:
        """Each as of now, by symbol."""
        found = {}
        for reader, engine in self._feeds:
            for record in reader.records():
                if record.stream not in engine.unwanted:
                    engine.on_record(record)
            found[reader.feed.symbol] = engine.sync
        return found


async def _measure(pid: int, peaks: dict[str, dict[str, int]]) -> None:
    while True:
        for name, one in (("recorder", pid), *(("sidecar", child) for child in _children(pid))):
            for key, size in _memory(one).items():
                known = peaks.setdefault(name, {})
                known[key] = max(known.get(key, 0), size)
        await asyncio.sleep(0.5)


def _children(pid: int) -> Iterator[int]:
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except OSError:
        return


def _memory(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    wanted = ("VmRSS", "RssAnon", "RssFile")
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(wanted)}

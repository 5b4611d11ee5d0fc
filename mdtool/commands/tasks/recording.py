"""A run of the recorder with the process around it: what was asked for becomes its options, signals stop it gracefully,
and its counters are looked at."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdtool.capture.options import Notify, RecordOptions, RecordStatus, record_options
from mdtool.capture.recorder import Recorder
from mdtool.clock import SECOND, SystemClock
from mdtool.commands.options import Live, Sync
from mdtool.commands.tasks import minutes
from mdtool.config import RecordDefaults
from mdtool.errors import UsageError
from mdtool.storage.store import Store
from mdtool.units import parse_duration, parse_size
from mdtool.venues import catalog

LOOK_EVERY = 0.5  # seconds between two looks at the counters


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

    def options(self, settings: RecordDefaults) -> RecordOptions:
        """The command line over the settings over the venue's own defaults. What nobody has set is left to the feed,
        which may have been given it before. Raises UsageError."""
        adapter = catalog.get(self.venue)
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
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """How a run ended."""

    status: RecordStatus
    interrupted: bool  # by SIGINT: by the person at the keyboard
    venue: str
    symbols: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What `record --json` prints at the end."""
        status = self.status
        return {
            "venue": self.venue,
            "symbols": list(self.symbols),
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


def record(
    store: Store,
    options: RecordOptions,
    notify: Notify,
    look: Callable[[RecordStatus], None],
    minutely: Callable[[str], None] | None = None,
) -> Recorded:
    """Record until the time asked for is over or a signal comes. `minutely`: gets a line a minute on what came. Raises
    what `Recorder` raises."""
    return asyncio.run(_record(store, options, notify, look, minutely))


async def _record(
    store: Store,
    options: RecordOptions,
    notify: Notify,
    look: Callable[[RecordStatus], None],
    minutely: Callable[[str], None] | None,
) -> Recorded:
    loop = asyncio.get_running_loop()
    began = loop.time()
    recorder = Recorder(store, options, notify)
    interrupted = False

    def stop(number: int) -> None:
        nonlocal interrupted
        interrupted = interrupted or number == signal.SIGINT
        recorder.stop("interrupted" if number == signal.SIGINT else "terminated")
        loop.remove_signal_handler(number)  # a second one is meant

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    beside = [asyncio.create_task(_look(recorder.status, look))]
    if minutely is not None:
        beside.append(asyncio.create_task(_tell(store, options, recorder.status, minutely)))
    try:
        status = await recorder.run()
        return Recorded(status, interrupted, options.venue.name, options.symbols, loop.time() - began)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _look(status: RecordStatus, look: Callable[[RecordStatus], None]) -> None:
    while True:
        look(status)
        await asyncio.sleep(LOOK_EVERY)


async def _tell(store: Store, options: RecordOptions, status: RecordStatus, say: Callable[[str], None]) -> None:
    """A line a minute; what it takes to know what to say is done in a thread."""
    clock = SystemClock()
    feeds = [f"{options.venue.name}/{symbol}" for symbol in options.symbols]
    with minutes.Minutes(store, feeds, clock.now_ns()) as lately:
        while True:
            await asyncio.sleep(minutes.EVERY_NS / SECOND)
            say(await asyncio.to_thread(lately.line, status, clock.now_ns()))

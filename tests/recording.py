"""Recordings that tests make: ended by what has happened, never by the time that has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from patience import until

from mdtool.capture.options import RecordStatus
from mdtool.capture.recorder import Recorder
from mdtool.exchange.server import Server
from mdtool.exchange.source import Outlet
from mdtool.exchange.stored import StoredSource
from mdtool.storage.store import Store


class Attended(StoredSource):
    """Recorded feeds, played once each of their streams has a listener (or only those named), however long the
    subscriptions take; then the exchange closes."""

    def __init__(
        self, store: Store, names: Sequence[str], streams: Sequence[str] | None = None, **options: Any
    ) -> None:
        super().__init__(store, names, wait=False, at_end="close", **options)
        self._awaited = streams

    async def run(self, outlet: Outlet) -> None:
        awaited = [
            (instrument.symbol, stream)
            for instrument in self.instruments
            for stream in self.streams(instrument.symbol)
            if self._awaited is None or stream in self._awaited
        ]
        assert awaited
        await until(lambda: all(outlet.listeners(*one) for one in awaited))
        await super().run(outlet)


async def record_until(recorder: Recorder, done: Callable[[], object], why: str = "stopped") -> RecordStatus:
    """Records until `done`."""
    running = asyncio.create_task(recorder.run())
    try:
        await until(done, running)
    finally:
        recorder.stop(why)
        await asyncio.wait([running])
    return running.result()


async def record_all(
    recorder: Recorder, server: Server, also: Callable[[], object] = lambda: True, why: str = "everything was served"
) -> RecordStatus:
    """Records until the exchange has closed, the recorder has read each of its connections to the end, and `also`."""
    finished = asyncio.create_task(server.finished())
    status, served = recorder.status, 0

    def done() -> bool:
        nonlocal served
        if not finished.done():
            return False
        finished.result()
        served = served or server.counts.connections
        return status.sessions - status.connections >= served and bool(also())

    try:
        return await record_until(recorder, done, why)
    finally:
        finished.cancel()

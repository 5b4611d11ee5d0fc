"""A run of the recorder with the process around it: signals stop it gracefully, and its counters are looked at."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

from mdtool.capture.options import Notify, RecordOptions, RecordStatus
from mdtool.capture.recorder import Recorder
from mdtool.storage.store import Store

LOOK_EVERY = 0.5  # seconds between two looks at the counters


@dataclass(frozen=True, slots=True)
class Recorded:
    """How a run ended."""

    status: RecordStatus
    interrupted: bool  # by SIGINT: by the person at the keyboard


def record(store: Store, options: RecordOptions, notify: Notify, look: Callable[[RecordStatus], None]) -> Recorded:
    """Record until the time asked for is over or a signal comes. Raises what `Recorder` raises."""
    return asyncio.run(_record(store, options, notify, look))


async def _record(
    store: Store, options: RecordOptions, notify: Notify, look: Callable[[RecordStatus], None]
) -> Recorded:
    loop = asyncio.get_running_loop()
    recorder = Recorder(store, options, notify)
    interrupted = False

    def stop(number: int) -> None:
        nonlocal interrupted
        interrupted = interrupted or number == signal.SIGINT
        recorder.stop("interrupted" if number == signal.SIGINT else "terminated")
        loop.remove_signal_handler(number)  # a second one is meant

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    looking = asyncio.create_task(_look(recorder.status, look))
    try:
        return Recorded(await recorder.run(), interrupted)
    finally:
        looking.cancel()


async def _look(status: RecordStatus, look: Callable[[RecordStatus], None]) -> None:
    while True:
        look(status)
        await asyncio.sleep(LOOK_EVERY)

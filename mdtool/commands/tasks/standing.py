"""Readings of a store's recorders, one a second."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mdtool.clock import SystemClock
from mdtool.service.readings import Reading, Readings
from mdtool.storage.store import Store

EVERY = 1.0  # seconds


def readings(store: Store, *, once: bool = False) -> Iterator[Reading]:
    """One a second for ever; or one, a second after a first look, so that rates are known."""
    clock = SystemClock()
    with Readings(store) as look:
        first = look.take(clock.now_ns())
        if once:
            if any(recorder.alive for recorder in first.recorders):
                time.sleep(EVERY)
                first = look.take(clock.now_ns())
            yield first
            return
        while True:
            yield first
            time.sleep(EVERY)
            first = look.take(clock.now_ns())

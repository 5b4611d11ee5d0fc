"""A recorder on duty that is this process: what it writes down is what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdtool.capture.options import BOOK_STATES, FeedCounters, RecordStatus, record_options
from mdtool.clock import SECOND
from mdtool.model import Kind
from mdtool.service.assignment import assignment
from mdtool.service.page import Page
from mdtool.service.readings import Readings
from mdtool.service.roster import Roster
from mdtool.storage.store import Store
from mdtool.venues import catalog

NOW = 1_700_049_600 * SECOND
SYMBOLS = ("ALPHA_USDT", "BRAVO_USDT")
WHOLE = {
    "connected": 1,
    "snapshots": 1,
    "connects": 1,
    "book": [str(one) for one in BOOK_STATES].index("BookState.SYNCED"),
}


class Duty:
    """The store, the recorder's page, and its counters."""

    def __init__(self, store: Store, page: Page) -> None:
        self.store = store
        self.page = page
        self.status = RecordStatus()
        self.sidecar_lives = True
        self.number = 0
        self.now_ns = NOW

    def counts(self, symbol: str, **counters: int) -> None:
        """What is counted of a feed from now on."""
        self.status.feeds[symbol] = FeedCounters(**counters)
        self.status.changed.add(symbol)

    def passes(self, ns: int = SECOND) -> None:
        """So much later the recorder beats."""
        self.now_ns += ns
        self.status.signs += self.sidecar_lives
        self.page.beat(self.status, self.now_ns)

    def receives(self, symbol: str, records: int = 1) -> None:
        """Records in a feed, by a writer of their own."""
        with self.store.writer(f"sim/{symbol}", sync="none") as writer:
            for _ in range(records):
                self.number += 1
                writer.append(self.now_ns, Kind.DATA, writer.stream("depth@100ms"), 1, b"x" * 100, 0)

    def readings(self) -> Readings:
        return Readings(self.store)


@contextmanager
def on_duty(path: Path, name: str = "sim", symbols: tuple[str, ...] = SYMBOLS) -> Iterator[Duty]:
    """A recorder of the synthetic venue."""
    with Store.create(path) as store:
        told = assignment(name, str(path), record_options(catalog.get("sim"), symbols))
        with Roster(path).on_duty(told, store, NOW) as seat:
            yield Duty(store, seat.page)


@contextmanager
def well(path: Path) -> Iterator[Duty]:
    """One that is as it should be."""
    with on_duty(path) as duty:
        for symbol in SYMBOLS:
            duty.counts(symbol, **WHOLE)
            duty.receives(symbol, 3)
        duty.passes()
        yield duty

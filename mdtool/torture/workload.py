"""What a tortured writer writes: records whose every byte follows from their number, so that a reader can tell a
right one from a wrong one without having seen it before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from mdtool.clock import DAY, SECOND
from mdtool.errors import StoreError, StoreFull
from mdtool.model import Kind
from mdtool.storage.journal.writer import Sync, Writer
from mdtool.storage.store import Live, Store

FEED = "torture/ALPHA_USDT"
STREAM = "work"
BEGIN_NS = 1_700_049_600 * SECOND  # 2023-11-15 12:00 UTC
STEP_NS = 1_000_000
RECORDS_A_DAY = 2_000  # so that chunks also roll at midnight
STEP_BACK = 700  # every so many records the clock steps back
REPORT_EVERY = 16  # records between two words about how far it is
WORKER_EVERY = 64  # records between two visits of the worker that prepares and syncs

Say = Callable[[int], None]  # how many records are committed: what was promised when the kill came


@dataclass(frozen=True, slots=True)
class Work:
    """One writer's job."""

    store: str
    first: int  # number of its first record
    count: int
    chunk_bytes: int = 16 * 1024
    live: Live = "disk"
    sync: Sync = "none"
    clock_steps: bool = False
    origin: int = 0  # the number of the record that is received first of all
    prepare: bool = True  # visit the writer as a recorder's worker does
    promises: Literal["committed", "synced"] = "committed"  # what its word stands for


def payload(number: int) -> bytes:
    """The one right payload of a record: 9 to some 3,000 bytes, most of them short."""
    random = Random(number)
    return b"%08d:" % number + random.randbytes(int(random.paretovariate(1.0) * 40) % 3000)


def recv_ns(number: int, clock_steps: bool) -> int:
    """When it was received."""
    back = 30 * SECOND if clock_steps and number % STEP_BACK > STEP_BACK - 50 else 0
    return BEGIN_NS + number // RECORDS_A_DAY * DAY + number % RECORDS_A_DAY * STEP_NS - back


def write(work: Work, say: Say) -> None:
    """One writer from open to close: append the records of `work`, say how far it is, end gracefully."""
    with Store.create(work.store) as store:
        writer = store.writer(FEED, live=work.live, chunk_bytes=work.chunk_bytes, sync=work.sync)
        store.next_session()  # the records' session is one this store has given out
        done = append(work, writer, say)
        if done == work.first + work.count:
            writer.end(recv_ns(done, False), "torture")
        if work.promises == "committed":
            say(done)
        try:
            writer.close()
        except StoreError:
            if done == work.first + work.count:
                raise  # a full disk may refuse the last steps of closing; nothing else may


def append(work: Work, writer: Writer, say: Say) -> int:
    """Append the records of `work`; the number after the last one committed. A full disk ends it early."""
    stream = writer.stream(STREAM)
    for number in range(work.first, work.first + work.count):
        try:
            writer.append(recv_ns(number - work.origin, work.clock_steps), Kind.DATA, stream, 1, payload(number))
        except StoreFull:
            return number
        if number % REPORT_EVERY == 0 and work.promises == "committed":
            say(number + 1)
        if work.prepare and number % WORKER_EVERY == 0:
            try:
                writer.prepare()
                refused = writer.sync()
            except StoreFull:
                continue  # the append that finds no room says so
            if work.promises == "synced" and refused is None:
                say(number + 1)
    return work.first + work.count

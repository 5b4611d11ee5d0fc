"""The jobs that are run in a process of their own, to be killed. Each says how many steps it has made."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow.parquet  # noqa: F401  imported before the fork, so that a job's life is spent on its work

from mdtool.clock import DAY
from mdtool.errors import StoreError
from mdtool.storage.doctor.repair import repair
from mdtool.storage.doctor.verify import verify
from mdtool.storage.store import Store
from mdtool.storage.upkeep.removal import execute, finish
from mdtool.storage.upkeep.retention import RetentionLimits
from mdtool.storage.upkeep.retention import plan as plan_removal
from mdtool.storage.upkeep.sealing import seal_feed
from mdtool.torture.workload import BEGIN_NS, FEED, Say

LATER_NS = BEGIN_NS + 1000 * DAY  # every day of the workload is over


def seal(path: str, say: Say) -> None:
    """Seal every closed chunk."""
    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        steps += 1
        say(steps)

    with Store.open(path) as store:
        report = seal_feed(store.feed(FEED), LATER_NS, everything=True, step=step)
    if report.error:
        raise RuntimeError(report.error)


def clean(path: str, max_bytes: int, say: Say) -> None:
    """Remove the oldest parts and closed chunks, until no more than `max_bytes` are left."""
    with Store.open(path) as store:
        feed = store.feed(FEED)
        finish(feed)
        say(1)
        for _ in execute(
            plan_removal([feed], RetentionLimits(max_bytes=max_bytes, closed_chunks=True), LATER_NS), batch=1
        ):
            say(2)


def mend(path: str, say: Say) -> None:
    """Repair the feed."""
    with Store.open(path) as store:
        repair(store.feed(FEED), gone=True)
    say(1)


def read(path: str, say: Say) -> None:
    """Read all there is; damage is an error that says so."""
    with Store.open(path) as store, suppress(StoreError):
        say(sum(1 for _ in store.reader(FEED).records()))


def check(path: str, say: Say) -> None:
    """Verify."""
    say(len(verify(Path(path)).findings))


def plan(path: str, say: Say) -> None:
    """Say what a repair would do."""
    with Store.open(path) as store:
        say(len(repair(store.feed(FEED), dry_run=True)))


def reopen(path: str, say: Say) -> None:
    """What a writer does as it begins; a full memory may refuse that."""
    with Store.create(path) as store, suppress(StoreError):
        store.writer(FEED).close()
    say(1)

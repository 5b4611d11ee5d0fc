"""From jobs to recorders: what is arranged of what is there, and how the feeds are to be kept.

Rule: both who keeps recorders running and who only tells them go this way, so that both come to the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from mdtool.clock import SystemClock
from mdtool.service.arranging import Task, arrange
from mdtool.service.assignment import Assignment, assignment
from mdtool.service.jobs import Job
from mdtool.service.roster import Member, Roster
from mdtool.service.spreading import UNKNOWN, loads
from mdtool.service.taking import free_name
from mdtool.storage.store import Store
from mdtool.venues import catalog


def arranged(
    store: Store,
    jobs: Sequence[Job],
    there: Sequence[Assignment],
    origin: str,
    *,
    seconds: float | None = None,
    fail_fast: bool = False,
    may_begin: bool = True,
) -> list[Assignment]:
    """What each recorder is to do. `origin`: the file that says so. Blocks: what was recorded is looked at."""
    roster, taken = Roster(store.path), {one.name for one in there}
    tasks = [_task(store, job, origin, seconds, fail_fast) for job in jobs]
    return arrange(
        tasks, there, lambda venue: free_name(roster, catalog.called(venue).name, taken), may_begin=may_begin
    )


def _task(store: Store, job: Job, origin: str, seconds: float | None, fail_fast: bool) -> Task:
    options = job.options
    wanted = structs.replace(
        assignment("new", str(store.path), options), origin=origin, seconds=seconds, fail_fast=fail_fast
    )
    known: dict[str, float] = {}
    if job.shards > 1:
        known = dict(zip(options.symbols, loads(store, options.venue.name, options.symbols), strict=True))
    return Task(wanted, job.shards, job.cpus, lambda symbol: known.get(symbol, UNKNOWN))


def keep(store: Store, jobs: Sequence[Job]) -> None:
    """Have the feeds kept as the jobs say; those that are new are made known for that. Raises StoreError."""
    for job in jobs:
        if not job.kept:
            continue
        store.make_known(job.feeds, live=job.options.live, chunk_bytes=job.options.chunk_bytes, clock=SystemClock())
        for feed in job.feeds:
            store.set(feed, **job.kept)


def from_file(roster: Roster, origin: str) -> list[Member]:
    """The recorders at work that a file of settings has asked for."""
    return [member for member in roster.members() if member.alive and member.duty.assignment.origin == origin]
